// One turn: its request, the events of its stream, and the resumption of a stream that was cut.
//
// The exchange runs in the background (`background: true`), so that it goes on when the connection is lost; the stream is
// then read on from the last event that arrived. Decides nothing about what is shown.

import { createParser } from "eventsource-parser";
import { call, newIdempotencyKey, type Obj, send, ServiceError } from "./api";
import type { Failed } from "./failure";
import type { Chat, Item, RawEvent, Turn } from "./types";
import { itemsOf } from "./types";

const RESUME_PAUSES_MS = [250, 500, 1000, 2000, 4000, 8000];
const TERMINAL = new Set(["response.completed", "response.incomplete", "response.failed"]);

type Change = (change: Partial<Turn>) => void;

/** The events of a stream as far as they are known. */
class Progress {
  last = -1;
  over = false;
  events: RawEvent[] = [];
  items: Item[] = [];
  firstTokenMs: number | undefined;
  private readonly byOutput = new Map<number, Item>();

  constructor(
    private readonly begun: number,
    public id?: string,
  ) {}

  take(name: string, data: string): void {
    const at = Math.round(performance.now() - this.begun);
    this.events = [...this.events, { name, data, at }];
    if (data === "[DONE]") return;
    const event = JSON.parse(data);
    if (typeof event.sequence_number === "number") this.last = event.sequence_number;
    this.id ??= event.response?.id;
    if (TERMINAL.has(event.type)) this.over = true;
    this.show(event, at);
  }

  private show(event: any, at: number): void {
    if (event.type === "response.output_item.added") this.add(event.output_index, event.item);
    const item = this.byOutput.get(event.output_index);
    if (item === undefined) return;
    if (/^response\.(output_text|refusal|reasoning_text|reasoning_summary_text)\.delta$/.test(event.type)) {
      this.firstTokenMs ??= at;
      if (item.type !== "call") item.text += event.delta;
      if (item.type === "text" && event.type === "response.refusal.delta") item.refusal = true;
    } else if (/_call_arguments\.delta$|_call_input\.delta$/.test(event.type)) {
      this.firstTokenMs ??= at;
      if (item.type === "call") item.call.arguments += event.delta;
    } else if (event.type === "response.output_item.done" && item.type === "call") {
      item.call.arguments = event.item.arguments ?? event.item.input ?? item.call.arguments;
      if (event.item.output != null) item.output = String(event.item.output);
    }
    this.items = [...this.items];
  }

  private add(index: number, item: any): void {
    const made: Item | null =
      item.type === "message"
        ? { type: "text", text: "" }
        : item.type === "reasoning"
          ? { type: "reasoning", text: "" }
          : "name" in item
            ? { type: "call", call: { id: item.call_id ?? item.id, name: item.name, arguments: "" } }
            : null;
    if (made === null) return;
    this.byOutput.set(index, made);
    this.items = [...this.items, made];
  }
}

/** Run a turn to its end, reporting every change; returns when nothing more will happen to it. */
export async function run(turn: Turn, change: Change): Promise<void> {
  const { path, body } = turn.request!;
  const begun = performance.now();
  const progress = new Progress(begun);
  const idempotencyKey = turn.idempotencyKey ?? newIdempotencyKey();
  change({ state: "sending", error: undefined, idempotencyKey, items: [], events: [] });
  try {
    try {
      const answer = await send("POST", path, body, { headers: { "idempotency-key": idempotencyKey } });
      change({ state: "streaming", requestId: answer.headers.get("x-request-id") ?? undefined });
      await read(answer, progress, change);
    } catch (error) {
      if (error instanceof ServiceError) throw error;
    }
    if (!progress.over) await resume(progress, change);
    await finish(progress, change, performance.now() - begun);
  } catch (error) {
    change({ state: "over", error: shown(error), totalMs: Math.round(performance.now() - begun) });
  }
}

/** Show a turn that runs already, from its first event on. */
export async function follow(turn: Turn, change: Change): Promise<void> {
  const begun = performance.now();
  const progress = new Progress(begun, turn.id);
  change({ state: "streaming", chat: undefined });
  try {
    try {
      await read(await send("GET", `/chat/responses/${turn.id}?stream=true`), progress, change);
    } catch (error) {
      if (error instanceof ServiceError) throw error;
    }
    if (!progress.over) await resume(progress, change);
    await finish(progress, change);
  } catch (error) {
    change({ state: "over", error: shown(error) });
  }
}

async function read(answer: Response, progress: Progress, change: Change): Promise<void> {
  const parser = createParser({ onEvent: (event) => progress.take(event.event ?? "message", event.data) });
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    parser.feed(value);
    const { id, events, items, firstTokenMs } = progress;
    change({ id, events, items, firstTokenMs });
  }
}

async function resume(progress: Progress, change: Change): Promise<void> {
  if (progress.id === undefined)
    throw new ServiceError(0, ["The connection was lost before the answer began. Send it again: it runs only once."], null);
  let failure: unknown = null;
  for (const [attempt, pause] of RESUME_PAUSES_MS.entries()) {
    change({ state: "resuming", resumed: attempt + 1 });
    await new Promise((go) => setTimeout(go, pause));
    const after = progress.last < 0 ? "" : `&starting_after=${progress.last}`;
    try {
      const answer = await send("GET", `/chat/responses/${progress.id}?stream=true${after}`);
      change({ state: "streaming" });
      await read(answer, progress, change);
    } catch (error) {
      failure = error;
      if (error instanceof ServiceError && error.status >= 400 && error.status < 500) throw error;
    }
    if (progress.over) return;
  }
  throw failure ?? new ServiceError(0, ["The stream ended early, several times. Open the chat again later."], null);
}

async function finish(progress: Progress, change: Change, took?: number): Promise<void> {
  const chat = await call<Chat>("GET", `/chat/${progress.id}`);
  const reasoning = progress.items.filter((one) => one.type === "reasoning");
  change({
    state: "over",
    id: chat.id,
    chat,
    items: [...reasoning, ...itemsOf(chat.output)],
    ...(took === undefined ? {} : { totalMs: Math.round(took) }),
    // A turn that was stopped is marked as cancelled; that is no error.
    ...(chat.error && chat.status !== "cancelled" ? { error: { messages: [chat.error.message] } } : {}),
  });
}

/** Stop a turn that runs; its stream ends by itself. */
export async function stop(turn: Turn, change: Change): Promise<void> {
  if (turn.id === undefined) return;
  change({ state: "stopping" });
  try {
    await call("POST", `/chat/responses/${turn.id}/cancel`, {});
  } catch (error) {
    change({ error: shown(error) });
  }
}

/** The events of an exchange that is over, from the record. */
export async function storedEvents(id: string): Promise<RawEvent[]> {
  const progress = new Progress(performance.now());
  await read(await send("GET", `/chat/responses/${id}?stream=true`), progress, () => {});
  return progress.events;
}

/** An error as a turn or a form shows it. */
export function shown(error: unknown): Failed {
  if (error instanceof ServiceError) {
    const { messages, status, requestId, retryAfter } = error;
    return { messages, status, requestId, retryAfter };
  }
  return { messages: [error instanceof Error ? error.message : String(error)] };
}

/** The request of the next turn. */
export function requestOf(input: Obj["input"], who: Obj): { method: string; path: string; body: Obj } {
  return {
    method: "POST",
    path: "/chat/responses",
    body: { ...who, input: input as never, stream: true, background: true },
  };
}
