"""What a row of the fault suite is, and what it counts. Breaks nothing by itself."""

import os
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple


@dataclass
class Trial:
    """One row while it runs."""

    folder: Path
    count: int
    """How often the fault is to be made."""
    step: Callable[[], None] = lambda: None
    """Called after each time."""
    tried: int = 0
    survived: int = 0
    lost: int = 0
    """What was acknowledged and is not there."""
    hanging: int = 0
    """Calls that did not end, and connections, files or tasks that stayed."""
    figures: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    """What did not hold, in words."""

    def record(self, *, lost: int = 0, hanging: int = 0, wrong: str = "", **figures: float) -> None:
        """Say how one time went: it was survived when nothing is lost, hanging or wrong. Figures are
        summed."""
        self.tried += 1
        self.lost += lost
        self.hanging += hanging
        if wrong:
            self.wrong.append(wrong)
        if not (lost or hanging or wrong):
            self.survived += 1
        for name, value in figures.items():
            self.figures[name] = self.figures.get(name, 0) + value
        self.step()

    @property
    def passed(self) -> bool:
        return self.tried > 0 and self.tried == self.survived and not (self.lost or self.hanging)


class Row(NamedTuple):
    """One fault, and what must hold under it."""

    name: str
    promise: str
    work: Callable[[Trial], Awaitable[None]]
    count: int
    """How often in the whole suite."""
    quick: int
    """How often with --quick."""
    short: int = 0
    """How often in `scripts/test`; 0 where another test does the same, or where it takes too long."""
    needs: tuple[str, ...] = ()

    def lacks(self) -> str:
        """What this machine has not got for it."""
        return ", ".join(name for name in self.needs if not _HAS[name]())


_HAS: dict[str, Callable[[], bool]] = {
    "strace": lambda: shutil.which("strace") is not None,
    "faketime": lambda: shutil.which("faketime") is not None,
    "chattr": lambda: shutil.which("chattr") is not None,
    "prlimit": lambda: shutil.which("prlimit") is not None,
    "root": lambda: os.geteuid() == 0,
    "tmpfs": lambda: os.geteuid() == 0 and Path("/proc/self/mounts").exists(),
}
