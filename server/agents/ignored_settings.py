"""Finds the settings of an assistant, a squad or a request that chats ignore, and returns them as warnings.

Refuses nothing; called when a chat runs and when a document is stored.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from server.agents.chat_warnings import ChatWarning
from server.agents.handoffs import Seat, left_out
from server.agents.knowledge import CUSTOM

_PLANS = ("all", "lastNMessages", "none")
_MOST_NAMES = 5


def of_overrides(overrides: Mapping[str, Any] | None) -> list[ChatWarning]:
    """Return warnings for the members of a request's `assistantOverrides` that have no effect."""
    names = [name for name in overrides or {} if name != "variableValues"]
    if not names:
        return []
    return [
        ChatWarning(
            "override_ignored",
            f"Only variableValues are taken of assistantOverrides; {_listed(names)} changed "
            "nothing: change the assistant, or send one of your own.",
            "assistantOverrides",
            of_request=True,
        )
    ]


def of_session_overrides() -> ChatWarning:
    """Return the warning for overrides beside a session."""
    return ChatWarning(
        "override_ignored",
        "A session's templates are filled when it is made, so assistantOverrides beside "
        "sessionId change nothing: send them when you make the session.",
        "assistantOverrides",
        of_request=True,
    )


def of_unused(name: str) -> ChatWarning:
    """Return the warning for a member that has no effect here, or at the model's provider."""
    return ChatWarning(
        "parameter_unused",
        f"{name} was not used: nothing here or at the model's provider takes it.",
        name,
        of_request=True,
    )


def of_reasoning(places: Iterable[int]) -> list[ChatWarning]:
    """Return warnings for reasoning items of an input that another provider or kind of model has made."""
    return [
        ChatWarning(
            "reasoning_not_sent",
            "The reasoning is left out: another provider, or another kind of model, made it than now answers.",
            f"input[{place}]",
            of_request=True,
        )
        for place in places
    ]


def of_knowledge_base(base: Mapping[str, Any] | None) -> list[ChatWarning]:
    """Return warnings for a knowledge base that is not queried."""
    if base is None or (base.get("provider") == CUSTOM and (base.get("server") or {}).get("url")):
        return []
    return [
        ChatWarning(
            "knowledge_base_ignored",
            f"The knowledge base is not asked: only one of provider {CUSTOM} with a server.url is.",
            "model.knowledgeBase",
        )
    ]


def of_tool_type(tool: Mapping[str, Any], param: str) -> ChatWarning:
    """Return the warning for a tool that is not offered to a model."""
    kind = str(tool.get("type"))[:40]
    return ChatWarning(
        "tool_not_offered",
        f"A tool of type {kind} is not offered to the model: only function and apiRequest tools are.",
        param,
    )


def of_parallel_calls() -> ChatWarning:
    """Return the warning for calls of a model that was to call one tool at a time."""
    return ChatWarning(
        "parallel_calls_left_out",
        "The model called several tools at once, although parallel_tool_calls is false: only the first call was taken.",
        "parallel_tool_calls",
        of_request=True,
    )


def of_duplicate_name(name: str, param: str, *, of_request: bool = False) -> ChatWarning:
    """Return the warning for a tool with the name of another."""
    return ChatWarning(
        "tool_name_taken",
        f"The tool {name} is not offered: another one has this name; give it its own.",
        param,
        of_request,
    )


def of_missing_tool(index: int) -> ChatWarning:
    """Return the warning for a stored tool that does not exist."""
    return ChatWarning(
        "tool_not_found",
        "A tool that the assistant names is not there, and is not offered; remove its id.",
        f"model.toolIds[{index}]",
    )


def of_missing_member(index: int) -> ChatWarning:
    """Return the warning for a member whose assistant does not exist."""
    return ChatWarning(
        "member_not_found",
        "The assistant of a member is not there, so the squad goes on without it; remove it.",
        f"members[{index}].assistantId",
    )


def of_destinations(seat: Seat, names: Mapping[str, str]) -> list[ChatWarning]:
    """Return warnings for a squad's member: destinations that lead to no member, and unknown plans.

    `names` has the name of every member, by key.
    """
    where = f"members[{seat.place}].assistantDestinations"
    found = [
        ChatWarning(
            "destination_ignored",
            "The destination is no member of the squad, or several have its name; send its assistantId.",
            f"{where}[{index}]",
        )
        for index in left_out(seat.entry, names)
    ]
    for index, destination in enumerate(seat.entry.get("assistantDestinations") or ()):
        plan = destination.get("contextEngineeringPlan")
        kind = plan.get("type") if isinstance(plan, dict) else None
        if kind is not None and kind not in _PLANS:
            found.append(
                ChatWarning(
                    "context_plan_unknown",
                    f"The whole context goes along: the plan is none of {', '.join(_PLANS)}.",
                    f"{where}[{index}].contextEngineeringPlan.type",
                )
            )
    return found


def _listed(names: list[str]) -> str:
    shown = ", ".join(name[:40] for name in names[:_MOST_NAMES])
    return shown if len(names) <= _MOST_NAMES else f"{shown} and {len(names) - _MOST_NAMES} more"
