/*
 * What an application on the Vercel AI SDK does: text, streams, tools, structured output, an agent, and a conversation
 * that the service stores. Prints what came of each, by name, as one JSON object.
 */
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, Output, stepCountIs, streamText, tool, ToolLoopAgent } from "ai";
import { z } from "zod";

const BASE_URL = process.env.PARLEY_BASE_URL;
const API_KEY = process.env.PARLEY_API_KEY;
const ASSISTANT = process.env.PARLEY_ASSISTANT;
const openai = createOpenAI({ baseURL: BASE_URL, apiKey: API_KEY });
const compatible = createOpenAICompatible({
  name: "parley", baseURL: BASE_URL, apiKey: API_KEY,
  includeUsage: true, supportsStructuredOutputs: true,
});

const weather = tool({
  description: "Get the weather of a city",
  inputSchema: z.object({ city: z.string() }),
  execute: async ({ city }) => ({ city, celsius: city === "Rome" ? 24 : 9 }),
});
const report = z.object({ city: z.string(), celsius: z.number() });
const WEATHER = "What is the weather in Rome and in Oslo?";

/** `Array.fromAsync`, which Node.js has from version 22 on. */
async function collected(parts) {
  const all = [];
  for await (const part of parts) all.push(part);
  return all;
}

const examples = {
  async text(model) {
    const { text, finishReason, usage } = await generateText({ model, system: "Be brief.", prompt: "Hello there" });
    return { text, finishReason, tokens: usage.totalTokens };
  },

  async stream(model) {
    const result = streamText({ model, prompt: "Hello there", onError: () => {} });
    const pieces = await collected(result.textStream);
    return { pieces, finishReason: await result.finishReason, tokens: (await result.usage).totalTokens };
  },

  async tools(model) {
    const { text, steps } = await generateText({
      model,
      tools: { get_weather: weather },
      stopWhen: stepCountIs(5),
      prompt: WEATHER,
    });
    return { text, calls: steps.map((step) => step.toolCalls.map((call) => call.input.city)) };
  },

  async streamedTools(model) {
    const result = streamText({
      model,
      tools: { get_weather: weather },
      stopWhen: stepCountIs(5),
      prompt: WEATHER,
      onError: () => {},
    });
    const kinds = [];
    for await (const { type } of result.fullStream) if (kinds.at(-1) !== type) kinds.push(type);
    return { text: await result.text, kinds };
  },

  async chosenTool(model) {
    const { toolCalls, finishReason } = await generateText({
      model,
      tools: { get_weather: weather },
      toolChoice: { type: "tool", toolName: "get_weather" },
      prompt: "Hello",
    });
    return { calls: toolCalls.map((call) => call.toolName), finishReason };
  },

  async object(model) {
    const { output } = await generateText({ model, output: Output.object({ schema: report }), prompt: "Rome" });
    return output;
  },

  async streamedObject(model) {
    const result = streamText({ model, output: Output.object({ schema: report }), prompt: "Rome", onError: () => {} });
    const parts = await collected(result.partialOutputStream);
    return { last: parts.at(-1), grew: parts.length > 1 };
  },

  async toolsThenObject(model) {
    const { output, steps } = await generateText({
      model,
      tools: { get_weather: weather },
      output: Output.array({ element: report }),
      stopWhen: stepCountIs(5),
      prompt: WEATHER,
    });
    return { output, steps: steps.length };
  },

  async history(model) {
    const messages = [{ role: "user", content: "My name is Ada" }];
    const first = await generateText({ model, messages });
    messages.push(...first.response.messages, { role: "user", content: "What is my name?" });
    return (await generateText({ model, messages })).text;
  },

  async agent(model) {
    const agent = new ToolLoopAgent({ model, instructions: "Use the tools.", tools: { get_weather: weather } });
    const first = await agent.generate({ prompt: "What is the weather in Rome?" });
    const messages = [
      { role: "user", content: "What is the weather in Rome?" },
      ...first.response.messages,
      { role: "user", content: "And what is the weather in Oslo?" },
    ];
    const second = await agent.stream({ messages });
    return [first.text, await second.text];
  },

  async approval(model) {
    const tools = { get_weather: tool({ ...weather, needsApproval: true }) };
    const messages = [{ role: "user", content: WEATHER }];
    const first = await generateText({ model, tools, messages });
    const requests = first.content.filter((part) => part.type === "tool-approval-request");
    const content = requests.map(({ approvalId }, index) => ({
      type: "tool-approval-response", approvalId, approved: index === 0, reason: "not this one",
    }));
    messages.push(...first.response.messages, { role: "tool", content });
    return (await generateText({ model, tools, messages, stopWhen: stepCountIs(5) })).text;
  },

  async files(model) {
    const image = { type: "image", image: new Uint8Array([137, 80, 78, 71, 13, 10, 26, 10]) };
    const file = { type: "file", data: new Uint8Array([37, 80, 68, 70]), mediaType: "application/pdf" };
    const content = [{ type: "text", text: "What are these?" }, image, file];
    return (await generateText({ model, messages: [{ role: "user", content }] })).text;
  },

  async brokenOff(model) {
    const { fullStream } = streamText({ model, prompt: "Please break off", maxRetries: 0, onError: () => {} });
    const parts = await collected(fullStream);
    const [{ error }] = parts.filter((part) => part.type === "error");
    return { last: parts.at(-1).finishReason ?? parts.at(-1).type, why: error.message };
  },

  async cutShort(model) {
    const { text, finishReason } = await generateText({ model, prompt: "Talk at length" });
    return { text, finishReason };
  },

  async refused(model) {
    try {
      await generateText({ model, prompt: "Hello", maxRetries: 0, temperature: 3 });
    } catch (error) {
      return { known: APICallError.isInstance(error), status: error.statusCode, message: error.message };
    }
  },
};

