import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { call, type Json, type Obj, ServiceError } from "./api";
import { Failure, type Failed } from "./failure";
import { Icon } from "./icons";
import { type Checker, checkerOf, fieldErrors, type Problems } from "./schema";
import { shown } from "./stream";
import { Tabs } from "./tabs";
import type { Assistant } from "./types";

const OWN = ["id", "orgId", "createdAt", "updatedAt", "warnings"];
const NEW: Obj = {
  name: "New assistant",
  model: { provider: "offline", model: "offline-1", messages: [{ role: "system", content: "You are a helpful assistant." }] },
};
const VIEWS = ["Form", "JSON"] as const;

interface Props {
  /** The assistant to edit; null makes a new one. */
  assistant: Assistant | null;
  saved(assistant: Assistant): void;
  close(): void;
}

/** Edits an assistant as a form of its usual members or as JSON, checked against its schema while it is written. */
export function Editor({ assistant, saved, close }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [initial] = useState(() => JSON.stringify(editable(assistant ?? NEW), null, 2));
  const [text, setText] = useState(initial);
  const [view, setView] = useState<(typeof VIEWS)[number]>("Form");
  const [checker, setChecker] = useState<Checker | null>(null);
  const [failed, setFailed] = useState<Failed | null>(null);
  const [refused, setRefused] = useState<Problems>(new Map());
  const [busy, setBusy] = useState(false);
  const draft = useMemo(() => parsed(text), [text]);

  useEffect(() => {
    dialog.current!.showModal();
    checkerOf("Assistant").then(setChecker, (error: unknown) => setFailed(shown(error)));
  }, []);

  const problems = useMemo(() => {
    if (typeof draft === "string") return new Map([["", draft]]);
    const found = new Map(refused);
    for (const [path, problem] of checker?.problems(draft) ?? []) found.set(path, problem);
    return found;
  }, [draft, refused, checker]);

  const write = (changed: string) => {
    setText(changed);
    setRefused(new Map());
    setFailed(null);
  };
  const leave = () => {
    if (text === initial || confirm("Discard your changes?")) dialog.current!.close();
  };
  const cancelled = (event: Event) => {
    event.preventDefault();
    leave();
  };
  const save = async (event: Event) => {
    event.preventDefault();
    if (typeof draft === "string" || problems.size > 0) return;
    setBusy(true);
    try {
      saved(await stored(assistant, draft));
      close();
    } catch (error) {
      if (error instanceof ServiceError && error.status === 400) setRefused(fieldErrors(error.messages));
      setFailed(shown(error));
      setBusy(false);
    }
  };

  return (
    <dialog ref={dialog} class="editor" aria-labelledby="editor-title" onClose={close} onCancel={cancelled}>
      <form onSubmit={save} noValidate>
        <header class="panel-head">
          <h2 id="editor-title">{assistant ? `Edit ${assistant.name ?? "assistant"}` : "New assistant"}</h2>
          <button type="button" class="quiet icon-only" onClick={leave} aria-label="Close the editor">
            <Icon name="close" />
          </button>
        </header>
        <Tabs label="Ways to edit" names={VIEWS} chosen={view} choose={setView} />
        <div class="panel-body" role="tabpanel" aria-label={view} tabIndex={-1}>
          {view === "JSON" || typeof draft === "string" ? (
            <JsonView text={text} write={write} problems={problems} />
          ) : (
            <Form draft={draft} problems={problems} checker={checker} write={(doc) => write(JSON.stringify(doc, null, 2))} />
          )}
          {failed && <Failure failed={failed} />}
        </div>
        <footer class="panel-foot">
          <span class="faint small" role="status">
            {problems.size > 0 ? `${problems.size} ${problems.size === 1 ? "problem" : "problems"}` : checker ? "Valid" : "Reading the schema…"}
          </span>
          <span class="spring" />
          <button type="button" class="plain" onClick={leave}>
            Cancel
          </button>
          <button type="submit" class="primary" disabled={busy || problems.size > 0}>
            {busy ? "Saving…" : assistant ? "Save" : "Create"}
          </button>
        </footer>
      </form>
    </dialog>
  );
}

function editable(assistant: Obj): Obj {
  return Object.fromEntries(Object.entries(assistant).filter(([name]) => !OWN.includes(name)));
}

/** The document, or why the text is none. */
function parsed(text: string): Obj | string {
  try {
    const value: Json = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? value : "is not a JSON object";
  } catch (error) {
    return `is not JSON: ${(error as Error).message}`;
  }
}

/** A merge patch names what is different, and as null what is gone. */
function stored(assistant: Assistant | null, draft: Obj): Promise<Assistant> {
  if (assistant === null) return call("POST", "/assistant", draft);
  const before = editable(assistant);
  const patch: Obj = {};
  for (const name of new Set([...Object.keys(before), ...Object.keys(draft)]))
    if (JSON.stringify(before[name]) !== JSON.stringify(draft[name])) patch[name] = draft[name] ?? null;
  return call("PATCH", `/assistant/${assistant.id}`, patch);
}

interface FieldSpec {
  path: string;
  label: string;
  kind: "text" | "long" | "number";
  suggestions?: string[];
}

