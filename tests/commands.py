"""Many commands of `parley` in one process, which starts once: a start takes ten times what most of them do. Tests
of single commands use `tests.processes.run`."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Sequence
from typing import Self

from tests.processes import SECONDS, Ended

_PROGRAM = """
import json, sys
from click.testing import CliRunner
from server.cli.main import main
for line in sys.stdin:
    ended = CliRunner().invoke(main, json.loads(line))
    if ended.exception and not isinstance(ended.exception, SystemExit):
        raise ended.exception
    print(json.dumps([ended.exit_code, ended.stdout, ended.stderr]), flush=True)
"""
_LONGEST_LINE = 1 << 24


class Commands:
    """`async with Commands() as run`: the process, which runs command lines to their ends, one after the other."""

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _PROGRAM,
            stdin=PIPE,
            stdout=PIPE,
            env={name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")},
            limit=_LONGEST_LINE,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._process.stdin.close()
        await self._process.wait()

    async def __call__(self, *lines: Sequence[object]) -> list[Ended]:
        """Run some command lines."""
        return [await self._run([*map(str, line)]) for line in lines]

    async def _run(self, words: list[str]) -> Ended:
        self._process.stdin.write(f"{json.dumps(words)}\n".encode())
        async with asyncio.timeout(SECONDS):
            printed = await self._process.stdout.readline()
        assert printed, f"{words} ended the process; its traceback is above"
        return Ended(*json.loads(printed))
