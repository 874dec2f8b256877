"""Bounds of one answer, and of one page of a list, and how an answer names what it leaves out. Reads nothing."""

from collections.abc import Sequence

from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.session_pb2 import Session

MOST_BYTES = 4_080 * 1024
"""Of an answer. gRPC clients accept 4 MiB by default; the rest is for its envelope."""
MOST_OUTPUT_BYTES = 3_600 * 1024
"""Of the whole output of one exchange, tool rounds included, so that it always fits into its answer."""
MOST_MESSAGE_BYTES = 3_600 * 1024
"""Of one message in a request, so that it can always be read again."""
SHORT_BYTES = 1024
"""Of a shortened record: its ids, times and names."""

_HOW = (
    "The answer would be larger than a gRPC client takes by default. What a session's chats leave out is "
    "in GET /v1/conversations/{sessionId}/items, page by page; the input of a chat in GET "
    "/v1/responses/{id}/input_items."
)


def omit(answer: Chat | Session, name: str) -> None:
    """Record in an answer that a member is left out or shortened."""
    if name not in answer.omitted.members:
        answer.omitted.members.append(name)
    answer.omitted.message = _HOW


def omit_in_list(answer: Chat | Session, path: str, *names: str) -> None:
    """Record in a record of a page that it is shortened, and that `path` has all of it."""
    answer.omitted.members.extend(names)
    answer.omitted.message = (
        f"The list would be larger than a gRPC client takes by default. GET {path} has all of this "
        f"{answer.DESCRIPTOR.name.lower()}; a smaller `limit` shows more of each."
    )


def whole(sizes: Sequence[int]) -> list[bool]:
    """Return which records of a page are complete: each that fits when all later ones are at least shown
    shortened."""
    left = MOST_BYTES - SHORT_BYTES * len(sizes)
    shown = []
    for size in sizes:
        fits = size - SHORT_BYTES <= left
        left -= max(size - SHORT_BYTES, 0) if fits else 0
        shown.append(fits)
    return shown


def fitting(sizes: Sequence[int]) -> int:
    """Return how many records of a page fit, from its beginning; at least one."""
    total = 0
    for count, size in enumerate(sizes):
        total += size
        if total > MOST_BYTES and count:
            return count
    return len(sizes)
