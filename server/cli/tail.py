"""`parley chats tail`: follows chats at a running server, over gRPC through Envoy's port.

New chats are found by listing; the events of each are read by WatchChat, and read on from the last one after
the connection broke. Stores nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import click
import grpc
import grpc.aio
import orjson

from generated.parley.v1.chat_pb2 import Chat, ChatEvent
from generated.parley.v1.chat_service_pb2 import (
    GetChatRequest,
    ListChatsRequest,
    ListChatsResponse,
    WatchChatRequest,
)
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from server.cli.console import fail, settings_of
from server.cli.screen import EventText, Screen
from server.content.proto_json import to_json
from server.core.clock import ms_of, rfc3339, timestamp

_POLL_SECONDS = 0.5
_AT_ONCE = 50
"""Chats that are read at once: a connection to Envoy has 100 streams."""
_LONGEST_MS = 900_000
"""How long a call without a stream may take: its chat is on record only when it is over."""
_LATE_MS = 5_000
"""How much later than its `updatedAt` a chat may become visible."""
_PAUSES = (0.2, 0.5, 1, 2, 5)
_PASSING = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
}
_CALL_SECONDS = 30
_LARGEST = 64 << 20


class Server(NamedTuple):
    """A running server, and a key for it."""

    url: str
    target: str
    is_secure: bool
    key: str


def server_of(data: Path | None, url: str | None, key: str | None, key_file: Path | None) -> Server:
    """Return the server that the options name. Ends the command when they are wrong."""
    settings = settings_of(data=data)
    url = url or f"http://{settings.http}"
    parts = urlsplit(url)
    try:
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (KeyError, ValueError):
        fail(f"--url: {url!r} is not http://HOST:PORT or https://HOST:PORT")
    if not parts.hostname or parts.path.strip("/") or parts.query:
        fail(f"--url: {url!r} is not http://HOST:PORT or https://HOST:PORT")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return Server(url, f"{host}:{port}", parts.scheme == "https", _key(settings.data, key, key_file))


def _key(data: Path, key: str | None, key_file: Path | None) -> str:
    if key is not None and key_file is not None:
        fail("--key and --key-file exclude each other; leave one of them out")
    if key is None and key_file is not None:
        key = key_file.read_text(errors="replace").strip()
    if key is None:
        try:
            key = orjson.loads((data / "dev-keys.json").read_bytes())["api"]
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
            fail(
                f"no key: name one with --key or --key-file, or the folder of a server's development keys with --data "
                f"({data / 'dev-keys.json'} has none); `parley keys create --org NAME --kind api` makes a key"
            )
    if not isinstance(key, str) or not key or not key.isascii() or not key.isprintable():
        fail("--key: is not a key; `parley keys create --org NAME --kind api` makes one")
    return key


def follow(server: Server, chat_id: str | None, as_json: bool) -> None:
    """Print what is said until Ctrl-C; with `chat_id`, until that chat ends."""
    try:
        asyncio.run(_follow(server, chat_id, as_json))
    except grpc.aio.AioRpcError as error:
        fail(_reason(server, error))


async def _follow(server: Server, chat_id: str | None, as_json: bool) -> None:
    async with _channel(server) as channel:
        tail = Tail(ChatServiceStub(channel), server, as_json)
        await (tail.org() if chat_id is None else tail.chat(chat_id))


def _channel(server: Server) -> grpc.aio.Channel:
    options = [("grpc.max_receive_message_length", _LARGEST), ("grpc.max_reconnect_backoff_ms", 5_000)]
    if server.is_secure:
        return grpc.aio.secure_channel(server.target, grpc.ssl_channel_credentials(), options)
    return grpc.aio.insecure_channel(server.target, options)


class Tail:
    """The chats of an org, followed at one server."""

    def __init__(self, stub: Any, server: Server, as_json: bool) -> None:
        self._stub = stub
        self._server = server
        self._metadata = (("authorization", f"Bearer {server.key}"),)
        self._screen = Screen(lambda text: click.echo(text, nl=False))
        self._as_json = as_json
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._is_away = False

    async def chat(self, chat_id: str) -> None:
        """Follow one chat until it ends."""
        await self._get(chat_id)
        await self._watch(chat_id)

    async def org(self) -> None:
        """Follow the chats that run, and those that begin, without end."""
        seen: dict[str, int] = {}
        first = await self._list(ListChatsRequest())
        async with asyncio.TaskGroup() as watching:
            self._begin(watching, [one for one in first if one.status == "in_progress"], seen)
            newest = _newest(first, 0), _changed(first, 0)
            seen |= {one.id: ms_of(one.created_at) for one in first}
            self._note(f"following the chats at {self._server.url}; Ctrl-C stops")
            while True:
                await asyncio.sleep(_POLL_SECONDS)
                self._screen.hand_over()
                listed = await self._again(partial(self._list, _since(*newest), whole=True))
                self._begin(watching, [one for one in reversed(listed) if one.id not in seen], seen)
                newest = _newest(listed, newest[0]), _changed(listed, newest[1])
                seen = {chat: began for chat, began in seen.items() if began >= newest[0] - 2 * _LONGEST_MS}

    def _begin(self, watching: asyncio.TaskGroup, chats: list[Chat], seen: dict[str, int]) -> None:
        for one in chats:
            seen[one.id] = ms_of(one.created_at)
            watching.create_task(self._watch_if_there(one.id))

    async def _watch_if_there(self, chat_id: str) -> None:
        async with self._slots:
            try:
                await self._watch(chat_id)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.NOT_FOUND:  # deleted meanwhile
                    raise

    async def _watch(self, chat_id: str) -> None:
        text = EventText(chat_id)
        try:
            async for event in self._events(chat_id):
                if self._as_json:
                    click.echo(orjson.dumps(to_json(event)))
                else:
                    self._screen.show(chat_id, text.of(event))
        finally:
            self._screen.end(chat_id)

    async def _events(self, chat_id: str) -> AsyncIterator[ChatEvent]:
        """Yield the events of a chat up to its last one, whatever becomes of the connection."""
        request, failures = WatchChatRequest(id=chat_id), 0
        while True:
            try:
                async for event in self._stub.WatchChat(request, metadata=self._metadata):
                    self._is_back()
                    request.after, failures = event.sequence, 0
                    yield event
                    if event.WhichOneof("event") in ("completed", "failed"):
                        return
            except grpc.aio.AioRpcError as error:
                self._lost(error)
            await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
            failures += 1

    async def _again(self, call: Callable[[], Awaitable[list[Chat]]]) -> list[Chat]:
        failures = 0
        while True:
            try:
                answer = await call()
            except grpc.aio.AioRpcError as error:
                self._lost(error)
                await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
                failures += 1
            else:
                self._is_back()
                return answer

    async def _get(self, chat_id: str) -> None:
        """Raise the error of a chat that is not there, or of a server that does not answer."""
        await self._stub.GetChat(GetChatRequest(id=chat_id), metadata=self._metadata, timeout=_CALL_SECONDS)

    async def _list(self, request: ListChatsRequest, *, whole: bool = False) -> list[Chat]:
        """Return the chats of a list: of its first page, or of all."""
        found: list[Chat] = []
        while True:
            page: ListChatsResponse = await self._stub.ListChats(
                request, metadata=self._metadata, timeout=_CALL_SECONDS
            )
            found += page.results
            if not whole or not page.metadata.has_next_page:
                return found
            request.cursor = page.metadata.next_cursor

    def _lost(self, error: grpc.aio.AioRpcError) -> None:
        """Say once that the connection broke. Raises errors that do not pass."""
        if error.code() not in _PASSING:
            raise error
        if not self._is_away:
            self._is_away = True
            self._note(f"{_reason(self._server, error)}; trying again")

    def _is_back(self) -> None:
        if self._is_away:
            self._is_away = False
            self._note("connected again")

    def _note(self, text: str) -> None:
        if not self._as_json:
            self._screen.new_line()
        click.echo(f"parley: {text}", err=True)


def _since(created_ms: int, changed_ms: int) -> ListChatsRequest:
    """Return the request for what may have become visible: few rows, however many an org has."""
    if not changed_ms:
        return ListChatsRequest()
    return ListChatsRequest(
        created_at_ge=rfc3339(timestamp(max(0, created_ms - _LONGEST_MS))),
        updated_at_ge=rfc3339(timestamp(max(0, changed_ms - _LATE_MS))),
    )


def _newest(chats: list[Chat], known: int) -> int:
    return max((ms_of(one.created_at) for one in chats), default=known)


def _changed(chats: list[Chat], known: int) -> int:
    return max((ms_of(one.updated_at) for one in chats), default=known)


def _reason(server: Server, error: grpc.aio.AioRpcError) -> str:
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        return f"nothing answers at {server.url}, or the server stops; `parley serve` starts one, and --url names it"
    if error.code() is grpc.StatusCode.UNIMPLEMENTED:
        return f"{server.url} is no server of parley; --url names another"
    if error.code() is grpc.StatusCode.NOT_FOUND:
        return f"{error.details()}: it does not exist, or belongs to another org than the key"
    return f"{server.url}: {error.details()} ({error.code().name})"
