"""A process that is too busy to stop is killed; one that stops is left alone, with its exit code."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = """
import asyncio, re, signal, sys, uvloop
from server.cli.watchdog import watched

def ready():
    print("ready", flush=True)

def in_python():
    ready()
    while True:
        pass

def in_one_call_of_c():  # which no thread of this process can interrupt
    ready()
    re.match("(a+)+$", "a" * 60 + "b")

async def main():
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    with watched(float(sys.argv[2])):
        globals()[sys.argv[1]]()
        await stopping.wait()
        await asyncio.sleep(float(sys.argv[3]))

uvloop.run(main())
"""


async def stopped(busy: str, seconds: float, more: float = 0) -> tuple[int, list[dict]]:
    """How a process ended that was busy when SIGTERM came, twice, and what it logged."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        busy,
        str(seconds),
        str(more),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert await process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            _, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode, [json.loads(line) for line in err.splitlines()]


@pytest.mark.parametrize("busy", ["in_python", "in_one_call_of_c"])
async def test_process_that_is_busy_is_killed_and_says_with_what(busy):
    code, logged = await stopped(busy, 0.2)

    assert code == -signal.SIGKILL
    assert [(line["event"], line["level"], busy in line["busy_with"]) for line in logged] == [
        ("killed", "error", True)
    ]


async def test_process_that_does_not_end_is_killed():
    code, [line] = await stopped("ready", 0.2, more=60)

    assert (code, line["reason"]) == (-signal.SIGKILL, "it had not ended 0.2 s after it was told to stop")


async def test_process_that_stops_is_left_alone():
    assert await stopped("ready", 60) == (0, [])
