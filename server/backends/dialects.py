"""Differences between the servers that speak chat completions: members, values, tools, the order of messages.

Each difference has its source. A member that the provider refuses and that would change the form of an
answer is refused here by name; `members.py` leaves out those that merely tune the answer. Reads no answers.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from server.backends.backend import ModelRequest
from server.content.custom_tools import is_custom, name_of
from server.core.accepted import TEXT_PARTS
from server.core.errors import InvalidArgument

_NO_ANSWER = "(No answer was given.)"
_GOES_ON = "(The conversation goes on.)"


class Dialect(NamedTuple):
    """Differences of one provider from the common form."""

    members: Mapping[str, str | None] = {}
    """The provider's names for members of a request; None: left out, because it refuses a member that only Parley
    adds."""
    is_newest: bool = False
    """Whether the provider knows OpenAI's latest additions: the role `developer`, and refusals."""
    names: bool = True
    """Whether messages may carry the speaker's name."""
    reasoning: bool = True
    """Whether assistant messages may carry their reasoning."""
    most_tools: int | None = None


_COMMON = Dialect()
_NAME = re.compile("[a-zA-Z0-9_-]{1,64}")
_MOST_TOOLS = 128
_OPENAI = Dialect({"max_tokens": "max_completion_tokens"}, is_newest=True, most_tools=_MOST_TOOLS)
_DIALECTS = {
    "anthropic": _COMMON,  # only for the names of its tools: it has an interface of its own
    "openai": _OPENAI,
    "azure-openai": _OPENAI,
    # Refuses every member that it does not know, and sends usage without being asked: docs.mistral.ai/api and
    # github.com/Gage-Technologies/mistral-go/pull/2 (`name`), github.com/charmbracelet/crush/issues/1590
    # (reasoning).
    "mistral": Dialect({"seed": "random_seed", "stream_options": None}, names=False, reasoning=False),
    "google": Dialect(reasoning=False),
    # api-docs.deepseek.com/api/create-chat-completion
    "deep-seek": Dialect(most_tools=_MOST_TOOLS),
    # console.groq.com/docs/openai and github.com/janhq/jan/issues/8136
    "groq": Dialect(names=False, reasoning=False),
}


def dialect_of(provider: str) -> Dialect:
    """Return the dialect of a provider; the common one for providers without entry."""
    return _DIALECTS.get(provider, _COMMON)


def check_values(request: ModelRequest) -> None:
    """Raise InvalidArgument for values that the provider is known to refuse and that cannot be left out."""
    if request.provider != "deep-seek":
        return
    # api-docs.deepseek.com/api/create-chat-completion: text and json_object
    if (request.response_format or {}).get("type") == "json_schema":
        raise InvalidArgument.of(
            "response_format", "json_schema is not known to provider deep-seek; send a json_object"
        )
    if request.model.startswith("deepseek-chat"):
        return
    # Values that thinking models refuse: github.com/deepseek-ai/DeepSeek-V3/issues/1376
    if request.tools and request.tool_choice not in (None, "auto", "none"):
        raise InvalidArgument.of(
            "tool_choice", "must be auto or none for a model of provider deep-seek that thinks"
        )
    # github.com/olimorris/codecompanion.nvim/issues/760
    if request.messages and request.messages[-1].role == "assistant":
        raise InvalidArgument.of(
            "input", "must not end with an answer for a model of provider deep-seek that thinks"
        )


def tools_for(request: ModelRequest) -> list[dict[str, Any]]:
    """The tools, each with a complete parameter schema. Raises InvalidArgument for names and numbers of tools
    that the provider refuses."""
    check_names(request)
    most = dialect_of(request.provider).most_tools
    if most is not None and len(request.tools) > most:
        raise InvalidArgument.of(
            "tools",
            f"must be at most {most} for provider {request.provider}, handoffs included, not "
            f"{len(request.tools)}; give a squad's members their assistantDestinations",
        )
    return [
        tool if is_custom(tool) else {**tool, "function": _function(tool["function"], request.provider)}
        for tool in request.tools
    ]


