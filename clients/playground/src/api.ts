// Calls of the REST paths, on the origin that the page came from. The key lives in this module's memory alone.

export type Json = null | boolean | number | string | Json[] | { [member: string]: Json };
export type Obj = { [member: string]: Json };

/** An error as the service states it, or the browser's word for an unreachable service. */
export class ServiceError extends Error {
  constructor(
    readonly status: number,
    readonly messages: string[],
    readonly requestId: string | null,
    readonly retryAfter: string | null = null,
  ) {
    super(messages.join("\n"));
  }
}

let key = "";

export function useKey(given: string): void {
  key = given;
}

export function headers(more: Record<string, string> = {}): Record<string, string> {
  return { authorization: `Bearer ${key}`, ...more };
}

export const ORIGIN = new URL(".", document.baseURI).href.replace(/\/$/, "");

export function url(path: string): string {
  return ORIGIN + path;
}

/** The answer to a request whose status is a success; anything else is thrown as a ServiceError. */
export async function send(method: string, path: string, body?: Json, more?: RequestInit): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(url(path), {
      method,
      credentials: "omit",
      cache: "no-store",
      ...more,
      headers: headers({
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(more?.headers as Record<string, string>),
      }),
      body: body === undefined ? null : JSON.stringify(body),
    });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ServiceError(0, ["The service cannot be reached. Check that it is running, then try again."], null);
  }
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

export async function call<T>(method: string, path: string, body?: Json): Promise<T> {
  const answer = await send(method, path, body);
  return (answer.status === 204 ? null : await answer.json()) as T;
}

async function refusal(answer: Response): Promise<ServiceError> {
  const text = await answer.text();
  return new ServiceError(
    answer.status,
    messagesOf(text) ?? [text || answer.statusText],
    answer.headers.get("x-request-id"),
    answer.headers.get("retry-after"),
  );
}

/** The texts of an error body, in each shape that the service has. */
function messagesOf(text: string): string[] | null {
  let body: any;
  try {
    body = JSON.parse(text);
  } catch {
    return null;
  }
  const found = body?.message ?? body?.error?.message ?? body?.detail;
  if (typeof found === "string") return [found];
  return Array.isArray(found) ? found.map((one) => (typeof one === "string" ? one : String(one?.msg))) : null;
}

/** A key for a request that may have to be sent again. `crypto.randomUUID` is missing on plain HTTP. */
export function newIdempotencyKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((one) => one.toString(16).padStart(2, "0")).join("");
}
