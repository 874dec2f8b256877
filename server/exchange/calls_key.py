"""What an answer with tool calls is found by when a caller repeats its calls instead of going on from it."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from generated.parley.v1.message_pb2 import ProviderState


def key_of(calls: Iterable[Mapping[str, Any]], made_by: ProviderState) -> str:
    """32 hex digits that stand for the calls, however their arguments are spaced and ordered, and for who
    made them.

    Who made them is the provider, the model's family and the host; what the state has besides does not count.
    """
    compared = [[call["id"], call["name"], _arguments(call["arguments"])] for call in calls]
    whole = [made_by.provider, made_by.model_family, made_by.host, compared]
    return hashlib.sha256(orjson.dumps(whole)).hexdigest()[:32]


def _arguments(text: str) -> str:
    try:
        return orjson.dumps(orjson.loads(text.strip() or "{}"), option=orjson.OPT_SORT_KEYS).decode()
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return text
