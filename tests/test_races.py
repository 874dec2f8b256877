"""Two writes of one record that meet: the second is applied to what the first left, or fails as it would fail
after it.

Every pair of the writes in `KINDS` is tried, each write being the one that has read the record before the
other changed it. Two servers on one database, so that nothing but the database keeps them apart.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import grpc
import pytest

from generated.parley.v1 import (
    assistant_service_pb2,
    assistant_service_pb2_grpc,
    chat_service_pb2,
    chat_service_pb2_grpc,
    conversation_service_pb2,
    conversation_service_pb2_grpc,
    session_service_pb2,
    session_service_pb2_grpc,
    squad_service_pb2,
    squad_service_pb2_grpc,
    tool_service_pb2,
    tool_service_pb2_grpc,
)
from server.app import App
from server.cli.first_start import DEMO
from server.content.json_values import from_python, struct_from, to_python
from server.content.messages import text_of
from server.core.config import Address, Settings
from server.core.ids import new_id
from server.services import documents
from server.storage.store import Store, opened

PATCHES = 20


@dataclass
class Server:
    """One of the servers, called by one key."""

    store: Store
    channel: grpc.aio.Channel
    metadata: tuple[tuple[str, str], ...] = ()
    assistant_id: str = ""

    async def call(self, noun: str, method: str, **members: Any) -> Any:
        """Call `<Noun>Service/<method>`; the request has the members that it knows."""
        messages, stubs = _MODULES[noun]
        request = getattr(messages, f"{method}Request")(**members)
        return await getattr(getattr(stubs, f"{noun}ServiceStub")(self.channel), method)(
            request, metadata=self.metadata
        )


_MODULES = {
    "Assistant": (assistant_service_pb2, assistant_service_pb2_grpc),
    "Squad": (squad_service_pb2, squad_service_pb2_grpc),
    "Tool": (tool_service_pb2, tool_service_pb2_grpc),
    "Chat": (chat_service_pb2, chat_service_pb2_grpc),
    "Session": (session_service_pb2, session_service_pb2_grpc),
    "Conversation": (conversation_service_pb2, conversation_service_pb2_grpc),
}
Write = Callable[[Server, Any], Awaitable[Any]]


class Kind(NamedTuple):
    """A kind of record: how one is made, what is seen of one, and what writes it."""

    make: Callable[[Server], Awaitable[Any]]
    view: Callable[[Server, Any], Awaitable[Any]]
    writes: dict[str, Write]


def documents_of(noun: str, document: dict[str, Any]) -> Kind:
    async def make(server: Server) -> str:
        return (await server.call(noun, f"Create{noun}", document=struct_from(document))).id

    async def view(server: Server, record: str) -> Any:
        made = await getattr(server.store, f"{noun.lower()}s").get(await org_of(server), record)
        return made.content

    def patch(**members: Any) -> Write:
        return lambda server, record: server.call(
            noun, f"Update{noun}", id=record, patch=struct_from(members)
        )

    return Kind(
        make,
        view,
        {
            "one member": patch(one=1),
            "other member": patch(other=2),
            "same member": patch(one=3),
            "delete": lambda server, record: server.call(noun, f"Delete{noun}", id=record),
        },
    )


async def org_of(server: Server) -> str:
    key = server.metadata[0][1].partition(" ")[2]
    return (await server.store.keys.caller(key)).org_id


class Conversation(NamedTuple):
    """A conversation, and its items at first."""

    id: str
    items: list[str]


async def new_conversation(server: Server) -> Conversation:
    session = await server.call(
        "Session",
        "CreateSession",
        assistant_id=server.assistant_id,
        messages=from_python([{"role": "user", "content": "first"}, {"role": "user", "content": "second"}]),
    )
    listed = await server.call("Conversation", "ListItems", conversation_id=session.id, order="asc")
    return Conversation(session.id, [to_python(item)["id"] for item in listed.data])


async def session_seen(server: Server, record: Conversation) -> Any:
    session = await server.call("Session", "GetSession", id=record.id)
    return (
        session.name,
        session.status,
        to_python(session.metadata),
        [text_of(one) for one in session.messages],
    )


def patch_session(**members: Any) -> Write:
    return lambda server, record: server.call("Session", "UpdateSession", id=record.id, **members)


def remove_item(place: int) -> Write:
    return lambda server, record: server.call(
        "Conversation", "DeleteItem", conversation_id=record.id, item_id=record.items[place]
    )


async def new_chat(server: Server) -> str:
    return (
        await server.call("Chat", "CreateChat", assistant_id=server.assistant_id, input=from_python("Hi"))
    ).id


async def chats_seen(server: Server, record: str) -> Any:
    listed = await server.call("Chat", "ListChats")
    return [(chat.id == record, text_of(chat.output[0])) for chat in listed.results]


KINDS = {
    "assistant": documents_of("Assistant", {"name": "a"}),
    "squad": documents_of("Squad", {"members": [{"assistant": {"name": "a"}}]}),
    "tool": documents_of("Tool", {"type": "function", "function": {"name": "n"}}),
    "session": Kind(
        new_conversation,
        session_seen,
        {
            "rename": patch_session(name=from_python("new")),
            "complete": patch_session(status="completed"),
            "say anew": patch_session(messages=from_python([{"role": "user", "content": "anew"}])),
            "metadata": lambda server, record: server.call(
                "Conversation",
                "UpdateConversation",
                conversation_id=record.id,
                metadata=struct_from({"a": "b"}),
            ),
            "append": lambda server, record: server.call(
                "Conversation",
                "CreateItems",
                conversation_id=record.id,
                items=[struct_from({"role": "user", "content": "more"})],
            ),
            "remove first": remove_item(0),
            "remove second": remove_item(1),
            "chat": lambda server, record: server.call(
                "Chat", "CreateChat", session_id=record.id, input=from_python("Hi")
            ),
            "delete": lambda server, record: server.call("Session", "DeleteSession", id=record.id),
            "delete conversation": lambda server, record: server.call(
                "Conversation", "DeleteConversation", conversation_id=record.id
            ),
        },
    ),
    "chat": Kind(
        new_chat,
        chats_seen,
        {
            "go on": lambda server, record: server.call(
                "Chat", "CreateChat", previous_chat_id=record, input=from_python("On")
            ),
            "delete": lambda server, record: server.call("Chat", "DeleteChat", id=record),
        },
    ),
}
TURNS = ("session", "chat", "chat")
"""Never meet: exchanges of a session wait for one another before they read it."""
RUNS_ALREADY = ("session", "chat", "complete")
"""An exchange that runs when its session is completed is the last one there, and is not refused."""
PAIRS = [
    (kind, late, early)
    for kind in KINDS
    for late, early in product(KINDS[kind].writes, repeat=2)
    if (kind, late, early) != TURNS
]


@pytest.fixture(params=["sqlite", "postgres"], scope="module")
async def pair(request, tmp_path_factory) -> AsyncIterator[tuple[Server, Server]]:
    given: dict[str, Any] = {"data": tmp_path_factory.mktemp("races")}
    if request.param == "postgres":
        given["database"] = request.getfixturevalue("postgres").new_database()
    async with AsyncExitStack() as stack:
        yield await _started(stack, given), await _started(stack, given)


async def _started(stack: AsyncExitStack, given: dict[str, Any]) -> Server:
    settings = Settings(grpc=Address(host="127.0.0.1", port=0), **given)
    store = await stack.enter_async_context(opened(settings.data, settings.database))
    app = App(settings, store)
    await app.start()
    stack.push_async_callback(app.stop, 0)
    return Server(
        store, await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{app.grpc_port}"))
    )


async def of_new_org(*servers: Server) -> list[Server]:
    """The same servers, called by a key of a new org."""
    made = await servers[0].store.keys.create(f"org-{new_id()}", "secret")
    assistant = await servers[0].store.assistants.create(made.org_id, DEMO)
    return [
        Server(one.store, one.channel, (("authorization", f"Bearer {made.key}"),), assistant.id)
        for one in servers
    ]


async def outcome(write: Awaitable[Any]) -> str:
    """OK, or the error."""
    try:
        await write
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name} {error.details()}"
    return "OK"


async def seen(kind: Kind, server: Server, record: Any) -> Any:
    try:
        return await kind.view(server, record)
    except Exception as error:  # of either the call or the store
        return type(error).__name__


class Gate:
    """Holds the first writes of a server until somebody else has written."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        server: Server,
        between: Callable[[], Awaitable[None]],
        times: int = 1,
    ) -> None:
        self.passed = 0
        write = server.store.database.write

        async def gated(work: Any, **how: Any) -> Any:
            if self.passed < times:
                self.passed += 1
                await between()
            return await write(work, **how)

        monkeypatch.setattr(server.store.database, "write", gated)


