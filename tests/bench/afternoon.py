"""The chat service that people write in an afternoon, as a process of its own: FastAPI, the official OpenAI
SDK, and one INSERT (SQLite, WAL, FULL) when the answer is over. `python -m tests.bench.afternoon PORT FOLDER
BASE_URL`.

It knows no keys, and what a stream has already said is lost when the process is: that is what it saves.
"""

import itertools
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiosqlite
import uvicorn
import uvloop
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from openai import AsyncOpenAI
from pydantic import BaseModel


class Asking(BaseModel):
    model: str
    input: str
    stream: bool = False


async def serve(port: int, folder: Path, base_url: str) -> None:
    app, provider, numbers = FastAPI(), AsyncOpenAI(base_url=base_url, api_key="none"), itertools.count()
    database = await aiosqlite.connect(folder / "afternoon.db", isolation_level=None)
    await database.executescript(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
        "CREATE TABLE chats (id TEXT PRIMARY KEY, input TEXT, output TEXT)"
    )

    async def keep(chat: str, asking: Asking, text: str) -> None:
        await database.execute("INSERT INTO chats VALUES (?, ?, ?)", (chat, asking.input, text))

    async def pieces(chat: str, asking: Asking) -> AsyncIterator[str]:
        reply = []
        async for chunk in await provider.chat.completions.create(
            model=asking.model, messages=[{"role": "user", "content": asking.input}], stream=True
        ):
            if chunk.choices and (text := chunk.choices[0].delta.content):
                reply.append(text)
                yield f"data: {json.dumps({'id': chat, 'delta': text})}\n\n"
        await keep(chat, asking, "".join(reply))

    @app.post("/chat", response_model=None)
    async def post(asking: Asking) -> Any:
        chat = f"{next(numbers):032x}"
        if asking.stream:
            return StreamingResponse(pieces(chat, asking), media_type="text/event-stream")
        answer = await provider.chat.completions.create(
            model=asking.model, messages=[{"role": "user", "content": asking.input}]
        )
        text = answer.choices[0].message.content or ""
        await keep(chat, asking, text)
        return {"id": chat, "output": [{"role": "assistant", "content": text}]}

    # Connections wait while others have their turn.
    config = uvicorn.Config(app, port=port, log_level="warning", access_log=False, timeout_keep_alive=600)
    await uvicorn.Server(config).serve()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
