import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { Failure } from "./failure";
import { Icon } from "./icons";
import { Code, Markdown } from "./markdown";
import type { Item, Turn } from "./types";
import { inputText, isToolOutput, toolOutputs } from "./types";

interface Props {
  turns: Turn[];
  assistant: string;
  busy: boolean;
  opening: boolean;
  selected: number | undefined;
  more: boolean;
  select(key: number): void;
  fork(turn: Turn): void;
  again(turn: Turn): void;
  answer(turn: Turn, outputs: { call_id: string; output: string }[]): void;
  loadEarlier(): void;
  suggest(text: string): void;
}

/** The exchanges of a conversation, and what may be done with each. */
export function Conversation(props: Props) {
  const { turns, opening, more, loadEarlier } = props;
  const end = useRef<HTMLDivElement>(null);
  const scroller = useRef<HTMLDivElement>(null);
  const following = useRef(true);
  const last = turns.at(-1);
  const outputs = useMemo(() => new Map(turns.flatMap((turn) => toolOutputs(turn.input))), [turns]);

  const onScroll = () => {
    const box = scroller.current!;
    following.current = box.scrollHeight - box.scrollTop - box.clientHeight < 80;
  };
  useEffect(() => {
    following.current = true;
  }, [turns.length]);
  useLayoutEffect(() => {
    if (following.current) end.current?.scrollIntoView({ block: "end" });
  }, [turns]);

  return (
    <div class="conversation" ref={scroller} onScroll={onScroll} tabIndex={0} role="region" aria-label="Conversation">
      {opening && (
        <p class="faint empty" role="status">
          Opening…
        </p>
      )}
      {!opening && turns.length === 0 && <Empty {...props} />}
      {more && !opening && (
        <button type="button" class="plain earlier" onClick={loadEarlier}>
          Show earlier messages
        </button>
      )}
      <ol class="turns">
        {turns.map((turn) => (
          <Exchange key={turn.key} turn={turn} isLast={turn === last} outputs={outputs} {...props} />
        ))}
      </ol>
      <div ref={end} />
    </div>
  );
}

const SUGGESTIONS = ["My name is Ada", "What is my name?", "Tell me about yourself"];

