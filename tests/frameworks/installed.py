"""Environments of their own for the frameworks, with the versions of the lists in this folder.

They stay in the user's cache beside the programs of `tests/callers.py`. Neither `.venv` nor the checkout gets any of it.
"""

import sys
from pathlib import Path

from tests.callers import do, made, needed

FOLDER = Path(__file__).resolve().parent


def python_with(requirements: str) -> list[str]:
    """The command of a Python that has what the file lists. Skips the test where no registry is reached."""

    def install(folder: Path) -> None:
        do(sys.executable, "-m", "venv", str(folder), cwd=FOLDER)
        pip = (
            str(folder / "bin" / "python"),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        )
        do(
            *pip,
            "--no-compile",
            "--only-binary",
            ":all:",
            "--requirement",
            str(FOLDER / requirements),
            cwd=FOLDER,
        )

    name = f"{Path(requirements).stem}-{sys.version_info.major}.{sys.version_info.minor}"
    return [str(made(f"frameworks-{name}", [FOLDER / requirements], install) / "bin" / "python")]


def node_with_packages(script: str) -> list[str]:
    """The command that runs a script beside the packages of `package.json`. Skips the test where there is no Node.js
    or no registry is reached."""
    node, npm = needed("node"), needed("npm")
    locks = [FOLDER / "package.json", FOLDER / "package-lock.json"]

    def install(folder: Path) -> None:
        for lock in locks:
            (folder / lock.name).write_bytes(lock.read_bytes())
        do(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error", cwd=folder)

    def copy(folder: Path) -> None:
        (folder / "node_modules").symlink_to(packages)
        (folder / script).write_bytes((FOLDER / script).read_bytes())

    packages = made("frameworks-node", locks, install) / "node_modules"
    return [node, str(made("frameworks-script", [*locks, FOLDER / script], copy) / script)]
