"""What `parley serve` shows on a terminal, and that the request in it works as it stands."""

import asyncio
import fcntl
import json
import os
import pty
import re
import struct
import termios
from contextlib import asynccontextmanager

from tests.processes import COMMANDS, free_address

COLUMNS = 100


@asynccontextmanager
async def serving_on_a_terminal(data, **environment):
    """What is on the terminal once the server is ready: (its lines, its HTTP address)."""
    http, grpc = free_address(), free_address()
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    process = await asyncio.create_subprocess_exec(
        COMMANDS / "parley", "serve", "--data", str(data), "--http", http, "--grpc", grpc, "--drain-seconds", "0",
        stdin=asyncio.subprocess.DEVNULL, stdout=terminal, start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color", **environment},
    )  # fmt: skip
    os.close(terminal)
    try:
        yield await asyncio.to_thread(_until_ready, screen), http
        process.terminate()
        async with asyncio.timeout(40):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(screen)


def _until_ready(screen):
    shown = b""
    while not re.search(rb"^ready .*\n", shown, re.M):
        shown += os.read(screen, 1 << 16)
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).replace("\r\n", "\n").splitlines()


async def pasted(lines):
    """What the request prints that the terminal shows."""
    [curl] = [line for line in lines if line.startswith("curl ")]
    process = await asyncio.create_subprocess_shell(curl, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    return out.decode()


async def test_terminal_shows_folder_urls_keys_and_a_request_that_works(tmp_path):
    data = tmp_path / "my data"
    async with serving_on_a_terminal(data) as (lines, http):
        answer = await pasted(lines)
        keys = json.loads((data / "dev-keys.json").read_bytes())
    shown = "\n".join(lines)

    for part in (
        f" http://{http}/ ",
        f" http://{http}/docs ",
        keys["api"],
        keys["secret"],
        keys["publishable"],
    ):
        assert part in shown
    # a long path is folded, in the middle of a word where it has no space
    assert re.sub(r"\s", "", str(data)) in re.sub(r"[│\s]+", "", shown)
    assert '"delta":"You"' in answer
    assert max(len(line) for line in lines if not line.startswith("curl ")) <= COLUMNS
    assert lines[-1].startswith(f"ready http=http://{http} grpc=")


async def test_later_start_shows_no_key_and_a_request_that_works(tmp_path):
    data = tmp_path / "my data"
    async with serving_on_a_terminal(data):
        pass
    async with serving_on_a_terminal(data) as (lines, _):
        answer = await pasted(lines)
        keys = json.loads((data / "dev-keys.json").read_bytes())

    assert [keys[kind] for kind in ("api", "secret", "publishable") if keys[kind] in "\n".join(lines)] == []
    assert '"delta":"You"' in answer


async def test_server_without_development_keys_shows_no_request(tmp_path):
    async with serving_on_a_terminal(tmp_path, PARLEY_DEV="false") as (lines, _):
        pass

    assert "curl" not in "\n".join(lines)
    assert "Playground" in "\n".join(lines)