const PROVIDERS = ["offline", "openai", "anthropic", "custom-llm"];
const FIELDS: FieldSpec[] = [
  { path: "name", label: "Name", kind: "text" },
  { path: "model.provider", label: "Provider", kind: "text", suggestions: PROVIDERS },
  { path: "model.model", label: "Model", kind: "text" },
  { path: "model.messages[0].content", label: "System message", kind: "long" },
  { path: "model.temperature", label: "Temperature", kind: "number" },
  { path: "model.maxTokens", label: "Maximum tokens", kind: "number" },
  { path: "firstMessage", label: "First message", kind: "long" },
];

interface FormProps {
  draft: Obj;
  problems: Problems;
  checker: Checker | null;
  write(draft: Obj): void;
}

function Form({ draft, problems, checker, write }: FormProps) {
  const shownPaths = new Set(FIELDS.map((one) => one.path));
  const others = [...problems].filter(([path]) => !shownPaths.has(path));
  return (
    <>
      <div class="fields">
        {FIELDS.map((field) => (
          <Field
            field={field}
            value={at(draft, field.path)}
            problem={problems.get(field.path)}
            hint={checker?.description(field.path) ?? ""}
            change={(value) => write(changed(draft, field, value))}
          />
        ))}
      </div>
      <ProblemList problems={others} />
      <p class="faint small">Tools, hooks, credentials and everything else are in the JSON view.</p>
    </>
  );
}

interface FieldProps {
  field: FieldSpec;
  value: Json | undefined;
  problem: string | undefined;
  hint: string;
  change(value: string): void;
}

function Field({ field, value, problem, hint, change }: FieldProps) {
  const id = `field-${field.path.replace(/\W+/g, "-")}`;
  const text = value == null ? "" : typeof value === "object" ? JSON.stringify(value) : String(value);
  const common = {
    id,
    value: text,
    "aria-invalid": problem !== undefined,
    "aria-describedby": `${id}-hint ${id}-problem`,
    onInput: (event: { currentTarget: HTMLInputElement | HTMLTextAreaElement }) => change(event.currentTarget.value),
  };
  return (
    <div class={`field ${field.kind}`}>
      <label for={id}>{field.label}</label>
      {field.kind === "long" ? (
        <textarea rows={field.path === "firstMessage" ? 2 : 5} {...common} />
      ) : (
        <input type="text" inputMode={field.kind === "number" ? "decimal" : "text"} list={field.suggestions && `${id}-list`} {...common} />
      )}
      {field.suggestions && (
        <datalist id={`${id}-list`}>
          {field.suggestions.map((one) => (
            <option value={one} />
          ))}
        </datalist>
      )}
      <p id={`${id}-problem`} class="problem" aria-live="polite">
        {problem}
      </p>
      <p id={`${id}-hint`} class="faint small">
        {hint}
      </p>
    </div>
  );
}

function steps(path: string): (string | number)[] {
  return path.split(/\.|\[(\d+)\]\.?/).filter(Boolean).map((step) => (/^\d+$/.test(step!) ? Number(step) : step!));
}

function at(document: Json | undefined, path: string): Json | undefined {
  return steps(path).reduce<any>((holder, step) => holder?.[step], document);
}

/** The document with a member replaced; an empty text takes it away. A number that is none stays for the schema to name. */
function changed(draft: Obj, field: FieldSpec, text: string): Obj {
  const value: Json = field.kind === "number" && text.trim() !== "" && !Number.isNaN(Number(text)) ? Number(text) : text;
  const copy = structuredClone(draft);
  const way = steps(field.path);
  let holder: any = copy;
  way.slice(0, -1).forEach((step, depth) => {
    holder[step] ??= typeof way[depth + 1] === "number" ? [] : depth > 0 && typeof step === "number" ? { role: "system" } : {};
    holder = holder[step];
  });
  const last = way.at(-1)!;
  if (text === "" && field.path !== "model.messages[0].content") delete holder[last];
  else holder[last] = value;
  return copy;
}

function JsonView({ text, write, problems }: { text: string; write(text: string): void; problems: Problems }) {
  const area = useRef<HTMLTextAreaElement>(null);
  const show = (path: string) => {
    const [from, to] = placeOf(text, path);
    area.current!.focus();
    area.current!.setSelectionRange(from, to);
    const line = text.slice(0, from).split("\n").length;
    area.current!.scrollTop = (line - 4) * (area.current!.scrollHeight / text.split("\n").length);
  };
  return (
    <>
      <textarea
        ref={area}
        class="mono json"
        rows={20}
        spellcheck={false}
        aria-label="Assistant as JSON"
        aria-invalid={problems.size > 0}
        value={text}
        onInput={(event) => write(event.currentTarget.value)}
      />
      <ProblemList problems={[...problems]} show={show} />
    </>
  );
}

function ProblemList({ problems, show }: { problems: [string, string][]; show?: (path: string) => void }) {
  if (problems.length === 0) return null;
  return (
    <ul class="problems" aria-label="Problems" aria-live="polite">
      {problems.map(([path, problem]) => (
        <li>
          {path && show ? (
            <button type="button" class="link mono" onClick={() => show(path)}>
              {path}
            </button>
          ) : (
            <span class="mono">{path || "The document"}</span>
          )}{" "}
          {problem}
        </li>
      ))}
    </ul>
  );
}

/** Where a member stands in JSON that `JSON.stringify` could have written: its last name, step by step. */
function placeOf(text: string, path: string): [number, number] {
  let from = 0;
  let found: [number, number] = [0, 0];
  for (const step of steps(path)) {
    if (typeof step === "number") continue;
    const place = text.indexOf(`"${step}"`, from);
    if (place < 0) break;
    found = [place, place + step.length + 2];
    from = found[1];
  }
  return found;
}
