"""grpcurl itself, built once for this machine from the Go module proxy, in the version that `docs/grpcurl.md`
names.

It stays in the user's cache (`$XDG_CACHE_HOME/parley`), outside of the checkout. Tests nothing.
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.documents import text_of

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "parley"


def grpcurl() -> Path:
    """The program. Skips the test where there is no Go, and fails it where the build fails."""
    [(module, version)] = re.findall(r"`go install (\S+)@(\S+)`", text_of("docs/grpcurl.md"))
    program = _CACHE / f"grpcurl-{version}" / "grpcurl"
    if not program.exists():
        if (go := shutil.which("go")) is None:
            pytest.skip("grpcurl is built with Go, and there is no `go` here: install Go, and run this again")
        _CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=_CACHE) as made:
            built = subprocess.run(
                [go, "install", f"{module}@{version}"],
                env={**os.environ, "GOBIN": made, "GOFLAGS": ""},
                cwd=made,
                capture_output=True,
                text=True,
            )
            if built.returncode:
                pytest.fail(f"grpcurl {version} could not be built:\n{built.stderr}")
            program.parent.mkdir(exist_ok=True)
            os.replace(Path(made) / "grpcurl", program)  # whole, whoever else builds it now
    return program
