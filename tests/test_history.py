"""What was said: continued from anywhere, replaced, and deleted so that nothing of it is left."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import httpx
import orjson
import pytest
from click.testing import CliRunner
from google.protobuf.struct_pb2 import Value

import server.wire.history.lines
from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.chat_record_pb2 import ChatRecord
from generated.parley.v1.chat_service_pb2 import CreateChatRequest, DeleteChatRequest, GetChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from generated.parley.v1.history_service_pb2 import ExportHistoryRequest, ImportHistoryRequest
from generated.parley.v1.history_service_pb2_grpc import HistoryServiceStub
from generated.parley.v1.message_pb2 import Message
from generated.parley.v1.session_service_pb2 import (
    CreateSessionRequest,
    DeleteSessionRequest,
    GetSessionRequest,
    UpdateSessionRequest,
)
from generated.parley.v1.session_service_pb2_grpc import SessionServiceStub
from server.app import App
from server.cli.main import main
from server.content.json_values import from_python
from server.content.messages import text_of
from server.content.proto_json import to_json
from server.core.config import Address, Settings
from server.core.errors import NotFound
from server.core.ids import new_id
from server.storage.chats import Exchange, StoredChat
from server.storage.history import TABLES, columns_of
from server.storage.scope import Scope
from server.storage.sqlite.checking import findings
from server.storage.store import Store, open_store
from server.wire.history.lines import FORMS
from tests.conftest import Org, Service
from tests.processes import run

MARK = "marker"


class Talk:
    """One org of a service of its own, over gRPC. Everything that is said has a text of its own."""

    def __init__(self, store: Store, channel: grpc.aio.Channel, org: Org, folder: Path) -> None:
        self.store, self.channel, self.org, self.folder = store, channel, org, folder
        self.chats, self.sessions = ChatServiceStub(channel), SessionServiceStub(channel)
        self.count = 0

    def text(self) -> str:
        self.count += 1
        return f"{MARK}{self.count:06d}x"

    async def chat(self, **members: str) -> str:
        named = members or {"assistant_id": self.org.assistant_id}
        request = CreateChatRequest(input=Value(string_value=self.text()), **named)
        return (await self.chats.CreateChat(request, metadata=self.org.metadata)).id

    async def session(self) -> str:
        request = CreateSessionRequest(assistant_id=self.org.assistant_id, messages=self.messages())
        return (await self.sessions.CreateSession(request, metadata=self.org.metadata)).id

    def messages(self) -> Value:
        return from_python(
            [{"role": "user", "content": self.text()}, {"role": "assistant", "content": self.text()}]
        )

    async def patch(self, session_id: str) -> None:
        request = UpdateSessionRequest(id=session_id, messages=self.messages())
        await self.sessions.UpdateSession(request, metadata=self.org.metadata)

    async def get(self, chat_id: str) -> Chat:
        return await self.chats.GetChat(GetChatRequest(id=chat_id), metadata=self.org.metadata)

    async def context(self, chat_id: str) -> list[str]:
        chat = await self.get(chat_id)
        return [message.message for message in (*chat.messages, *chat.output)]

    async def inputs_in(self, session_id: str) -> list[str]:
        session = await self.sessions.GetSession(GetSessionRequest(id=session_id), metadata=self.org.metadata)
        return [message.message for message in session.messages]

    async def delete(self, chat_id: str) -> None:
        await self.chats.DeleteChat(DeleteChatRequest(id=chat_id), metadata=self.org.metadata)

    async def delete_session(self, session_id: str) -> None:
        await self.sessions.DeleteSession(DeleteSessionRequest(id=session_id), metadata=self.org.metadata)

    def rows_stored(self) -> dict[str, list[tuple]]:
        """Every row of every table that has anything said in it."""
        read = self.store.database.reader
        tables = [name for (name,) in read.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {table: read.execute(f'SELECT * FROM "{table}"').fetchall() for table in tables}
        return {
            table: found for table in tables if (found := [row for row in rows[table] if MARK in str(row)])
        }

    def in_files(self) -> list[str]:
        """The files of the database that have anything said in them."""
        return [
            path.name for path in sorted(self.folder.glob("parley.db*")) if MARK.encode() in path.read_bytes()
        ]

    def threads(self) -> tuple[int, int]:
        read = self.store.database.reader
        return tuple(
            read.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("messages", "forks")
        )


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
    return result.stdout


# --- deletion -----------------------------------------------------------------------------------------------


async def test_last_turn_of_a_chain_is_gone_when_it_is_deleted(talk: Talk) -> None:
    first = await talk.chat()
    second = await talk.chat(previous_chat_id=first)

    await talk.delete(second)

    assert "marker000002x" not in str(talk.rows_stored())
    assert await talk.context(first) == ["marker000001x", "You said: marker000001x"]


async def test_middle_turn_is_gone_with_the_last_one_that_needs_it(talk: Talk) -> None:
    first = await talk.chat()
    second = await talk.chat(previous_chat_id=first)
    third = await talk.chat(previous_chat_id=second)
    context = await talk.context(third)

    await talk.delete(second)
    assert await talk.context(third) == context
    await talk.delete(third)

    assert "marker000002x" not in str(talk.rows_stored())


async def test_chain_goes_on_after_its_last_turn_was_deleted(talk: Talk) -> None:
    first = await talk.chat()
    await talk.delete(await talk.chat(previous_chat_id=first))

    third = await talk.chat(previous_chat_id=first)

    assert await talk.context(third) == [
        "marker000001x",
        "You said: marker000001x",
        "marker000003x",
        "You said: marker000003x",
    ]


async def test_forks_keep_what_they_need_and_no_more(talk: Talk) -> None:
    first = await talk.chat()
    branches = [await talk.chat(previous_chat_id=first) for _ in range(3)]
    contexts = [await talk.context(branch) for branch in branches]

    await talk.delete(first)
    await talk.delete(branches[0])

    assert [await talk.context(branch) for branch in branches[1:]] == contexts[1:]
    assert "marker000002x" not in str(talk.rows_stored())


async def test_replaced_messages_of_a_session_are_gone(talk: Talk) -> None:
    session = await talk.session()

    await talk.patch(session)

    assert await talk.inputs_in(session) == ["marker000003x", "marker000004x"]
    assert "marker000001x" not in str(talk.rows_stored())
    assert "marker000002x" not in str(talk.rows_stored())


async def test_exchange_whose_previous_chat_is_deleted_while_it_runs_is_not_found(talk: Talk) -> None:
    first = await talk.chat()
    second = await talk.store.chats.find(_scope(talk), await talk.chat(previous_chat_id=first))
    await talk.delete(second.id)

    with pytest.raises(NotFound):
        await talk.store.chats.record(_exchange(second))
    third = await talk.chat(previous_chat_id=first)  # in the place of the second

    with pytest.raises(NotFound):
        await talk.store.chats.record(_exchange(second))
    assert len(await talk.context(third)) == 4


async def test_exchange_goes_on_from_a_deleted_chat_whose_words_are_still_needed(talk: Talk) -> None:
    second = await talk.store.chats.find(_scope(talk), await talk.chat(previous_chat_id=await talk.chat()))
    await talk.chat(previous_chat_id=second.id)
    await talk.delete(second.id)

    exchange = _exchange(second)
    await talk.store.chats.record(exchange)

    assert await talk.context(exchange.chat.id) == [
        "marker000001x",
        "You said: marker000001x",
        "marker000002x",
        "You said: marker000002x",
        "late",
        "answer",
    ]


@pytest.mark.parametrize("seed", range(8))
async def test_deletions_in_any_order_keep_what_is_needed_and_leave_nothing(talk: Talk, seed: int) -> None:
    chance = random.Random(seed)
    chats, sessions = await _conversations(talk, chance)
    deletions = [(talk.delete, chat) for chat in chats] + [
        (talk.delete_session, session) for session in sessions
    ]
    chance.shuffle(deletions)
    contexts = {chat: await talk.context(chat) for chat in chats}
    in_sessions = {session: await talk.inputs_in(session) for session in sessions}

    for delete, identifier in deletions:
        try:
            await delete(identifier)
        except grpc.aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND  # its session was deleted before
        needed = await _needed(talk, contexts, in_sessions)
        stored = {text for text, _ in await _stored(talk)}
        assert stored == needed

    assert talk.rows_stored() == {}
    assert talk.threads() == (0, 0)
    await talk.store.database.vacuum()
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
    """Chains, forks of them, sessions, forks out of sessions, and sessions whose messages were replaced, all
    mixed."""
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
    read, needed = talk.store.database.reader, set()
    for (chat,) in read.execute("SELECT id FROM chats").fetchall():
        assert await talk.context(chat) == contexts[chat]
        needed.update(contexts[chat])
    for (session,) in read.execute("SELECT id FROM sessions").fetchall():
        assert await talk.inputs_in(session) == in_sessions[session]
        needed.update(in_sessions[session])
    return needed


async def _stored(talk: Talk) -> list[tuple[str, str]]:
    rows = talk.store.database.reader.execute("SELECT body, thread_id FROM messages").fetchall()
    return [(text_of(Message.FromString(body)), thread_id) for body, thread_id in rows]


def _scope(talk: Talk) -> Scope:
    return Scope(talk.org.id)


def _exchange(previous: StoredChat) -> Exchange:
    """An exchange that began when `previous` was there, as the engine records it."""
    chat = Chat()
    chat.CopyFrom(previous.chat)
    chat.id, chat.previous_chat_id = new_id(), previous.id
    sent_messages, answered = (
        Message(role=role, content=Value(string_value=text))
        for role, text in (("user", "late"), ("assistant", "answer"))
    )
    return Exchange(
        chat=chat,
        key_id="k",
        input_messages=[sent_messages],
        answered=[answered],
        alternatives=[],
        previous=previous,
        new_session=None,
        begun=False,
        private=None,
        provider="offline",
        model="offline-1",
        prompt_tokens=0,
        completion_tokens=0,
        record=ChatRecord(),
    )


# --- over HTTP ----------------------------------------------------------------------------------------------


async def test_every_kind_of_chat_can_be_forked(http: httpx.AsyncClient, org: Org) -> None:
    bearer, name = org.bearer, {"input": "My name is Ada"}
    completions = f"/api/v1/compatibility/openai/v1/assistants/{org.assistant_id}/chat/completions"
    session = (await http.post("/session", headers=bearer, json={"assistantId": org.assistant_id})).json()[
        "id"
    ]
    box = (
        await http.post("/chat", headers={"x-api-key": org.secret}, json={"agentId": org.assistant_id})
    ).json()["id"]
    sent_messages = {"messages": [{"role": "user", "content": "My name is Ada"}]}
    conversation = (await http.post("/v1/conversations", headers=bearer, json={})).json()["id"]
    assert (
        await http.post("/chat", headers=bearer, json={"assistantId": org.assistant_id, **name})
    ).is_success
    assert (await http.post("/chat", headers=bearer, json={"sessionId": session, **name})).is_success
    assert (
        await http.post("/chat", headers=bearer, json={"assistant": {"name": "transient"}, **name})
    ).is_success
    squad = {"members": [{"assistantId": org.assistant_id}]}
    assert (await http.post("/chat", headers=bearer, json={"squad": squad, **name})).is_success
    streamed = {"assistantId": org.assistant_id, "stream": True, **name}
    assert (await http.post("/chat", headers=bearer, json=streamed)).is_success
    assert (await http.post("/chat/responses", headers=bearer, json={**streamed, "stream": False})).is_success
    assert (
        await http.post(
            "/v1/responses", headers=bearer, json={"model": "demo", "conversation": conversation, **name}
        )
    ).is_success
    assert (await http.post(completions, headers=bearer, json=sent_messages)).is_success
    assert (
        await http.post(completions, headers=bearer, json={**sent_messages, "create_session": True})
    ).is_success
    message = {"content": "My name is Ada", "role": "user"}
    assert (
        await http.post(f"/chat/{box}/message", headers={"x-api-key": org.secret}, json=message)
    ).is_success
    made = (await http.get("/chat", headers=bearer)).json()["results"]

    answers = [
        (
            await http.post(
                "/chat", headers=bearer, json={"previousChatId": chat["id"], "input": "What is my name?"}
            )
        ).json()["output"][0]["content"]
        for chat in made
        for _ in range(2)
    ]

    assert len(made) == 10
    assert answers == ["Your name is Ada."] * 20


async def test_patched_messages_of_a_session_are_what_it_goes_on_from(
    http: httpx.AsyncClient, org: Org
) -> None:
    session = (
        await http.post("/session", headers=org.bearer, json={"assistantId": org.assistant_id})
    ).json()["id"]
    body = {"sessionId": session, "input": "My name is Ada"}
    before = (await http.post("/chat", headers=org.bearer, json=body)).json()

    sent_messages = [{"role": "user", "content": "My name is Grace"}]
    patched = (
        await http.patch(f"/session/{session}", headers=org.bearer, json={"messages": sent_messages})
    ).json()
    body = {"sessionId": session, "input": "What is my name?"}
    after = (await http.post("/chat", headers=org.bearer, json=body)).json()

    assert [message["content"] for message in patched["messages"]] == ["My name is Grace"]
    assert after["output"][0]["content"] == "Your name is Grace."
    rows_stored = (await http.get(f"/chat/{before['id']}", headers=org.bearer)).json()
    assert [message["content"] for message in rows_stored["messages"]] == ["My name is Ada"]


# --- export and import --------------------------------------------------------------------------------------


@pytest.fixture(params=["server", "envoy"])
async def history(request: pytest.FixtureRequest, service: Service) -> AsyncIterator[HistoryServiceStub]:
    """The service's own port, and Envoy's."""
    address = service.grpc_address if request.param == "server" else service.http_url.removeprefix("http://")
    async with grpc.aio.insecure_channel(address) as channel:
        yield HistoryServiceStub(channel)


SECRET = "sk-very-secret-indeed"
PARTS = [
    {"type": "text", "text": "Look"},
    {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
]


async def _create_long_session(http: httpx.AsyncClient, org: Org) -> str:
    """Something of everything that can be said; the id of a session."""
    bearer, assistant = org.bearer, {"assistantId": org.assistant_id}
    secretive = {
        "name": "own",
        "credentials": [{"provider": "openai", "apiKey": SECRET}],
        "model": {
            "provider": "offline",
            "model": "offline-1",
            "messages": [{"role": "system", "content": "Hi {{name}}"}],
        },
    }
    await http.post("/assistant", headers=bearer, json=secretive)
    await http.post("/squad", headers=bearer, json={"name": "squad", "members": [assistant]})
    session = (
        await http.post(
            "/session",
            headers=bearer,
            json={
                **assistant,
                "name": "box",
                "metadata": {"z": 1, "a": [1.5, None]},
                "customer": {"number": "+1"},
            },
        )
    ).json()["id"]
    bodies = [
        {**assistant, "input": "plain", "name": "named"},
        {**assistant, "input": [{"role": "user", "content": PARTS}]},
        {
            "assistant": secretive,
            "input": "transient",
            "assistantOverrides": {"variableValues": {"name": "Ada"}},
        },
        {**assistant, "input": "streamed in pieces", "stream": True},
        {"sessionId": session, "input": "one"},
        {"sessionId": session, "input": "two"},
    ]
    for body in bodies:
        assert (await http.post("/chat", headers=bearer, json=body)).is_success
    for chat in (await http.get("/chat", headers=bearer)).json()["results"]:
        for text in ("on", "fork"):
            body = {"previousChatId": chat["id"], "input": text}
            assert (await http.post("/chat", headers=bearer, json=body)).is_success
    sent_messages = [{"role": "user", "content": "replaced"}]
    assert (
        await http.patch(f"/session/{session}", headers=bearer, json={"messages": sent_messages})
    ).is_success
    response = {
        **assistant,
        "input": "a response",
        "stream": False,
        "instructions": "Be brief",
        "metadata": {"k": "v"},
    }
    assert (await http.post("/chat/responses", headers=bearer, json=response)).is_success
    await http.delete(f"/chat/{chat['id']}", headers=bearer)
    return session


async def _exported(history: HistoryServiceStub, org: Org, **members: str) -> list[str]:
    answers = history.ExportHistory(ExportHistoryRequest(**members), metadata=org.metadata)
    return [line async for answer in answers for line in answer.lines]


async def test_history_comes_back_byte_for_byte(
    http: httpx.AsyncClient, org: Org, history: HistoryServiceStub, talk: Talk
) -> None:
    await _create_long_session(http, org)
    chats = (await http.get("/chat", headers=org.bearer, params={"sortOrder": "ASC"})).json()["results"]

    lines = await _exported(history, org)
    fresh = HistoryServiceStub(talk.channel)
    empty = await _new_org(talk)
    imported = await fresh.ImportHistory(ImportHistoryRequest(lines=lines), metadata=empty.metadata)

    assert await _exported(fresh, empty) == lines
    assert (imported.imported, imported.skipped) == (len(lines) - 1, 0)
    assert SECRET not in str(lines)
    for chat in chats:
        whole = (await http.get(f"/chat/{chat['id']}", headers=org.bearer)).json()
        rows_stored = await talk.chats.GetChat(GetChatRequest(id=chat["id"]), metadata=empty.metadata)
        assert {**to_json(rows_stored), "orgId": org.id} == whole


async def test_imported_conversation_goes_on_and_can_be_deleted(
    http: httpx.AsyncClient, org: Org, talk: Talk, history: HistoryServiceStub
) -> None:
    body = {"assistantId": org.assistant_id, "input": "My name is Ada"}
    chat = (await http.post("/chat", headers=org.bearer, json=body)).json()
    empty = await _new_org(talk)
    lines = await _exported(history, org)
    await HistoryServiceStub(talk.channel).ImportHistory(
        ImportHistoryRequest(lines=lines), metadata=empty.metadata
    )

    request = CreateChatRequest(previous_chat_id=chat["id"], input=Value(string_value="What is my name?"))
    answer = await talk.chats.CreateChat(request, metadata=empty.metadata)
    for identifier in (chat["id"], answer.id):
        await talk.chats.DeleteChat(DeleteChatRequest(id=identifier), metadata=empty.metadata)

    assert answer.output[0].message == "Your name is Ada."
    assert talk.threads() == (0, 0)


async def test_one_session_is_exported_alone(
    http: httpx.AsyncClient, org: Org, history: HistoryServiceStub, talk: Talk
) -> None:
    session = await _create_long_session(http, org)

    lines = await _exported(history, org, session_id=session)
    fresh, empty = HistoryServiceStub(talk.channel), await _new_org(talk)
    await fresh.ImportHistory(ImportHistoryRequest(lines=lines), metadata=empty.metadata)

    kinds = Counter(orjson.loads(line)["kind"] for line in lines)
    assert kinds == {"history": 1, "session": 1, "chat": 2, "message": 1 + 4}
    assert await _exported(fresh, empty, session_id=session) == lines


async def test_import_in_pieces_and_again_skips_what_is_there(
    http: httpx.AsyncClient,
    org: Org,
    talk: Talk,
    history: HistoryServiceStub,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await _create_long_session(http, org)
    monkeypatch.setattr(server.wire.history.lines, "_BATCH_CHARACTERS", 0)  # the smallest pieces
    answers = history.ExportHistory(ExportHistoryRequest(), metadata=org.metadata)
    pieces = [list(answer.lines) async for answer in answers]
    lines = [line for piece in pieces for line in piece]
    fresh, empty = HistoryServiceStub(talk.channel), await _new_org(talk)

    for skipped in (False, True):
        for piece in pieces[1:]:
            imported = await fresh.ImportHistory(ImportHistoryRequest(lines=piece), metadata=empty.metadata)
            assert (imported.imported, imported.skipped) == ((0, len(piece)) if skipped else (len(piece), 0))
            assert findings(talk.folder / "parley.db") == []

    assert len(pieces) > 20
    assert await _exported(fresh, empty) == lines
    again = await fresh.ImportHistory(ImportHistoryRequest(lines=lines), metadata=empty.metadata)
    assert (again.imported, again.skipped) == (0, len(lines) - 1)


async def test_command_exports_and_imports_with_secrets(
    http: httpx.AsyncClient, service: Service, org: Org, tmp_path: Path
) -> None:
    session = await _create_long_session(http, org)
    here, there, file, again = (
        service.settings.data,
        tmp_path / "fresh",
        tmp_path / "history",
        tmp_path / "again",
    )
    file.write_text("was there, for everybody to read\n")
    file.chmod(0o644)

    await parley("export", "--data", str(here), "--org", org.name, str(file))
    imported = await parley("import", "--data", str(there), "--org", "empty", str(file), "--json")
    await parley("export", "--data", str(there), "--org", "empty", str(again))
    skipped = await parley("import", "--data", str(there), "--org", "empty", str(file), "--json")
    alone = await run("parley", "export", "--data", there, "--org", "empty", "--session", session)

    lines = file.read_bytes().splitlines()
    assert again.read_bytes() == file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600
    assert SECRET.encode() in lines[1] + lines[2]
    assert orjson.loads(imported) == {"imported": len(lines) - 1, "skipped": 0}
    assert orjson.loads(skipped) == {"imported": 0, "skipped": len(lines) - 1}
    assert len(alone.out.splitlines()) == 9


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda line: "{", "line 2: is not JSON"),
        (lambda line: '{"kind": "key"}', "line 2: kind must be one of"),
        (
            lambda line: '{"kind": "history", "format": "parley", "version": 2}',
            "line 2: is a history of another",
        ),
        (lambda line: _with(line, seq=-1), "line 2: seq must be an integer"),
        (lambda line: _with(line, seq="1"), "line 2: seq must be an integer"),
        (lambda line: _with(line, threadId="x"), "line 2: threadId must be a UUID"),
        (lambda line: _with(line, body={"role": 1}), "line 2: body does not have the members of a Message"),
        (lambda line: _with(line, body={"role": "user", "content": _deep(60)}), "line 2: body does not have"),
        (lambda line: _with(line, more=1), "line 2: more is not a member"),
        (lambda line: _with(line, threadId="\0"), "line 2: threadId must be a string without NUL"),
    ],
    ids=["json", "kind", "version", "negative", "text", "id", "body", "deep", "unknown", "nul"],
)
async def test_line_that_cannot_be_read_is_named(talk: Talk, change, problem: str) -> None:
    await talk.chat()
    stub = HistoryServiceStub(talk.channel)
    lines = await _exported(stub, talk.org)
    message = next(line for line in lines if _is(line, "message"))

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ImportHistory(
            ImportHistoryRequest(lines=[lines[0], change(message)]), metadata=talk.org.metadata
        )

    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details().startswith(problem)


async def test_import_never_touches_another_org(talk: Talk) -> None:
    session = await talk.session()
    first = await talk.chat(session_id=session)
    await talk.chat(previous_chat_id=first)
    stub, before = (
        HistoryServiceStub(talk.channel),
        await _exported(HistoryServiceStub(talk.channel), talk.org),
    )
    stranger = await _new_org(talk)
    chat = next(line for line in before if _is(line, "chat"))
    message = next(line for line in before if _is(line, "message"))
    new = {"id": new_id()}

    for attempt in (chat, _with(chat, **new), _with(chat, **new, threadId=new["id"])):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.ImportHistory(ImportHistoryRequest(lines=[attempt]), metadata=stranger.metadata)
        assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    fork = _text({"kind": "fork", "threadId": new["id"], "parentId": session, "parentSeq": 1})
    for attempt in ([message], [message, _with(message, seq=1)], [fork]):  # which nothing of its org needs
        await stub.ImportHistory(ImportHistoryRequest(lines=attempt), metadata=stranger.metadata)

    assert await _exported(stub, talk.org) == before
    assert len(await _exported(stub, stranger)) == 1  # what it is
    own = _with(_without_session(chat), **new, firstSeq=0, outputSeq=1, lastSeq=1)
    for joined in (session, new["id"]):
        words = [
            _text(
                {"kind": "message", "threadId": joined, "seq": seq, "body": {"role": role, "content": "own"}}
            )
            for seq, role in enumerate(("user", "assistant"))
        ]
        lines = [*words, _with(own, threadId=joined)]
        await stub.ImportHistory(ImportHistoryRequest(lines=lines), metadata=stranger.metadata)
        whole = await talk.store.chats.get(Scope(stranger.id), new["id"])
        assert [text_of(one) for one in (*whole.messages, *whole.output)] == ["own"] * 2
        await talk.store.chats.delete(Scope(stranger.id), new["id"])
        assert await _exported(stub, talk.org) == before
    assert len(await _exported(stub, stranger)) == 1
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        lines = [fork, _with(own, threadId=new["id"], lastSeq=-1, outputSeq=0)]
        await stub.ImportHistory(ImportHistoryRequest(lines=lines), metadata=stranger.metadata)


@pytest.mark.parametrize("noun", ["chat", "session"])
async def test_record_whose_body_has_the_id_of_another_orgs_is_deleted_alone(talk: Talk, noun: str) -> None:
    await talk.chat(session_id=await talk.session())
    stub, before = (
        HistoryServiceStub(talk.channel),
        await _exported(HistoryServiceStub(talk.channel), talk.org),
    )
    stranger, made = await _new_org(talk), new_id()
    line = _without_session(next(line for line in before if _is(line, noun)))
    places = {"firstSeq": 0, "outputSeq": 0, "lastSeq": 0} if noun == "chat" else {}
    words = _text(
        {"kind": "message", "threadId": made, "seq": 0, "body": {"role": "assistant", "content": "own"}}
    )
    await stub.ImportHistory(
        ImportHistoryRequest(lines=[words, _with(line, id=made, threadId=made, **places)]),
        metadata=stranger.metadata,
    )

    await getattr(talk.store, f"{noun}s").delete(Scope(stranger.id), made)

    assert await _exported(stub, talk.org) == before
    assert len(await _exported(stub, stranger)) == 1


async def test_import_that_contradicts_what_is_there_changes_nothing(talk: Talk) -> None:
    first = await talk.chat()
    second = await talk.chat(previous_chat_id=first)
    stub = HistoryServiceStub(talk.channel)
    lines = await _exported(stub, talk.org)
    await talk.delete(second)
    await talk.chat(previous_chat_id=first)
    before = await _exported(stub, talk.org)

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ImportHistory(ImportHistoryRequest(lines=lines), metadata=talk.org.metadata)

    assert "has continued differently" in refused.value.details()
    assert await _exported(stub, talk.org) == before


async def test_import_brings_back_what_was_deleted(talk: Talk) -> None:
    first = await talk.chat()
    second = await talk.chat(previous_chat_id=first)
    stub = HistoryServiceStub(talk.channel)
    lines = await _exported(stub, talk.org)
    await talk.delete(second)

    imported = await stub.ImportHistory(ImportHistoryRequest(lines=lines), metadata=talk.org.metadata)

    assert imported.imported == 3  # the chat and its two messages
    assert await _exported(stub, talk.org) == lines


async def test_messages_that_nothing_needs_are_not_taken_in(talk: Talk) -> None:
    await talk.chat()
    stub = HistoryServiceStub(talk.channel)
    lines = await _exported(stub, talk.org)
    empty = await _new_org(talk)
    before = talk.threads()

    orphan = _with(next(line for line in lines if _is(line, "message")), threadId=new_id())
    await stub.ImportHistory(ImportHistoryRequest(lines=[orphan]), metadata=empty.metadata)

    assert talk.threads() == before


async def test_forks_in_a_circle_are_refused(talk: Talk) -> None:
    await talk.chat()
    stub = HistoryServiceStub(talk.channel)
    chat = next(line for line in await _exported(stub, talk.org) if _is(line, "chat"))
    one, two = new_id(), new_id()
    lines = [
        _with(chat, id=one, threadId=one),
        _text({"kind": "fork", "threadId": one, "parentId": two, "parentSeq": 1}),
        _text({"kind": "fork", "threadId": two, "parentId": one, "parentSeq": 1}),
    ]

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ImportHistory(ImportHistoryRequest(lines=lines), metadata=talk.org.metadata)

    assert "in a circle" in refused.value.details()


async def test_unknown_session_cannot_be_exported(
    org: Org, other_org: Org, http: httpx.AsyncClient, history: HistoryServiceStub
) -> None:
    body = {"assistantId": other_org.assistant_id}
    foreign = (await http.post("/session", headers=other_org.bearer, json=body)).json()["id"]
    for session_id in (foreign, new_id(), "nonsense"):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await _exported(history, org, session_id=session_id)
        assert refused.value.code() == grpc.StatusCode.NOT_FOUND


async def test_publishable_key_may_neither_export_nor_import(org: Org, history: HistoryServiceStub) -> None:
    metadata = (("authorization", f"Bearer {org.publishable}"),)
    with pytest.raises(grpc.aio.AioRpcError) as export:
        async for _ in history.ExportHistory(ExportHistoryRequest(), metadata=metadata):
            pass
    with pytest.raises(grpc.aio.AioRpcError) as ingesting:
        await history.ImportHistory(ImportHistoryRequest(lines=["{}"]), metadata=metadata)

    assert export.value.code() == ingesting.value.code() == grpc.StatusCode.PERMISSION_DENIED


def test_every_column_is_in_an_export(talk: Talk) -> None:
    """A new column of bytes has to be given a form in `server/wire/history/lines.py`."""
    read = talk.store.database.reader
    blobs = {
        (kind, name)
        for kind in TABLES
        for name, (type_, _) in columns_of(read, kind).items()
        if type_ == "BLOB"
    }

    assert blobs == FORMS


async def _new_org(talk: Talk) -> Org:
    """An org with nothing in it but its keys."""
    org = await Service(talk.store, "", "", None).new_org()
    await talk.store.assistants.delete(org.id, org.assistant_id)
    return org


def _is(line: str, kind: str) -> bool:
    return orjson.loads(line)["kind"] == kind


def _without_session(line: str) -> str:
    row = orjson.loads(line)
    row.pop("sessionId", None)
    row["body"].pop("sessionId", None)
    return _text(row)


def _with(line: str, **members: object) -> str:
    return _text({**orjson.loads(line), **members})


def _text(members: dict) -> str:
    return orjson.dumps(members).decode()


def _deep(levels: int) -> list:
    return [_deep(levels - 1)] if levels else []
