"""The members of a squad and the handoffs between them: the tools that request them, and how much of the
context moves along.

Reads checked squad documents; finds no assistants and runs nothing. All of it takes linear time: stored
squads can have ten thousand members.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from generated.parley.v1.message_pb2 import Message
from server.content.validation import join, refuse
from server.core.errors import Violation
from server.core.ids import parse_id

_NO_SLUG = re.compile(r"[^a-z0-9_-]+")
_MOST_SLUG = 48


@dataclass(frozen=True, slots=True)
class Seat:
    """One member in the squad's document."""

    entry: Mapping[str, Any]
    name: str
    """Empty when it has none."""
    place: int
    """In the document."""


def seats(squad: Mapping[str, Any], stored: Mapping[str, str | None]) -> dict[str, Seat]:
    """Return the members by the keys under which conversations remember them, in order.

    `stored` has the names of the stored assistants that exist, by id; the others have no seat.
    """
    found: dict[str, Seat] = {}
    for index, entry in enumerate(squad["members"]):
        own = entry.get("assistant")
        identifier = None if isinstance(own, dict) else stored_id(entry)
        if isinstance(own, dict):
            given = own.get("name")
        elif identifier is not None and identifier in stored:
            given = stored[identifier]
        else:
            continue
        name = overridden(squad, entry, "name", given)
        name = name if isinstance(name, str) else ""
        key = entry.get("assistantId") or name or str(index)
        found[key if key not in found else f"{key}#{index}"] = Seat(entry, name, index)
    return found


def check_destinations(squad: Mapping[str, Any], stored: Mapping[str, str | None], at: str = "") -> None:
    """Raise InvalidArgument for destinations whose name several members have.

    `stored` is as in `seats`; `at` is the squad's path in the request.
    """
    seated = seats(squad, stored)
    counts = Counter(seat.name for seat in seated.values())
    refuse(
        [
            Violation(
                join(at, f"members[{place}].assistantDestinations[{index}].assistantName"),
                f"is the name of {counts[destination['assistantName']]} members: send the assistantId of one of them, "
                "or give them different names",
                "ambiguous",
            )
            for place, entry in enumerate(squad["members"])
            for index, destination in enumerate(entry.get("assistantDestinations") or ())
            if _by_id(destination, seated) is None and _is_ambiguous(destination, counts)
        ]
    )


def stored_id(entry: Mapping[str, Any]) -> str | None:
    """Return the id of a member's stored assistant."""
    return parse_id(str(entry.get("assistantId")))


def overridden(squad: Mapping[str, Any], entry: Mapping[str, Any], name: str, own: Any) -> Any:
    """Return the value of `name` from the overrides for all members, otherwise from the member's own,
    otherwise `own`, the assistant's."""
    for overrides in (squad.get("membersOverrides"), entry.get("assistantOverrides")):
        if isinstance(overrides, dict) and name in overrides:
            return overrides[name]
    return own


@dataclass(frozen=True, slots=True)
class Destination:
    """A member to which another may hand the conversation over."""

    tool: str
    member: str
    """The member's key."""
    name: str
    description: str
    plan: str = "all"
    """Which earlier messages the member is given: all, lastNMessages or none."""
    most_messages: int = 0

    @property
    def function(self) -> dict[str, Any]:
        """Return the tool as presented to the model."""
        return {
            "type": "function",
            "function": {
                "name": self.tool,
                "description": self.description,
                "parameters": {"type": "object", "properties": {}},
            },
        }

    def context_from(self, messages: Sequence[Message]) -> str | None:
        """Return the id of the first of `messages` in the member's context; None for all of them.

        The user's latest message is always included, because a model needs something to answer.
        """
        if self.plan not in ("none", "lastNMessages") or not messages:
            return None
        last_input = next((at for at in range(len(messages) - 1, -1, -1) if messages[at].role == "user"), 0)
        first = (
            last_input if self.plan == "none" else min(last_input, max(0, len(messages) - self.most_messages))
        )
        while messages[first].role == "tool":  # providers refuse a result without its call
            first += 1
            if first == len(messages):
                return messages[last_input].id
        return messages[first].id


def handoffs(entry: Mapping[str, Any], own_key: str, names: dict[str, str]) -> tuple[Destination, ...]:
    """Return the destinations of a squad's `entry`: its assistantDestinations, or all other members when it
    has none.

    `names` has the name of every member, by key. Destinations that are no member, or whose name several
    members have, are left out.
    """
    given = entry.get("assistantDestinations") or [{"assistantId": key} for key in names if key != own_key]
    keys = _keys_of(given, names)
    places = {key: place for place, key in enumerate(names)}
    unused = _Unused()
    found: dict[str, Destination] = {}
    for destination, key in zip(given, keys, strict=True):
        if key is not None and key not in found:
            tool = unused(f"handoff_to_{_slug(names[key], places[key])}")
            found[key] = _destination(destination, tool, key, names[key])
    return tuple(found.values())


def _destination(given: Mapping[str, Any], tool: str, key: str, name: str) -> Destination:
    plan = given.get("contextEngineeringPlan")
    plan = plan if isinstance(plan, dict) else {}
    most = plan.get("maxMessages")
    described = given.get("description")
    return Destination(
        tool,
        key,
        name,
        described if isinstance(described, str) and described else f"Hand the conversation to {name}.",
        plan["type"] if isinstance(plan.get("type"), str) else "all",
        int(most) if isinstance(most, int | float) and not isinstance(most, bool) and most > 0 else 1,
    )


def left_out(entry: Mapping[str, Any], names: Mapping[str, str]) -> list[int]:
    """Return the indexes of the assistantDestinations of a squad's `entry` that lead to no member."""
    keys = _keys_of(entry.get("assistantDestinations") or (), names)
    return [index for index, key in enumerate(keys) if key is None]


def _keys_of(destinations: Iterable[Mapping[str, Any]], names: Mapping[str, str]) -> list[str | None]:
    """Return the key of each destination's member; None when it has none, or several."""
    counts = Counter(names.values())
    keys = {name: key for key, name in names.items() if counts[name] == 1}
    return [
        _by_id(one, names) or (keys.get(name) if isinstance(name := one.get("assistantName"), str) else None)
        for one in destinations
    ]


def _by_id(destination: Mapping[str, Any], members: Mapping[str, Any]) -> str | None:
    """Return the key of the member with the id of a destination."""
    identifier = destination.get("assistantId")
    return identifier if isinstance(identifier, str) and identifier in members else None


def _is_ambiguous(destination: Mapping[str, Any], counts: Mapping[str, int]) -> bool:
    name = destination.get("assistantName")
    return isinstance(name, str) and counts[name] > 1


def _slug(name: str, place: int) -> str:
    return _NO_SLUG.sub("_", name.lower()).strip("_")[:_MOST_SLUG] or f"member_{place + 1}"


class _Unused:
    """Gives every tool a unique name. Counting continues where it stopped, because all members may have the
    same name."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._next: dict[str, int] = {}

    def __call__(self, tool: str) -> str:
        number = self._next.get(tool, 2)
        unused = tool
        while unused in self._used:
            unused, number = f"{tool}_{number}", number + 1
        self._next[tool] = number
        self._used.add(unused)
        return unused
