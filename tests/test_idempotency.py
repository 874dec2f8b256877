"""Idempotency-Key: a request that is sent again is answered again and carried out once, over gRPC and through
Envoy."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import httpx
import openai
import pytest
from google.protobuf import descriptor_pool, json_format, message_factory

from server.core.ids import new_id
from server.rpc import idempotency
from server.rpc.idempotency import is_posted
from server.storage.idempotency import NOT_STORED, RETENTION_MS
from server.storage.scope import Scope
from server.storage.store import open_store
from tests.conftest import Org, Service, rows_of, running
from tests.upstream import CUT, STALL, Answer, OpenAIUpstream, chunk, failure, openai_text, sse

COMPLETIONS = "/api/v1/compatibility/openai/v1/assistants/{agent}/chat/completions"
USER = [{"role": "user", "content": "Hello"}]


class Sent(NamedTuple):
    """A request: for REST a path and a body, for gRPC a method and its request as JSON."""

    to: str
    body: dict[str, Any]
    status: int = 200

    def of(self, **names: str) -> "Sent":
        filled = json.dumps(self.body)
        for name, value in names.items():
            filled = filled.replace(f"<{name}>", value)
        return Sent(self.to.format(**names), json.loads(filled), self.status)

    def with_members(self, **members: Any) -> "Sent":
        return self._replace(body={**self.body, **members})


class Got(NamedTuple):
    """An answer: HTTP status or gRPC code, whether it was replayed, and its bytes."""

    status: Any
    replayed: bool
    body: bytes
    text: str = ""
    pieces: tuple[bytes, ...] = ()


CHAT = {"input": "Hello", "assistantId": "<agent>"}
REST = {
    "chat": Sent("/chat", CHAT),
    "chat stream": Sent("/chat", {**CHAT, "stream": True}),
    "response": Sent("/chat/responses", {**CHAT, "stream": False}),
    "response stream": Sent("/chat/responses", CHAT),
    "completion": Sent(COMPLETIONS, {"messages": USER, "create_session": True}),
    "completion stream": Sent(COMPLETIONS, {"messages": USER, "stream": True}),
    "choices": Sent(COMPLETIONS, {"messages": USER, "n": 2}),
    "message": Sent("/chat/{chat}/message", {"content": "Hello", "role": "user"}),
    "session": Sent("/session", {"assistantId": "<agent>", "name": "one"}, 201),
    "assistant": Sent("/assistant", {"name": "one", "unknown": {"b": 1, "a": 2}}, 201),
    "squad": Sent("/squad", {"members": [{"assistantId": "<agent>"}]}, 201),
}
GRPC = {
    "chat": Sent("ChatService/CreateChat", CHAT),
    "chat stream": Sent("ChatService/StreamChat", CHAT),
    "response": Sent("ResponseService/CreateResponse", CHAT),
    "response stream": Sent("ResponseService/StreamResponse", CHAT),
    "completion": Sent("CompletionService/CreateChatCompletion", {"agent_id": "<agent>", "messages": USER}),
    "completion stream": Sent(
        "CompletionService/StreamChatCompletion", {"agent_id": "<agent>", "messages": USER}
    ),
    "message": Sent("AgentChatService/CreateMessage", {"chatId": "<chat>", "content": "Hello"}),
    "message stream": Sent("AgentChatService/StreamMessage", {"chatId": "<chat>", "content": "Hello"}),
    "agent chat": Sent("AgentChatService/CreateAgentChat", {"agentId": "<agent>"}),
    "session": Sent("SessionService/CreateSession", {"assistantId": "<agent>", "name": "one"}),
    "assistant": Sent("AssistantService/CreateAssistant", {"document": {"name": "one"}}),
    "squad": Sent("SquadService/CreateSquad", {"document": {"members": [{"assistantId": "<agent>"}]}}),
}
CASES = [*(("rest", name) for name in REST), *(("grpc", name) for name in GRPC)]
EXCHANGES = [
    (kind, name) for kind, name in CASES if name not in ("session", "assistant", "squad", "agent chat")
]


class Client:
    """Sends over either wire, under a key, as one org."""

    def __init__(self, service: Service, kind: str, org: Org) -> None:
        self._service = service
        self._kind = kind
        self._org = org

    async def send(self, sent: Sent, key: str | None, secret: str | None = None) -> Got:
        headers = {"authorization": f"Bearer {secret or self._org.api}"}
        if key is not None:
            headers["idempotency-key"] = key
        return await (self._post if self._kind == "rest" else self._call)(sent, headers)

    async def case(self, name: str, agent: str | None = None) -> Sent:
        """The request of this name, with what it needs made."""
        agent = agent or self._org.assistant_id
        made = await self._call(
            Sent("AgentChatService/CreateAgentChat", {"agentId": agent}), self._org.bearer
        )
        chat = answer_of("AgentChatService/CreateAgentChat", made.body).id
        return (REST if self._kind == "rest" else GRPC)[name].of(agent=agent, chat=chat)

    async def chats(self) -> int:
        """How many exchanges are on record."""
        got = await self._call(Sent("ChatService/ListChats", {}), self._org.bearer)
        return int(answer_of("ChatService/ListChats", got.body).metadata.total_items)

    async def _post(self, sent: Sent, headers: dict[str, str]) -> Got:
        async with httpx.AsyncClient(base_url=self._service.http_url, timeout=20) as http:
            answer = await http.post(sent.to, json=sent.body, headers=headers)
        assert answer.status_code >= 400 or answer.status_code == sent.status
        return Got(
            answer.status_code,
            answer.headers.get("idempotent-replayed") == "true",
            answer.content,
            answer.text,
        )

    async def _call(self, sent: Sent, metadata: dict[str, str]) -> Got:
        async with grpc.aio.insecure_channel(self._service.grpc_address) as channel:
            call = begin(channel, sent, metadata)
            pieces = []
            with contextlib.suppress(grpc.aio.AioRpcError):
                if method_of(sent.to).server_streaming:
                    async for piece in call:
                        pieces.append(piece)
                else:
                    pieces.append(await call)
            answered_metadata = dict(await call.initial_metadata())
            return Got(
                await call.code(),
                answered_metadata.get("idempotent-replayed") == "true",
                b"".join(pieces),
                await call.details() or "",
                tuple(pieces),
            )


def begin(channel: grpc.aio.Channel, sent: Sent, metadata: dict[str, str]) -> Any:
    """The call, its answers as bytes."""
    method = method_of(sent.to)
    request = json_format.ParseDict(sent.body, message_factory.GetMessageClass(method.input_type)())
    make = channel.unary_stream if method.server_streaming else channel.unary_unary
    return make(f"/parley.v1.{sent.to}", request_serializer=lambda message: message.SerializeToString())(
        request, metadata=tuple(metadata.items()), timeout=20
    )


def meaning(got: Got, sent: Sent) -> list[Any]:
    """What an answer says. A Struct that is read and written again may have its members in another order."""
    if isinstance(got.status, int):
        return [
            json.loads(line.removeprefix("data: ")) if "{" in line else line for line in got.text.splitlines()
        ]
    return [answer_of(sent.to, piece) for piece in got.pieces]


def method_of(name: str) -> Any:
    return descriptor_pool.Default().FindMethodByName("parley.v1." + name.replace("/", "."))


def answer_of(name: str, body: bytes) -> Any:
    return message_factory.GetMessageClass(method_of(name).output_type).FromString(body)


@pytest.fixture(params=["rest", "grpc"])
def client(request: pytest.FixtureRequest, service: Service, org: Org) -> Client:
    return Client(service, request.param, org)


@pytest.fixture(scope="module")
async def slow(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    async with running(tmp_path_factory.mktemp("slow"), offline_delay_ms=20) as started:
        yield started


@asynccontextmanager
async def scripted(service: Service, org: Org, *answers: Answer) -> AsyncIterator[tuple[OpenAIUpstream, str]]:
    """A model that answers as scripted and counts its calls, and an assistant on it."""
    async with OpenAIUpstream(list(answers)) as upstream:
        stored = await service.store.assistants.create(
            org.id, {"model": {"provider": "custom-llm", "model": "m", "url": upstream.base_url}}
        )
        yield upstream, stored.id


@pytest.mark.parametrize(("kind", "name"), CASES)
async def test_repeat_is_answered_again_and_not_carried_out(service, org, kind, name):
    client = Client(service, kind, org)
    sent = await client.case(name)
    first = await client.send(sent, "k1")
    chats = await client.chats()

    again = await client.send(sent, "k1")

    assert again == first._replace(replayed=True)
    assert first.status in (200, 201, grpc.StatusCode.OK)
    assert first.body
    assert not first.replayed
    assert await client.chats() == chats


@pytest.mark.parametrize(("kind", "name"), EXCHANGES)
async def test_answer_that_was_not_stored_is_replayed_from_the_record(service, org, kind, name, monkeypatch):
    monkeypatch.setattr(idempotency, "MOST_PERSISTED", 10)
    client = Client(service, kind, org)
    sent = await client.case(name)
    first = await client.send(sent, "k1")
    chats = await client.chats()

    again = await client.send(sent, "k1")

    assert (again.status, again.replayed) == (first.status, True)
    assert meaning(again, sent) == meaning(first, sent)
    assert await client.chats() == chats


@pytest.mark.parametrize("kind", ["rest", "grpc"])
async def test_answer_that_was_not_kept_and_is_no_exchange_is_a_conflict(service, org, kind, monkeypatch):
    monkeypatch.setattr(idempotency, "MOST_PERSISTED", 10)
    client = Client(service, kind, org)
    sent = await client.case("session")
    first = await client.send(sent, "k1")
    made = json.loads(first.body)["id"] if kind == "rest" else answer_of(sent.to, first.body).id

    again = await client.send(sent, "k1")

    assert again.status in (409, grpc.StatusCode.ABORTED)
    assert f"session {made}" in again.text


async def test_without_a_key_every_request_is_carried_out(client):
    sent = await client.case("chat")

    assert (await client.send(sent, None)).body != (await client.send(sent, None)).body
    assert await client.chats() == 2


async def test_key_beyond_ascii_is_refused(service, org, http):
    sent = await Client(service, "rest", org).case("chat")
    headers = [(b"idempotency-key", "é".encode()), (b"authorization", f"Bearer {org.api}".encode())]

    assert (await http.post(sent.to, json=sent.body, headers=headers)).status_code == 400


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        (
            "chat",
            400,
            {
                "message": [
                    "Idempotency-Key was used for another request; send a new key with a new request"
                ],
                "error": "Bad Request",
                "statusCode": 400,
            },
        ),
        (
            "response",
            400,
            {
                "error": {
                    "message": "Idempotency-Key was used for another request; send a new key with a new request",
                    "type": "invalid_request_error",
                    "param": "Idempotency-Key",
                    "code": "idempotency_key_reused",
                }
            },
        ),
        (
            "completion",
            422,
            {
                "detail": [
                    {
                        "loc": ["header", "Idempotency-Key"],
                        "msg": "was used for another request; send a new key with a new request",
                        "type": "idempotency_key_reused",
                    }
                ]
            },
        ),
        (
            "message",
            400,
            {
                "error": "Bad Request",
                "message": "Idempotency-Key was used for another request; send a new key with a new request",
            },
        ),
    ],
)
async def test_other_body_is_refused_in_the_shape_of_the_door(service, org, name, status, body):
    client = Client(service, "rest", org)
    sent = await client.case(name)
    await client.send(sent, "k1")
    others = {
        "message": {"content": "Other"},
        "completion": {"messages": [{"role": "user", "content": "Other"}]},
    }

    refused = await client.send(sent.with_members(**others.get(name, {"input": "Other"})), "k1")

    assert (refused.status, json.loads(refused.body)) == (status, body)


async def test_other_request_over_grpc_is_an_invalid_argument(service, org):
    client = Client(service, "grpc", org)
    sent = await client.case("chat")
    await client.send(sent, "k1")

    assert (
        await client.send(sent.with_members(input="Other"), "k1")
    ).status == grpc.StatusCode.INVALID_ARGUMENT
    assert (
        await client.send(await client.case("chat stream"), "k1")
    ).status == grpc.StatusCode.INVALID_ARGUMENT
    assert (await client.send(await client.case("session"), "k1")).status == grpc.StatusCode.INVALID_ARGUMENT


async def test_order_and_spelling_of_members_do_not_make_another_request(service, org):
    client = Client(service, "rest", org)
    sent = await client.case("chat")
    first = await client.send(sent, "k1")

    again = await client.send(Sent("/chat", {"assistant_id": org.assistant_id, "input": "Hello"}), "k1")

    assert again == first._replace(replayed=True)


@pytest.mark.parametrize("key", ["", "a b", "k" * 256])
async def test_key_that_is_no_key_is_refused_by_name(client, key):
    sent = await client.case("chat")

    refused = await client.send(sent, key)

    assert refused.status in (400, grpc.StatusCode.INVALID_ARGUMENT)
    assert "Idempotency-Key must be 1 to 255 visible ASCII characters" in refused.text


async def test_longest_key_is_taken(client):
    sent = await client.case("chat")
    await client.send(sent, "~" * 255)

    assert (await client.send(sent, "~" * 255)).replayed


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, name)
        for kind, name in EXCHANGES
        if kind == "grpc" or name in ("chat", "response", "completion", "message")
    ],
)
async def test_twin_in_flight_is_a_conflict_at_once(slow, kind, name):
    """The model takes a minute: whichever request is answered before is the twin."""
    client = Client(slow, kind, await slow.new_org())
    sent = await client.case(name)
    long = "word " * 3000
    members_sent = (
        {"messages": [{"role": "user", "content": long}]}
        if "messages" in sent.body
        else {"content" if "content" in sent.body else "input": long}
    )
    twins = [asyncio.create_task(client.send(sent.with_members(**members_sent), "k1")) for _ in range(2)]
    done, runs_on = await asyncio.wait(twins, return_when=asyncio.FIRST_COMPLETED)
    for twin in runs_on:
        twin.cancel()
    await asyncio.gather(*runs_on, return_exceptions=True)

    assert [twin.result().status for twin in done] == [409 if kind == "rest" else grpc.StatusCode.ABORTED]
    assert "still running" in done.pop().result().text


async def test_caller_that_left_learns_which_chat_is_on_record(service, org):
    client = Client(service, "grpc", org)
    async with (
        scripted(service, org, Answer([*sse(chunk({"content": "Hi"})), STALL])) as (upstream, agent),
        grpc.aio.insecure_channel(service.grpc_address) as channel,
    ):
        sent = await client.case("chat stream", agent)
        call = begin(channel, sent, {**org.bearer, "idempotency-key": "k1"})
        chat_id = answer_of(sent.to, await call.read()).chat_id
        call.cancel()
        await over(channel, org, chat_id)
        again = await client.send(sent, "k1")
        while again.status == grpc.StatusCode.ABORTED and "still running" in again.text:
            again = await client.send(sent, "k1")

    assert (again.status, again.body) == (grpc.StatusCode.ABORTED, b"")
    assert f"made chat {chat_id}" in again.text
    assert len(upstream.requests) == 1


async def over(channel: grpc.aio.Channel, org: Org, chat_id: str) -> None:
    """Wait for the end of an exchange."""
    async for _ in begin(channel, Sent("ChatService/WatchChat", {"id": chat_id}), org.bearer):
        pass


async def test_keys_of_orgs_are_their_own(service, org, other_org):
    mine, theirs = Client(service, "rest", org), Client(service, "rest", other_org)
    await mine.send(await mine.case("chat"), "k1")

    other = await theirs.send(await theirs.case("chat"), "k1")

    assert (other.status, other.replayed) == (200, False)


async def test_publishable_key_has_idempotency_keys_of_its_own(service, org):
    client = Client(service, "grpc", org)
    sent = await client.case("chat")
    await client.send(sent, "k1")

    first = await client.send(sent, "k1", org.publishable)
    again = await client.send(sent, "k1", org.publishable)

    assert not first.replayed
    assert again == first._replace(replayed=True)
    assert (await client.send(sent, "k1", org.secret)).replayed


async def test_error_status_frees_the_key(client, service, org):
    sent = await client.case("chat")

    for refused in (
        sent.with_members(assistantId=new_id()),
        sent.with_members(name="x" * 41),
        sent.with_members(input=[]),
    ):
        assert (await client.send(refused, "k1")).status not in (200, grpc.StatusCode.OK)
    ran = await client.send(sent, "k1")

    assert (ran.status in (200, grpc.StatusCode.OK), ran.replayed) == (True, False)


async def test_failed_model_frees_the_key(client, service, org):
    async with scripted(service, org, failure(401), openai_text("Hello")) as (upstream, agent):
        sent = await client.case("chat stream", agent)
        failed = await client.send(sent, "k1")
        ran = await client.send(sent, "k1")
        again = await client.send(sent, "k1")

    assert failed.status in (502, grpc.StatusCode.UNAVAILABLE)
    assert not ran.replayed
    assert again == ran._replace(replayed=True)
    assert len(upstream.requests) == 2


async def test_stream_that_failed_after_it_began_fails_again(client, service, org):
    async with scripted(service, org, Answer([*sse(chunk({"content": "Hi"})), CUT])) as (upstream, agent):
        sent = await client.case("chat stream", agent)
        first = await client.send(sent, "k1")
        requests_before = len(upstream.requests)
        again = await client.send(sent, "k1")

    assert again == first._replace(replayed=True)
    assert first.status in (200, grpc.StatusCode.UNAVAILABLE)
    assert len(upstream.requests) == requests_before


async def test_key_is_forgotten_after_a_day(tmp_path):
    now = [1_700_000_000_000]
    async with running(tmp_path, clock=lambda: now[0]) as service:
        client = Client(service, "rest", await service.new_org())
        sent = await client.case("chat")
        first = await client.send(sent, "k1")
        now[0] += RETENTION_MS - 1
        again = await client.send(sent, "k1")
        now[0] += 1
        later = await client.send(sent, "k1")

    assert again == first._replace(replayed=True)
    assert not later.replayed


async def test_deleted_chat_takes_its_kept_answer_along(service, org, http):
    client = Client(service, "rest", org)
    sent = await client.case("chat")
    chat_id = json.loads((await client.send(sent, "k1")).body)["id"]
    await http.delete(f"/chat/{chat_id}", headers=org.bearer)

    again = await client.send(sent, "k1")

    assert again.status == 409
    assert chat_id in again.text
    assert await client.chats() == 0


# After a crash


@pytest.mark.parametrize("stream", [False, True])
async def test_key_of_what_is_not_stored_is_used_and_its_answer_is_kept_nowhere(service, org, stream):
    client = Client(service, "rest", org)
    sent = (await client.case("response")).with_members(
        store=False, stream=stream, input="a word like no other"
    )
    first = await client.send(sent, "k1")
    again = await client.send(sent, "k1")
    other = await client.send(sent.with_members(input="another"), "k1")

    assert (first.status, again.status, other.status) == (200, 409, 400)
    assert "with store: false, so its answer is not kept" in again.text
    assert await rows_of(
        service.store, "SELECT answer, record FROM idempotency_keys WHERE org_id = ?", [org.id]
    ) == [(None, NOT_STORED)]


async def test_answers_go_with_what_is_deleted_of_a_conversation(service, org, http):
    async def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await http.post(path, json=body, headers={**org.bearer, "idempotency-key": new_id()})
        return answer.json()

    async def answers() -> int:
        return (
            await rows_of(
                service.store,
                "SELECT count(*) FROM idempotency_keys WHERE org_id = ? AND answer <> ?",
                [org.id, b""],
            )
        )[0][0]

    item = {"role": "user", "content": "Hello"}
    conversation = (await post("/v1/conversations", {"items": [item]}))["id"]
    added = (await post(f"/v1/conversations/{conversation}/items", {"items": [item]}))["data"][0]["id"]
    await post(
        "/v1/responses", {"assistantId": org.assistant_id, "conversation": conversation, "input": "Hi"}
    )
    counted = [await answers()]
    await http.delete(f"/v1/conversations/{conversation}/items/{added}", headers=org.bearer)
    counted.append(await answers())
    await post(f"/v1/conversations/{conversation}", {"metadata": {"a": "b"}})
    counted.append(await answers())
    await http.delete(f"/v1/conversations/{conversation}", headers=org.bearer)
    counted.append(await answers())

    assert counted == [3, 0, 1, 0]


async def test_answer_is_not_kept_of_what_was_deleted_before_the_call_was_over(service, org, monkeypatch):
    client = Client(service, "grpc", org)
    persist = service.store.idempotency.persist

    async def persist_late(claim: Any, answer: bytes | None) -> None:
        await service.store.assistants.delete(org.id, claim.making.partition(" ")[2])
        await persist(claim, answer)

    monkeypatch.setattr(service.store.idempotency, "persist", persist_late)
    sent = await client.case("assistant")
    first = await client.send(sent, "k1")
    monkeypatch.undo()
    again = await client.send(sent, "k1")

    assert (first.status, again.status) == (grpc.StatusCode.OK, grpc.StatusCode.ABORTED)
    assert await rows_of(service.store, "SELECT answer FROM idempotency_keys WHERE org_id = ?", [org.id]) == [
        (b"",)
    ]


@asynccontextmanager
async def store_in(folder: Path, clock: Callable[[], int] | None = None) -> AsyncIterator[tuple[Any, Scope]]:
    store = open_store(folder, clock=clock) if clock else open_store(folder)
    try:
        yield store, Scope((await store.keys.create("org", "api")).org_id)
    finally:
        store.close()


async def crashed(service: Service, record: str | None) -> None:
    """Leave every key as a process does that dies while it serves: no answer, and `record` when that is
    given."""
    change = "answer = NULL" if record is None else f"answer = NULL, record = {record}"
    await service.store.database.write(
        lambda db: db.execute(f"UPDATE idempotency_keys SET {change}") and None
    )


async def test_what_was_not_on_record_runs_after_a_crash(tmp_path):
    async with running(tmp_path) as service:
        org = await service.new_org()
        sent = await Client(service, "rest", org).case("chat")
        await service.store.idempotency.claim(Scope(org.id), "k1", b"whatever it was")
    async with running(tmp_path) as service:
        client = Client(service, "rest", org)
        ran = await client.send(sent, "k1")

        assert (ran.status, ran.replayed) == (200, False)
        assert await client.chats() == 1


@pytest.mark.parametrize(
    ("kind", "name"), [("rest", "chat"), ("rest", "response stream"), ("grpc", "completion")]
)
async def test_exchange_on_record_is_replayed_after_a_crash(tmp_path, kind, name):
    async with running(tmp_path) as service:
        org = await service.new_org()
        client = Client(service, kind, org)
        sent = await client.case(name)
        first = await client.send(sent, "k1")
        await crashed(service, None)
    async with running(tmp_path) as service:
        client = Client(service, kind, org)
        again = await client.send(sent, "k1")
        third = await client.send(sent, "k1")

        assert (again.status, again.replayed) == (first.status, True)
        assert meaning(again, sent) == meaning(first, sent)
        assert third == again
        assert await client.chats() == 1


async def test_what_was_broken_off_by_a_stop_is_named(tmp_path):
    async with running(tmp_path, upstream_allow_hosts="127.0.0.1") as service:
        org = await service.new_org()
        async with (
            scripted(service, org, Answer([*sse(chunk({"content": "Hi"})), STALL])) as (upstream, agent),
            grpc.aio.insecure_channel(service.grpc_address) as channel,
        ):
            sent = await Client(service, "grpc", org).case("chat stream", agent)
            call = begin(channel, sent, {**org.bearer, "idempotency-key": "k1"})
            chat_id = answer_of(sent.to, await call.read()).chat_id
            call.cancel()
            await upstream.disconnected.wait()
    async with running(tmp_path) as service:
        again = await Client(service, "grpc", org).send(sent, "k1")

        assert again.status == grpc.StatusCode.ABORTED
        assert chat_id in again.text


async def test_work_without_an_id_is_not_done_again_after_a_crash(tmp_path):
    async with running(tmp_path) as service:
        org = await service.new_org()
        client = Client(service, "rest", org)
        sent = await client.case("assistant")
        await client.send(sent, "k1")
        await crashed(service, "''")
    async with running(tmp_path) as service:
        again = await Client(service, "rest", org).send(sent, "k1")

        assert again.status == 409
        assert "was carried out; its whole answer is not kept" in again.text


async def test_work_that_is_undone_does_not_mark_its_claim(tmp_path):
    async with store_in(tmp_path) as (store, scope):
        claim = await store.idempotency.claim(scope, "k1", b"")

        def work(connection: Any) -> None:
            claim.mark(connection)
            raise ValueError

        with pytest.raises(ValueError):
            await store.database.write(work)
        await store.idempotency.release(claim)

        assert (await store.idempotency.claim(scope, "k1", b"")).record is None


# The official SDK


async def test_official_sdk_gets_the_same_answers(service, org):
    headers = {"Idempotency-Key": "sdk-1"}
    async with openai.AsyncOpenAI(base_url=f"{service.http_url}/v1", api_key=org.api, max_retries=0) as sdk:
        first = await sdk.responses.create(model=org.assistant_id, input="Hello", extra_headers=headers)
        again = await sdk.responses.create(model=org.assistant_id, input="Hello", extra_headers=headers)
        with pytest.raises(openai.BadRequestError) as refused:
            await sdk.responses.create(model=org.assistant_id, input="Other", extra_headers=headers)
        streams = [
            await all_of(
                await sdk.responses.create(
                    model=org.assistant_id,
                    input="Hello",
                    stream=True,
                    extra_headers={"Idempotency-Key": "sdk-2"},
                )
            )
            for _ in range(2)
        ]

    assert again == first
    assert refused.value.param == "Idempotency-Key"
    assert streams[0] == streams[1]
    assert streams[0][-1].type == "response.completed"


async def test_official_sdk_gets_the_same_completions(service, org):
    base = service.http_url + COMPLETIONS.format(agent=org.assistant_id).removesuffix("/chat/completions")
    headers = {"Idempotency-Key": "sdk-1"}
    async with openai.AsyncOpenAI(base_url=base, api_key=org.api, max_retries=0) as sdk:
        first = await sdk.chat.completions.create(model="", messages=USER, extra_headers=headers)
        again = await sdk.chat.completions.create(model="", messages=USER, extra_headers=headers)
        with pytest.raises(openai.UnprocessableEntityError):
            await sdk.chat.completions.create(model="", messages=USER, n=2, extra_headers=headers)
        streams = [
            await all_of(
                await sdk.chat.completions.create(
                    model="", messages=USER, stream=True, extra_headers={"Idempotency-Key": "sdk-2"}
                )
            )
            for _ in range(2)
        ]

    assert again == first
    assert streams[0] == streams[1]
    assert streams[0]


async def all_of(stream: Any) -> list[Any]:
    async with stream:
        return [event async for event in stream]


async def test_pages_may_send_the_key_and_see_that_an_answer_was_replayed(http):
    requests_before = {"origin": "https://page.example", "access-control-request-method": "POST"}
    allowed = await http.options("/chat", headers=requests_before)
    answer = await http.get("/chat", headers={"origin": "https://page.example"})

    assert "idempotency-key" in allowed.headers["access-control-allow-headers"].split(", ")
    assert "idempotent-replayed" in answer.headers["access-control-expose-headers"].split(", ")


# Which methods


def test_what_http_posts_to_and_its_twins_take_keys():
    services = (
        "ChatService",
        "ResponseService",
        "CompletionService",
        "AgentChatService",
        "SessionService",
        "AssistantService",
        "SquadService",
    )
    pool = descriptor_pool.Default()
    posted = {
        f"{name}/{method.name}"
        for name in services
        for method in pool.FindServiceByName(f"parley.v1.{name}").methods
        if is_posted(f"/parley.v1.{name}/{method.name}")
    }

    assert posted >= {
        "ChatService/CreateChat",
        "ChatService/StreamChat",
        "ChatService/PostChat",
        "ResponseService/CreateResponse",
        "ResponseService/StreamResponse",
        "ResponseService/PostResponse",
        "CompletionService/CreateChatCompletion",
        "CompletionService/StreamChatCompletion",
        "CompletionService/PostChatCompletion",
        "AgentChatService/CreateAgentChat",
        "AgentChatService/CreateMessage",
        "AgentChatService/StreamMessage",
        "SessionService/CreateSession",
        "AssistantService/CreateAssistant",
        "AssistantService/PostAssistant",
        "SquadService/CreateSquad",
        "SquadService/PostSquad",
    }
    assert {
        one
        for one in posted
        if one.partition("/")[2].startswith(("Get", "List", "Update", "Delete", "Watch"))
    } == {"CompletionService/UpdateChatCompletion"}  # as OpenAI's interface has it
