"""The OpenAPI document as Redocly and Spectral read it, where there is Node.js to run them. Their packages are
installed once, outside of the checkout."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.launcher import ROOT

SET_UP = Path(__file__).resolve().with_name("openapi_lint")
DOCUMENT = ROOT / "generated" / "openapi.json"
QUIET = {**os.environ, "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}
pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="there is no Node.js with npm")


@pytest.fixture(scope="module")
def programs():
    """The folder of what package-lock.json names."""
    lock = (SET_UP / "package-lock.json").read_bytes()
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "parley"
    folder = caches / f"openapi-lint-{hashlib.sha256(lock).hexdigest()[:16]}"
    if not folder.exists():
        caches.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=caches) as scratch:
            made = Path(scratch) / "made"
            made.mkdir()
            for name in ("package.json", "package-lock.json"):
                shutil.copy(SET_UP / name, made)
            install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]
            ended = subprocess.run(install, cwd=made, capture_output=True, text=True, check=False)
            if ended.returncode != 0:
                pytest.skip(f"npm cannot install the linters: {ended.stderr.strip()[-300:]}")
            with suppress(OSError):  # another run was first
                made.rename(folder)
    return folder / "node_modules" / ".bin"


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "command",
    [
        ["redocly", "lint", DOCUMENT, "--config", SET_UP / "redocly.yaml"],
        ["spectral", "lint", DOCUMENT, "--ruleset", SET_UP / "spectral.yaml", "--fail-severity", "warn"],
    ],
    ids=["redocly", "spectral"],
)
def test_linter_finds_nothing(programs, command):
    ended = subprocess.run(
        [programs / command[0], *command[1:]], capture_output=True, text=True, check=False, env=QUIET
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr
