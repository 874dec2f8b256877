import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import type { Json, Obj } from "./api";
import { useKey } from "./api";
import { Composer, Conversation } from "./chat";
import { Editor } from "./editor";
import { Failure, type Failed } from "./failure";
import { conversations, earlier, OPENED, open, page, remove } from "./history";
import { Icon } from "./icons";
import { Inspector } from "./inspector";
import { KeyForm } from "./key";
import { type Listed, Sidebar } from "./sidebar";
import { follow, requestOf, run, shown, stop } from "./stream";
import type { Assistant, Chat, Turn } from "./types";
import { newTurnKey, turnOf } from "./types";

export function App() {
  const [assistants, setAssistants] = useState<Assistant[] | null>(null);
  const forget = () => {
    useKey("");
    setAssistants(null);
  };
  return assistants === null ? (
    <KeyForm opened={setAssistants} />
  ) : (
    <Playground assistants={assistants} setAssistants={setAssistants} forget={forget} />
  );
}

interface Props {
  assistants: Assistant[];
  setAssistants(assistants: Assistant[]): void;
  forget(): void;
}

function Playground({ assistants, setAssistants, forget }: Props) {
  const [assistantId, setAssistantId] = useState(assistants[0]?.id ?? "");
  const [turns, setTurns] = useState<Turn[]>([]);
  const [text, setText] = useState("");
  const [selected, setSelected] = useState<number>();
  const [side, setSide] = useState(false);
  const [editing, setEditing] = useState<Assistant | null | undefined>();
  const [opening, setOpening] = useState(false);
  const [moreOfSession, setMoreOfSession] = useState(false);
  const [failed, setFailed] = useState<Failed | null>(null);
  const history = useHistory();

  // Events of a conversation that is left still arrive; each finds its turn by key, or nothing.
  const change = useCallback((key: number, changes: Partial<Turn>) => {
    setTurns((all) => all.map((one) => (one.key === key ? { ...one, ...changes } : one)));
  }, []);

  const last = turns.at(-1);
  const busy = last !== undefined && last.state !== "over";
  const assistant = assistants.find((one) => one.id === assistantId);
  const shownTurn = turns.find((one) => one.key === selected);
  const answered = turns.findLast((one) => one.chat !== undefined);
  const inChain = answered?.chat;
  const firstChat = turns[0]?.chat;

  // On a phone the list lies over the page: the focus goes into it, and back to where it was opened.
  const sideBar = useRef<HTMLElement>(null);
  const menu = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (side) sideBar.current!.querySelector("button")!.focus();
  }, [side]);
  const closeSide = () => {
    setSide(false);
    menu.current!.focus();
  };
  const closeDetails = () => {
    document.querySelector<HTMLButtonElement>('.actions [aria-pressed="true"]')?.focus();
    setSelected(undefined);
  };

  const start = async (turn: Turn) => {
    await run(turn, (changes) => change(turn.key, changes));
    history.reload();
  };
  const send = (input: Json) => {
    const who: Obj = inChain?.sessionId
      ? { sessionId: inChain.sessionId }
      : { ...(inChain ? { previousChatId: inChain.id } : {}), ...answerer(inChain, assistantId) };
    const turn: Turn = {
      key: newTurnKey(),
      state: "sending",
      input,
      request: requestOf(input, who),
      items: [],
      events: [],
      resumed: 0,
    };
    setFailed(null);
    setTurns([...turns.filter((one) => one.chat || one.state !== "over"), turn]);
    setSelected((key) => (key === undefined ? undefined : turn.key));
    void start(turn);
  };
  const begin = () => {
    setTurns([]);
    setSelected(undefined);
    setFailed(null);
    setSide(false);
  };
  const choose = async (id: string) => {
    begin();
    setOpening(true);
    try {
      const chats = await open(id, history.chats.current);
      const opened = chats.map(turnOf);
      setTurns(opened);
      const running = opened.at(-1);
      if (running?.chat?.status === "in_progress") void follow(running, (changes) => change(running.key, changes));
      setMoreOfSession(chats.length === OPENED);
      const who = chats.at(-1)?.assistantId;
      if (who && assistants.some((one) => one.id === who)) setAssistantId(who);
    } catch (error) {
      setFailed(shown(error));
    } finally {
      setOpening(false);
    }
  };
  const fork = (turn: Turn) => {
    const at = turns.indexOf(turn);
    setTurns(turns.slice(0, at + 1).map((one) => (one.chat ? { ...one, chat: { ...one.chat, sessionId: undefined } as Chat } : one)));
    setSelected(undefined);
    document.querySelector<HTMLTextAreaElement>(".composer textarea")?.focus();
  };
  const loadEarlier = async () => {
    try {
      const before = await earlier(firstChat!);
      setMoreOfSession(before.length === OPENED);
      setTurns([...before.map(turnOf), ...turns]);
    } catch (error) {
      setFailed(shown(error));
    }
  };
  const removeChat = async () => {
    if (!inChain || !confirm("Delete this conversation? What other branches share with it stays.")) return;
    try {
      await remove(inChain, history.chats.current);
      begin();
    } catch (error) {
      setFailed(shown(error));
    }
    history.reload();
  };
  const saved = (changed: Assistant) => {
    const known = assistants.some((one) => one.id === changed.id);
    setAssistants(known ? assistants.map((one) => (one.id === changed.id ? changed : one)) : [changed, ...assistants]);
    setAssistantId(changed.id);
    if (!known) begin();
  };
  return (
    <div class={`app${side ? " side-open" : ""}${shownTurn ? " details-open" : ""}`}>
      <aside class="side" aria-label="Chats and navigation" ref={sideBar} onKeyDown={(event) => event.key === "Escape" && closeSide()}>
        <Sidebar
          listed={history.listed}
          current={inChain?.id}
          assistants={assistants}
          choose={choose}
          begin={begin}
          loadMore={history.loadMore}
          reload={history.reload}
          forget={forget}
        />
      </aside>
      {side && <button type="button" class="shade" aria-label="Close the list of chats" onClick={closeSide} />}
      <main>
        <header class="bar">
          <button type="button" class="quiet icon-only menu" aria-label="Show chats" aria-expanded={side} ref={menu} onClick={() => setSide(true)}>
            <Icon name="menu" />
          </button>
          <h1 class="hidden">Playground</h1>
          <select
            aria-label="Assistant"
            value={assistantId}
            disabled={busy}
            onChange={(event) => {
              setAssistantId(event.currentTarget.value);
              begin();
            }}
          >
            {assistants.length === 0 && <option value="">No assistants yet</option>}
            {assistants.map((one) => (
              <option value={one.id}>{String(one.name || one.id)}</option>
            ))}
          </select>
          <button type="button" class="quiet" aria-label={assistant ? "Edit the assistant" : undefined} onClick={() => setEditing(assistant ?? null)}>
            <Icon name={assistant ? "edit" : "plus"} />
            {assistant ? <span class="wide-only">Edit</span> : "New assistant"}
          </button>
          {assistant && (
            <button type="button" class="quiet icon-only" aria-label="New assistant" title="New assistant" onClick={() => setEditing(null)}>
              <Icon name="plus" />
            </button>
          )}
          <span class="spring" />
          {inChain && (
            <button type="button" class="quiet icon-only" aria-label="Delete this conversation" title="Delete" onClick={removeChat} disabled={busy}>
              <Icon name="trash" />
            </button>
          )}
          <Theme />
        </header>
        {failed && <Failure failed={failed} />}
        <Conversation
          turns={turns}
          assistant={String(assistant?.name ?? "")}
          busy={busy}
          opening={opening}
          selected={selected}
          more={firstChat !== undefined && (firstChat.sessionId ? moreOfSession : firstChat.previousChatId !== undefined)}
          select={(key) => setSelected(key === selected ? undefined : key)}
          fork={fork}
          again={(turn) => void start(turn)}
          answer={(_, outputs) => send(outputs.map((one) => ({ type: "function_call_output", ...one })))}
          loadEarlier={loadEarlier}
          suggest={send}
        />
        <Composer
          busy={busy}
          stoppable={busy && last?.id !== undefined && last.state !== "stopping"}
          disabled={!assistant || opening}
          text={text}
          setText={setText}
          send={(given) => {
            setText("");
            send(given);
          }}
          stop={() => last && void stop(last, (changes) => change(last.key, changes))}
        />
      </main>
      {shownTurn && (
        <aside class="details" aria-label="Details of the exchange" onKeyDown={(event) => event.key === "Escape" && closeDetails()}>
          <Inspector turn={shownTurn} close={closeDetails} />
        </aside>
      )}
      {editing !== undefined && <Editor assistant={editing} saved={saved} close={() => setEditing(undefined)} />}
    </div>
  );
}

