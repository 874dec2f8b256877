"""Work on what is large, beside the event loop: in a thread, so that nobody else's call waits for the end of
it.

What is small is done at once, because a thread costs more than it saves there. Knows nothing of the work.
"""

import asyncio
import contextvars
import sys
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

TURN_SECONDS = 0.001
"""How long a thread keeps the interpreter while the event loop waits for it. Python's own 5 ms are many for
each step of a call."""
LARGE = 16 * 1024
"""Bytes of a message or a document: about a millisecond of work."""
VERY_LARGE = 64 * 1024
"""Bytes of what is worked on one at a time, where it takes much memory. Others that are only large do not
wait for it."""

_P = ParamSpec("_P")
_T = TypeVar("_T")
_threads = ThreadPoolExecutor(2, "large")
_one_thread = ThreadPoolExecutor(1, "very-large")


def leave_turns() -> None:
    """For a process that serves."""
    sys.setswitchinterval(TURN_SECONDS)


async def by_size(size: int, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """What `work` returns for input of so many bytes, done in a thread when that is much."""
    return work(*args, **kwargs) if size <= LARGE else await in_thread(work, *args, **kwargs)


async def by_size_one_at_a_time(size: int, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """As `by_size`, but what is very large one at a time: 4 MB of empty values are 150 MB until they are
    counted."""
    if size <= VERY_LARGE:
        return await by_size(size, work, *args, **kwargs)
    return await _in(_one_thread, work, *args, **kwargs)


async def in_thread(work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """What `work` returns, done in a thread. A caller who goes away does not end it."""
    return await _in(_threads, work, *args, **kwargs)


async def _in(threads: Executor, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(
        threads, partial(context.run, work, *args, **kwargs)
    )
