"""What is said of a part that a provider cannot be sent. Which those are, each provider's file says."""

from typing import Any

from generated.parley.v1.message_pb2 import Message
from server.content.messages import parts_of
from server.core.accepted import TEXT_PARTS
from server.core.errors import InvalidArgument


def refused_part(part: dict[str, Any], provider: str, where: str = "", remedy: str = "") -> InvalidArgument:
    """The 400 that names the part."""
    named = f"has a part of type {part.get('type', 'text')}{f' {where}' if where else ''}"
    return InvalidArgument.of(
        "input",
        f"{named}, which provider {provider} cannot be sent{f'; {remedy}' if remedy else ''}",
        reason="UNSUPPORTED_PART",
    )


def check_text_only(message: Message, provider: str, where: str) -> None:
    """Raises InvalidArgument for a part that is not text, where the provider takes nothing else."""
    for part in parts_of(message):
        if part.get("type", "text") not in TEXT_PARTS:
            raise refused_part(part, provider, where)
