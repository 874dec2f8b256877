"""One fuzz target under atheris: `python -m tests.fuzz.long_run TARGET RUNS [FOLDER]`, its corpus kept in the
folder.

Ends with a code other than 0 at the first bug; the bytes that show it are then in the folder, and can be
given to `tests.fuzz.parsers.run`.
"""

import sys

import atheris

with atheris.instrument_imports(include=["server"]):
    from tests.fuzz.parsers import run

SECONDS_A_RUN = 5


def main(name: str, runs: int, folder: str = "") -> None:
    options = [
        f"-runs={runs}",
        "-max_len=512",
        f"-timeout={SECONDS_A_RUN}",
        "-rss_limit_mb=1024",
        f"-artifact_prefix={folder}/",
    ]
    atheris.Setup([sys.argv[0], *options, *([folder] if folder else [])], lambda data: run(name, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
