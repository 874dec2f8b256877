"""Resolves names: names are not unique, and one that several records have is refused.

Reads the store and writes nothing.
"""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from server.agents.handoffs import check_destinations, stored_id
from server.core.errors import InvalidArgument, NotFound, ServiceError, Violation
from server.core.ids import parse_id
from server.core.offload import by_size
from server.storage.assistants import Assistants
from server.storage.documents import Document
from server.storage.keys import Caller

MOST_OF_ONE_NAME = 10
"""Assistants that an error lists to choose from."""
MEMBER_BYTES = 100
"""The least bytes of a member of a squad."""


async def assistant_of_model(assistants: Assistants, caller: Caller, model: str) -> Document | None:
    """Return the stored assistant whose id or name is `model`; a valid id is never treated as a name.

    Raises InvalidArgument for a name that several have: an id is unambiguous.
    """
    ids = (
        [found]
        if (found := parse_id(model))
        else await assistants.ids_of(caller.org_id, model, MOST_OF_ONE_NAME + 1)
    )
    if len(ids) > 1:
        # A publishable key receives no ids of assistants that it was not given.
        choice = "the id of one of them" if caller.is_publishable else f"the id of one of them: {listed(ids)}"
        raise InvalidArgument.of(
            "model",
            f"'{model[:100]}' is the name of several assistants; send {choice}",
            reason="AMBIGUOUS_MODEL",
        )
    with contextlib.suppress(NotFound):
        return await assistants.get(caller.org_id, ids[0]) if ids else None
    return None


async def check_handoffs(assistants: Assistants, caller: Caller, squad: dict[str, Any], at: str = "") -> None:
    """Raise InvalidArgument when a checked squad names a destination by a name that several of its members
    have."""
    entries = squad["members"]
    if any(entry.get("assistantDestinations") for entry in entries):
        stored = await stored_names(assistants, caller, entries)
        await by_size(len(entries) * MEMBER_BYTES, check_destinations, squad, stored, at)


async def stored_names(
    assistants: Assistants, caller: Caller, entries: Iterable[Mapping[str, Any]]
) -> dict[str, str | None]:
    """Return the names of the stored assistants among a squad's members, by id."""
    ids = {
        found
        for entry in entries
        if not isinstance(entry.get("assistant"), dict) and (found := stored_id(entry))
    }
    return await assistants.names_of(caller.org_id, ids) if ids else {}


def listed(ids: Sequence[str]) -> str:
    """Format ids for a message, up to a limit."""
    return ", ".join(ids[:MOST_OF_ONE_NAME]) + (" or another" if len(ids) > MOST_OF_ONE_NAME else "")


def model_not_found(model: str) -> NotFound:
    """Return the error of OpenAI's interfaces for a `model` that names no assistant."""
    return NotFound(
        f"The model '{model[:100]}' does not exist; send the id or the name of an assistant.",
        reason="MODEL_NOT_FOUND",
        violations=(Violation("model", "does not exist"),),
    )


def model_without_assistant(model: str, unknown: ServiceError) -> ServiceError:
    """Return the error of a model PROVIDER/MODEL, of the kind that a `model` has which names no assistant."""
    return type(unknown)(
        f"The model '{model[:100]}' is no assistant, and this server calls no model without one: send the id or the "
        "name of an assistant, or let the operator set models_without_assistant (PARLEY_MODELS_WITHOUT_ASSISTANT).",
        reason=unknown.reason,
        violations=unknown.violations,
    )
