"""Answers that came whole, as the events of the streams that were asked for (`bodies.py`).

What came whole is complete, whether it says why it ended or not.
"""

from collections.abc import Iterator
from typing import Any


def chunk_of(answer: Any) -> Iterator[tuple[str, Any]]:
    """A chat completion as a chunk. Raises ValueError for what is neither that nor an error."""
    choices = answer.get("choices") if isinstance(answer, dict) else None
    if not isinstance(answer, dict) or not (choices or answer.get("error")):
        raise ValueError("neither a completion nor an error")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict):
            choice["finish_reason"] = choice.get("finish_reason") or "stop"
    yield "chunk", answer


def events_of(answer: Any) -> Iterator[tuple[str, Any]]:
    """A message of Anthropic's as its events. Raises ValueError for what is neither that nor an error."""
    if isinstance(answer, dict) and answer.get("error"):
        yield "error", answer
        return
    if not isinstance(answer, dict) or not isinstance(blocks := answer.get("content"), list):
        raise ValueError("neither a message nor an error")
    events: list[dict[str, Any]] = [{"type": "message_start", "message": answer}]
    for index, block in enumerate(blocks):
        events += [
            {"type": "content_block_start", "index": index, "content_block": block},
            {"type": "content_block_stop", "index": index},
        ]
    events += [
        {"type": "message_delta", "delta": {"stop_reason": answer.get("stop_reason") or "end_turn"}},
        {"type": "message_stop"},
    ]
    for event in events:
        yield event["type"], event
