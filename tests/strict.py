"""What real providers refuse of what they are sent, each rule with a report that quotes the refusal.

Each function answers why a body is refused, or None. Checks what Parley sends: the members of a body and its
messages.
"""

import json
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from typing_extensions import get_type_hints

Rule = Callable[[list[dict[str, Any]]], Iterator[str]]

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ID_OF_ANTHROPIC = re.compile(r"[a-zA-Z0-9_-]+")
_ID_OF_MISTRAL = re.compile(r"[a-zA-Z0-9]{9}")
_BEHIND_IN_MISTRAL = {
    "system": {"user", "assistant", "system"},
    "user": {"assistant", "system", "user"},
    "assistant": {"assistant", "user", "tool"},
    "tool": {"assistant", "tool"},
}
_UNSIGNED = ("gemini-1", "gemini-2")


def flaw_in_openai(body: dict[str, Any]) -> str | None:
    """What OpenAI's chat completions refuse."""
    return flaw_in_completion(body) or _unknown_argument(body) or _too_many_tools(body) or _custom_tools(body)


def flaw_in_completion(body: dict[str, Any]) -> str | None:
    """What of it the servers refuse as well that are compatible with OpenAI's."""
    return _flaw_of_tools(body) or _first(
        body,
        _without_content,
        _unanswered_calls,
        _results_of_nothing,
        _ids_too_long,
        _names_of_functions,
        _half_arguments,
        _blank_answers,
    )


def flaw_in_mistral(body: dict[str, Any]) -> str | None:
    """What Mistral refuses beyond that."""
    return (
        _other_tools(body)
        or flaw_in_completion(body)
        or _extra_forbidden(body)
        or _tools_of_mistral(body)
        or _first(body, _ids_of_mistral, _order_of_mistral, _end_of_mistral)
    )


def flaw_in_deepseek(body: dict[str, Any]) -> str | None:
    """What DeepSeek refuses beyond that; all of its models think but one."""
    thinks = not body.get("model", "").startswith("deepseek-chat")
    thinking: tuple[Rule, ...] = (_reasoning_left_out, _last_of_deepseek) if thinks else ()
    return (
        _other_tools(body)
        or flaw_in_completion(body)
        or _too_many_tools(body)
        or _format_of_deepseek(body)
        or (_choice_of_deepseek(body) if thinks else None)
        or _first(body, _roles_of_deepseek, _ids_twice, _bare_refusals, *thinking)
    )


def flaw_in_gemini(body: dict[str, Any]) -> str | None:
    """What Gemini's endpoint that is compatible with OpenAI refuses beyond that."""
    signed: tuple[Rule, ...] = () if body.get("model", "").startswith(_UNSIGNED) else (_signatures_left_out,)
    return (
        _other_tools(body)
        or flaw_in_completion(body)
        or _unknown_name(body)
        or _tools_of_gemini(body)
        or _first(body, _nulls, _no_contents, _blank_parts, _calls_out_of_turn, _nameless_results, *signed)
    )


def flaw_in_messages(body: dict[str, Any]) -> str | None:
    """What Anthropic's messages refuse."""
    return (
        _extra_inputs(body)
        or _tools_of_anthropic(body)
        or _flaw_of_thinking(body)
        or _first(
            body,
            _without_content,
            _roles_of_turns,
            _empty_turns,
            _blank_texts,
            _unanswered_uses,
            _results_without_use,
            _results_not_first,
            _uses,
        )
    )


def _first(body: dict[str, Any], *rules: Rule) -> str | None:
    return next((flaw for rule in rules for flaw in rule(body["messages"])), None)


# --- members ------------------------------------------------------------------------------------------------

