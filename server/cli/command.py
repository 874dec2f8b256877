"""The entry point of `parley`. A signal during loading ends it without a traceback."""

import os
import signal
import sys

_INTERRUPTED = 128 + signal.SIGINT


def main() -> None:
    """Run the command line."""
    serves = sys.argv[1:2] == ["serve"]
    code = 0 if serves else _INTERRUPTED  # a server that has not begun has nothing to drain, and is done
    signal.signal(signal.SIGINT, lambda *_: os._exit(code))
    if serves:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(code))
    from server.cli.main import main as command

    if not serves:  # which sets its own
        command.loaded = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        command()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # only the end of the interpreter is left
