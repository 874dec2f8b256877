"""How much work something is, counted and never timed: calls of functions, of Python's own too, in this
thread."""

import cProfile
from collections.abc import Awaitable, Callable
from typing import Any

MOST_GROWTH = 2.5
"""Times what the first doubling added. Twice is linear, and four times is the square."""
FEW = 300
"""Calls that come and go with whatever else the event loop does."""


def calls_of(work: Callable[[], Any]) -> int:
    """How many calls `work` makes."""
    profile = cProfile.Profile()
    profile.runcall(work)
    return _calls(profile)


async def calls_while(work: Callable[[], Awaitable[Any]]) -> int:
    """How many calls this thread makes, the event loop's with them, until `work` is done."""
    profile = cProfile.Profile()
    profile.enable()
    try:
        await work()
    finally:
        profile.disable()
    return _calls(profile)


def grows_too_fast(once: int, twice: int, fourfold: int) -> bool:
    """Whether work for input of size 1, 2 and 4 grows faster than the input does.

    Less may be done of what is larger, as when a bound refuses it: then it may grow from there as the input
    does.
    """
    return fourfold > 2 * twice + FEW and fourfold - twice > MOST_GROWTH * max(twice - once, 0) + FEW


def check_linear(work: Callable[[int], Callable[[], Any]], size: int) -> None:
    """`work(n)` makes ready what is then counted: input of size n."""
    counts = [calls_of(work(size * factor)) for factor in (1, 2, 4)]
    assert not grows_too_fast(*counts), f"calls for {size}, {2 * size} and {4 * size}: {counts}"


def _calls(profile: cProfile.Profile) -> int:
    return sum(entry.callcount for entry in profile.getstats())
