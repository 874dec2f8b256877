"""Power cuts: what a real writer sent to the disk is recorded by strace, and replayed up to a random moment.

At the cut the disk has all that was synced, and of what was not any part: each write whole, torn at its
sectors, or not at all. Takes it that a sync does what it promises; disks that lie about that cannot be helped
here.
"""

import asyncio
import random
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from server.storage.store import open_store
from tests.fault import verdict
from tests.fault.trial import Row, Trial
from tests.fault.writer import read

ROOT = Path(__file__).parents[2]
_CUTS_PER_RECORDING = 100
_LINES = 250
_SECTOR = 512
_CALL = re.compile(r"(?P<pid>\d+) +(?P<name>\w+)\((?P<arguments>.*)")
_RESUMED = re.compile(r"(?P<pid>\d+) +<\.\.\. (?P<name>\w+) resumed>.*= (?P<result>-?\d+)")


class Write(NamedTuple):
    path: str
    offset: int
    content: bytes


class Resize(NamedTuple):
    path: str
    size: int


class Sync(NamedTuple):
    path: str


class Removal(NamedTuple):
    path: str


class Printed(NamedTuple):
    line: bytes


Event = Write | Resize | Sync | Removal | Printed


async def of_power(trial: Trial) -> None:
    while trial.tried < trial.count:
        await asyncio.to_thread(_recording, trial, min(_CUTS_PER_RECORDING, trial.count - trial.tried))


def _recording(trial: Trial, cuts: int) -> None:
    folder = trial.folder / f"recorded-{trial.tried}"
    open_store(folder).close()
    disk = Disk({str(path): path.read_bytes() for path in folder.iterdir()})
    events = list(_recorded(folder))
    assert any(isinstance(event, Sync) for event in events) and any(
        isinstance(event, Write) for event in events
    )
    chance = random.Random()
    moments = sorted(chance.sample(range(len(events)), min(cuts, len(events))))
    printed: list[bytes] = []
    for moment, event in enumerate(events):
        if moments and moment == moments[0]:
            moments.pop(0)
            left = trial.folder / f"cut-{trial.tried}"
            disk.cut(left, folder, chance)
            acknowledged = read(printed)
            verdict.record(trial, left, acknowledged)
            trial.figures["acknowledged"] = trial.figures.get("acknowledged", 0) + len(acknowledged.there)
        if isinstance(event, Printed):
            printed.append(event.line)
        else:
            disk.do(event)


