import { memo } from "preact/compat";
import { useEffect, useState } from "preact/hooks";
import { type Obj, ORIGIN } from "./api";
import { money, pretty } from "./chat";
import { Failure, type Failed } from "./failure";
import { Icon } from "./icons";
import { Code } from "./markdown";
import { type Language, LANGUAGES, type Request, snippet } from "./snippets";
import { requestOf, shown, storedEvents } from "./stream";
import { Tabs } from "./tabs";
import type { RawEvent, Turn } from "./types";

const VIEWS = ["Overview", "Request", "Events", "Record"] as const;

/** Everything about one exchange: tokens and cost, its request, its raw events and its record. */
export function Inspector({ turn, close }: { turn: Turn; close: () => void }) {
  const [view, setView] = useState<(typeof VIEWS)[number]>("Overview");
  return (
    <>
      <header class="panel-head">
        <h2>Details</h2>
        <button type="button" class="quiet icon-only" onClick={close} aria-label="Close details">
          <Icon name="close" />
        </button>
      </header>
      <Tabs label="Details of the exchange" names={VIEWS} chosen={view} choose={setView} />
      <div class="panel-body" id="panel" role="tabpanel" aria-label={view} tabIndex={0}>
        {view === "Overview" && <Overview turn={turn} />}
        {view === "Request" && <RequestView request={turn.request ?? rebuilt(turn)} />}
        {view === "Events" && <Events turn={turn} />}
        {view === "Record" &&
          (turn.chat ? (
            <Code text={JSON.stringify(turn.chat, null, 2)} language={`GET /chat/${turn.chat.id}`} label="Record" />
          ) : (
            <p class="faint">The record is written when the exchange is over.</p>
          ))}
      </div>
    </>
  );
}

/** The request of an exchange that this page did not send. */
function rebuilt({ chat, input }: Turn): Request {
  const who: Obj = chat?.sessionId
    ? { sessionId: chat.sessionId }
    : {
        ...(chat?.assistantId ? { assistantId: chat.assistantId } : {}),
        ...(chat?.squadId ? { squadId: chat.squadId } : {}),
        ...(chat?.previousChatId ? { previousChatId: chat.previousChatId } : {}),
      };
  return requestOf(input, who);
}

function Overview({ turn }: { turn: Turn }) {
  const { chat } = turn;
  const models = chat?.costs?.filter((one) => one.type === "model") ?? [];
  const sum = (member: "promptTokens" | "completionTokens") => models.reduce((all, one) => all + (one[member] ?? 0), 0);
  return (
    <>
      <div class="tiles">
        <Tile name="Prompt tokens" value={chat ? String(sum("promptTokens")) : "–"} />
        <Tile name="Answer tokens" value={chat ? String(sum("completionTokens")) : "–"} />
        <Tile name="Cost" value={chat ? money(chat.cost) : "–"} />
        <Tile name="First token" value={turn.firstTokenMs === undefined ? "–" : `${turn.firstTokenMs} ms`} />
      </div>
      {models.some((one) => one.estimated) && <p class="faint small">The provider gave no token counts; these are estimates.</p>}
      <dl>
        <Row name="Status" value={chat?.status ?? turn.state} />
        <Row name="Model" value={models.map((one) => `${one.model?.provider}/${one.model?.model}`).join(", ")} />
        <Row name="Total time" value={turn.totalMs === undefined ? "" : `${turn.totalMs} ms`} />
        <Row name="Events" value={turn.events.length ? String(turn.events.length) : ""} />
        <Row name="Resumed" value={turn.resumed ? `${turn.resumed} ×` : ""} />
        <Row name="Chat" value={chat?.id ?? turn.id ?? ""} mono />
        <Row name="Continues" value={chat?.previousChatId ?? ""} mono />
        <Row name="Session" value={chat?.sessionId ?? ""} mono />
        <Row name="Request id" value={turn.requestId ?? turn.error?.requestId ?? ""} mono />
      </dl>
    </>
  );
}

function Tile({ name, value }: { name: string; value: string }) {
  return (
    <div class="tile">
      <span class="faint small">{name}</span>
      <strong>{value}</strong>
    </div>
  );
}

function Row({ name, value, mono }: { name: string; value: string; mono?: boolean }) {
  if (!value) return null;
  return (
    <div>
      <dt>{name}</dt>
      <dd class={mono ? "mono" : ""}>{value}</dd>
    </div>
  );
}

function RequestView({ request }: { request: Request }) {
  const [language, setLanguage] = useState<Language>("curl");
  return (
    <>
      <Tabs label="Copy as" names={LANGUAGES} chosen={language} choose={setLanguage} small />
      <Code text={snippet(language, request, ORIGIN)} language={language} label={`Request as ${language}`} />
      <p class="faint small">
        The key is read from the environment: <code>export PARLEY_KEY=api_…</code>
      </p>
      <Code text={JSON.stringify(request.body, null, 2)} language={`${request.method} ${request.path}`} label="Request body" />
    </>
  );
}

function Events({ turn }: { turn: Turn }) {
  const [stored, setStored] = useState<RawEvent[] | null>(null);
  const [failed, setFailed] = useState<Failed | null>(null);
  const needed = turn.events.length === 0 && turn.chat !== undefined;
  useEffect(() => {
    setStored(null);
    setFailed(null);
    if (needed)
      storedEvents(turn.chat!.id).then(setStored, (error: unknown) => {
        setFailed(shown(error));
      });
  }, [turn.key, needed]);

  if (failed) return <Failure failed={failed} />;
  const events = needed ? (stored ?? []) : turn.events;
  if (events.length === 0)
    return <p class="faint">{needed && stored === null ? "Reading the events from the record…" : "No event has arrived."}</p>;
  return (
    <ol class="events">
      {events.map((event) => (
        <EventRow event={event} timed={!needed} />
      ))}
    </ol>
  );
}

/** An event is a new object only when it arrives, so the rows before it are not drawn again. */
const EventRow = memo(({ event, timed }: { event: RawEvent; timed: boolean }) => {
  const [open, setOpen] = useState(false);
  return (
    <li>
      <details onToggle={(toggled) => setOpen(toggled.currentTarget.open)}>
        <summary>
          <span class="mono event-name">{event.data === "[DONE]" ? "[DONE]" : event.name}</span>
          <span class="mono small event-text">{deltaOf(event.data)}</span>
          {timed && <span class="faint small">{event.at} ms</span>}
        </summary>
        {open && (
          <pre tabIndex={0} aria-label="Data of the event">
            {pretty(event.data)}
          </pre>
        )}
      </details>
    </li>
  );
});

function deltaOf(data: string): string {
  const delta = data === "[DONE]" ? undefined : JSON.parse(data).delta;
  return typeof delta === "string" ? JSON.stringify(delta) : "";
}
