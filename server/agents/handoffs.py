"""Who is in a squad, and handoffs between its members: the tools that ask for them, how much of the context
goes along.

Reads squad documents that were checked; finds no assistants and runs nothing. All of it takes time that grows
as the squad does: stored ones can have ten thousand members.
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
    """One member as the squad's document has it."""

    entry: Mapping[str, Any]
    name: str
    """Empty when it has none."""
    place: int
    """In the document."""


def seats(squad: Mapping[str, Any], stored: Mapping[str, str | None]) -> dict[str, Seat]:
    """The members by the keys that conversations remember them by, in order.

    `stored` has the names of those of its stored assistants that are still there, by id; the others have no
    seat.
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
    """Raise InvalidArgument for destinations that are named by a name which several members have.

    `stored` is as in `seats`; `at` is where the squad stands in the request.
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
    """The id of the stored assistant that a member is."""
    return parse_id(str(entry.get("assistantId")))


def overridden(squad: Mapping[str, Any], entry: Mapping[str, Any], name: str, own: Any) -> Any:
    """What the overrides for all members say of `name`, else the member's own ones, else `own`, which is its
    assistant's."""
    for overrides in (squad.get("membersOverrides"), entry.get("assistantOverrides")):
        if isinstance(overrides, dict) and name in overrides:
            return overrides[name]
    return own


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
        return {
            "type": "function",
            "function": {
                "name": self.tool,
                "description": self.description,
                "parameters": {"type": "object", "properties": {}},
            },
        }

    def context_from(self, messages: Sequence[Message]) -> str | None:
        """Id of the first of `messages` that the member is given; None when it is given all of the context.

        What the user said last is always given: a model must have something to answer.
        """
        if self.plan not in ("none", "lastNMessages") or not messages:
            return None
        last_input = next((at for at in range(len(messages) - 1, -1, -1) if messages[at].role == "user"), 0)
        first = (
            last_input if self.plan == "none" else min(last_input, max(0, len(messages) - self.most_messages))
        )
        while messages[first].role == "tool":  # a result without its call is refused by providers
            first += 1
            if first == len(messages):
                return messages[last_input].id
        return messages[first].id


def handoffs(entry: Mapping[str, Any], own_key: str, names: dict[str, str]) -> tuple[Destination, ...]:
    """Where the member of a squad's `entry` may hand to: its assistantDestinations, or all others when it has
    none.

    `names` has the name of every member, by key. Destinations that are no member, or that are named by a name
    which several members have, are left out.
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
    """Which of the assistantDestinations of a squad's `entry` lead nowhere."""
    keys = _keys_of(entry.get("assistantDestinations") or (), names)
    return [index for index, key in enumerate(keys) if key is None]


def _keys_of(destinations: Iterable[Mapping[str, Any]], names: Mapping[str, str]) -> list[str | None]:
    """The key of the member that each of them is; None of what is none, or not one alone."""
    counts = Counter(names.values())
    keys = {name: key for key, name in names.items() if counts[name] == 1}
    return [
        _by_id(one, names) or (keys.get(name) if isinstance(name := one.get("assistantName"), str) else None)
        for one in destinations
    ]


def _by_id(destination: Mapping[str, Any], members: Mapping[str, Any]) -> str | None:
    """The key of the member whose id a destination has."""
    identifier = destination.get("assistantId")
    return identifier if isinstance(identifier, str) and identifier in members else None


def _is_ambiguous(destination: Mapping[str, Any], counts: Mapping[str, int]) -> bool:
    name = destination.get("assistantName")
    return isinstance(name, str) and counts[name] > 1


def _slug(name: str, place: int) -> str:
    return _NO_SLUG.sub("_", name.lower()).strip("_")[:_MOST_SLUG] or f"member_{place + 1}"


class _Unused:
    """Gives every tool a name of its own, and counts on where it left off: all members may have the same
    name."""

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