_EVERYWHERE = frozenset(
    {
        "model",
        "messages",
        "stream",
        "temperature",
        "top_p",
        "max_tokens",
        "stop",
        "n",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "reasoning_effort",
    }
)
# Those of the official client, whose types are made from the interface's description.
_OF_OPENAI = get_type_hints(CompletionCreateParamsStreaming).keys()
# docs.rs/crate/mistral-openapi-client/latest/source/docs/ChatCompletionRequest.md
_OF_MISTRAL = _EVERYWHERE | {
    "random_seed",
    "frequency_penalty",
    "presence_penalty",
    "safe_prompt",
    "prompt_mode",
    "prediction",
    "metadata",
}
_IN_MISTRAL = {
    "system": {"role", "content"},
    "user": {"role", "content"},
    "assistant": {"role", "content", "tool_calls", "prefix"},
    "tool": {"role", "content", "tool_call_id", "name"},
}
# https://ai.google.dev/gemini-api/docs/openai
_OF_GEMINI = _EVERYWHERE | {"stream_options", "max_completion_tokens"}
_IN_GEMINI = frozenset({"role", "content", "name", "tool_calls", "tool_call_id"})
# https://docs.claude.com/en/api/messages
_OF_ANTHROPIC = frozenset(
    {
        "model",
        "messages",
        "stream",
        "max_tokens",
        "system",
        "stop_sequences",
        "thinking",
        "tools",
        "tool_choice",
        "output_config",
        "metadata",
    }
)


# https://github.com/TutteInstitute/toponymy/pull/148
def _unknown_argument(body: dict[str, Any]) -> str | None:
    unknown = body.keys() - _OF_OPENAI
    return f"Unrecognized request argument supplied: {min(unknown)}" if unknown else None


# https://github.com/mistralai/platform-docs-public/issues/7 and, of messages,
# Gage-Technologies/mistral-go/pull/2
def _extra_forbidden(body: dict[str, Any]) -> str | None:
    unknown: list[list[str | int]] = [["body", name] for name in sorted(body.keys() - _OF_MISTRAL)]
    for index, message in enumerate(body["messages"]):
        known = _IN_MISTRAL.get(message["role"], set())
        unknown += [
            ["body", "messages", index, message["role"], name] for name in sorted(message.keys() - known)
        ]
    return f"extra_forbidden: {unknown[0]}: Extra inputs are not permitted" if unknown else None


# https://github.com/Vali-98/ChatterUI/issues/227 (`seed`) and, of messages,
# https://github.com/github/copilot-sdk/issues/2061; the penalties are known and refused:
# https://github.com/PublicAffairs/openai-gemini/issues/63
def _unknown_name(body: dict[str, Any]) -> str | None:
    unknown = sorted(body.keys() - _OF_GEMINI) + sorted(set().union(*body["messages"]) - _IN_GEMINI)
    return (
        f'Invalid JSON payload received. Unknown name "{unknown[0]}": Cannot find field.' if unknown else None
    )


# https://github.com/theopenco/llmgateway/pull/1579
def _extra_inputs(body: dict[str, Any]) -> str | None:
    unknown = body.keys() - _OF_ANTHROPIC
    return f"{min(unknown)}: Extra inputs are not permitted" if unknown else None


# --- tools --------------------------------------------------------------------------------------------------


