"""Runs work on large input in a thread, so that it does not block the event loop for other calls.

Small input is processed at once, because a thread would cost more than it saves. Knows nothing of the work.
"""

import asyncio
import contextvars
import sys
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

TURN_SECONDS = 0.001
"""How long a thread keeps the interpreter while the event loop waits for it. Python's default of 5 ms is too
long for each step of a call."""
LARGE = 16 * 1024
"""Bytes of a message or a document: about a millisecond of work."""
VERY_LARGE = 64 * 1024
"""Bytes from which on work that takes much memory is done one at a time. Work that is only large does not
wait for it."""

_P = ParamSpec("_P")
_T = TypeVar("_T")
_threads = ThreadPoolExecutor(2, "large")
_one_thread = ThreadPoolExecutor(1, "very-large")


def leave_turns() -> None:
    """For a process that serves."""
    sys.setswitchinterval(TURN_SECONDS)


async def by_size(size: int, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Return the result of `work`, which runs in a thread when `size` (bytes) is large."""
    return work(*args, **kwargs) if size <= LARGE else await in_thread(work, *args, **kwargs)


async def by_size_one_at_a_time(size: int, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """As `by_size`, but one at a time for very large input: 4 MB of empty values take 150 MB until they are
    counted."""
    if size <= VERY_LARGE:
        return await by_size(size, work, *args, **kwargs)
    return await _in(_one_thread, work, *args, **kwargs)


async def in_thread(work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Return the result of `work`, which runs in a thread. Cancelling the caller does not stop it."""
    return await _in(_threads, work, *args, **kwargs)


async def _in(threads: Executor, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(
        threads, partial(context.run, work, *args, **kwargs)
    )