def check_names(request: ModelRequest) -> None:
    """Raise InvalidArgument for a tool whose name the provider refuses. The
    limits of self-hosted servers are unknown.

    github.com/refly-ai/refly/issues/1794 and github.com/kaitranntt/ccs/issues/25
    """
    if request.provider not in _DIALECTS:
        return
    names = [name_of(tool) for tool in request.tools]
    if not all(map(_NAME.fullmatch, names)):
        raise InvalidArgument.of(
            "tools",
            f"must be named with 1 to 64 letters, digits, underscores and dashes for provider {request.provider}",
        )
    if request.provider == "google" and not all(name[0].isalpha() or name[0] == "_" for name in names):
        raise InvalidArgument.of(
            "tools", "must have names that begin with a letter or an underscore for provider google"
        )


def _function(function: dict[str, Any], provider: str) -> dict[str, Any]:
    """The function with a complete parameter schema.

    Most providers require `type` and `properties` in every schema
    (github.com/github/github-mcp-server/issues/1548), DeepSeek refuses a function without one
    (github.com/farion1231/cc-switch/issues/5490), and Gemini refuses one without any properties
    (github.com/SWE-agent/SWE-agent/pull/1431).
    """
    schema = function.get("parameters") or {}
    if provider == "google" and not schema.get("properties"):
        return {name: value for name, value in function.items() if name != "parameters"}
    return {
        **function,
        "parameters": {**schema, "type": "object", "properties": schema.get("properties") or {}},
    }


def in_order(provider: str, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages in the order that the provider requires; a message inserted between two is marked as such."""
    if provider == "mistral":
        return _mistral(messages)
    return _google(messages) if provider == "google" else messages


# github.com/mistralai/mistral-common: src/mistral_common/protocol/instruct/validator.py
def _mistral(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    system, turns = _apart(messages)
    ordered: list[dict[str, Any]] = system
    for message in turns:
        if ordered and ordered[-1]["role"] == "tool" and message["role"] == "user":
            ordered.append({"role": "assistant", "content": _NO_ANSWER})
        ordered.append(message)
    if ordered and ordered[-1]["role"] == "assistant":  # for the model to continue
        ordered[-1] = {**ordered[-1], "prefix": True}
    return ordered


# It has one system instruction (github.com/microsoft/genaiscript/issues/926), no blank parts
# (github.com/langchain-ai/langchain-google/issues/691), calls only behind the user or a result
# (github.com/google-gemini/gemini-cli/issues/11814), results that name the function
# (github.com/NousResearch/hermes-agent/pull/19728), and no nulls (github.com/github/copilot-sdk/issues/2061).
def _google(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    system, turns = _apart(list(_not_blank(messages)))
    ordered = [{"role": "system", "content": _joined(system)}] if len(system) > 1 else system
    names: dict[str, str] = {}
    before = None
    for message in turns:
        if calls := message.get("tool_calls"):
            names = {call["id"]: call["function"]["name"] for call in calls}
            if before not in ("user", "tool"):
                ordered.append({"role": "user", "content": _GOES_ON})
        before = message["role"]
        named = {"name": names.get(message["tool_call_id"], "")} if before == "tool" else {}
        ordered.append({name: value for name, value in message.items() if value is not None} | named)
    if before is None:
        raise InvalidArgument.of("input", "must say something for provider google")
    return ordered


def _apart(messages: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The system messages, and all others."""
    return (
        [message for message in messages if message["role"] == "system"],
        [message for message in messages if message["role"] != "system"],
    )


def _joined(system: Sequence[dict[str, Any]]) -> str | list[dict[str, Any]]:
    contents = [message["content"] for message in system]
    if all(isinstance(content, str) for content in contents):
        return "\n\n".join(contents)
    return [
        part
        for content in contents
        for part in ([{"type": "text", "text": content}] if isinstance(content, str) else content)
    ]


def _not_blank(messages: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The messages without blank texts, and without user and system messages that have no other text."""
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            content = [
                part for part in content if part["type"] not in TEXT_PARTS or part.get("text", "").strip()
            ]
        elif isinstance(content, str) and not content.strip():
            content = ""
        if content or message["role"] not in ("user", "system"):
            yield message if content == message.get("content") else {**message, "content": content}
