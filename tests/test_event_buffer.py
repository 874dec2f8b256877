"""What of a streamed answer is unread stays small: the model waits for its caller, and who only watches reads
from disk."""

import asyncio
from collections import Counter

import grpc
import httpx
import pytest
from google.protobuf.struct_pb2 import Value

from generated.parley.v1.chat_pb2 import Chat, ChatEvent
from generated.parley.v1.chat_record_pb2 import ChatRecord, StreamPiece
from generated.parley.v1.chat_service_pb2 import CreateChatRequest, GetChatRequest, WatchChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from generated.parley.v1.message_pb2 import Message
from server.content.json_values import from_python
from server.content.messages import text_of
from server.core.ids import hex_of
from server.exchange import replay
from server.exchange.engine import CANCELLED
from server.exchange.event_buffer import MOST_OF_KEY, MOST_OF_STREAM, EventBuffer, Share, Unread
from server.exchange.streams import Streams
from server.storage.chats import Chats
from server.storage.store import open_store
from tests.conftest import running
from tests.test_engine import STOP, Lab, delta, kinds
from tests.upstream import Answer, Drip, OpenAIUpstream, chunk, sse

PIECE = "x" * 500
MANY = 1_000
"""Pieces: half a megabyte."""


class Script:
    """A script of many pieces that counts what the model was let say."""

    def __init__(self, pieces=MANY):
        self.number = 0
        self.script = [
            step for number in range(pieces) for step in (self._count, delta(f"{number:06}{PIECE}"))
        ] + [STOP]

    async def _count(self):
        self.number += 1


@pytest.fixture
async def lab(tmp_path):
    lab = Lab()
    yield await lab.open(open_store(tmp_path, clock=lab.now))
    await lab.store.aclose()


def texts(events):
    return [one.delta.text[:6] for one in events if one.HasField("delta")]


def in_order(number=MANY):
    return [f"{place:06}" for place in range(number)]


async def test_model_is_never_far_ahead_of_its_caller(lab):
    source, read = Script(), 0

    async with lab.streams(*source.script).start(lab.turn()) as stream:
        async for batch in stream.batches():
            read += sum(one.HasField("delta") for one in batch)
            assert (source.number - read) * len(PIECE) < 2 * MOST_OF_STREAM

    assert read == MANY


@pytest.mark.parametrize("persists", [True, False])
async def test_caller_who_reads_late_misses_nothing(lab, persists):
    source, events = Script(), []

    async with lab.streams(*source.script).start(lab.turn(persists=persists)) as stream:
        async for batch in stream.batches():
            events += batch
            for _ in range(20):
                await asyncio.sleep(0)

    assert (texts(events), kinds(events[-1:])) == (in_order(), ["completed"])
    assert [one.sequence for one in events] == list(range(MANY + 2))


async def test_caller_who_reads_nothing_for_long_has_left(lab):
    source = Script()
    streams = Streams(
        lab.engine(*source.script), lab.store.chats, lab.store.peers, lab.recovery, unread_seconds=0.05
    )

    async with streams.start(lab.turn()) as stream:
        await asyncio.wait([stream.running])
        events = [one async for batch in stream.batches() for one in batch]

    stored_chat = await lab.stored_chat()
    assert lab.backend.closed.is_set()
    assert source.number * len(PIECE) < 2 * MOST_OF_STREAM
    assert (stored_chat.status, stored_chat.error.code) == ("incomplete", "client_stalled")
    assert texts(events) == in_order(source.number)
    assert (kinds(events[-1:]), events[-1].completed.error.code) == (["completed"], "client_stalled")


async def test_caller_who_leaves_while_the_model_waits_ends_it(lab):
    source = Script()

    async with lab.streams(*source.script).start(lab.turn()):
        pass

    stored_chat = await lab.stored_chat()
    assert lab.backend.closed.is_set()
    assert (stored_chat.status, stored_chat.error.code) == ("incomplete", "client_disconnected")


async def test_answer_that_waits_for_its_caller_can_be_cancelled(lab):
    source = Script()

    async with lab.streams(*source.script).start(lab.turn()) as stream:
        await stream.cancel(CANCELLED)

    assert (await lab.stored_chat()).status == "cancelled"


async def test_answer_in_the_background_waits_for_nobody_and_is_not_held(lab):
    async with lab.streams(*Script().script).start(lab.turn(), background=True) as stream:
        await asyncio.wait([stream.running])

    buffered = sum(entry.size for entry in stream._buffer._emitted[:-1])
    assert buffered <= 2 * MOST_OF_STREAM
    assert (await lab.stored_chat()).status == "completed"


