"""The key of an answer with tool calls, by which it is found when a caller repeats the calls instead of
continuing from it."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from generated.parley.v1.message_pb2 import ProviderState


def key_of(calls: Iterable[Mapping[str, Any]], made_by: ProviderState) -> str:
    """Return 32 hex digits that identify the calls and their maker, independent of spacing and order in the
    arguments.

    The maker is the provider, the model family and the host; the rest of the state does not count.
    """
    compared = [[call["id"], call["name"], _arguments(call["arguments"])] for call in calls]
    whole = [made_by.provider, made_by.model_family, made_by.host, compared]
    return hashlib.sha256(orjson.dumps(whole)).hexdigest()[:32]


def _arguments(text: str) -> str:
    try:
        return orjson.dumps(orjson.loads(text.strip() or "{}"), option=orjson.OPT_SORT_KEYS).decode()
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return text
