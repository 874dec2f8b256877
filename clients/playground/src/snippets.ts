// A turn's request as commands to paste. The key is never in them: they read it from the environment.

import type { Obj } from "./api";

export type Language = "curl" | "Python" | "grpcurl";
export const LANGUAGES: Language[] = ["curl", "Python", "grpcurl"];

export interface Request {
  method: string;
  path: string;
  body: Obj;
}

export function snippet(language: Language, request: Request, origin: string): string {
  if (language === "curl") return curl(request, origin);
  return language === "Python" ? python(request, origin) : grpcurl(request, origin);
}

function curl({ method, path, body }: Request, origin: string): string {
  return [
    `curl -sN -X ${method} ${origin}${path}`,
    `-H "Authorization: Bearer $PARLEY_KEY"`,
    `-H "Content-Type: application/json"`,
    `-d ${shell(JSON.stringify(body))}`,
  ].join(" \\\n  ");
}

/** With the official OpenAI client, whose own members stand apart from those that only this service has. */
function python({ body }: Request, origin: string): string {
  const own = new Set(["input", "stream", "background"]);
  const { background: _, ...sent } = body;
  const named = Object.entries(sent).filter(([name]) => own.has(name));
  const extra = Object.entries(sent).filter(([name]) => !own.has(name));
  return `import os

from openai import OpenAI

client = OpenAI(base_url="${origin}/chat", api_key=os.environ["PARLEY_KEY"])
events = client.responses.create(
    model="",
${named.map(([name, value]) => `    ${name}=${literal(value)},`).join("\n")}
    extra_body=${literal(Object.fromEntries(extra))},
)
for event in events:
    if event.type == "response.output_text.delta":
        print(event.delta, end="", flush=True)
print()
`;
}

/** Items of the Responses interface are the same over gRPC; what only HTTP reads is left out. */
function grpcurl({ body }: Request, origin: string): string {
  const { stream: _, background: __, ...sent } = body;
  const { protocol, host } = new URL(origin);
  const port = host.includes(":") ? host : `${host}:${protocol === "https:" ? 443 : 80}`;
  return [
    `grpcurl${protocol === "https:" ? "" : " -plaintext"}`,
    `-H "authorization: Bearer $PARLEY_KEY"`,
    `-d ${shell(JSON.stringify(sent))}`,
    `${port} parley.v1.ChatService/StreamChat`,
  ].join(" \\\n  ");
}

/** A word of a POSIX shell. */
function shell(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** A Python literal: JSON, but for its three names. */
function literal(value: unknown): string {
  if (value === null) return "None";
  if (value === true) return "True";
  if (value === false) return "False";
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value === "object")
    return `{${Object.entries(value as object)
      .map(([name, part]) => `${JSON.stringify(name)}: ${literal(part)}`)
      .join(", ")}}`;
  return JSON.stringify(value);
}