async def test_answer_that_a_model_has_ready_is_put_on_disk_by_what_there_is_room_for(lab, monkeypatch):
    """And not by the few events between which others get their turn: each commit may take long."""
    written, journal = [], Chats.journal

    async def counted(chats, batches):
        written.append(sum(len(batch.events) for batch in batches))
        return await journal(chats, batches)

    monkeypatch.setattr(Chats, "journal", counted)
    streams = lab.streams([*(delta(f"{number:06}") for number in range(MANY)), STOP])
    async with streams.start(lab.turn()) as stream:
        events = [one async for batch in stream.batches() for one in batch]

    size = sum(event.ByteSize() for event in events)
    assert (texts(events), kinds(events[-1:])) == (in_order(), ["completed"])
    assert len(written) <= 2 + 2 * size // MOST_OF_STREAM, written


@pytest.mark.parametrize("moment", ["while it runs", "when it is over"])
async def test_who_watches_from_behind_misses_nothing(lab, moment):
    """What is not held any more comes from the journal, and when that is empty from the record."""
    more = asyncio.Event()
    script = Script().script
    script.insert(-1, more)
    events = []

    async with lab.streams(*script).start(lab.turn(), background=True) as stream, stream.reading():
        await lab.backend.waiting.wait()
        watching = stream.watched()
        if moment == "while it runs":
            while len(events) <= MANY:
                events += await anext(watching)
            more.set()
        else:
            events += await anext(watching)
            events += await anext(watching)
            more.set()
            await asyncio.wait([stream.running])
        events += [one async for batch in watching for one in batch]

    assert [one.sequence for one in events] == list(range(MANY + 2))
    assert (texts(events), kinds(events[-1:])) == (in_order(), ["completed"])
    assert {(one.chat_id, one.session_id) for one in events} == {(stream.chat_id, "")}


async def test_who_watches_from_behind_hears_once_that_it_was_deleted(lab):
    async with lab.streams(*Script().script[:-1], asyncio.Event()).start(
        lab.turn(), background=True
    ) as stream:
        await lab.backend.waiting.wait()
        behind, watching, received = stream.watched(), stream.watched(), 0
        events = await anext(behind)
        while received <= MANY:
            received += len(await anext(watching))
        await lab.store.chats.delete(lab.caller.scope, stream.chat_id)
        await stream.cancel(replay.DELETED)
        events += [one async for batch in behind for one in batch]

    assert kinds(events) == ["started", "failed"]
    assert events[-1].failed.error.code == "chat_deleted"


async def test_journal_is_read_from_any_place(lab):
    async with lab.streams(*Script().script[:-1], asyncio.Event()).start(
        lab.turn(), background=True
    ) as stream:
        await lab.backend.waiting.wait()
        watching, received = stream.watched(), 0
        while received <= MANY:  # what is told is on disk
            received += len(await anext(watching))
        for place in (1, 2, 63, 500, MANY):
            first = (await lab.store.chats.events(lab.caller.org_id, stream.chat_id, place))[0]
            assert (first.sequence, first.delta.text[:6]) == (place, f"{place - 1:06}")
        await stream.cancel(CANCELLED)


async def test_what_several_read_is_serialized_once(lab):
    more = asyncio.Event()

    async with lab.streams(delta("Hel"), more, STOP).start(lab.turn()) as stream:
        await lab.backend.waiting.wait()
        one, other = [(await anext(stream.watched()))[0] for _ in range(2)]
        assert stream.serialized(one) is stream.serialized(other)
        assert stream.serialized(one) == one.SerializeToString()
        more.set()


def test_what_is_serialized_for_several_readers_can_be_said_in_json():
    """NaN was stored by earlier versions."""
    buffer, chat = (
        EventBuffer(Unread(), "key", paced=False),
        Chat(id="c", input=Value(number_value=float("nan"))),
    )
    buffer.add(replay.event(chat, 0, completed=chat))
    buffer.emit(1)
    over = replay.Replay(chat, ChatRecord())

    for data in (buffer.data_of(buffer.last), over.serialized(list(over.events())[-1])):
        assert ChatEvent.FromString(data).completed.input.WhichOneof("kind") == "null_value"


async def test_who_reads_what_is_over_shares_it(lab):
    streams = lab.streams(delta("Hi"), STOP)
    async with streams.start(lab.turn()) as stream:
        await asyncio.wait([stream.running])

    scope = lab.caller.scope
    async with streams.reading(scope, stream.chat_id) as one, streams.reading(scope, stream.chat_id) as other:
        assert one is other
        assert [kinds(batch) async for batch in one.watched()] == [
            kinds(batch) async for batch in other.watched()
        ]


async def test_readers_leave_most_of_each_turn_of_the_loop_to_others():
    share, granted, turns = Share(16), [], []

    async def read():
        for _ in range(10):
            await share.acquire()
            granted.append(len(turns))

    readers = [asyncio.create_task(read()) for _ in range(100)]
    gone = asyncio.create_task(share.acquire(3))
    await asyncio.sleep(0)
    gone.cancel()
    while len(granted) < 1_000:
        turns.append(None)
        await asyncio.sleep(0)
    await asyncio.gather(*readers)

    assert max(Counter(granted).values()) <= 2 * 16
    assert share._left <= 16


