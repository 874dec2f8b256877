"""Copies the stubs from generated/, under the names that their protos give them, and has setuptools pack
them.

Without a generated/ two folders up, as in a source distribution, the copies are there already.
"""

import re
from pathlib import Path

from setuptools import setup

HERE = Path(__file__).resolve().parent
GENERATED = HERE.parents[1] / "generated"
PACKAGE = HERE / "src" / "parley"
IMPORTS = (
    (re.compile(r"^from generated\.buf\.validate import ", re.MULTILINE), "from parley._rules import "),
    (re.compile(r"^from generated\.parley\.", re.MULTILINE), "from parley."),
)


def copy(source: Path, target: Path) -> None:
    text = source.read_text()
    for pattern, name in IMPORTS:
        text = pattern.sub(name, text)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


if GENERATED.is_dir():
    for old in [*PACKAGE.glob("v1/*.py*"), *PACKAGE.glob("_validate_pb2.py*")]:
        old.unlink()
    for stub in (GENERATED / "parley" / "v1").glob("*.py*"):
        copy(stub, PACKAGE / "v1" / stub.name)
    for stub in (GENERATED / "buf" / "validate").glob("validate_pb2.py*"):
        copy(stub, PACKAGE / f"_{stub.name}")
setup()