def _functions(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [tool["function"] for tool in body.get("tools", ()) if tool["type"] == "function"]


# https://github.com/Oaklight/llm-rosetta/pull/489: chat completions nest the grammar
def _custom_tools(body: dict[str, Any]) -> str | None:
    for index, tool in enumerate(body.get("tools", ())):
        if tool["type"] != "custom":
            continue
        if not _NAME.fullmatch(tool.get("custom", {}).get("name", "")):
            return f"Missing required parameter: 'tools[{index}].custom.name'"
        form = tool["custom"].get("format", {"type": "text"})
        if form["type"] == "grammar" and form.get("grammar", {}).keys() != {"syntax", "definition"}:
            return f"Missing required parameter: 'tools[{index}].custom.format.grammar'"
    return None


# https://github.com/JiuliNuoyi/CodexRosetta/pull/1
def _other_tools(body: dict[str, Any]) -> str | None:
    for index, tool in enumerate(body.get("tools", ())):
        if tool["type"] != "function":
            return f"'function' is a required property, expected an object - 'tools.{index}'"
    if any(call.get("type") != "function" for call in _all_calls(body["messages"])):
        return "'function' is a required property, expected an object - 'messages.tool_calls'"
    return None


# https://github.com/refly-ai/refly/issues/1794 and https://github.com/github/github-mcp-server/issues/1548;
# names come once, as https://github.com/eclipse-theia/theia/issues/16122 has it
def _flaw_of_tools(body: dict[str, Any]) -> str | None:
    functions = _functions(body)
    for index, function in enumerate(functions):
        if not _NAME.fullmatch(function["name"]):
            return (
                f"Invalid 'tools[{index}].function.name': string does not match pattern. Expected a string that matches "
                "the pattern '^[a-zA-Z0-9_-]+$'."
            )
        schema = function.get("parameters", {"type": "object", "properties": {}})
        if schema.get("type") != "object":
            return (
                f"Invalid schema for function '{function['name']}': schema must be a JSON Schema of 'type: \"object\"', "
                f"got 'type: {schema.get('type')}'."
            )
        if not isinstance(schema.get("properties"), dict):
            return f"Invalid schema for function '{function['name']}': In context=(), object schema missing properties."
    names = [function["name"] for function in functions]
    return None if len(set(names)) == len(names) else "tools: Tool names must be unique."


# https://github.com/0x4m4/hexstrike-ai/issues/29 and https://api-docs.deepseek.com/api/create-chat-completion
def _too_many_tools(body: dict[str, Any]) -> str | None:
    many = len(_functions(body)) > 128
    return "Invalid 'tools': array too long. Expected an array with maximum length 128" if many else None


# https://github.com/mistralai/client-python/issues/91; `parameters` has no default in mistral-common's
# tool_calls.py
def _tools_of_mistral(body: dict[str, Any]) -> str | None:
    for index, function in enumerate(_functions(body)):
        if unknown := function.keys() - {"name", "description", "strict", "parameters"}:
            return f"extra_forbidden: ['body', 'tools', {index}, 'function', '{min(unknown)}']: Extra inputs not permitted"
        if "parameters" not in function:
            return f"missing: ['body', 'tools', {index}, 'function', 'parameters']: Field required"
    return None


# https://github.com/kaitranntt/ccs/issues/25 and https://github.com/SWE-agent/SWE-agent/pull/1431
def _tools_of_gemini(body: dict[str, Any]) -> str | None:
    for index, function in enumerate(_functions(body)):
        at = f"* GenerateContentRequest.tools[0].function_declarations[{index}]"
        if not re.match("[a-zA-Z_]", function["name"]):
            return f"{at}.name: Invalid function name. Must start with a letter or an underscore."
        if "parameters" in function and not function["parameters"]["properties"]:
            return f"{at}.parameters.properties: should be non-empty for OBJECT type"
    return None


# https://github.com/eclipse-theia/theia/issues/16122 and https://github.com/BerriAI/litellm/pull/26788
def _tools_of_anthropic(body: dict[str, Any]) -> str | None:
    names = [tool["name"] for tool in body.get("tools", ())]
    if len(set(names)) < len(names):
        return "tools: Tool names must be unique."
    if not all(re.fullmatch("[a-zA-Z0-9_-]{1,128}", name) for name in names):
        return "tools.0.custom.name: String should match pattern '^[a-zA-Z0-9_-]{1,128}$'"
    if any(tool["input_schema"].get("type") != "object" for tool in body.get("tools", ())):
        return "tools.0.custom.input_schema.type: Field required"
    return None


# --- chat completions ---------------------------------------------------------------------------------------


# https://community.openai.com/t/empty-array-expected-an-array-with-minimum-length-1/672030
def _without_content(messages: list[dict[str, Any]]) -> Iterator[str]:
    if not messages:
        yield "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead."


# https://github.com/agno-agi/agno/issues/4345
def _unanswered_calls(messages: list[dict[str, Any]]) -> Iterator[str]:
    for index, message in enumerate(messages):
        missing = {call["id"] for call in _calls(message)} - set(_results_behind(messages, index))
        if missing:
            yield (
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
                f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(missing)}"
            )


# https://github.com/miurla/morphic/issues/136
def _results_of_nothing(messages: list[dict[str, Any]]) -> Iterator[str]:
    open_ids: list[str] = []
    for message in messages:
        if message["role"] != "tool":
            open_ids = [call["id"] for call in _calls(message)]
        elif message["tool_call_id"] in open_ids:
            open_ids.remove(message["tool_call_id"])
        else:
            yield "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."


# https://github.com/vercel/ai/issues/5171
def _ids_too_long(messages: list[dict[str, Any]]) -> Iterator[str]:
    for call in _all_calls(messages):
        if not 0 < len(call["id"]) <= 40:
            yield "Invalid 'messages[].tool_calls[].id': string too long. Expected a string with maximum length 40"


