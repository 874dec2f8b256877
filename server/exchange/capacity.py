"""Limits how much a conversation may hold, how much of it an exchange may read, and how much one publishable
key may put on record.

A key's usage is measured occasionally in the background, so that no call waits for it: a key may exceed its
limit by what it sends until the next measurement.
"""

import asyncio
import math
from collections.abc import Sequence

import structlog

from generated.parley.v1.message_pb2 import Message
from server.core.errors import ConversationFull, RateLimited
from server.storage import threads
from server.storage.keys import Caller
from server.storage.usage import Usage

log = structlog.get_logger()

_MEASURED_EACH = 64
"""Parts of a key's limit. The key is measured again once it has sent one such part."""
_LEAST = 4_096
"""The least number of bytes that an exchange counts for: answers are stored too."""
_MOST_KEYS = 10_000


class Capacity:
    """Checks limits in bytes; infinite unless given."""

    def __init__(
        self,
        usage: Usage | None = None,
        *,
        conversation: float = math.inf,
        exchange: float = math.inf,
        publishable_exchange: float = math.inf,
        publishable_key: float = math.inf,
    ) -> None:
        self._usage = usage
        self.conversation = conversation
        """The most that a conversation may hold."""
        self._exchange = exchange
        self._publishable_exchange = publishable_exchange
        self._publishable_key = publishable_key
        self._measured_bytes: dict[str, int] = {}
        """Result of the last measurement, by key."""
        self._sent: dict[str, int] = {}
        """Sent since then, by key."""
        self._measuring: dict[str, asyncio.Task[None]] = {}
        self._one_at_a_time = asyncio.Lock()

    def most_read(self, caller: Caller, *, summary: bool) -> int:
        """Return the size in bytes beyond which `check`, or for a summary `check_summary`, raises anyway."""
        most = self._exchange if summary else self._most(caller)
        return int(min(most, threads.LAST))

    def check(self, caller: Caller, stored: int, input_messages: Sequence[Message]) -> None:
        """Raise ConversationFull when history and input exceed what an exchange may read; otherwise as
        `reserve`."""
        most = self._most(caller)
        if stored and stored + threads.size_of(input_messages) > most:
            raise ConversationFull(stored, most)
        self.reserve(caller, input_messages)

    def check_summary(self, stored: int) -> None:
        """Raise ConversationFull when a conversation is too large even for a summary."""
        if stored > self._exchange:
            raise ConversationFull(stored, self._exchange)

    def reserve(self, caller: Caller, input_messages: Sequence[Message]) -> None:
        """Count the bytes that a key is about to put on record. Raises RateLimited when a publishable key is
        at its limit."""
        if self._usage is None or not caller.is_publishable or self._publishable_key == math.inf:
            return
        key = caller.key_id
        if self._measured_bytes.get(key, 0) >= self._publishable_key:
            self._measure(caller)  # records may have been deleted
            raise RateLimited(
                f"the records made with this publishable key have {self._measured_bytes[key]} bytes, of at most "
                f"{self._publishable_key:.0f}; delete sessions and chats that it made, with an api or a secret "
                "key",
                reason="KEY_FULL",
            )
        sent = self._sent[key] = self._sent.get(key, 0) + max(_LEAST, threads.size_of(input_messages))
        if key not in self._measured_bytes or sent * _MEASURED_EACH >= self._publishable_key:
            self._measure(caller)

    def _most(self, caller: Caller) -> float:
        return min(self._exchange, self._publishable_exchange) if caller.is_publishable else self._exchange

    async def settle(self) -> None:
        """Wait for the measurements that are in progress."""
        await asyncio.gather(*self._measuring.values())

    async def close(self) -> None:
        """Cancel all measurements."""
        for task in self._measuring.values():
            task.cancel()
        await asyncio.gather(*self._measuring.values(), return_exceptions=True)

    def _measure(self, caller: Caller) -> None:
        if caller.key_id not in self._measuring:
            self._measuring[caller.key_id] = asyncio.create_task(self._measured(caller))

    async def _measured(self, caller: Caller) -> None:
        try:
            async with self._one_at_a_time:
                sent = self._sent.get(caller.key_id, 0)
                assert self._usage is not None
                stored = await self._usage.bytes_of_key(caller.org_id, caller.key_id)
            self._measured_bytes.pop(caller.key_id, None)
            self._measured_bytes[caller.key_id] = stored
            self._sent[caller.key_id] = self._sent.get(caller.key_id, 0) - sent
            if len(self._measured_bytes) > _MOST_KEYS:
                oldest = next(iter(self._measured_bytes))
                del self._measured_bytes[oldest]
                self._sent.pop(oldest, None)
        except Exception as error:  # the key is measured again
            log.error("the usage of a key could not be measured", key_id=caller.key_id, exc_info=error)
        finally:
            del self._measuring[caller.key_id]