/** What only the Responses interface has. */
const ofResponses = {
  async conversation() {
    const { id } = await (await fetch(`${BASE_URL}/conversations`, {
      method: "POST",
      headers: { authorization: `Bearer ${API_KEY}`, "content-type": "application/json" },
      body: "{}",
    })).json();
    const asked = { model: openai(ASSISTANT), providerOptions: { openai: { conversation: id } } };
    await generateText({ ...asked, prompt: "My name is Ada" });
    const tools = { get_weather: weather };
    const { text } = await generateText({ ...asked, tools, stopWhen: stepCountIs(5), prompt: WEATHER });
    return [text, (await generateText({ ...asked, prompt: "What is my name?" })).text];
  },

  async previousResponse() {
    const model = openai(ASSISTANT);
    const first = await generateText({ model, prompt: "My name is Ada" });
    const { responseId } = first.providerMetadata.openai;
    const { text } = await generateText({
      model,
      prompt: "What is my name?",
      providerOptions: { openai: { previousResponseId: responseId } },
    });
    return text;
  },

  async unstoredTools() {
    const { text } = await generateText({
      model: openai(ASSISTANT),
      tools: { get_weather: weather },
      stopWhen: stepCountIs(5),
      prompt: WEATHER,
      providerOptions: { openai: { store: false, parallelToolCalls: true, metadata: { from: "ai" } } },
    });
    return text;
  },
};

const models = {
  responses: openai(ASSISTANT),
  chat: openai.chat(ASSISTANT),
  compatible: compatible(ASSISTANT),
};
const printed = {};
async function run(name, example) {
  printed[name] = await example().catch((error) => ({ error: `${error}`, cause: error.responseBody ?? error.stack }));
}
for (const [kind, model] of Object.entries(models)) {
  for (const [name, example] of Object.entries(examples)) await run(`${kind} ${name}`, () => example(model));
}
for (const [name, example] of Object.entries(ofResponses)) await run(`responses ${name}`, example);
console.log(JSON.stringify(printed));
