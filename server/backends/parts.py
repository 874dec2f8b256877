"""Errors for message parts that a provider does not accept; each provider's module decides which those
are."""

from typing import Any

from generated.parley.v1.message_pb2 import Message
from server.content.messages import parts_of
from server.core.accepted import TEXT_PARTS
from server.core.errors import InvalidArgument


def refused_part(part: dict[str, Any], provider: str, where: str = "", remedy: str = "") -> InvalidArgument:
    """Return the error 400 that names the part."""
    named = f"has a part of type {part.get('type', 'text')}{f' {where}' if where else ''}"
    return InvalidArgument.of(
        "input",
        f"{named}, which provider {provider} cannot be sent{f'; {remedy}' if remedy else ''}",
        reason="UNSUPPORTED_PART",
    )


def check_text_only(message: Message, provider: str, where: str) -> None:
    """Raise InvalidArgument for a part that is not text, where the provider accepts only text."""
    for part in parts_of(message):
        if part.get("type", "text") not in TEXT_PARTS:
            raise refused_part(part, provider, where)
