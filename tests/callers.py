"""The programs of `clients/go` and `clients/typescript`, with stubs that `buf generate` makes of `proto/`.

What is built, and what it is built with, stays in the user's cache (`$XDG_CACHE_HOME/parley`), outside of the checkout,
and is built again when one of its sources changes. Tests nothing.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.documents import ROOT

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "parley"
_PROTO = ROOT / "proto"
_UNREACHED = re.compile(
    r"\w*(Connection|Timeout|Resolution|Proxy)Error|E(NOTFOUND|CONNREFUSED|CONNRESET|TIMEDOUT)|EAI_AGAIN|dial tcp"
)
"""What pip, npm and go print where they reach no registry."""


def go_caller() -> Path:
    """The Go program. Skips the test where there is no Go, and fails it where the build fails."""
    go = needed("go")
    source = ROOT / "clients" / "go"

    def install_plugins(folder: Path) -> None:
        _copy(source, folder, "go.mod", "go.sum")
        do(go, "install", "tool", cwd=folder, GOBIN=str(folder), GOFLAGS="")

    def build(folder: Path) -> None:
        _copy(source, folder, "go.mod", "go.sum", "main.go")
        _generate(folder, "go", plugins)
        do(go, "build", "-o", "caller", ".", cwd=folder, GOFLAGS="")

    plugins = made("go-plugins", [source / "go.mod", source / "go.sum"], install_plugins)
    return made("go-caller", _all_sources(source), build) / "caller"


def typescript_caller() -> Path:
    """The compiled TypeScript program, for node. Skips the test where there is no Node.js, and fails it where the
    build fails."""
    needed("node")
    npm = needed("npm")
    source = ROOT / "clients" / "typescript"

    def install(folder: Path) -> None:
        _copy(source, folder, "package.json", "package-lock.json")
        do(npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error", cwd=folder)

    def build(folder: Path) -> None:
        _copy(source, folder, "package.json", "tsconfig.json", "caller.ts")
        (folder / "node_modules").symlink_to(packages)
        _generate(folder, "typescript", packages / ".bin")
        do(str(packages / ".bin" / "tsc"), cwd=folder)

    locks = [source / "package.json", source / "package-lock.json"]
    packages = made("typescript-packages", locks, install) / "node_modules"
    return made("typescript-caller", _all_sources(source), build) / "dist" / "caller.js"


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


def made(name: str, sources: Iterable[Path], make: Callable[[Path], None]) -> Path:
    """A folder in the cache that was made of these sources, whole. Another process that needs it meanwhile waits."""
    digest = hashlib.sha256()
    for path in sources:
        digest.update(f"{path.relative_to(ROOT)}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    folder = _CACHE / f"{name}-{digest.hexdigest()[:16]}"
    if not folder.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        with (_CACHE / f"{name}.lock").open("w") as lock, tempfile.TemporaryDirectory(dir=_CACHE) as scratch:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                (whole := Path(scratch) / "made").mkdir()
                make(whole)
                whole.rename(folder)
    return folder


def _generate(folder: Path, language: str, plugins: Path) -> None:
    """The stubs of a language, as `proto/` says for callers."""
    buf = Path(sys.executable).parent / "buf"
    template = f"buf.gen.{language}.yaml"
    path = f"{plugins}:{os.environ['PATH']}"
    do(str(buf), "generate", "--template", template, "-o", str(folder), cwd=_PROTO, PATH=path)


def do(*command: str, cwd: Path, **environment: str) -> None:
    """Run a command. Fails the test where it fails; skips it where no package registry is reached."""
    ended = subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if ended.returncode and (unreached := _UNREACHED.search(ended.stdout + ended.stderr)):
        pytest.skip(f"no package registry is reached ({unreached[0]}) by `{' '.join(command)}`")
    if ended.returncode:
        pytest.fail(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
