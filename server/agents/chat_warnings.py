"""Warnings of an exchange, a session or a stored document about settings that were ignored or sent in another
form.

Nothing is refused for them, and callers may ignore them. Detects nothing itself.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.session_pb2 import Session
from server.agents.bounded_liquid import COSTLY, FAILED, INVALID, TOO_LARGE, UNKNOWN_FILTER, Fault
from server.agents.templates import MOST_CHARACTERS
from server.content.json_values import from_python

MOST = 20
"""Per record."""
_MOST_MESSAGE = 300


class ChatWarning(NamedTuple):
    """One warning."""

    code: str
    """A stable, machine-readable word."""
    message: str
    """One sentence for a person, with what to do about it."""
    param: str | None = None
    """The member of the request or the assistant that it is about."""
    of_request: bool = False
    """Whether it is about the request itself; otherwise it is about the assistant's configuration."""

    def shown(self) -> dict[str, Any]:
        """Return the warning as JSON."""
        shown = {"code": self.code, "message": _cut(self.message)}
        return shown if self.param is None else {**shown, "param": self.param}


_SETUP = ChatWarning(
    "assistant_setup",
    "Something in how the assistant is set up was passed over; the log, and "
    "exchanges with the org's own keys, say what.",
)
_OF_FAULTS = {
    INVALID: "`{mark}` is not valid Liquid, so it was sent as it is written; correct it, or put it between "
    "{{% raw %}} and {{% endraw %}}.",
    FAILED: "`{mark}` could not be filled in with the values that are there, so it was sent as it is written.",
    COSTLY: "The template takes too much work, so it was sent as it is written; make it simpler.",
    TOO_LARGE: f"The template has more than {MOST_CHARACTERS} characters, so it was sent as it is written; "
    "shorten it, or split it into several messages.",
    UNKNOWN_FILTER: "`{mark}` is not a known filter, so the value was passed on as it is.",
}
_WITHOUT_MARK = {FAILED: "The template could not be filled in, so it was sent as it is written."}


def of_fault(fault: Fault, param: str) -> ChatWarning:
    """Return the warning about a template's fault; `param` is the path of the template."""
    text = _OF_FAULTS[fault.code] if fault.mark else _WITHOUT_MARK.get(fault.code, _OF_FAULTS[fault.code])
    return ChatWarning(f"template_{fault.code}", text.format(mark=fault.mark), param)


def of_tool(name: str, faults: Iterable[Fault], left_out: Iterable[str] = ()) -> list[ChatWarning]:
    """Return the warnings about a tool's call: its templates, which may contain secrets and are not shown,
    and its variables."""
    return [
        *(
            ChatWarning(
                f"template_{fault.code}",
                f"A template of the tool {name} has a mark that could not be filled in, "
                "or a filter that is not known.",
            )
            for fault in faults
        ),
        *(of_variable(variable) for variable in left_out),
    ]


def of_variable(name: str) -> ChatWarning:
    """Return the warning about a variable that is too large to be stored."""
    return ChatWarning(
        "variable_not_kept",
        f"The variable {name} is larger than one may be, or than all may be together, so it was not kept.",
    )


def put(record: Chat | Session, warnings: Iterable[ChatWarning], *, for_page: bool) -> None:
    """Set `record.warnings`, each warning once. Without any the member stays unset.

    A publishable key (`for_page`) receives no details of an assistant's configuration.
    """
    visible = [_SETUP if for_page and not warning.of_request else warning for warning in warnings]
    if visible:
        record.warnings.CopyFrom(from_python(shown(visible)).list_value)


def shown(warnings: Iterable[ChatWarning]) -> list[dict[str, Any]]:
    """Return the warnings as JSON, each once, at most `MOST`."""
    return [warning.shown() for warning in [*dict.fromkeys(warnings)][:MOST]]


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_MESSAGE else text[: _MOST_MESSAGE - 1] + "…"
