"""What the service is compared with, each a process of its own: `python -m tests.bench.peers NAME PORT
[FOLDER]`.

    echo      a bare grpc.aio server on uvloop: unary and streamed, nothing parsed, nothing kept
    each      a minimal FastAPI chat on SQLite: a transaction for every request, a write for every chunk
    merged    the same on one connection: commits of waiting requests are merged, chunks that wait are written in one

They do what the service does in as little code as can be: the key looked up, the exchange on disk (WAL, FULL)
before the answer ends.
"""

import asyncio
import hashlib
import itertools
import json
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import uvloop

PIECES = 64


async def echo(port: int, folder: Path) -> None:
    async def unary(raw: bytes, context: Any) -> bytes:
        return raw

    async def singly(raw: bytes, context: Any) -> AsyncIterator[bytes]:
        for _ in range(PIECES):
            yield raw

    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                "bench.Echo",
                {
                    "Unary": grpc.unary_unary_rpc_method_handler(unary),
                    "Stream": grpc.unary_stream_rpc_method_handler(singly),
                },
            ),
        )
    )
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


_SCHEMA = """
PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
CREATE TABLE IF NOT EXISTS keys (digest BLOB PRIMARY KEY, org TEXT);
CREATE TABLE IF NOT EXISTS chats (id TEXT PRIMARY KEY, org TEXT, body TEXT);
CREATE TABLE IF NOT EXISTS messages (chat TEXT, seq INTEGER, body TEXT, PRIMARY KEY (chat, seq)) WITHOUT ROWID
"""


async def fastapi(port: int, folder: Path, *, merged: bool) -> None:
    import aiosqlite
    import uvicorn
    from fastapi import FastAPI, Header, HTTPException
    from fastapi.responses import StreamingResponse
    from pydantic import BaseModel

    class ChatRequest(BaseModel):
        assistantId: str
        input: str
        stream: bool = False

    path, numbers, waiting = folder / "peer.db", itertools.count(), asyncio.Lock()
    with sqlite3.connect(path) as made:
        made.executescript(_SCHEMA)
        made.execute("INSERT INTO keys VALUES (?, 'org')", [hashlib.sha256(b"Bearer bench").digest()])
    made.close()
    shared = await aiosqlite.connect(path, isolation_level=None)
    await shared.execute("PRAGMA synchronous = FULL")
    app = FastAPI()
    pending: list[tuple[str, str, asyncio.Future[None]]] = []

    async def commit() -> None:
        """All that waits, in one transaction."""
        async with waiting:
            batch, pending[:] = pending[:], []
            if not batch:
                return
            await shared.execute("BEGIN IMMEDIATE")
            await shared.executemany(
                "INSERT INTO chats VALUES (?, 'org', ?)", [(one, text) for one, text, _ in batch]
            )
            await shared.executemany(
                "INSERT INTO messages VALUES (?, ?, ?)",
                [(one, seq, text) for one, text, _ in batch for seq in (0, 1)],
            )
            await shared.execute("COMMIT")
        for _, _, written in batch:
            written.set_result(None)

    async def persist(chat: str, text: str) -> None:
        written = asyncio.get_running_loop().create_future()
        pending.append((chat, text, written))
        if merged:
            await commit()
            await written
            return
        async with waiting:
            batch, pending[:] = pending[:1], pending[1:]
            one, body, done = batch[0]
            await shared.execute("BEGIN IMMEDIATE")
            await shared.execute("INSERT INTO chats VALUES (?, 'org', ?)", (one, body))
            await shared.executemany(
                "INSERT INTO messages VALUES (?, ?, ?)", [(one, 0, body), (one, 1, body)]
            )
            await shared.execute("COMMIT")
        done.set_result(None)
        await written

    async def caller(authorization: str) -> None:
        digest = hashlib.sha256(authorization.encode()).digest()
        async with shared.execute("SELECT org FROM keys WHERE digest = ?", [digest]) as found:
            if await found.fetchone() is None:
                raise HTTPException(401)

    async def pieces(chat: str, chat_request: ChatRequest) -> AsyncIterator[str]:
        queue: asyncio.Queue[str | None] = asyncio.Queue()

        async def produce() -> None:
            for piece in ["You", " said:", *(f" {word}" for word in chat_request.input.split())]:
                queue.put_nowait(
                    f'data: {{"id":"{chat}","path":"chat.output[0].content","delta":{json.dumps(piece)}}}\n\n'
                )
                await asyncio.sleep(0)
            await persist(chat, chat_request.input)
            queue.put_nowait(None)

        producing = asyncio.create_task(produce())
        while (piece := await queue.get()) is not None:
            ready = [piece]
            while merged and not queue.empty() and queue._queue[0] is not None:  # type: ignore[attr-defined]
                ready.append(queue.get_nowait())
            yield "".join(ready)
        await producing

    @app.post("/chat", response_model=None)
    async def post(chat_request: ChatRequest, authorization: str = Header()) -> Any:
        await caller(authorization)
        chat = f"{next(numbers):032x}"
        if chat_request.stream:
            return StreamingResponse(pieces(chat, chat_request), media_type="text/event-stream")
        answer = f"You said: {chat_request.input}"
        await persist(chat, answer)
        return {
            "id": chat,
            "orgId": "org",
            "assistantId": chat_request.assistantId,
            "status": "completed",
            "input": [{"role": "user", "message": chat_request.input}],
            "output": [{"role": "assistant", "content": answer}],
        }

    # Connections wait while others have their turn.
    config = uvicorn.Config(app, port=port, log_level="warning", access_log=False, timeout_keep_alive=600)
    await uvicorn.Server(config).serve()


PEERS = {
    "echo": echo,
    "each": lambda port, folder: fastapi(port, folder, merged=False),
    "merged": lambda port, folder: fastapi(port, folder, merged=True),
}

if __name__ == "__main__":
    uvloop.run(PEERS[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3])))