class Disk:
    """What is surely on it, and what may be, by file."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._synced = {path: bytearray(content) for path, content in files.items()}
        self._pending: dict[str, list[Write | Resize]] = defaultdict(list)
        self._removed: set[str] = set()
        """Files that are gone once their folder is synced."""

    def do(self, event: Write | Resize | Sync | Removal) -> None:
        if isinstance(event, Removal):
            self._removed.add(event.path)
        elif isinstance(event, Sync) and (
            removed := {path for path in self._removed if path.startswith(f"{event.path}/")}
        ):
            for path in removed:
                self._synced.pop(path, None)
                self._pending.pop(path, None)
            self._removed -= removed
        elif isinstance(event, Sync):
            content = self._synced.setdefault(event.path, bytearray())
            for change in self._pending.pop(event.path, []):
                _apply(content, change)
        else:
            self._pending[event.path].append(event)

    def cut(self, left: Path, folder: Path, chance: random.Random) -> None:
        """Write to `left` what a cut now might leave."""
        left.mkdir()
        for path in self._synced.keys() | self._pending.keys():
            if path in self._removed and chance.random() < 0.5:
                continue
            content = bytearray(self._synced.get(path, b""))
            for change in self._pending.get(path, []):
                fate = chance.random()
                if fate < 0.4:
                    _apply(content, change)
                elif fate < 0.7 and isinstance(change, Write):
                    _tear(content, change, chance)
            (left / Path(path).relative_to(folder)).write_bytes(content)
        if chance.random() < 0.5:
            # shared memory is not written in any order
            (left / "parley.db-shm").write_bytes(chance.randbytes(32768))


def _apply(content: bytearray, change: Write | Resize) -> None:
    if isinstance(change, Resize):
        del content[change.size :]
        content.extend(bytes(change.size - len(content)))
    else:
        content.extend(bytes(max(0, change.offset - len(content))))
        content[change.offset : change.offset + len(change.content)] = change.content


def _tear(content: bytearray, change: Write, chance: random.Random) -> None:
    """Apply some sectors of a write."""
    start = 0
    while start < len(change.content):
        end = min(len(change.content), start + _SECTOR - (change.offset + start) % _SECTOR)
        if chance.random() < 0.5:
            _apply(content, Write(change.path, change.offset + start, change.content[start:end]))
        start = end


def _recorded(folder: Path) -> Iterator[Event]:
    """What a writer did to its files and said, in order."""
    log = folder.with_name(f"{folder.name}.strace")
    subprocess.run(
        [
            "strace",
            "-f",
            "-qq",
            "-xx",
            "-s",
            "1000000",
            "-o",
            str(log),
            "-e",
            "trace=openat,pwrite64,ftruncate,fdatasync,fsync,write,unlink",
            sys.executable,
            "-m",
            "tests.fault.writer",
            str(folder),
            str(_LINES),
        ],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        timeout=120,
        check=True,
    )
    with log.open() as lines:
        yield from _events(lines, str(folder))
    log.unlink()


def _events(lines: Iterator[str], folder: str) -> Iterator[Event]:
    """A write counts from its beginning, a sync from its end on."""
    paths: dict[int, str] = {}
    begun: dict[str, str] = {}
    for line in lines:
        if resumed := _RESUMED.match(line):
            arguments, result = begun.pop(resumed["pid"], ""), int(resumed["result"])
            name, is_over = resumed["name"], True
        elif call := _CALL.match(line):
            name, arguments = call["name"], call["arguments"]
            is_over = "<unfinished" not in line
            if not is_over:
                begun[call["pid"]] = arguments
            result = int(line.rpartition("= ")[2].split()[0]) if is_over and "= ?" not in line else 0
        else:
            continue
        first = arguments.partition(",")[0].partition(")")[0].split()[0] if arguments else ""
        if name == "openat" and is_over and result >= 0:
            paths[result] = _text(arguments.split('"')[1]).decode()
        elif name == "write" and first == "1" and not resumed:
            yield Printed(_text(arguments.split('"')[1]))
        elif name == "unlink" and is_over and result == 0:
            path = _text(arguments.split('"')[1]).decode()
            if path.startswith(f"{folder}/"):
                yield Removal(path)
        elif name == "fsync" and is_over and first.isdecimal() and paths.get(int(first)) == folder:
            yield Sync(folder)
        elif name in _FORMS and first.isdecimal() and paths.get(int(first), "").startswith(f"{folder}/"):
            path = paths[int(first)]
            if not path.endswith("-shm") and (is_over if name.endswith("sync") else not resumed):
                yield _FORMS[name](path, arguments)


def _write(path: str, arguments: str) -> Write:
    _, content, rest = arguments.split('"')
    return Write(path, int(rest.split(",")[2].partition(")")[0].split()[0]), _text(content))


_FORMS = {
    "pwrite64": _write,
    "ftruncate": lambda path, arguments: Resize(
        path, int(arguments.split(",")[1].partition(")")[0].split()[0])
    ),
    "fdatasync": lambda path, _: Sync(path),
    "fsync": lambda path, _: Sync(path),
}


def _text(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))


ROWS = [
    Row(
        "power cut while writing",
        "nothing acknowledged is lost, what was deleted stays so, the file is sound",
        of_power,
        1000,
        100,
        10,
        ("strace",),
    ),
]
