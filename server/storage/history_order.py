"""The order in which conversations are written down, and can be put back piece by piece. Knows no table and
no file.

Whatever is put back must be whole at every moment: a chat has its messages, a fork has what it continues, and
no message is there that nothing needs. So a thread comes before those that continue it, a chat after its
messages, and a piece ends where something needs all that is in it.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

T = TypeVar("T")
Unit = list[T]
"""Rows that have to be put back together."""


def in_order(
    threads: Sequence[str],
    forks: Mapping[str, tuple[str, int]],
    rows: Callable[[str], Iterable[tuple[T, bool]]],
) -> Iterator[Unit[T]]:
    """Yield the rows of threads. `forks` has the parent of each thread that continues another, and the
    position up to which it does.

    `rows` yields the rows of a thread in order, each with whether it, or a session, needs all rows before it.
    """
    unit: Unit[T] = []
    for thread_id in _line(threads, forks):
        for row, needs in rows(thread_id):
            unit.append(row)
            if needs:
                yield unit
                unit = []
    if unit:
        yield unit


def _line(threads: Sequence[str], forks: Mapping[str, tuple[str, int]]) -> Iterator[str]:
    """Threads before those that continue them, of which the one that needs most comes first."""
    after: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    known, left = set(threads), dict.fromkeys(threads)
    for thread_id, (parent_id, parent_seq) in forks.items():
        if parent_id in known:
            after[parent_id].append((-parent_seq, thread_id))
    for first in [
        thread_id for thread_id in threads if thread_id not in forks or forks[thread_id][0] not in known
    ]:
        waiting = [first]
        while waiting:
            thread_id = waiting.pop()
            del left[thread_id]
            yield thread_id
            waiting += [one for _, one in sorted(after[thread_id], reverse=True)]
    yield from left  # they continue each other in a circle, which is for the writer to refuse
