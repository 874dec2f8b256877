"""The programs of `clients/go` and `clients/typescript`, with stubs that `buf generate` makes of `proto/`.

What is built, and what it is built with, stays in the user's cache (`$XDG_CACHE_HOME/parley`), outside of the checkout,
and is built again when one of its sources changes. Tests nothing.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.documents import ROOT

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "parley"
_PROTO = ROOT / "proto"


def go_caller() -> Path:
    """The Go program. Skips the test where there is no Go, and fails it where the build fails."""
    go = needed("go")
    source = ROOT / "clients" / "go"

    def install_plugins(folder: Path) -> None:
        _copy(source, folder, "go.mod", "go.sum")
        _do(go, "install", "tool", cwd=folder, GOBIN=str(folder), GOFLAGS="")

    def build(folder: Path) -> None:
        _copy(source, folder, "go.mod", "go.sum", "main.go")
        _generate(folder, "go", plugins)
        _do(go, "build", "-o", "caller", ".", cwd=folder, GOFLAGS="")

    plugins = _made("go-plugins", [source / "go.mod", source / "go.sum"], install_plugins)
    return _made("go-caller", _all_sources(source), build) / "caller"


def typescript_caller() -> Path:
    """The compiled TypeScript program, for node. Skips the test where there is no Node.js, and fails it where the
    build fails."""
    needed("node")
    npm = needed("npm")
    source = ROOT / "clients" / "typescript"

    def install(folder: Path) -> None:
        _copy(source, folder, "package.json", "package-lock.json")
        _do(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error", cwd=folder)

    def build(folder: Path) -> None:
        _copy(source, folder, "package.json", "tsconfig.json", "caller.ts")
        (folder / "node_modules").symlink_to(packages)
        _generate(folder, "typescript", packages / ".bin")
        _do(str(packages / ".bin" / "tsc"), cwd=folder)

    locks = [source / "package.json", source / "package-lock.json"]
    packages = _made("typescript-packages", locks, install) / "node_modules"
    return _made("typescript-caller", _all_sources(source), build) / "dist" / "caller.js"


def needed(name: str) -> str:
    """The path of a program. Skips the test where it is not there."""
    if (tool := shutil.which(name)) is None:
        pytest.skip(f"there is no `{name}` here: install it, and run this again")
    return tool


def _all_sources(folder: Path) -> list[Path]:
    """The program, its protos, and this module, which says how it is built."""
    return [Path(__file__), *sources_of(folder), *sources_of(_PROTO)]


def sources_of(folder: Path) -> Iterable[Path]:
    """Its files, without what is made beside them where somebody tries the program in the checkout."""
    made = {"bin", "dist", "gen", "node_modules"}
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and not made & {*path.relative_to(folder).parts}
    )


def _copy(source: Path, folder: Path, *names: str) -> None:
    for name in names:
        shutil.copy(source / name, folder)


def _made(name: str, sources: Iterable[Path], make: Callable[[Path], None]) -> Path:
    """A folder in the cache that was made of these sources, whole, whoever else makes it now."""
    digest = hashlib.sha256()
    for path in sources:
        digest.update(f"{path.relative_to(ROOT)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    made = _CACHE / f"{name}-{digest.hexdigest()[:16]}"
    if not made.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_CACHE) as scratch:
            (folder := Path(scratch) / "made").mkdir()
            make(folder)
            with suppress(OSError):  # another run was first
                folder.rename(made)
    return made


def _generate(folder: Path, language: str, plugins: Path) -> None:
    """The stubs of a language, as `proto/` says for callers."""
    buf = Path(sys.executable).parent / "buf"
    template = f"buf.gen.{language}.yaml"
    path = f"{plugins}:{os.environ['PATH']}"
    _do(str(buf), "generate", "--template", template, "-o", str(folder), cwd=_PROTO, PATH=path)


def _do(*command: str, cwd: Path, **environment: str) -> None:
    ended = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        pytest.fail(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
