"""Virtual environments without a package index: what is installed here is lent to them, file by file, by
links."""

import subprocess
import sys
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent


def empty_environment(folder: Path) -> Path:
    """Make one without pip. Returns the folder of its commands."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return folder / "bin"


def packages_of(commands: Path) -> Path:
    [packages] = commands.parent.glob("lib/python*/site-packages")
    return packages


def lend(wanted: str, packages: Path) -> list[Distribution]:
    """Link a distribution that is installed here, and all that it requires with the given extras. Returns all
    of them."""
    lent: dict[str, Distribution] = {}
    _gather(Requirement(wanted), lent, set())
    for one in lent.values():
        root = Path(str(one.locate_file(".")))
        for parts in {_linked_whole(root, file.parts) for file in one.files or () if ".." not in file.parts}:
            if not (link := packages.joinpath(*parts)).exists():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(root.joinpath(*parts))
    return list(lent.values())


def _gather(wanted: Requirement, found: dict[str, Distribution], seen: set[str]) -> None:
    if str(wanted) in seen:
        return
    seen.add(str(wanted))
    one = found[wanted.name] = distribution(wanted.name)
    for needed in map(Requirement, one.requires or ()):
        if needed.marker is None or any(
            needed.marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras)
        ):
            _gather(needed, found, seen)


def _linked_whole(root: Path, parts: tuple[str, ...]) -> tuple[str, ...]:
    """The shortest part of a file's path that belongs to one distribution: a package, or its metadata."""
    for length in range(1, len(parts)):
        if parts[length - 1].endswith(".dist-info") or root.joinpath(*parts[:length], "__init__.py").exists():
            return parts[:length]
    return parts


def lend_commands(lent: Distribution, commands: Path) -> None:
    """Its commands, run by the interpreter of the other environment."""
    scripts = lent.entry_points.select(group="console_scripts")
    for entry in scripts:
        script = commands / entry.name
        script.write_text(
            f"#!{commands / 'python'}\nimport sys\nfrom {entry.module} import {entry.attr}\n"
            f"sys.exit({entry.attr}())\n"
        )
        script.chmod(0o755)
    for file in lent.files or ():
        if "bin" in file.parts[:-1] and ".." in file.parts and not (commands / file.name).exists():
            (commands / file.name).symlink_to(Path(str(lent.locate_file(file))).resolve())


def give_pip_that_lends(commands: Path) -> None:
    """A `pip install` that takes what it is asked for from here; `--editable .` is the checkout in the
    working directory."""
    package = packages_of(commands) / "pip"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "import subprocess, sys\n"
        f"sys.exit(subprocess.call([{sys.executable!r}, '-m', 'tests.environments', {str(commands)!r}, *sys.argv[1:]],\n"
        f"                         env={{'PYTHONPATH': {str(ROOT)!r}}}))\n"
    )
    (commands / "pip").write_text("")
    (commands / "pip").chmod(0o755)


def _install(commands: Path, arguments: list[str]) -> None:
    """What `pip install` is asked for, as this project asks: flags that say how, then names, or `--editable
    .[extras]`."""
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "--constraint":
            next(remaining)
        elif argument.startswith("."):
            (packages_of(commands) / "checkout.pth").write_text(f"{Path.cwd()}\n")
            _install(commands, [f"parley-server{argument.removeprefix('.')}"])
        elif not argument.startswith("-"):
            for one in lend(argument, packages_of(commands)):
                lend_commands(one, commands)


if __name__ == "__main__":
    assert sys.argv[2] == "install", sys.argv
    _install(Path(sys.argv[1]), sys.argv[3:])
