"""Kills this process when it does not end after SIGTERM or SIGINT, whatever it is doing.

A Python signal handler waits for the interpreter, which one request may block indefinitely. Therefore a C
handler notifies a small separate process, which counts the seconds, and learns from a closed pipe that this
one has ended.
"""

import contextlib
import faulthandler
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

# Reads the traceback that the handler writes, which shows what the process was doing when it was ordered to
# stop.
_WATCH = """
import json, os, select, signal, sys, time
pid, seconds = int(sys.argv[1]), float(sys.argv[2])
first = latest = os.read(0, 65536)
until = time.monotonic() + seconds
while latest:
    left = until - time.monotonic()
    if left <= 0:
        print(json.dumps({"event": "killed", "level": "error", "busy_with": first.decode(errors="replace"),
                          "reason": f"it had not ended {seconds:g} s after it was told to stop"}), file=sys.stderr)
        os.kill(pid, signal.SIGKILL)
        break
    if select.select([0], [], [], left)[0]:
        latest = os.read(0, 65536)
"""


@contextlib.contextmanager
def watched(seconds: float) -> Iterator[None]:
    """Kill this process `seconds` after the first signal, unless it has ended. Must be entered after handlers
    are set."""
    watch = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _WATCH, str(os.getpid()), str(seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert watch.stdin is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        faulthandler.register(number, file=watch.stdin, all_threads=False, chain=True)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            faulthandler.unregister(number)
        watch.stdin.close()
        watch.wait()
