"""Limits of each key, each org and the whole server: requests a minute and concurrent calls, streams
included; for a publishable key also bytes a request and bytes a day.

State is in the memory of one process; each of several workers enforces its share. A refused request consumes
nothing of any limit. Callers without a key never count among those with one: they have a separate limit,
which no setting removes. Knows neither calls nor metadata.

Rates are token buckets in the form of GCRA: a bucket stores only the time at which it will be full again, and
a full one needs no entry.
"""

import math
import time
from collections.abc import Callable
from typing import NamedTuple

from server.core.config import Settings
from server.core.errors import Overloaded, RateLimited, ResourceExhausted, TooLarge
from server.storage.keys import Caller

_SECOND = 1_000_000_000
_ALL = ""
"""The name under which every call with a key counts; no key or org has this id."""
_MOST_KEYLESS = {"keyless": 64, "open streams": 32, "strangers": 64}
"""Concurrent calls per process, by kind; see Limits. No key has these ids either."""
_MOST_BUCKETS = 100_000
_MINUTES_OF_A_DAY = 24 * 60
_AGAIN_SECONDS = 1
"""When to try again where no time is known: a call ends when it ends."""


class Standing(NamedTuple):
    """State of a bucket after a request. Times are in nanoseconds."""

    limit: int
    remaining: int
    full_in: int
    wait: int
    """Until there is a token for the request that found none; 0 when it took one."""

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return the state as headers with OpenAI's names and format."""
        return (
            ("x-ratelimit-limit-requests", str(self.limit)),
            ("x-ratelimit-remaining-requests", str(self.remaining)),
            ("x-ratelimit-reset-requests", _duration(self.full_in)),
        )

    def check(self) -> None:
        """Raise RateLimited when there was no token."""
        if self.wait:
            raise RateLimited(
                f"too many requests of this key or org, which may send {self.limit} at once; try again in "
                f"{_duration(self.wait)}",
                retry_after=self.wait / _SECOND,
            )


