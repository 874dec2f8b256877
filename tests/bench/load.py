"""Closed-loop callers and what they saw: answers a second, times, and the processor time of the server's
processes.

HTTP is spoken by hand and read only as far as its end has to be found: a client library would take more of
the machine than the server.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")
Caller = Callable[[], Awaitable[float]]
"""One call from its beginning to its end; the seconds until its first byte."""


class Seen(NamedTuple):
    """What a run of calls was like."""

    a_second: float
    cpu_us: float
    """Processor time of the server for a call."""
    p50_ms: float
    p99_ms: float


async def closed_loop(callers: Sequence[Caller], calls: int, pids: Sequence[int]) -> Seen:
    """Each caller calls again as soon as it is answered, until all have made so many calls."""
    left, times = iter(range(calls)), []

    async def repeat(caller: Caller) -> None:
        for _ in left:
            began = time.perf_counter()
            await caller()
            times.append(time.perf_counter() - began)

    cpu, began = processor_seconds(pids), time.perf_counter()
    await asyncio.gather(*map(repeat, callers))
    elapsed = time.perf_counter() - began
    used = processor_seconds(pids) - cpu
    times.sort()
    return Seen(
        calls / elapsed, used / calls * 1e6, times[len(times) // 2] * 1e3, times[int(len(times) * 0.99)] * 1e3
    )


class Http:
    """One connection that sends the same request again and again."""

    expected = b"http/1.1 200"

    def __init__(self, address: str, path: str, key: str, body: bytes) -> None:
        self._address = address
        self._request = (
            f"POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        ).encode() + body
        self._reader: asyncio.StreamReader | None = None

    async def __call__(self) -> float:
        if self._reader is None:
            host, _, port = self._address.partition(":")
            self._reader, self._writer = await asyncio.open_connection(host, int(port), limit=1 << 20)
        began = time.perf_counter()
        self._writer.write(self._request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        assert head.startswith(self.expected), head
        if b"content-length: " in head:
            await self._reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
            return time.perf_counter() - began
        first = 0.0
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            await self._reader.readexactly(size + 2)
            first = first or time.perf_counter() - began
        await self._reader.readexactly(2)
        return first

    def close(self) -> None:
        if self._reader is not None:
            self._writer.close()


def tree(pid: int) -> list[int]:
    """A process and all that it has started."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, left = [], [pid]
    while left:
        found.append(left.pop())
        left += parents.get(found[-1], [])
    return found


def processor_seconds(pids: Sequence[int]) -> float:
    """User and system time so far, threads that have ended included. It is what /proc/PID/stat has, without
    being rounded to hundredths of a second: the number of a process's own clock is made of its id."""
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def seconds_of_others() -> float:
    """Processor time so far of everything on this machine but this process and what it started that has
    ended."""
    user, nice, system, _, _, *interrupts = map(int, Path("/proc/stat").read_text().split()[1:9])
    own = os.times()
    return (user + nice + system + sum(interrupts)) / TICKS - sum(own[:4])


def resident_bytes(pids: Sequence[int]) -> int:
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids) * os.sysconf(
        "SC_PAGE_SIZE"
    )