@pytest.mark.parametrize(("name", "late", "early"), PAIRS)
async def test_writes_that_meet_are_as_good_as_one_after_the_other(pair, monkeypatch, name, late, early):
    kind = KINDS[name]
    one, other = await of_new_org(*pair)
    record = await kind.make(one)
    outcomes = []

    async def meanwhile() -> None:
        outcomes.append(await outcome(kind.writes[early](other, record)))

    with monkeypatch.context() as patched:
        gate = Gate(patched, one, meanwhile)
        outcomes.append(await outcome(kind.writes[late](one, record)))
    met = outcomes, await seen(kind, other, record)
    assert gate.passed == 1

    (one,) = await of_new_org(one)
    record = await kind.make(one)
    outcomes = [await outcome(kind.writes[write](one, record)) for write in (early, late)]
    apart = outcomes, await seen(kind, one, record)

    if (name, late, early) == RUNS_ALREADY:
        assert (met[0], met[1][1], met[1][3][-2:]) == (["OK", "OK"], "completed", ["Hi", "You said: Hi"])
    else:
        assert met == apart


async def test_patch_that_others_are_always_before_is_a_conflict_that_says_so(pair, monkeypatch):
    one, other = await of_new_org(*pair)
    record = await KINDS["assistant"].make(one)
    patch = KINDS["assistant"].writes["other member"]

    with monkeypatch.context() as patched:
        Gate(patched, one, lambda: patch(other, record), times=documents._ATTEMPTS)
        refused = await outcome(KINDS["assistant"].writes["one member"](one, record))

    assert refused == (
        "ABORTED the assistant was changed by another request meanwhile, and nothing of this one is stored; "
        "send it again"
    )
    assert await KINDS["assistant"].view(one, record) == {"name": "a", "other": 2}


async def test_patches_of_one_server_wait_for_one_another(service, org, http):
    path = f"/assistant/{org.assistant_id}"
    answers = await asyncio.gather(
        *(http.patch(path, json={f"member{number}": number}, headers=org.bearer) for number in range(PATCHES))
    )
    stored = (await http.get(path, headers=org.bearer)).json()

    assert [answer.status_code for answer in answers] == [200] * PATCHES
    assert [stored[f"member{number}"] for number in range(PATCHES)] == list(range(PATCHES))