function Empty({ assistant, suggest }: Props) {
  return (
    <div class="welcome">
      <h2>{assistant ? `Chat with ${assistant}` : "Choose an assistant"}</h2>
      <p class="faint">
        Answers stream in as they are generated. Every message has its request, events, tokens and cost in the details.
      </p>
      {assistant && (
        <div class="suggestions">
          {SUGGESTIONS.map((text) => (
            <button type="button" class="plain" onClick={() => suggest(text)}>
              {text}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}

interface ExchangeProps extends Props {
  turn: Turn;
  isLast: boolean;
  outputs: Map<string, string>;
}

function Exchange({ turn, isLast, outputs, selected, select, fork, again, answer, assistant, busy }: ExchangeProps) {
  const waiting = turn.state !== "over" && turn.items.length === 0;
  const resend = turn.state === "over" && !turn.chat && turn.request && isLast ? () => again(turn) : undefined;
  return (
    <li class="turn" aria-current={selected === turn.key ? "true" : undefined}>
      {!isToolOutput(turn.input) && (
        <div class="said">
          <span class="hidden">You</span>
          <p>{inputText(turn.input)}</p>
        </div>
      )}
      <div class="answer" aria-busy={turn.state !== "over"}>
        <span class="who">{assistant || "Assistant"}</span>
        {turn.items.map((item) => (
          <Part item={item} outputs={outputs} />
        ))}
        {waiting && (
          <span class="dots" role="status">
            <span class="hidden">Waiting for the answer</span>
            <i />
            <i />
            <i />
          </span>
        )}
        {turn.state === "streaming" && !waiting && <span class="caret" aria-hidden="true" />}
        {turn.state === "resuming" && (
          <p class="notice" role="status">
            Connection lost. Reading on from the last event, attempt {turn.resumed}…
          </p>
        )}
        {turn.error && <Failure failed={turn.error} again={resend} />}
        {isLast && turn.state === "over" && turn.chat?.status === "completed" && (
          <ToolAnswers turn={turn} answer={answer} busy={busy} />
        )}
        {turn.chat?.warnings?.map((warning) => (
          <p class="notice">
            {warning.message} <span class="mono small">{warning.param}</span>
          </p>
        ))}
        <Facts turn={turn} selected={selected} select={select} fork={fork} />
      </div>
    </li>
  );
}

function Facts({ turn, selected, select, fork }: Pick<Props, "selected" | "select" | "fork"> & { turn: Turn }) {
  const model = turn.chat?.costs?.find((one) => one.type === "model");
  const status = turn.chat?.status;
  return (
    <div class="facts">
      {status && status !== "completed" && <span class={`chip ${status}`}>{status.replace("_", " ")}</span>}
      {turn.resumed > 0 && turn.state === "over" && <span class="chip">resumed</span>}
      {model && (
        <span class="faint small">
          {model.promptTokens ?? 0} + {model.completionTokens ?? 0} tokens · {money(turn.chat?.cost)}
        </span>
      )}
      {turn.totalMs !== undefined && turn.chat && <span class="faint small">{(turn.totalMs / 1000).toFixed(2)} s</span>}
      <span class="actions">
        {turn.chat && (
          <button type="button" class="quiet" onClick={() => fork(turn)} title="Continue from here in a new branch">
            <Icon name="fork" />
            Fork
          </button>
        )}
        <button
          type="button"
          class="quiet"
          aria-pressed={selected === turn.key}
          onClick={() => select(turn.key)}
          title="Request, events, tokens and cost"
        >
          <Icon name="details" />
          Details
        </button>
      </span>
    </div>
  );
}

export function money(cost: number | undefined): string {
  if (!cost) return "$0";
  return `$${cost < 0.01 ? cost.toPrecision(2) : cost.toFixed(4)}`;
}

function Part({ item, outputs }: { item: Item; outputs: Map<string, string> }) {
  if (item.type === "text") return item.refusal ? <p class="refusal">{item.text}</p> : <Markdown text={item.text} />;
  if (item.type === "reasoning")
    return item.text ? (
      <details class="reasoning">
        <summary>Reasoning</summary>
        <Markdown text={item.text} />
      </details>
    ) : null;
  const output = item.output ?? outputs.get(item.call.id);
  return (
    <details class="tool" open>
      <summary>
        <Icon name="tool" />
        <span class="mono">{item.call.name}</span>
        <span class="faint small">{output === undefined ? "called" : "returned"}</span>
      </summary>
      <Code text={pretty(item.call.arguments)} language="arguments" label={`Arguments of ${item.call.name}`} />
      {output !== undefined && <Code text={pretty(output)} language="result" label={`Result of ${item.call.name}`} />}
    </details>
  );
}

export function pretty(text: string): string {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** The calls that the assistant waits for; their results are the next input. */
function ToolAnswers({ turn, answer, busy }: Pick<Props, "answer" | "busy"> & { turn: Turn }) {
  const open = turn.items.flatMap((one) => (one.type === "call" && one.output === undefined ? [one.call] : []));
  const [outputs, setOutputs] = useState<Record<string, string>>({});
  if (open.length === 0) return null;
  const send = (event: Event) => {
    event.preventDefault();
    answer(
      turn,
      open.map(({ id }) => ({ call_id: id, output: outputs[id] ?? "" })),
    );
  };
  return (
    <form class="tool-answers" onSubmit={send}>
      <p>The assistant waits for {open.length === 1 ? "the result of this tool" : "the results of these tools"}.</p>
      {open.map((one) => (
        <label>
          <span>
            Result of <span class="mono">{one.name}</span>
          </span>
          <textarea
            rows={2}
            class="mono"
            placeholder='{"temperature": 21}'
            value={outputs[one.id] ?? ""}
            onInput={(event) => setOutputs({ ...outputs, [one.id]: event.currentTarget.value })}
          />
        </label>
      ))}
      <button type="submit" class="primary" disabled={busy}>
        Send {open.length === 1 ? "result" : "results"}
      </button>
    </form>
  );
}

interface ComposerProps {
  busy: boolean;
  stoppable: boolean;
  disabled: boolean;
  text: string;
  setText(text: string): void;
  send(text: string): void;
  stop(): void;
}

/** Enter sends, Shift+Enter breaks the line, Escape stops. */
export function Composer({ busy, stoppable, disabled, text, setText, send, stop }: ComposerProps) {
  const area = useRef<HTMLTextAreaElement>(null);
  useEffect(() => area.current?.focus(), []);
  useLayoutEffect(() => {
    const box = area.current!;
    box.rows = Math.min(8, text.split("\n").length);
  }, [text]);

  const submit = (event?: Event) => {
    event?.preventDefault();
    if (!busy && !disabled && text.trim()) send(text);
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
    else if (event.key === "Escape" && stoppable) stop();
  };
  return (
    <form class="composer" onSubmit={submit}>
      <textarea
        ref={area}
        rows={1}
        aria-label="Message"
        placeholder={disabled ? "Choose an assistant first" : "Write a message"}
        value={text}
        disabled={disabled}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={onKey}
      />
      {busy ? (
        <button type="button" class="round stop" onClick={stop} disabled={!stoppable} aria-label="Stop the answer" title="Stop (Esc)">
          <Icon name="stop" />
        </button>
      ) : (
        <button type="submit" class="round primary" disabled={disabled || !text.trim()} aria-label="Send" title="Send (Enter)">
          <Icon name="send" />
        </button>
      )}
    </form>
  );
}