/** Who answers next: a squad goes on by itself, a stored assistant is named. */
function answerer(chat: Chat | undefined, assistantId: string): Obj {
  return chat && !chat.assistantId ? {} : { assistantId };
}

/** The list of chats: its pages as they are read, and read anew from the first. */
function useHistory() {
  const chats = useRef<Chat[]>([]);
  const cursor = useRef<string | undefined>(undefined);
  const [listed, setListed] = useState<Listed>({ conversations: [], loading: true, more: false, failed: null });

  const read = useCallback(async (fresh: boolean) => {
    setListed((was) => ({ ...was, loading: was.conversations.length === 0 || !fresh, failed: null }));
    try {
      const { results, metadata } = await page(fresh ? undefined : cursor.current);
      const known = new Set(results.map((one) => one.id));
      const kept = fresh ? [] : chats.current.filter((one) => !known.has(one.id));
      chats.current = [...kept, ...results];
      cursor.current = metadata.nextCursor;
      setListed({ conversations: conversations(chats.current), loading: false, more: metadata.hasNextPage, failed: null });
    } catch (error) {
      setListed((was) => ({ ...was, loading: false, failed: shown(error) }));
    }
  }, []);
  useEffect(() => void read(true), []);
  return { chats, listed, reload: () => void read(true), loadMore: () => void read(false) };
}

/** Light or dark; as the system has it until it is chosen, and again after a reload. */
function Theme() {
  const [dark, setDark] = useState(() => matchMedia("(prefers-color-scheme: dark)").matches);
  const turn = () => {
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    setDark(!dark);
  };
  return (
    <button type="button" class="quiet icon-only" onClick={turn} aria-label={dark ? "Light colours" : "Dark colours"}>
      <Icon name={dark ? "sun" : "moon"} />
    </button>
  );
}
