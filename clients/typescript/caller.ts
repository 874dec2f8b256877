// Asks an assistant of Parley once as a whole and once as a stream, then sends a request that is invalid and prints which
// fields are. It is an example to start from: the stubs under gen/ are made by `buf generate`.
import { parseArgs } from "node:util";
import { create } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Client } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";

import { BadRequestSchema } from "./gen/ts/google/rpc/error_details_pb.js";
import { ChatService } from "./gen/ts/parley/v1/chat_service_pb.js";

type ChatClient = Client<typeof ChatService>;

const text = (said: string) => create(ValueSchema, { kind: { case: "stringValue", value: said } });

function connect(address: string, key: string): ChatClient {
  const transport = createGrpcTransport({
    baseUrl: `http://${address}`, // as Parley listens; https:// with TLS in front of it
    defaultTimeoutMs: 30_000,
    interceptors: [
      (next) => (request) => {
        request.header.set("authorization", `Bearer ${key}`);
        return next(request);
      },
    ],
  });
  return createClient(ChatService, transport);
}

/** Gets an answer as one message, and returns the id of the chat. */
async function whole(client: ChatClient, assistantId: string): Promise<string> {
  const chat = await client.createChat({ assistantId, input: text("My name is Ada") });
  console.log("whole:", chat.output[0]?.content?.kind.value);
  return chat.id;
}

/** Continues a chat, and prints each piece of text as it comes. */
async function streamed(client: ChatClient, assistantId: string, previousChatId: string): Promise<void> {
  process.stdout.write("streamed: ");
  for await (const { chatId, event } of client.streamChat({ assistantId, previousChatId, input: text("What is my name?") })) {
    switch (event.case) {
      case "delta":
        process.stdout.write(event.value.text);
        break;
      case "completed":
        console.log(` (${event.value.status})`);
        break;
      case "failed":
        throw new Error(`chat ${chatId} failed: ${event.value.error?.message}`);
    }
  }
}

/** Sends a name that is too long, and prints the fields that the error names. */
async function invalid(client: ChatClient, assistantId: string): Promise<void> {
  try {
    await client.createChat({ assistantId, name: "n".repeat(41), input: text("Hello") });
  } catch (error) {
    const refused = ConnectError.from(error);
    console.log("refused:", Code[refused.code]);
    for (const request of refused.findDetails(BadRequestSchema)) {
      for (const { field, description } of request.fieldViolations) {
        console.log(`  ${field}: ${description}`);
      }
    }
    return;
  }
  throw new Error("expected a gRPC error, got an answer");
}

const { values } = parseArgs({
  options: { address: { type: "string", default: "127.0.0.1:50051" }, assistant: { type: "string" } },
});
const key = process.env.PARLEY_KEY;
if (!key || !values.assistant) {
  console.error("set PARLEY_KEY to an api key, and --assistant to the id of an assistant");
  process.exit(1);
}
try {
  const client = connect(values.address, key);
  const first = await whole(client, values.assistant);
  await streamed(client, values.assistant, first);
  await invalid(client, values.assistant);
} catch (error) {
  console.error(String(error));
  process.exitCode = 1;
}