class Buckets:
    """Token buckets by name. Each holds `burst` tokens and gains `per_minute` tokens a minute."""

    def __init__(self, per_minute: float, burst: float, most: int = _MOST_BUCKETS) -> None:
        self._interval = max(1, round(60 * _SECOND / per_minute))
        self._burst = max(1, math.floor(burst))
        self._capacity = self._interval * self._burst
        self._most = most
        self._full_at: dict[str, int] = {}
        """In the order of use, so that the first is the one to forget when there are too many."""

    def wait(self, name: str, now: int, tokens: int = 1) -> int:
        """Return the nanoseconds until `tokens` are available, 0 when they are; takes none."""
        return max(0, self._full_at.get(name, now) + tokens * self._interval - self._capacity - now)

    def acquire(self, name: str, now: int, tokens: int = 1) -> None:
        """Take tokens whose availability `wait` has reported."""
        self._full_at[name] = max(self._full_at.pop(name, now), now) + tokens * self._interval
        if len(self._full_at) > self._most:
            del self._full_at[next(iter(self._full_at))]

    def standing(self, name: str, now: int, wait: int) -> Standing:
        """Return the state of a bucket for the headers."""
        full_in = max(0, self._full_at.get(name, now) - now)
        return Standing(self._burst, max(0, (self._capacity - full_in) // self._interval), full_in, wait)


class Limits:
    """All limits of one server process."""

    def __init__(self, settings: Settings, clock: Callable[[], int] = time.monotonic_ns) -> None:
        workers = settings.workers
        self._is_on = settings.limits
        self._clock = clock
        self._keys = _buckets(settings.key_requests_per_minute, settings.key_burst, workers)
        self._orgs = _buckets(settings.org_requests_per_minute, settings.org_burst, workers)
        self._request_bytes, self._day_bytes = (
            settings.publishable_request_bytes,
            settings.publishable_day_bytes,
        )
        self._days = Buckets(self._day_bytes / _MINUTES_OF_A_DAY / workers, self._day_bytes / workers)
        most = (settings.key_calls, settings.org_calls, settings.server_calls)
        self._most_of_key, self._most_of_org, most_of_all = (
            math.ceil(calls / workers) if settings.limits else math.inf for calls in most
        )
        self.most_readers = math.ceil(settings.chat_readers / workers) if settings.limits else math.inf
        self._unread: dict[str, int] = {}
        """Bytes of whole answers by key."""
        self._most_unread = settings.unread_bytes
        self._calls: dict[str, int] = {}
        self.call = _UnderWay(self._calls, ((_ALL, most_of_all),))
        """To be entered for a call with a key. Raises Overloaded when the server has too many, as those below
        do."""
        self.keyless, self.open_stream, self.stranger = (
            _UnderWay(self._calls, ((name, most),)) for name, most in _MOST_KEYLESS.items()
        )
        """For calls of methods without keys; for streams of health or reflection; for lookups of unknown
        keys."""

    @property
    def under_way(self) -> int:
        """Return the number of running calls with a key."""
        return self._calls.get(_ALL, 0)

    def acquire(self, caller: Caller | None) -> Standing | None:
        """Take a token of the caller's key and one of its org, or neither; return the tighter state.

        None when limits are off, or the method takes no key.
        """
        if caller is None or not self._is_on:
            return None
        now = self._clock()
        of_key, of_org = self._keys.wait(caller.key_id, now), self._orgs.wait(caller.org_id, now)
        if not of_key and not of_org:
            self._keys.acquire(caller.key_id, now)
            self._orgs.acquire(caller.org_id, now)
        key, org = (
            self._keys.standing(caller.key_id, now, of_key),
            self._orgs.standing(caller.org_id, now, of_org),
        )
        return key if (-key.wait, key.remaining) <= (-org.wait, org.remaining) else org

    def acquire_bytes(self, caller: Caller | None, size: int, *, runs_model: bool = True) -> None:
        """Take a request's bytes from a publishable key's daily limit for requests that run a model or not
        (`runs_model`).

        Raises TooLarge for more than a request may have, RateLimited for more than remains of the day.
        """
        if caller is None or not caller.is_publishable or not self._is_on:
            return
        if runs_model and size > self._request_bytes:
            raise TooLarge(size, self._request_bytes)
        now = self._clock()
        if wait := self._days.wait(caller.key_id, now, size):
            raise RateLimited(
                f"a publishable key may send {self._day_bytes} bytes a day, and this one has; try again in "
                f"{_duration(wait)}, or use an api or a secret key",
                reason="TOO_MANY_BYTES",
                retry_after=wait / _SECOND,
            )
        self._days.acquire(caller.key_id, now, size)

    def check_unread(self, caller: Caller) -> None:
        """Raise RateLimited when the key's callers have too many answered bytes unread."""
        if self._unread.get(caller.key_id, 0) > self._most_unread:
            raise RateLimited(
                f"{self._unread[caller.key_id]} bytes of answers to calls with this key are not read yet, and "
                f"{self._most_unread} may be; read them, or call less at once",
                reason="TOO_MUCH_UNREAD",
                retry_after=_AGAIN_SECONDS,
            )

    def reserve_unread(self, caller: Caller, size: int) -> Callable[[], None]:
        """Count an answer of `size` bytes as unread until the returned function is called."""
        self._unread[caller.key_id] = self._unread.get(caller.key_id, 0) + size

        def read() -> None:
            left = self._unread.pop(caller.key_id) - size
            if left:
                self._unread[caller.key_id] = left

        return read

    def call_of(self, caller: Caller | None) -> "_UnderWay":
        """Return a context manager that counts a call of this caller. Raises RateLimited when its key or its
        org has too many."""
        if caller is None:
            return _UnderWay(self._calls, ())
        return _UnderWay(
            self._calls, ((caller.key_id, self._most_of_key), (caller.org_id, self._most_of_org))
        )


class _UnderWay:
    """A call that counts under several names, each with its own maximum."""

    __slots__ = ("_calls", "_names")

    def __init__(self, calls: dict[str, int], names: tuple[tuple[str, float], ...]) -> None:
        self._calls = calls
        self._names = names

    def __enter__(self) -> None:
        calls = self._calls
        for name, most in self._names:
            if calls.get(name, 0) >= most:
                raise _too_many(name, most)
        for name, _ in self._names:
            calls[name] = calls.get(name, 0) + 1

    def __exit__(self, *raised: object) -> None:
        calls = self._calls
        for name, _ in self._names:
            left = calls[name] - 1
            if left:
                calls[name] = left
            else:
                del calls[name]


def _too_many(name: str, most: float) -> ResourceExhausted:
    if name == _ALL or name in _MOST_KEYLESS:
        return Overloaded(
            "the server has as many calls under way as it takes; try again", retry_after=_AGAIN_SECONDS
        )
    return RateLimited(
        f"{most} calls of this key or org are under way, streams included, which is the most allowed; let "
        "one of them end",
        reason="TOO_MANY_CALLS",
        retry_after=_AGAIN_SECONDS,
    )


def _buckets(per_minute: float, burst: int | None, workers: int) -> Buckets:
    return Buckets(per_minute / workers, (per_minute if burst is None else burst) / workers)


def _duration(nanoseconds: int) -> str:
    """Format a duration as Go does: 20ms, 1.5s, 6m0s. Rounded up."""
    milliseconds = math.ceil(nanoseconds / 1_000_000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:g}s"
    minutes, seconds = divmod(math.ceil(milliseconds / 1000), 60)
    return f"{minutes}m{seconds}s"
