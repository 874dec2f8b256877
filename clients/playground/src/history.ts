// Lists of chats as conversations: a chain is shown by its latest chat, a session by its latest exchange.

import { call } from "./api";
import type { Chat, ChatPage } from "./types";
import { inputText } from "./types";

const PAGE = 50;
/** As many exchanges of one conversation are opened at once; earlier ones are asked for. */
export const OPENED = 30;

export interface Conversation {
  /** Id of its latest chat. */
  id: string;
  latest: Chat;
  /** The earliest of its exchanges in the pages that were read; it gives the conversation its title. */
  first: Chat;
}

export async function page(cursor: string | undefined): Promise<ChatPage> {
  return call("GET", `/chat?limit=${PAGE}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
}

/** The conversations of chats that are listed newest first. A chat that two others continue is in both. */
export function conversations(chats: Chat[]): Conversation[] {
  const byId = new Map(chats.map((chat) => [chat.id, chat]));
  const continued = new Set(chats.map((chat) => chat.previousChatId).filter(Boolean));
  const sessions = new Map<string, Conversation>();
  const found: Conversation[] = [];
  for (const chat of chats) {
    const session = chat.sessionId ? sessions.get(chat.sessionId) : undefined;
    if (session) {
      session.first = chat;
    } else if (!continued.has(chat.id)) {
      const conversation = { id: chat.id, latest: chat, first: firstOf(chat, byId) };
      if (chat.sessionId) sessions.set(chat.sessionId, conversation);
      found.push(conversation);
    }
  }
  return found;
}

function firstOf(chat: Chat, byId: Map<string, Chat>): Chat {
  let at = chat;
  while (at.previousChatId && byId.has(at.previousChatId)) at = byId.get(at.previousChatId)!;
  return at;
}

export function titleOf(chat: Chat): string {
  return chat.name || inputText(chat.input).trim().split("\n")[0]!.slice(0, 80) || "(no text)";
}

/** The exchanges of a conversation up to a chat, oldest first, at most `OPENED`. */
export async function open(id: string, listed: Chat[]): Promise<Chat[]> {
  const byId = new Map(listed.map((chat) => [chat.id, chat]));
  const latest = byId.get(id) ?? (await call<Chat>("GET", `/chat/${encodeURIComponent(id)}`));
  if (latest.sessionId) return ofSession(latest.sessionId, `createdAtLe=${latest.createdAt}`);
  return [...(await earlier(latest, byId, OPENED - 1)), latest];
}

/** The exchanges before one of a chain or a session, oldest first. */
export async function earlier(first: Chat, byId = new Map<string, Chat>(), most = OPENED): Promise<Chat[]> {
  if (first.sessionId) return ofSession(first.sessionId, `createdAtLt=${first.createdAt}`);
  const chain: Chat[] = [];
  for (let at = first; at.previousChatId && chain.length < most; ) {
    const before = byId.get(at.previousChatId) ?? (await previous(at.previousChatId));
    if (before === null) break;
    chain.unshift(before);
    at = before;
  }
  return chain;
}

async function ofSession(id: string, filter: string): Promise<Chat[]> {
  return (await call<ChatPage>("GET", `/chat?sessionId=${id}&${filter}&limit=${OPENED}`)).results.reverse();
}

/** A chat by id, with its own input alone as a list shows it; null once it was deleted. */
async function previous(id: string): Promise<Chat | null> {
  return (await call<ChatPage>("GET", `/chat?id=${id}`)).results[0] ?? null;
}

/** Delete a conversation: its session, or its chats up to where another conversation branches off. */
export async function remove(latest: Chat, listed: Chat[]): Promise<void> {
  if (latest.sessionId) return void (await call("DELETE", `/session/${latest.sessionId}`));
  const byId = new Map(listed.map((chat) => [chat.id, chat]));
  const gone = new Set<string>();
  for (let at: Chat | null = latest; at !== null && !(await isContinued(at.id, gone)); ) {
    await call("DELETE", `/chat/${at.id}`);
    gone.add(at.id);
    at = at.previousChatId ? (byId.get(at.previousChatId) ?? (await previous(at.previousChatId))) : null;
  }
}

async function isContinued(id: string, gone: Set<string>): Promise<boolean> {
  const { results } = await call<ChatPage>("GET", `/chat?previousChatId=${id}&limit=2`);
  return results.some((one) => !gone.has(one.id));
}
