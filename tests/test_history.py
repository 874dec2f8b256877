"""What was said: continued from anywhere, replaced, and deleted so that nothing of it is left."""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import httpx
import pytest
from click.testing import CliRunner
from google.protobuf.struct_pb2 import Value

from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.chat_record_pb2 import ChatRecord
from generated.parley.v1.chat_service_pb2 import CreateChatRequest, DeleteChatRequest, GetChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from generated.parley.v1.message_pb2 import Message
from generated.parley.v1.session_service_pb2 import (
    CreateSessionRequest,
    DeleteSessionRequest,
    GetSessionRequest,
    UpdateSessionRequest,
)
from generated.parley.v1.session_service_pb2_grpc import SessionServiceStub
from server.app import App
from server.cli import main
from server.config import Address, Settings
from server.json_values import from_python
from server.messages import text_of
from server.storage.chats import Exchange, StoredChat
from server.storage.scope import Scope
from server.storage.store import Store, open_store
from tests.conftest import Org, Service

MARK = "marker"


class Talk:
    """One org of a service of its own, over gRPC. Everything that is said has a text of its own."""

    def __init__(self, store: Store, channel: grpc.aio.Channel, org: Org, folder: Path) -> None:
        self.store, self.channel, self.org, self.folder = store, channel, org, folder
        self.chats, self.sessions = ChatServiceStub(channel), SessionServiceStub(channel)
        self.said = 0

    def text(self) -> str:
        self.said += 1
        return f"{MARK}{self.said:06d}x"

    async def chat(self, **members: str) -> str:
        named = members or {"assistant_id": self.org.assistant_id}
        request = CreateChatRequest(input=Value(string_value=self.text()), **named)
        return (await self.chats.CreateChat(request, metadata=self.org.metadata)).id

    async def session(self) -> str:
        request = CreateSessionRequest(assistant_id=self.org.assistant_id, messages=self.messages())
        return (await self.sessions.CreateSession(request, metadata=self.org.metadata)).id

    def messages(self) -> Value:
        return from_python([{"role": "user", "content": self.text()}, {"role": "assistant", "content": self.text()}])

    async def patch(self, session_id: str) -> None:
        request = UpdateSessionRequest(id=session_id, messages=self.messages())
        await self.sessions.UpdateSession(request, metadata=self.org.metadata)

    async def get(self, chat_id: str) -> Chat:
        return await self.chats.GetChat(GetChatRequest(id=chat_id), metadata=self.org.metadata)

    async def context(self, chat_id: str) -> list[str]:
        chat = await self.get(chat_id)
        return [message.message for message in (*chat.messages, *chat.output)]

    async def said_in(self, session_id: str) -> list[str]:
        session = await self.sessions.GetSession(GetSessionRequest(id=session_id), metadata=self.org.metadata)
        return [message.message for message in session.messages]

    async def delete(self, chat_id: str) -> None:
        await self.chats.DeleteChat(DeleteChatRequest(id=chat_id), metadata=self.org.metadata)

    async def delete_session(self, session_id: str) -> None:
        await self.sessions.DeleteSession(DeleteSessionRequest(id=session_id), metadata=self.org.metadata)

    def kept(self) -> dict[str, list[tuple]]:
        """Every row of every table that has anything said in it."""
        read = self.store.database.read
        tables = [name for (name,) in read.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {table: read.execute(f'SELECT * FROM "{table}"').fetchall() for table in tables}
        return {table: found for table in tables if (found := [row for row in rows[table] if MARK in str(row)])}

    def in_files(self) -> list[str]:
        """The files of the database that have anything said in them."""
        return [path.name for path in sorted(self.folder.glob("parley.db*")) if MARK.encode() in path.read_bytes()]

    def threads(self) -> tuple[int, int]:
        read = self.store.database.read
        return tuple(read.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("messages", "forks"))


@pytest.fixture
async def talk(tmp_path: Path) -> AsyncIterator[Talk]:
    settings = Settings(data=tmp_path, grpc=Address(host="127.0.0.1", port=0))
    store = open_store(tmp_path)
    app = App(settings, store)
    await app.start()
    org = await Service(store, "", "", settings).new_org()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{app.grpc_port}") as channel:
        yield Talk(store, channel, org, tmp_path)
    await app.stop(0)
    store.close()


async def parley(*arguments: str) -> str:
    """What the command prints, run beside the server."""
    result = await asyncio.to_thread(CliRunner().invoke, main, arguments)
    assert result.exit_code == 0, result.output
    return result.output


# --- deletion -----------------------------------------------------------------------------------------------------------


async def test_last_turn_of_a_chain_is_gone_when_it_is_deleted(talk: Talk) -> None:
    first = await talk.chat()
    second = await talk.chat(previous_chat_id=first)

    await talk.delete(second)

    assert "marker000002x" not in str(talk.kept())
    assert await talk.context(first) == ["marker000001x", "You said: marker000001x"]


async def test_middle_turn_is_gone_with_the_last_one_that_needs_it(talk: Talk) -> None:
    first = await talk.chat()
    second = await talk.chat(previous_chat_id=first)
    third = await talk.chat(previous_chat_id=second)
    context = await talk.context(third)

    await talk.delete(second)
    assert await talk.context(third) == context
    await talk.delete(third)

    assert "marker000002x" not in str(talk.kept())


async def test_chain_goes_on_after_its_last_turn_was_deleted(talk: Talk) -> None:
    first = await talk.chat()
    await talk.delete(await talk.chat(previous_chat_id=first))

    third = await talk.chat(previous_chat_id=first)

    assert await talk.context(third) == ["marker000001x", "You said: marker000001x", "marker000003x",
                                         "You said: marker000003x"]


async def test_forks_keep_what_they_need_and_no_more(talk: Talk) -> None:
    first = await talk.chat()
    branches = [await talk.chat(previous_chat_id=first) for _ in range(3)]
    contexts = [await talk.context(branch) for branch in branches]

    await talk.delete(first)
    await talk.delete(branches[0])

    assert [await talk.context(branch) for branch in branches[1:]] == contexts[1:]
    assert "marker000002x" not in str(talk.kept())


async def test_replaced_messages_of_a_session_are_gone(talk: Talk) -> None:
    session = await talk.session()

    await talk.patch(session)

    assert await talk.said_in(session) == ["marker000003x", "marker000004x"]
    assert "marker000001x" not in str(talk.kept())
    assert "marker000002x" not in str(talk.kept())


async def test_exchange_whose_previous_chat_is_deleted_while_it_runs_stands_alone(talk: Talk) -> None:
    first = await talk.chat()
    previous = await talk.store.chats.find(_scope(talk), first)
    second = await talk.chat(previous_chat_id=first)
    await talk.delete(second)
    await talk.delete(first)
    third = await talk.chat()

    await talk.store.chats.record(_exchange(await talk.store.chats.find(_scope(talk), third), previous))

    assert await talk.context(third.replace(third[-4:], "ffff")) == ["late", "answer"]


@pytest.mark.parametrize("seed", range(8))
async def test_deletions_in_any_order_keep_what_is_needed_and_leave_nothing(talk: Talk, seed: int) -> None:
    chance = random.Random(seed)
    chats, sessions = await _conversations(talk, chance)
    deletions = [(talk.delete, chat) for chat in chats] + [(talk.delete_session, session) for session in sessions]
    chance.shuffle(deletions)
    contexts = {chat: await talk.context(chat) for chat in chats}
    in_sessions = {session: await talk.said_in(session) for session in sessions}

    for delete, identifier in deletions:
        try:
            await delete(identifier)
        except grpc.aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND  # its session was deleted before
        needed = await _needed(talk, contexts, in_sessions)
        stored = {text for text, _ in await _stored(talk)}
        assert stored == needed

    assert talk.kept() == {}
    assert talk.threads() == (0, 0)
    talk.store.database.vacuum()
    assert talk.in_files() == []


async def test_deleted_text_is_in_no_file_once_the_deletion_is_acknowledged(talk: Talk) -> None:
    chat = await talk.chat()
    assert talk.in_files()

    await talk.delete(chat)

    assert talk.in_files() == []


async def test_vacuum_wipes_the_copies_that_sqlite_left_when_it_moved_rows(talk: Talk) -> None:
    chats = [await talk.chat() for _ in range(200)]
    for chat in chats[::2]:
        await talk.delete(chat)

    await parley("vacuum", "--data", str(talk.folder))

    left = b"".join(path.read_bytes() for path in talk.folder.glob("parley.db*"))
    assert [number for number in range(1, 201) if b"marker%06dx" % number in left] == list(range(2, 201, 2))


async def test_text_deleted_during_a_snapshot_is_erased_after_it(talk: Talk) -> None:
    chat = await talk.chat()
    async with talk.store.database.snapshot():
        await talk.delete(chat)
        assert talk.in_files() == ["parley.db-wal"]

    await talk.delete(await talk.chat())

    assert talk.in_files() == []


async def _conversations(talk: Talk, chance: random.Random) -> tuple[list[str], list[str]]:
    """Chains, forks of them, sessions, forks out of sessions, and sessions whose messages were replaced, all mixed."""
    chats, sessions = [await talk.chat()], [await talk.session()]
    for _ in range(30):
        kind = chance.choice(["chain", "chain", "fork", "session", "session", "new", "new session", "patch"])
        if kind == "chain":
            chats.append(await talk.chat(previous_chat_id=chats[-1]))
        elif kind == "fork":
            chats.append(await talk.chat(previous_chat_id=chance.choice(chats)))
        elif kind == "session":
            chats.append(await talk.chat(session_id=chance.choice(sessions)))
        elif kind == "new":
            chats.append(await talk.chat())
        elif kind == "new session":
            sessions.append(await talk.session())
        else:
            await talk.patch(chance.choice(sessions))
    return chats, sessions


async def _needed(talk: Talk, contexts: dict[str, list[str]], in_sessions: dict[str, list[str]]) -> set[str]:
    """What the chats and sessions that are left show, each of which must show what it always did."""
    read, needed = talk.store.database.read, set()
    for (chat,) in read.execute("SELECT id FROM chats").fetchall():
        assert await talk.context(chat) == contexts[chat]
        needed.update(contexts[chat])
    for (session,) in read.execute("SELECT id FROM sessions").fetchall():
        assert await talk.said_in(session) == in_sessions[session]
        needed.update(in_sessions[session])
    return needed


async def _stored(talk: Talk) -> list[tuple[str, str]]:
    rows = talk.store.database.read.execute("SELECT body, thread_id FROM messages").fetchall()
    return [(text_of(Message.FromString(body)), thread_id) for body, thread_id in rows]


def _scope(talk: Talk) -> Scope:
    return Scope(talk.org.id)


def _exchange(like: StoredChat, previous: StoredChat) -> Exchange:
    """An exchange that began when `previous` was there, as the engine records it."""
    chat = Chat()
    chat.CopyFrom(like.chat)
    chat.id = like.id.replace(like.id[-4:], "ffff")
    chat.previous_chat_id = previous.id
    messages = [Message(role=role, content=Value(string_value=text)) for role, text in (("user", "late"),
                                                                                       ("assistant", "answer"))]
    return Exchange(chat=chat, key_id="k", said=messages[:1], answered=messages[1:], alternatives=[], previous=previous,
                    new_session=None, begun=False, private=None, provider="offline", model="offline-1", prompt_tokens=0,
                    completion_tokens=0, record=ChatRecord())


# --- over HTTP ----------------------------------------------------------------------------------------------------------


async def test_every_kind_of_chat_can_be_forked(http: httpx.AsyncClient, org: Org) -> None:
    bearer, name = org.bearer, {"input": "My name is Ada"}
    completions = f"/api/v1/compatibility/openai/v1/assistants/{org.assistant_id}/chat/completions"
    session = (await http.post("/session", headers=bearer, json={"assistantId": org.assistant_id})).json()["id"]
    box = (await http.post("/chat", headers={"x-api-key": org.secret}, json={"agentId": org.assistant_id})).json()["id"]
    said = {"messages": [{"role": "user", "content": "My name is Ada"}]}
    conversation = (await http.post("/v1/conversations", headers=bearer, json={})).json()["id"]
    assert (await http.post("/chat", headers=bearer, json={"assistantId": org.assistant_id, **name})).is_success
    assert (await http.post("/chat", headers=bearer, json={"sessionId": session, **name})).is_success
    assert (await http.post("/chat", headers=bearer, json={"assistant": {"name": "transient"}, **name})).is_success
    squad = {"members": [{"assistantId": org.assistant_id}]}
    assert (await http.post("/chat", headers=bearer, json={"squad": squad, **name})).is_success
    streamed = {"assistantId": org.assistant_id, "stream": True, **name}
    assert (await http.post("/chat", headers=bearer, json=streamed)).is_success
    assert (await http.post("/chat/responses", headers=bearer, json={**streamed, "stream": False})).is_success
    assert (await http.post("/v1/responses", headers=bearer, json={"model": "demo", "conversation": conversation,
                                                                   **name})).is_success
    assert (await http.post(completions, headers=bearer, json=said)).is_success
    assert (await http.post(completions, headers=bearer, json={**said, "create_session": True})).is_success
    message = {"content": "My name is Ada", "role": "user"}
    assert (await http.post(f"/chat/{box}/message", headers={"x-api-key": org.secret}, json=message)).is_success
    made = (await http.get("/chat", headers=bearer)).json()["results"]

    answers = [(await http.post("/chat", headers=bearer, json={
        "previousChatId": chat["id"], "input": "What is my name?"})).json()["output"][0]["content"]
        for chat in made for _ in range(2)]

    assert len(made) == 10
    assert answers == ["Your name is Ada."] * 20


async def test_patched_messages_of_a_session_are_what_it_goes_on_from(http: httpx.AsyncClient, org: Org) -> None:
    session = (await http.post("/session", headers=org.bearer, json={"assistantId": org.assistant_id})).json()["id"]
    body = {"sessionId": session, "input": "My name is Ada"}
    before = (await http.post("/chat", headers=org.bearer, json=body)).json()

    said = [{"role": "user", "content": "My name is Grace"}]
    patched = (await http.patch(f"/session/{session}", headers=org.bearer, json={"messages": said})).json()
    body = {"sessionId": session, "input": "What is my name?"}
    after = (await http.post("/chat", headers=org.bearer, json=body)).json()

    assert [message["content"] for message in patched["messages"]] == ["My name is Grace"]
    assert after["output"][0]["content"] == "Your name is Grace."
    kept = (await http.get(f"/chat/{before['id']}", headers=org.bearer)).json()
    assert [message["content"] for message in kept["messages"]] == ["My name is Ada"]
