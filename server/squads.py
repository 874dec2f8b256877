"""Handoffs between the members of a squad: the tools that ask for them, and how much of the context goes along.

Reads squad documents that were checked; finds no assistants and runs nothing.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from generated.parley.v1.message_pb2 import Message

_NO_SLUG = re.compile(r"[^a-z0-9_-]+")
_MOST_SLUG = 48


@dataclass(frozen=True, slots=True)
class Destination:
    """One member that another may hand the conversation to."""

    tool: str
    member: str
    """The member's key."""
    name: str
    description: str
    plan: str = "all"
    """How much the member is given of what was said before: all, lastNMessages or none."""
    most_messages: int = 0

    @property
    def function(self) -> dict[str, Any]:
        """The tool as the model sees it."""
        return {"type": "function", "function": {"name": self.tool, "description": self.description,
                                                 "parameters": {"type": "object", "properties": {}}}}

    def context_from(self, messages: Sequence[Message]) -> str | None:
        """Id of the first of `messages` that the member is given; None when it is given all of the context.

        What the user said last is always given: a model must have something to answer.
        """
        if self.plan not in ("none", "lastNMessages") or not messages:
            return None
        last_said = next((at for at in range(len(messages) - 1, -1, -1) if messages[at].role == "user"), 0)
        first = last_said if self.plan == "none" else min(last_said, max(0, len(messages) - self.most_messages))
        while messages[first].role == "tool":  # a result without its call is refused by providers
            first += 1
            if first == len(messages):
                return messages[last_said].id
        return messages[first].id


def handoffs(entry: Mapping[str, Any], own_key: str, names: Mapping[str, str]) -> tuple[Destination, ...]:
    """Where the member of a squad's `entry` may hand to: its assistantDestinations, or all others when it has none.

    `names` has the name of every member, by key. Destinations that are no member are left out.
    """
    given = entry.get("assistantDestinations") or [{"assistantId": key} for key in names if key != own_key]
    found: dict[str, Destination] = {}
    for destination in given:
        key = _key_of(destination, names)
        if key is not None and all(known.member != key for known in found.values()):
            tool = _unused(f"handoff_to_{_slug(names[key], list(names).index(key))}", found)
            found[tool] = _destination(destination, tool, key, names[key])
    return tuple(found.values())


def _destination(given: Mapping[str, Any], tool: str, key: str, name: str) -> Destination:
    plan = given.get("contextEngineeringPlan")
    plan = plan if isinstance(plan, dict) else {}
    most = plan.get("maxMessages")
    described = given.get("description")
    return Destination(
        tool, key, name, described if isinstance(described, str) and described else f"Hand the conversation to {name}.",
        plan["type"] if isinstance(plan.get("type"), str) else "all",
        int(most) if isinstance(most, int | float) and not isinstance(most, bool) and most > 0 else 1)


def _key_of(destination: Mapping[str, Any], names: Mapping[str, str]) -> str | None:
    if destination.get("assistantId") in names:
        return destination["assistantId"]
    return next((key for key, name in names.items() if name == destination.get("assistantName")), None)


def _slug(name: str, place: int) -> str:
    return _NO_SLUG.sub("_", name.lower()).strip("_")[:_MOST_SLUG] or f"member_{place + 1}"


def _unused(tool: str, taken: Mapping[str, Any]) -> str:
    number = 2
    unused = tool
    while unused in taken:
        unused, number = f"{tool}_{number}", number + 1
    return unused
