"""One small HTTP request to an Envoy on this machine, over its port or its admin socket.

For answers of a few kilobytes from our own child processes: knows no more of HTTP than these answer with.
"""

import asyncio
from pathlib import Path
from typing import NamedTuple


class Answer(NamedTuple):
    """The status and the body of a response."""

    status: int
    body: bytes


async def ask(where: Path | tuple[str, int], method: str, path: str) -> Answer:
    """Raise OSError when there is no answer, or an incomplete one."""
    if isinstance(where, Path):
        reader, writer = await asyncio.open_unix_connection(where)
    else:
        reader, writer = await asyncio.open_connection(*where)
    try:
        head = f"{method} {path} HTTP/1.1\r\nhost: envoy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        writer.write(head.encode())
        return await _read(reader)
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, IndexError, ValueError):
        raise ConnectionResetError("not a whole answer") from None
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader) -> Answer:
    """Not until the connection ends: Envoy leaves one of its port open for a second, and longer while it drains."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    status = int(head.split(b" ", 2)[1])
    if b"transfer-encoding: chunked" in head:
        return Answer(status, await _chunks(reader))
    _, has_length, rest = head.partition(b"content-length:")
    return Answer(status, await reader.readexactly(int(rest.split(b"\r")[0])) if has_length else b"")


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    """Return a body that comes in chunks, the last of which is empty."""
    chunks: list[bytes] = []
    while size := int(await reader.readline(), 16):
        chunks.append(await reader.readexactly(size))
        await reader.readline()
    return b"".join(chunks)