# https://github.com/openai/openai-node/blob/master/src/resources/shared.ts: letters, digits, _ and -, at most
# 64
def _names_of_functions(messages: list[dict[str, Any]]) -> Iterator[str]:
    for call in _all_calls(messages):
        kind = call.get("type")
        if kind not in ("function", "custom") or not _NAME.fullmatch(call[kind]["name"]):
            yield (
                "Invalid 'messages[].tool_calls[].function.name': string does not match pattern. Expected a string that "
                "matches the pattern '^[a-zA-Z0-9_-]+$'."
            )


# https://github.com/vllm-project/vllm/issues/43995 and
# https://github.com/OpenHands/software-agent-sdk/issues/2887
def _half_arguments(messages: list[dict[str, Any]]) -> Iterator[str]:
    for call in _all_calls(messages):
        if call.get("type") == "custom":
            continue
        try:
            arguments = json.loads(call["function"]["arguments"])
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            yield "Failed to parse tool call arguments as JSON"


# https://github.com/OpenHands/OpenHands/issues/8685 and https://github.com/carlrobertoh/ProxyAI/issues/830
def _blank_answers(messages: list[dict[str, Any]]) -> Iterator[str]:
    for message in messages:
        has_content = message.get("content") or message.get("refusal")
        if message["role"] == "assistant" and not _calls(message) and not has_content:
            yield "Assistant message must have either content or tool_calls, but not none."
        if message["role"] != "assistant" and message.get("content") is None:
            yield "Invalid type for 'messages[].content': expected a string or array of objects, but got null instead."


def _calls(message: dict[str, Any]) -> list[dict[str, Any]]:
    return message.get("tool_calls") or []


