"""What real providers refuse of the messages they are sent, each rule with a report that quotes the refusal.

Each function answers why a body is refused, or None. Checks nothing beside the messages.
"""

import json
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

Rule = Callable[[list[dict[str, Any]]], Iterator[str]]

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ID_OF_ANTHROPIC = re.compile(r"[a-zA-Z0-9_-]+")
_ID_OF_MISTRAL = re.compile(r"[a-zA-Z0-9]{9}")


def flaw_in_completion(body: dict[str, Any]) -> str | None:
    """What OpenAI's chat completions refuse, and what the servers that are compatible with them do."""
    return _first(body, _nothing_said, _unanswered_calls, _results_of_nothing, _ids_too_long, _names_of_functions,
                  _half_arguments, _blank_answers)


def flaw_in_mistral(body: dict[str, Any]) -> str | None:
    """What Mistral refuses beyond that."""
    return flaw_in_completion(body) or _first(body, _ids_of_mistral, _order_of_mistral)


def flaw_in_messages(body: dict[str, Any]) -> str | None:
    """What Anthropic's messages refuse."""
    return _first(body, _nothing_said, _roles_of_turns, _empty_turns, _blank_texts, _unanswered_uses, _results_without_use,
                  _results_not_first, _uses)


def _first(body: dict[str, Any], *rules: Rule) -> str | None:
    return next((flaw for rule in rules for flaw in rule(body["messages"])), None)


# --- chat completions -------------------------------------------------------------------------------------------------


# https://community.openai.com/t/empty-array-expected-an-array-with-minimum-length-1/672030
def _nothing_said(messages: list[dict[str, Any]]) -> Iterator[str]:
    if not messages:
        yield "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead."


# https://github.com/agno-agi/agno/issues/4345
def _unanswered_calls(messages: list[dict[str, Any]]) -> Iterator[str]:
    for index, message in enumerate(messages):
        missing = {call["id"] for call in _calls(message)} - set(_results_behind(messages, index))
        if missing:
            yield ("An assistant message with 'tool_calls' must be followed by tool messages responding to each "
                   f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(missing)}")


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


# https://github.com/openai/openai-node/blob/master/src/resources/shared.ts: letters, digits, _ and -, at most 64
def _names_of_functions(messages: list[dict[str, Any]]) -> Iterator[str]:
    for call in _all_calls(messages):
        if call.get("type") != "function" or not _NAME.fullmatch(call["function"]["name"]):
            yield ("Invalid 'messages[].tool_calls[].function.name': string does not match pattern. Expected a string that "
                   "matches the pattern '^[a-zA-Z0-9_-]+$'.")


# https://github.com/vllm-project/vllm/issues/43995 and https://github.com/OpenHands/software-agent-sdk/issues/2887
def _half_arguments(messages: list[dict[str, Any]]) -> Iterator[str]:
    for call in _all_calls(messages):
        try:
            arguments = json.loads(call["function"]["arguments"])
        except ValueError:
            arguments = None
        if not isinstance(arguments, dict):
            yield "Failed to parse tool call arguments as JSON"


# https://github.com/OpenHands/OpenHands/issues/8685 and https://github.com/carlrobertoh/ProxyAI/issues/830
def _blank_answers(messages: list[dict[str, Any]]) -> Iterator[str]:
    for message in messages:
        if message["role"] == "assistant" and not _calls(message) and not message.get("refusal") and not message["content"]:
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
    for message in messages[index + 1:]:
        if message["role"] != "tool":
            break
        found.append(message["tool_call_id"])
    return found


# --- Mistral ----------------------------------------------------------------------------------------------------------


# https://github.com/nearai/ironclaw/issues/1241
def _ids_of_mistral(messages: list[dict[str, Any]]) -> Iterator[str]:
    for call in _all_calls(messages):
        if not _ID_OF_MISTRAL.fullmatch(call["id"]):
            yield f"Tool call id was {call['id']} but must be a-z, A-Z, 0-9, with a length of 9."


# https://github.com/datapizza-labs/datapizza-ai/issues/98
def _order_of_mistral(messages: list[dict[str, Any]]) -> Iterator[str]:
    for before, message in pairwise(messages):
        if before["role"] == "tool" and message["role"] not in ("tool", "assistant"):
            yield f"Unexpected role '{message['role']}' after role 'tool'"


# --- Anthropic --------------------------------------------------------------------------------------------------------


# https://docs.claude.com/en/api/messages: user and assistant; there is no system role
def _roles_of_turns(messages: list[dict[str, Any]]) -> Iterator[str]:
    for message in messages:
        if message["role"] not in ("user", "assistant"):
            yield f"messages: Unexpected role \"{message['role']}\"."


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
        if missing := _ids(message, "tool_use") - _ids(next(iter(messages[index + 1:]), None), "tool_result"):
            yield (f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                   f"{', '.join(missing)}.")


# https://github.com/anthropics/claude-code/issues/13460
def _results_without_use(messages: list[dict[str, Any]]) -> Iterator[str]:
    for index, message in enumerate(messages):
        before = messages[index - 1] if index else None
        if unexpected := _ids(message, "tool_result") - _ids(before, "tool_use"):
            yield f"messages.{index}: unexpected `tool_use_id` found in `tool_result` blocks: {', '.join(unexpected)}."


# https://docs.claude.com/en/docs/agents-and-tools/tool-use/implement-tool-use: results first, any text behind them
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
