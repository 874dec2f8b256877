"""One small HTTP request to an Envoy on this machine, over its port or its admin socket.

For answers of a few kilobytes from our own child process: reads all there is, and knows no more of HTTP than
Envoy answers with.
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
        return _read(await reader.read())
    finally:
        writer.close()


def _read(raw: bytes) -> Answer:
    head, end, body = raw.partition(b"\r\n\r\n")
    try:
        status = int(head.split(b" ", 2)[1])
        chunked = b"transfer-encoding: chunked" in head.lower()
        if end:
            return Answer(status, b"".join(_chunks(body)) if chunked else body)
    except (IndexError, ValueError):
        pass
    raise ConnectionResetError("not a whole answer")


def _chunks(body: bytes) -> list[bytes]:
    """The chunks of a body. Raises ValueError when the last one is missing."""
    chunks: list[bytes] = []
    while True:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            return chunks
        chunks.append(rest[:length])
        body = rest[length + 2 :]
