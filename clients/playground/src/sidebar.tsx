import { useMemo, useState } from "preact/hooks";
import { Failure, type Failed } from "./failure";
import { type Conversation, titleOf } from "./history";
import { Icon, Logo } from "./icons";
import type { Assistant } from "./types";
import { inputText, textOf } from "./types";

export interface Listed {
  conversations: Conversation[];
  loading: boolean;
  more: boolean;
  failed: Failed | null;
}

interface Props {
  listed: Listed;
  current: string | undefined;
  assistants: Assistant[];
  choose(id: string): void;
  begin(): void;
  loadMore(): void;
  reload(): void;
  forget(): void;
}

/** The conversations of the org, newest first, and a search in what is loaded. */
export function Sidebar(props: Props) {
  const { listed, current, choose, begin, loadMore, reload, forget } = props;
  const [query, setQuery] = useState("");
  const found = useMemo(() => matching(listed.conversations, query), [listed.conversations, query]);
  const names = useMemo(() => new Map(props.assistants.map((one) => [one.id, String(one.name ?? "")])), [props.assistants]);
  const id = idIn(query);

  return (
    <>
      <div class="brand">
        <Logo />
        <span>Parley</span>
      </div>
      <button type="button" class="primary wide" onClick={begin}>
        <Icon name="plus" />
        New chat
      </button>
      <div class="search">
        <Icon name="search" />
        <input
          type="search"
          placeholder="Search text or paste an id"
          aria-label="Search chats by text or id"
          value={query}
          onInput={(event) => setQuery(event.currentTarget.value)}
          onKeyDown={(event) => event.key === "Enter" && id && choose(id)}
        />
      </div>
      <nav class="chats" aria-label="Chats" aria-busy={listed.loading}>
        {id && (
          <button type="button" class="plain wide" onClick={() => choose(id)}>
            Open chat {id.slice(0, 13)}…
          </button>
        )}
        {listed.failed && <Failure failed={listed.failed} again={reload} />}
        <ul>
          {found.map(({ latest, first }) => (
            <li>
              <button
                type="button"
                class="chat-row"
                aria-current={latest.id === current ? "true" : undefined}
                onClick={() => choose(latest.id)}
              >
                <span class="chat-title">{titleOf(first)}</span>
                <span class="faint small">
                  {names.get(latest.assistantId ?? "") || (latest.squadId ? "squad" : latest.sessionId ? "session" : "assistant")}
                  {" · "}
                  <time dateTime={latest.createdAt}>{ago(latest.createdAt)}</time>
                  {latest.status !== "completed" && <span class={`state ${latest.status}`}> · {latest.status.replace("_", " ")}</span>}
                </span>
              </button>
            </li>
          ))}
        </ul>
        {listed.loading && <Skeleton />}
        {!listed.loading && !listed.failed && found.length === 0 && !id && (
          <p class="faint small empty">
            {query ? `No loaded chat has “${query}”.` : "No chats yet. Your first message makes one."}
          </p>
        )}
        {listed.more && !listed.loading && (
          <button type="button" class="plain wide" onClick={loadMore}>
            {query ? "Search older chats" : "Show older chats"}
          </button>
        )}
      </nav>
      <div class="side-foot">
        <a href="docs" target="_blank" rel="noopener">
          API reference
        </a>
        <button type="button" class="link" onClick={forget}>
          Forget key
        </button>
      </div>
    </>
  );
}

function Skeleton() {
  return (
    <div class="skeleton" role="status">
      <span class="hidden">Loading chats</span>
      <i />
      <i />
      <i />
    </div>
  );
}

function matching(all: Conversation[], query: string): Conversation[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return all;
  return all.filter(({ latest, first }) => {
    const output = (latest.output ?? []).map((one) => textOf(one.content)).join(" ");
    const text = `${first.name ?? ""} ${inputText(first.input)} ${inputText(latest.input)} ${output} ${latest.id}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

/** The id that a query is, bare or with a prefix. */
function idIn(query: string): string | null {
  const bare = query.trim().replace(/^(resp|chat)_/, "");
  return /^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$/i.test(bare) ? query.trim() : null;
}

const UNITS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
];
const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });

function ago(time: string): string {
  const passed = Date.now() - Date.parse(time);
  for (const [unit, length] of UNITS)
    if (passed >= length) return RELATIVE.format(-Math.floor(passed / length), unit);
  return "just now";
}
