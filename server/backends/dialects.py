"""How the servers that speak chat completions differ in what they take: members, values, and the order of messages.

Each difference has its source. What merely tunes an answer is not sent where it is refused; what would change its form is
refused here, by name. Reads no answers.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from server.backends.backend import ModelRequest
from server.content.messages import TEXT_PARTS
from server.core.errors import InvalidArgument

_NO_ANSWER = "(No answer was given.)"
_GOES_ON = "(The conversation goes on.)"


class Dialect(NamedTuple):
    """How a provider departs from what most have in common."""

    members: Mapping[str, str | None] = {}
    """Members of a request by the name they have there; None: it refuses them."""
    is_newest: bool = False
    """Whether it knows what OpenAI added last: the role `developer`, and refusals."""
    names: bool = True
    """Whether messages may say who speaks."""
    reasoning: bool = True
    """Whether answers may have their reasoning beside them."""


_COMMON = Dialect()
_OPENAI = Dialect({"max_tokens": "max_completion_tokens"}, is_newest=True)
_DIALECTS = {
    "openai": _OPENAI,
    "azure-openai": _OPENAI,
    # Refuses every member that it does not know, and sends usage without being asked: docs.mistral.ai/api and
    # github.com/Gage-Technologies/mistral-go/pull/2 (`name`), github.com/charmbracelet/crush/issues/1590 (reasoning).
    "mistral": Dialect({"seed": "random_seed", "stream_options": None}, names=False, reasoning=False),
    # github.com/Vali-98/ChatterUI/issues/227 and github.com/PublicAffairs/openai-gemini/issues/63
    "google": Dialect({"seed": None, "frequency_penalty": None, "presence_penalty": None}, reasoning=False),
    # console.groq.com/docs/openai and github.com/janhq/jan/issues/8136
    "groq": Dialect(names=False, reasoning=False),
}


def dialect_of(provider: str) -> Dialect:
    return _DIALECTS.get(provider, _COMMON)


def check_values(request: ModelRequest) -> None:
    """Raise InvalidArgument for what the provider is known to refuse, and what cannot be left out."""
    if request.provider != "deep-seek":
        return
    # api-docs.deepseek.com/api/create-chat-completion: text and json_object
    if (request.response_format or {}).get("type") == "json_schema":
        raise InvalidArgument.of("response_format", "json_schema is not known to provider deep-seek; send a json_object")
    # github.com/deepseek-ai/DeepSeek-V3/issues/1376; all but the oldest models think
    if request.tools and request.tool_choice not in (None, "auto", "none") and not request.model.startswith("deepseek-chat"):
        raise InvalidArgument.of("tool_choice", "must be auto or none for a model of provider deep-seek that thinks")


def in_order(provider: str, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages as the provider wants them to follow each other; what has to be put between two says what it is."""
    if provider == "mistral":
        return _mistral(messages)
    return _google(messages) if provider == "google" else messages


# github.com/mistralai/mistral-common: src/mistral_common/protocol/instruct/validator.py
def _mistral(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    system, said = _apart(messages)
    ordered: list[dict[str, Any]] = system
    for message in said:
        if ordered and ordered[-1]["role"] == "tool" and message["role"] == "user":
            ordered.append({"role": "assistant", "content": _NO_ANSWER})
        ordered.append(message)
    if ordered and ordered[-1]["role"] == "assistant":  # to be gone on with
        ordered[-1] = {**ordered[-1], "prefix": True}
    return ordered


# It has one system instruction (github.com/microsoft/genaiscript/issues/926), no blank parts
# (github.com/langchain-ai/langchain-google/issues/691), calls behind the user or a result alone
# (github.com/google-gemini/gemini-cli/issues/11814), and results that name the function
# (github.com/NousResearch/hermes-agent/pull/19728).
def _google(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    system, said = _apart(list(_not_blank(messages)))
    ordered = [{"role": "system", "content": _joined(system)}] if len(system) > 1 else system
    names: dict[str, str] = {}
    before = None
    for message in said:
        if calls := message.get("tool_calls"):
            names = {call["id"]: call["function"]["name"] for call in calls}
            if before not in ("user", "tool"):
                ordered.append({"role": "user", "content": _GOES_ON})
        before = message["role"]
        ordered.append({**message, "name": names.get(message["tool_call_id"], "")} if before == "tool" else message)
    if before is None:
        raise InvalidArgument.of("input", "must say something for provider google")
    return ordered


def _apart(messages: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What the system says, and all else."""
    return ([message for message in messages if message["role"] == "system"],
            [message for message in messages if message["role"] != "system"])


def _joined(system: Sequence[dict[str, Any]]) -> str | list[dict[str, Any]]:
    contents = [message["content"] for message in system]
    if all(isinstance(content, str) for content in contents):
        return "\n\n".join(contents)
    return [part for content in contents for part in (
        [{"type": "text", "text": content}] if isinstance(content, str) else content)]


def _not_blank(messages: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Without blank texts, and without what users and the system said in them alone."""
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            content = [part for part in content if part["type"] not in TEXT_PARTS or part.get("text", "").strip()]
        elif isinstance(content, str) and not content.strip():
            content = ""
        if content or message["role"] not in ("user", "system"):
            yield message if content == message.get("content") else {**message, "content": content}