async def test_streams_of_a_key_share_what_may_be_unread():
    """One whose caller reads goes on, piece by piece, when others have taken all of it."""
    unread = Unread()
    stalled, read = (EventBuffer(unread, "key", paced=True) for _ in range(2))
    other = EventBuffer(unread, "other key", paced=True)
    chat = event_of("y" * MOST_OF_KEY)
    stalled.add(chat)
    stalled.emit(1)
    for buffer in (read, other):
        buffer.add(event_of("z"))
        buffer.emit(1)

    assert await other.until_room(0.01)
    assert not await read.until_room(0.01)
    read.consumed(1)
    assert await read.until_room(0.01)
    stalled.unpace()
    assert unread.of("key") == 0


@pytest.mark.parametrize("paced", [True, False])
async def test_what_could_not_be_kept_is_not_unread_for_ever(paced):
    unread = Unread()
    buffer = EventBuffer(unread, "key", paced=paced)
    buffer.add(event_of("kept"))
    buffer.emit(1)
    buffer.add(event_of("lost"))
    buffer.drop_waiting()
    buffer.add(event_of("last"))
    buffer.close()
    events = [one.delta.text async for batch in buffer.read(None) for one in batch]
    buffer.unpace()

    assert events == ["kept", "last"]
    assert unread.of("key") == 0


def event_of(text):
    return replay.event(Chat(id="c"), 0, delta=delta(text))


# --- through real connections -------------------------------------------------------------------------------

ENDLESS = Answer(
    [*sse(chunk({"role": "assistant", "content": ""})), Drip(sse(chunk({"content": "more " * 200}))[0], 0)]
)

NOTHING_AHEAD = [("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65_536)]
"""A client that takes no more than one window ahead of its reader."""


async def iterated(call):
    while (one := await call.read()) is not grpc.aio.EOF:
        yield one


async def test_unread_stream_holds_the_model_back_and_ends(tmp_path):
    """What was said by then is little, and the caller who reads after all sees all of it and how it ended."""
    async with running(tmp_path, upstream_allow_hosts="127.0.0.1", unread_seconds=0.3) as service:
        org = await service.new_org()
        async with (
            OpenAIUpstream(ENDLESS) as upstream,
            grpc.aio.insecure_channel(service.grpc_address, NOTHING_AHEAD) as channel,
        ):
            model = {"provider": "custom-llm", "url": upstream.base_url, "model": "m"}
            assistant = from_python(
                {"model": model, "credentials": [{"provider": "custom-llm", "apiKey": "k"}]}
            )
            chats = ChatServiceStub(channel)
            call = chats.StreamChat(
                CreateChatRequest(assistant=assistant.struct_value, input=from_python("Hello")),
                metadata=org.metadata,
            )
            chat_id = (await call.read()).chat_id
            await upstream.disconnected.wait()
            events = [one async for one in iterated(call)]
            stored_chat = await chats.GetChat(GetChatRequest(id=chat_id), metadata=org.metadata)

    assert (stored_chat.status, stored_chat.error.code) == ("incomplete", "client_stalled")
    assert len(stored_chat.output[0].message) < 8 * MOST_OF_STREAM
    assert "".join(one.delta.text for one in events) == stored_chat.output[0].message
    assert events[-1].completed.error.code == "client_stalled"


async def test_chat_has_as_many_readers_as_may_be(tmp_path):
    async with running(tmp_path, chat_readers=2, offline_delay_ms=50) as service:
        org = await service.new_org()
        async with grpc.aio.insecure_channel(service.grpc_address) as channel:
            chats = ChatServiceStub(channel)
            begun = chats.StreamChat(
                CreateChatRequest(assistant_id=org.assistant_id, input=from_python("word " * 2_000)),
                metadata=org.metadata,
            )
            chat_id = (await begun.read()).chat_id
            watch = WatchChatRequest(id=chat_id)
            readers = [chats.WatchChat(watch, metadata=org.metadata) for _ in range(2)]
            for reader in readers:
                assert (await reader.read()).chat_id == chat_id

            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await chats.WatchChat(watch, metadata=org.metadata).read()
            path = f"/v1/responses/resp_{hex_of(chat_id)}"
            async with httpx.AsyncClient(base_url=service.http_url, timeout=20, headers=org.bearer) as http:
                over_http = await http.get(path, params={"stream": "true"})
                whole = await http.get(path)
            begun.cancel()

    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (
        refused.value.details()
        == "2 calls read the events of this chat, which is the most allowed; let one of them end"
    )
    assert (over_http.status_code, over_http.json()["error"]["message"]) == (429, refused.value.details())
    assert whole.status_code == 200


def test_text_is_read_once_however_many_pieces_it_is_emitted_in(monkeypatch):
    """Each look copies the whole text."""
    looks = []
    monkeypatch.setattr(replay, "text_of", lambda message: looks.append(message) or text_of(message))
    source = Message(role="assistant", content=Value(string_value="abc" * 100))

    events = list(replay.replayed_events(Chat(id="c", output=[source]), [StreamPiece(length=3)] * 100, {}))

    assert [one.delta.text for one in events] == ["abc"] * 100
    assert len(looks) == 1