def _all_calls(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [call for message in messages for call in _calls(message)]


def _results_behind(messages: list[dict[str, Any]], index: int) -> list[str]:
    """Which calls the tool messages right behind a message answer."""
    found: list[str] = []
    for message in messages[index + 1 :]:
        if message["role"] != "tool":
            break
        found.append(message["tool_call_id"])
    return found


# --- Mistral ------------------------------------------------------------------------------------------------


# https://github.com/nearai/ironclaw/issues/1241
def _ids_of_mistral(messages: list[dict[str, Any]]) -> Iterator[str]:
    for call in _all_calls(messages):
        if not _ID_OF_MISTRAL.fullmatch(call["id"]):
            yield f"Tool call id was {call['id']} but must be a-z, A-Z, 0-9, with a length of 9."


# https://github.com/mistralai/mistral-common: src/mistral_common/protocol/instruct/validator.py
def _order_of_mistral(messages: list[dict[str, Any]]) -> Iterator[str]:
    for before, message in pairwise(messages):
        if message["role"] not in _BEHIND_IN_MISTRAL[before["role"]]:
            yield f"Unexpected role '{message['role']}' after role '{before['role']}'"


# https://github.com/huggingface/smolagents/issues/757
def _end_of_mistral(messages: list[dict[str, Any]]) -> Iterator[str]:
    if messages[-1]["role"] == "assistant" and not messages[-1].get("prefix"):
        yield "Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant"
    if any(message.get("prefix") for message in messages[:-1]):
        yield "Assistant message with prefix True must be last message"


# --- DeepSeek -----------------------------------------------------------------------------------------------


# https://github.com/ItzCrazyKns/Vane/issues/969
def _format_of_deepseek(body: dict[str, Any]) -> str | None:
    kind = (body.get("response_format") or {}).get("type", "text")
    return None if kind in ("text", "json_object") else "This response_format type is unavailable now"


# https://github.com/deepseek-ai/DeepSeek-V3/issues/1376
def _choice_of_deepseek(body: dict[str, Any]) -> str | None:
    forced = body.get("tool_choice") not in (None, "auto", "none")
    return "Thinking mode does not support this tool_choice" if forced else None


# https://github.com/earendil-works/pi/issues/1048
def _roles_of_deepseek(messages: list[dict[str, Any]]) -> Iterator[str]:
    for index, message in enumerate(messages):
        if message["role"] not in ("system", "user", "assistant", "tool"):
            yield (
                f"messages[{index}].role: unknown variant `{message['role']}`, expected one of `system`, `user`, "
                "`assistant`, `tool`"
            )


# https://github.com/carlrobertoh/ProxyAI/issues/834
def _bare_refusals(messages: list[dict[str, Any]]) -> Iterator[str]:
    for message in messages:
        if message["role"] == "assistant" and not _calls(message) and not message.get("content"):
            yield "Invalid assistant message: content or tool_calls must be set"


# https://github.com/craft-ai-agents/craft-agents-oss/issues/630
def _ids_twice(messages: list[dict[str, Any]]) -> Iterator[str]:
    seen: set[str] = set()
    for index, message in enumerate(messages):
        if message.get("tool_call_id") in seen:
            yield f"Duplicate value for 'tool_call_id' of in message[{index}]"
        seen |= {message["tool_call_id"]} if message["role"] == "tool" else set()


# https://api-docs.deepseek.com/guides/thinking_mode#tool-calls and
# https://github.com/qwersyk/Newelle/issues/404: of every answer in a turn with calls
def _reasoning_left_out(messages: list[dict[str, Any]]) -> Iterator[str]:
    for turn in _turns(messages):
        answers = [message for message in turn if message["role"] == "assistant"]
        if any(map(_calls, answers)) and not all(
            isinstance(answer.get("reasoning_content"), str) for answer in answers
        ):
            yield "The `reasoning_content` in the thinking mode must be passed back to the API."


# https://github.com/olimorris/codecompanion.nvim/issues/760
def _last_of_deepseek(messages: list[dict[str, Any]]) -> Iterator[str]:
    if messages[-1]["role"] == "assistant":
        yield (
            "The last message of deepseek-reasoner must be a user message, or an assistant message with prefix mode on "
            "(refer to https://api-docs.deepseek.com/guides/chat_prefix_completion)."
        )


# --- Gemini -------------------------------------------------------------------------------------------------


# https://github.com/github/copilot-sdk/issues/2061
def _nulls(messages: list[dict[str, Any]]) -> Iterator[str]:
    if any(value is None for message in messages for value in message.values()):
        yield "Value is not a string: null"


# https://github.com/langchain-ai/langchain-google/issues/1393
def _no_contents(messages: list[dict[str, Any]]) -> Iterator[str]:
    if all(message["role"] == "system" for message in messages):
        yield "* GenerateContentRequest.contents: contents is not specified"


# https://github.com/langchain-ai/langchain-google/issues/691 and
# google-gemini/deprecated-generative-ai-python/issues/697
def _blank_parts(messages: list[dict[str, Any]]) -> Iterator[str]:
    for index, message in enumerate(messages):
        content = message.get("content")
        if message["role"] != "tool" and not content and not _calls(message):
            yield f"* GenerateContentRequest.contents[{index}].parts: contents.parts must not be empty."
        if isinstance(content, list) and any(part.get("text") == "" for part in content):
            yield "Unable to submit request because it has an empty text parameter."


# https://github.com/google-gemini/gemini-cli/issues/11814
def _calls_out_of_turn(messages: list[dict[str, Any]]) -> Iterator[str]:
    before = None
    for message in messages:
        if _calls(message) and before not in ("user", "tool"):
            yield (
                "Please ensure that function call turn comes immediately after a user turn or after a function response "
                "turn."
            )
        before = before if message["role"] == "system" else message["role"]


# https://github.com/NousResearch/hermes-agent/pull/19728 and
# https://github.com/vectorize-io/hindsight/pull/187
def _nameless_results(messages: list[dict[str, Any]]) -> Iterator[str]:
    names: dict[str, str] = {}
    for index, message in enumerate(messages):
        names |= {call["id"]: call["function"]["name"] for call in _calls(message)}
        if message["role"] == "tool" and message.get("name") != names[message["tool_call_id"]]:
            yield f"* GenerateContentRequest.contents[{index}].parts[0].function_response.name: Name cannot be empty."


# https://ai.google.dev/gemini-api/docs/thought-signatures: the first call of each step of the current turn,
# from Gemini 3 on
def _signatures_left_out(messages: list[dict[str, Any]]) -> Iterator[str]:
    *_, turn = _turns(messages)
    for index, message in enumerate(turn):
        for call in _calls(message)[:1]:
            if not call.get("extra_content", {}).get("google", {}).get("thought_signature"):
                yield (
                    "Function call is missing a thought_signature in functionCall parts. Additional data, function call "
                    f"`default_api:{call['function']['name']}`, position {index + 1}."
                )


def _turns(messages: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The messages from each user message to the next."""
    turns: list[list[dict[str, Any]]] = [[]]
    for message in messages:
        if message["role"] == "user":
            turns.append([])
        turns[-1].append(message)
    return turns


# --- Anthropic ----------------------------------------------------------------------------------------------


# https://docs.claude.com/en/docs/build-with-claude/extended-thinking,
# https://github.com/deepset-ai/haystack-core-integrations/issues/2146 and
# https://github.com/langchain-ai/langchain/pull/35544
def _flaw_of_thinking(body: dict[str, Any]) -> str | None:
    thoughts = [
        block for message in body["messages"] for block in message["content"] if block["type"] == "thinking"
    ]
    if not all(thought.get("signature") for thought in thoughts):
        return "messages.content.thinking.signature: Field required"
    if body.get("thinking", {}).get("type", "disabled") == "disabled":
        return None
    if body.get("tool_choice", {}).get("type") in ("any", "tool"):
        return "Thinking may not be enabled when tool_choice forces tool use."
    first = None
    for message in reversed(body["messages"]):  # back to what was said before the round of tools
        if message["role"] == "user" and any(block["type"] != "tool_result" for block in message["content"]):
            break
        first = message if message["role"] == "assistant" else first
    begins = first["content"][0]["type"] if first and _ids(first, "tool_use") else "thinking"
    if body["thinking"]["type"] == "enabled" and begins not in ("thinking", "redacted_thinking"):
        return f"messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{begins}`."
    return None


# https://docs.claude.com/en/api/messages: user and assistant; there is no system role
def _roles_of_turns(messages: list[dict[str, Any]]) -> Iterator[str]:
    for message in messages:
        if message["role"] not in ("user", "assistant"):
            yield f'messages: Unexpected role "{message["role"]}".'


# https://github.com/LibreChat-AI/agents/pull/124
def _blank_texts(messages: list[dict[str, Any]]) -> Iterator[str]:
    for message in messages:
        texts = [block["text"] for block in message["content"] if block["type"] == "text"]
        if not all(texts):
            yield "messages: text content blocks must be non-empty"
        if texts and not any(map(str.strip, texts)):
            yield "messages: text content blocks must contain non-whitespace text"


# https://github.com/anthropics/claude-code/issues/23440 has it beside the one above
def _empty_turns(messages: list[dict[str, Any]]) -> Iterator[str]:
    for index, message in enumerate(messages):
        if not message["content"]:
            yield f"messages.{index}: all messages must have non-empty content"


# https://github.com/anthropics/claude-code/issues/8210
def _unanswered_uses(messages: list[dict[str, Any]]) -> Iterator[str]:
    for index, message in enumerate(messages):
        if missing := _ids(message, "tool_use") - _ids(
            next(iter(messages[index + 1 :]), None), "tool_result"
        ):
            yield (
                f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{', '.join(missing)}."
            )


# https://github.com/anthropics/claude-code/issues/13460
def _results_without_use(messages: list[dict[str, Any]]) -> Iterator[str]:
    for index, message in enumerate(messages):
        before = messages[index - 1] if index else None
        if unexpected := _ids(message, "tool_result") - _ids(before, "tool_use"):
            yield f"messages.{index}: unexpected `tool_use_id` found in `tool_result` blocks: {', '.join(unexpected)}."


# https://docs.claude.com/en/docs/agents-and-tools/tool-use/implement-tool-use: results first, any text behind
# them
def _results_not_first(messages: list[dict[str, Any]]) -> Iterator[str]:
    for index, message in enumerate(messages):
        kinds = [block["type"] == "tool_result" for block in message["content"]]
        if kinds != sorted(kinds, reverse=True):
            yield f"messages.{index}: `tool_result` blocks must come first"


# https://github.com/trycua/cua/issues/524 and https://github.com/screenpipe/screenpipe/pull/3252
def _uses(messages: list[dict[str, Any]]) -> Iterator[str]:
    uses = [block for message in messages for block in message["content"] if block["type"] == "tool_use"]
    ids = [use["id"] for use in uses]
    if len(set(ids)) < len(ids):
        yield "messages: `tool_use` ids must be unique"
    for use in uses:
        if not _ID_OF_ANTHROPIC.fullmatch(use["id"]) or not _NAME.fullmatch(use["name"]):
            yield "messages.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
        if not isinstance(use["input"], dict):
            yield "messages.tool_use.input: Input should be a valid dictionary"


def _ids(message: dict[str, Any] | None, kind: str) -> set[str]:
    member = "id" if kind == "tool_use" else "tool_use_id"
    return {block[member] for block in message["content"] if block["type"] == kind} if message else set()
