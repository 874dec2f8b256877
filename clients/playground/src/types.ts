// The records of the service as far as the page reads them, and a turn of a conversation as the page shows it.

import type { Json, Obj } from "./api";
import type { Failed } from "./failure";

export interface Assistant extends Obj {
  id: string;
}

export interface ToolCall {
  id: string;
  name: string;
  arguments: string;
}

export interface Message {
  role: string;
  content?: Json;
  tool_calls?: {
    id: string;
    function?: { name: string; arguments?: string };
    custom?: { name: string; input: string };
  }[];
  tool_call_id?: string;
  name?: string;
  refusal?: string;
}

export interface Cost {
  type: string;
  model?: { provider?: string; model?: string };
  promptTokens?: number;
  completionTokens?: number;
  cost: number;
  estimated?: boolean;
}

export interface Warning {
  code: string;
  message: string;
  param?: string;
}

export interface Chat {
  id: string;
  createdAt: string;
  assistantId?: string;
  squadId?: string;
  sessionId?: string;
  previousChatId?: string;
  name?: string;
  input: Json;
  messages?: Message[];
  output?: Message[];
  costs?: Cost[];
  cost?: number;
  status: string;
  error?: { code: string; message: string };
  warnings?: Warning[];
}

export interface ChatPage {
  results: Chat[];
  metadata: { totalItems: number; hasNextPage: boolean; nextCursor?: string };
}

export type Item =
  | { type: "text"; text: string; refusal?: boolean }
  | { type: "reasoning"; text: string }
  | { type: "call"; call: ToolCall; output?: string };

/** One server-sent event as it arrived, and how many milliseconds after the request was sent. */
export interface RawEvent {
  name: string;
  data: string;
  at: number;
}

export type TurnState = "sending" | "streaming" | "resuming" | "stopping" | "over";

export interface Turn {
  key: number;
  /** Id of the chat; of a new turn, once its first event has arrived. */
  id?: string;
  state: TurnState;
  input: Json;
  request?: { method: string; path: string; body: Obj };
  idempotencyKey?: string;
  items: Item[];
  events: RawEvent[];
  resumed: number;
  firstTokenMs?: number;
  totalMs?: number;
  requestId?: string;
  /** The record, once the exchange is over. */
  chat?: Chat;
  error?: Failed;
}

/** Plain text of a message's content, a string or an array of parts. */
export function textOf(content: Json | undefined): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return content == null ? "" : JSON.stringify(content);
  return content
    .map((part) => {
      const one = part as Obj;
      return typeof one?.text === "string" ? one.text : `[${String(one?.type ?? "part")}]`;
    })
    .join("\n");
}

/** What a person reads of an input: its messages' text, and what tools returned. */
export function inputText(input: Json): string {
  if (typeof input === "string") return input;
  if (!Array.isArray(input)) return JSON.stringify(input);
  return input
    .map((one) => {
      const item = one as Obj;
      return textOf(item?.content ?? item?.message ?? item?.output);
    })
    .filter(Boolean)
    .join("\n");
}

/** Whether an input holds only results of tools, which are shown beside their calls. */
export function isToolOutput(input: Json): boolean {
  return Array.isArray(input) && input.length > 0 && input.every((one) => isOutput(one as Obj));
}

/** The results of tools in an input, by the id of the call. */
export function toolOutputs(input: Json): [string, string][] {
  if (!Array.isArray(input)) return [];
  return input
    .map((one) => one as Obj)
    .filter(isOutput)
    .map((item) => [String(item.call_id ?? item.tool_call_id), textOf(item.output ?? item.content)]);
}

function isOutput(item: Obj | null): boolean {
  return item?.type === "function_call_output" || item?.role === "tool";
}

/** The output messages of a record as items; a tool's result stands with its call. */
export function itemsOf(output: Message[] | undefined): Item[] {
  const items: Item[] = [];
  for (const message of output ?? []) {
    const text = message.refusal ?? textOf(message.content);
    if (message.role === "tool") {
      const call = items.find((one) => one.type === "call" && one.call.id === message.tool_call_id);
      if (call?.type === "call") call.output = text;
      continue;
    }
    if (text) items.push({ type: "text", text, ...(message.refusal ? { refusal: true } : {}) });
    for (const call of message.tool_calls ?? [])
      items.push({
        type: "call",
        call: {
          id: call.id,
          name: call.custom?.name ?? call.function?.name ?? "",
          arguments: call.custom?.input ?? call.function?.arguments ?? "",
        },
      });
  }
  return items;
}

let made = 0;

/** A key that tells turns apart before they have an id. */
export function newTurnKey(): number {
  return ++made;
}

export function turnOf(chat: Chat): Turn {
  return {
    key: newTurnKey(),
    id: chat.id,
    state: "over",
    input: chat.input,
    items: itemsOf(chat.output),
    events: [],
    resumed: 0,
    chat,
  };
}
