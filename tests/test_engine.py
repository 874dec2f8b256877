"""One exchange, with a scripted model: what is told, what is kept, and in which order."""

import asyncio
import itertools
import sqlite3
from dataclasses import replace

import pytest
from google.protobuf.struct_pb2 import Value
from structlog.testing import capture_logs

from generated.parley.v1.chat_pb2 import ContentDelta, ToolCallDelta
from generated.parley.v1.message_pb2 import Message
from server.agents.agents import Agent, AssistantSettings, Member
from server.backends.backend import Finish, Ran, Usage
from server.content.json_values import to_python
from server.core.config import Price
from server.core.errors import (
    Internal,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    ServiceError,
    UpstreamError,
    UpstreamIncomplete,
    UpstreamRateLimited,
    UpstreamTimeout,
)
from server.exchange.engine import Engine
from server.exchange.recovery import STOPPED, Recovery
from server.exchange.resolve import TurnResolver
from server.exchange.streams import Streams
from server.exchange.tool_loop import ToolLoop
from server.exchange.turn import Options, Turn
from server.storage.store import connect_store, open_store
from tests.conftest import rows_of

ASSISTANT = {
    "model": {
        "provider": "scripted",
        "model": "scripted-1",
        "temperature": 0.5,
        "maxTokens": 50,
        "messages": [{"role": "system", "content": "You are {{who}}."}],
    }
}
STOP = Finish(0, "stop")


def delta(text, choice=0):
    return ContentDelta(choice=choice, text=text)


class Scripted:
    """A backend that does what its script says: emits events, or a list of them at once, raises errors, waits for
    asyncio.Events."""

    def __init__(self, *script):
        self.script = script
        self.requests = []
        self.closed = asyncio.Event()
        self.waiting = asyncio.Event()

    async def generate(self, request, emit):
        self.requests.append(request)
        try:
            for step in self.script:
                if isinstance(step, BaseException):
                    raise step
                if isinstance(step, asyncio.Event):
                    self.waiting.set()
                    await step.wait()
                elif callable(step):
                    await step()
                else:
                    await emit(step if isinstance(step, list) else [step])
        finally:
            self.closed.set()

    async def close(self):
        pass


class Lab:
    """An engine over a real store, for one caller."""

    def __init__(self):
        self.prices = {"scripted/scripted-1": Price(input=1, output=2)}
        self.time = 1_700_000_000_000

    def now(self):
        return self.time

    async def open(self, store):
        self.store = store
        self.recovery = Recovery(store.chats, store.peers)
        self.key = await self.store.keys.create("acme", "api")
        self.caller = await self.store.keys.caller(self.key.key)
        return self

    def engine(self, *script):
        self.backend = Scripted(*script)
        return Engine(self.store, ToolLoop(self.backend, None), self.prices, self.now, 30)

    def streams(self, *script):
        return Streams(self.engine(*script), self.store.chats, self.store.peers, self.recovery)

    def turn(self, text="hello", **members):
        settings = AssistantSettings.of(ASSISTANT)
        agent = Agent(Member(settings), assistant=ASSISTANT, overrides={"variableValues": {"who": "Ada"}})
        members = {"agent": agent, **members}
        return Turn(
            caller=self.caller,
            input=Value(string_value=text),
            input_messages=[Message(role="user", content=Value(string_value=text))],
            **members,
        )

    async def chats(self):
        return await rows_of(self.store, "SELECT id, status FROM chats ORDER BY id")

    async def stored_chat(self):
        """The only chat on disk."""
        [(chat_id, _)] = await self.chats()
        return await self.store.chats.get(self.caller.scope, chat_id)


@pytest.fixture
async def sqlite_lab(tmp_path):
    lab = Lab()
    yield await lab.open(open_store(tmp_path, clock=lab.now))
    await lab.store.aclose()


@pytest.fixture(params=["sqlite", "postgres"])
async def lab(request, tmp_path):
    lab = Lab()
    if request.param == "sqlite":
        store = open_store(tmp_path, clock=lab.now)
    else:
        server = request.getfixturevalue("postgres")
        server.empty(server.common)
        store = await connect_store(server.common, clock=lab.now)
    yield await lab.open(store)
    await store.aclose()


def output(chat):
    return [message.content.string_value for message in chat.output]


async def all_events(stream):
    return [event async for batch in stream.batches() for event in batch]


def kinds(events):
    return [event.WhichOneof("event") for event in events]


# --- unary --------------------------------------------------------------------------------------------------


async def test_answer_is_returned_and_stored(lab):
    engine = lab.engine(Ran("scripted-1-2026", "fp_1"), delta("Hello"), delta(" there"), STOP, Usage(7, 3))

    outcome = await engine.run(lab.turn())

    stored_chat = await lab.stored_chat()
    assert (output(outcome.chat), output(stored_chat)) == (["Hello there"], ["Hello there"])
    assert (outcome.chat.status, stored_chat.status, outcome.error) == ("completed", "completed", None)
    assert (outcome.model, outcome.system_fingerprint, outcome.usage) == (
        "scripted-1-2026",
        "fp_1",
        Usage(7, 3),
    )
    assert (outcome.finish_reasons, outcome.message_id) == (["stop"], stored_chat.output[0].id)
    assert lab.backend.closed.is_set()


async def test_returned_chat_is_the_stored_chat(lab):
    outcome = await lab.engine(delta("Hello"), STOP, Usage(7, 3)).run(lab.turn(name="a name"))

    stored_chat = await lab.stored_chat()
    for message in (*stored_chat.messages, *stored_chat.output):
        message.message = message.content.string_value
    assert outcome.chat == stored_chat


async def test_model_reads_instructions_history_and_input_in_this_order(lab):
    first = await lab.engine(delta("Hi"), STOP).run(lab.turn("one"))
    previous = await lab.store.chats.find(lab.caller.scope, first.chat.id)

    await lab.engine(delta("Ho"), STOP).run(
        lab.turn(
            "two",
            previous=previous,
            instructions=[Message(role="developer", content=Value(string_value="briefly"))],
        )
    )

    assert [(message.role, message.content.string_value) for message in lab.backend.requests[0].messages] == [
        ("system", "You are Ada."),
        ("developer", "briefly"),
        ("user", "one"),
        ("assistant", "Hi"),
        ("user", "two"),
    ]


async def test_instructions_are_not_kept(lab):
    turn = lab.turn(instructions=[Message(role="developer", content=Value(string_value="briefly"))])

    outcome = await lab.engine(delta("Hi"), STOP).run(turn)

    stored = await lab.store.chats.find(lab.caller.scope, outcome.chat.id)
    assert [message.role for message in await lab.store.chats.history(stored)] == ["user", "assistant"]


async def test_request_has_the_settings_of_the_assistant(lab):
    await lab.engine(delta("Hi"), STOP).run(lab.turn())

    [request] = lab.backend.requests
    assert (request.provider, request.model, request.temperature, request.max_tokens) == (
        "scripted",
        "scripted-1",
        0.5,
        50,
    )
    assert (request.n, request.stop, request.top_p, request.timeout_seconds) == (1, (), None, 30)


async def test_options_override_the_settings_also_with_zero(lab):
    tool = {"type": "function", "function": {"name": "f"}}

    await lab.engine(delta("Hi"), STOP).run(
        lab.turn(
            options=Options(
                temperature=0.0,
                top_p=0.0,
                max_tokens=5,
                stop=["END"],
                seed=0,
                tools=[tool],
                tool_choice="none",
                frequency_penalty=0.0,
                presence_penalty=-1.0,
                parallel_tool_calls=False,
                reasoning_effort="low",
                response_format={"type": "json_object"},
            )
        )
    )

    [request] = lab.backend.requests
    assert (request.temperature, request.top_p, request.max_tokens, request.stop, request.seed) == (
        0.0,
        0.0,
        5,
        ["END"],
        0,
    )
    assert (request.tools, request.tool_choice, request.parallel_tool_calls) == ([tool], "none", False)
    assert (request.frequency_penalty, request.presence_penalty, request.reasoning_effort) == (
        0.0,
        -1.0,
        "low",
    )
    assert request.response_format == {"type": "json_object"}


async def test_choices_beyond_the_first_are_returned_and_stored_but_not_continued(lab):
    engine = lab.engine(
        delta("a"), delta("b", 1), delta("c", 2), STOP, Finish(1, "stop"), Finish(2, "stop"), Usage(1, 3)
    )

    outcome = await engine.run(lab.turn(options=Options(n=3)))

    assert (output(outcome.chat), output(await lab.stored_chat()), outcome.finish_reasons) == (
        ["a", "b", "c"],
        ["a", "b", "c"],
        ["stop"] * 3,
    )
    stored = await lab.store.chats.find(lab.caller.scope, outcome.chat.id)
    assert [message.content.string_value for message in await lab.store.chats.history(stored)] == [
        "hello",
        "a",
    ]


async def test_unrequested_choices_are_stored_too(lab):
    outcome = await lab.engine(delta("a"), delta("b", 1), STOP, Finish(1, "stop")).run(lab.turn())

    assert output(outcome.chat) == ["a", "b"]


async def test_tool_calls_are_put_together_from_their_pieces(lab):
    outcome = await lab.engine(
        ToolCallDelta(index=1, id="2", name="g", arguments="{}"),
        ToolCallDelta(index=0, id="1", name="f", arguments='{"a"'),
        ToolCallDelta(index=0, arguments=": 1}"),
        Finish(0, "tool_calls"),
    ).run(lab.turn())

    [message] = (await lab.stored_chat()).output
    assert to_python(message.tool_calls) == [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}},
        {"id": "2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]
    assert (outcome.finish_reasons, message.HasField("content")) == (["tool_calls"], False)


async def test_empty_answer_is_an_answer(lab):
    outcome = await lab.engine(STOP).run(lab.turn())

    assert (output(outcome.chat), outcome.chat.status) == ([""], "completed")


CUT_SHORT = {
    "length": ("length", "max_output_tokens"),
    "content filter": ("content_filter", "content_filter"),
}


@pytest.mark.parametrize(("reason", "code"), CUT_SHORT.values(), ids=CUT_SHORT)
async def test_answer_that_was_cut_short_is_incomplete_and_says_why(lab, reason, code):
    outcome = await lab.engine(delta("Hel"), Finish(0, reason)).run(lab.turn())

    for chat in (outcome.chat, await lab.stored_chat()):
        assert (chat.status, chat.error.code, output(chat)) == ("incomplete", code, ["Hel"])
    assert (outcome.error, outcome.finish_reasons) == (None, [reason])


async def test_usage_is_estimated_where_the_provider_tells_none(lab):
    outcome = await lab.engine(delta("12345"), STOP).run(lab.turn("123456789"))

    # "You are Ada." and the input: 21 characters; the answer: 5
    assert outcome.usage == Usage(6, 2, estimated=True)


async def test_cost_is_by_the_price_table_and_exactly_the_sum_of_its_parts(lab):
    outcome = await lab.engine(delta("Hi"), STOP, Usage(1_000_000, 500_000)).run(lab.turn())

    for chat in (outcome.chat, await lab.stored_chat()):
        assert chat.cost == 2.0 == sum(part.cost for part in chat.costs)
        assert [part.type for part in chat.costs] == ["model", "chat"]


async def test_messages_carry_ids_times_and_seconds_from_the_start(lab):
    async def three_seconds_pass():
        lab.time += 3_000

    outcome = await lab.engine(three_seconds_pass, delta("Hi"), STOP).run(lab.turn())

    [sent], [answered] = outcome.chat.messages, outcome.chat.output
    assert (sent.time, sent.seconds_from_start) == (1_700_000_000_000, 0)
    assert (answered.time, answered.seconds_from_start) == (1_700_000_003_000, 3)
    assert len({sent.id, answered.id, outcome.chat.id}) == 3
    assert outcome.chat.updated_at.seconds - outcome.chat.created_at.seconds == 3


async def test_variables_of_a_session_are_those_of_its_beginning(lab):
    resolver = TurnResolver(lab.store, None, lab.now)
    agent = lab.turn().agent
    new = resolver.new_session(lab.caller, agent)
    await lab.engine(delta("Hi"), STOP).run(lab.turn(new_session=new))
    session = await lab.store.sessions.find(lab.caller.scope, new.session.id)

    later = replace(agent, overrides={"variableValues": {"who": "Eve"}})
    await lab.engine(delta("Ho"), STOP).run(lab.turn(session=session, agent=later))

    assert lab.backend.requests[0].messages[0].content.string_value == "You are Ada."


async def test_new_session_and_its_exchange_are_one_write(lab):
    new = TurnResolver(lab.store, None, lab.now).new_session(lab.caller, lab.turn().agent)

    with pytest.raises(UpstreamError):
        await lab.engine(UpstreamError("down")).run(lab.turn(new_session=new))
    with pytest.raises(NotFound):
        await lab.store.sessions.find(lab.caller.scope, new.session.id)

    outcome = await lab.engine(delta("Hi"), STOP).run(lab.turn(new_session=new))
    assert outcome.chat.session_id == new.session.id
    assert (await lab.store.sessions.get(lab.caller.scope, new.session.id)).messages[
        -1
    ].content.string_value == "Hi"


# --- failures of the model ----------------------------------------------------------------------------------

EARLY = {
    "down": UpstreamError("down"),
    "timeout": UpstreamTimeout("slow"),
    "rate limited": UpstreamRateLimited("busy"),
    "refused": InvalidArgument("the provider refuses the request"),
    "bug": ZeroDivisionError(),
}


@pytest.mark.parametrize("error", EARLY.values(), ids=EARLY)
@pytest.mark.parametrize("before", [(), (Ran("scripted-1"), Usage(3, 0))], ids=["nothing", "no token yet"])
async def test_failure_before_the_first_token_is_raised_and_nothing_is_kept(lab, error, before):
    with pytest.raises(type(error)):
        await lab.engine(*before, error).run(lab.turn())
    with pytest.raises(type(error) if isinstance(error, ServiceError) else Internal):
        async with lab.streams(*before, error).start(lab.turn()):
            pytest.fail("a stream that has nothing to tell has begun")

    assert await lab.chats() == []
    assert lab.backend.closed.is_set()


LATE = {
    "down": (UpstreamError("it broke"), "upstream_error"),
    "timeout": (UpstreamTimeout("it stalled"), "upstream_timeout"),
    "ended early": (UpstreamIncomplete("it ended"), "upstream_incomplete"),
}


@pytest.mark.parametrize(("error", "code"), LATE.values(), ids=LATE)
async def test_failure_after_the_first_token_keeps_what_there_is(lab, error, code):
    outcome = await lab.engine(delta("Hel"), error).run(lab.turn())

    for chat in (outcome.chat, await lab.stored_chat()):
        assert (chat.status, chat.error.code, chat.error.message, output(chat)) == (
            "incomplete",
            code,
            error.message,
            ["Hel"],
        )
    assert outcome.error is error


async def test_answer_without_a_finish_is_incomplete(lab):
    outcome = await lab.engine(delta("Hel")).run(lab.turn())

    assert isinstance(outcome.error, UpstreamIncomplete)
    assert (await lab.stored_chat()).error.code == "upstream_incomplete"


async def test_answer_of_which_one_choice_has_no_finish_is_incomplete(lab):
    outcome = await lab.engine(delta("a"), delta("b", 1), STOP).run(lab.turn(options=Options(n=2)))

    assert (outcome.chat.error.code, output(outcome.chat)) == ("upstream_incomplete", ["a", "b"])


async def test_model_that_says_nothing_at_all_has_failed(lab):
    with pytest.raises(UpstreamIncomplete):
        await lab.engine().run(lab.turn())

    assert await lab.chats() == []


async def test_incomplete_chat_can_be_continued(lab):
    first = await lab.engine(delta("Hel")).run(lab.turn("one"))
    previous = await lab.store.chats.find(lab.caller.scope, first.chat.id)

    await lab.engine(delta("lo"), STOP).run(lab.turn("two", previous=previous))

    assert [message.content.string_value for message in lab.backend.requests[0].messages][1:] == [
        "one",
        "Hel",
        "two",
    ]


# --- streams ------------------------------------------------------------------------------------------------


async def test_stream_tells_started_then_deltas_then_completed(lab):
    script = (Ran("ran-1", "fp_1"), delta("Hel"), delta("lo"), STOP, Usage(3, 2))

    async with lab.streams(*script).start(lab.turn()) as stream:
        events = await all_events(stream)

    assert kinds(events) == ["started", "delta", "delta", "completed"]
    started, first, second, completed = events
    assert (started.started.status, started.model, started.system_fingerprint) == (
        "in_progress",
        "ran-1",
        "fp_1",
    )
    assert [message.content.string_value for message in started.started.messages] == ["hello"]
    assert (first.delta.text, second.delta.text, output(completed.completed)) == ("Hel", "lo", ["Hello"])
    assert {event.chat_id for event in events} == {completed.completed.id}
    assert started.message_id == completed.completed.output[0].id
    assert (stream.error, stream.outcome.usage) == (None, Usage(3, 2))


async def test_tool_calls_are_emitted_as_they_come(lab):
    calls = [ToolCallDelta(id="1", name="f", arguments="{"), ToolCallDelta(arguments="}")]

    async with lab.streams(*calls, Finish(0, "tool_calls")).start(lab.turn()) as stream:
        events = await all_events(stream)

    assert kinds(events) == ["started", "tool_call", "tool_call", "completed"]
    assert [event.tool_call for event in events[1:3]] == calls


async def test_empty_answer_is_started_and_completed(lab):
    async with lab.streams(STOP).start(lab.turn()) as stream:
        assert kinds(await all_events(stream)) == ["started", "completed"]


@pytest.mark.parametrize("ending", [STOP, UpstreamError("it broke")], ids=["completed", "failed"])
async def test_last_event_is_emitted_when_the_chat_is_on_disk(sqlite_lab, tmp_path, ending):
    other = sqlite3.connect(tmp_path / "parley.db")
    rows = []

    async with sqlite_lab.streams(delta("Hi"), ending).start(sqlite_lab.turn()) as stream:
        async for batch in stream.batches():
            for event in batch:
                if event.WhichOneof("event") in ("completed", "failed"):
                    rows += other.execute("SELECT id, status FROM chats").fetchall()
    other.close()

    assert rows == [(event.chat_id, "completed" if ending is STOP else "incomplete")]


async def test_emitted_events_are_on_disk_before_the_answer_is_over(lab):
    more = asyncio.Event()

    async with lab.streams(delta("Hel"), more, delta("lo"), STOP).start(lab.turn()) as stream:
        await anext(stream.batches())
        [during] = await lab.chats()
        unfinished = await lab.store.chats.unfinished(lab.caller.org_id, during[0])
        more.set()
        await all_events(stream)

    assert (during[1], [event.delta.text for event in unfinished.events]) == ("in_progress", ["Hel"])
    assert await lab.chats() == [(during[0], "completed")]
    assert await rows_of(lab.store, "SELECT 1 FROM chat_events") == []


async def killed(lab, turn):
    """Run an exchange as far as a server was that said `Hel` and was killed."""
    async with lab.streams(delta("Hel"), asyncio.Event()).start(turn, background=True) as stream:
        batches = stream.batches()
        while "delta" not in kinds(await anext(batches)):
            pass
        copy = await rows_of(lab.store, "SELECT * FROM chats")
        events = await rows_of(lab.store, "SELECT * FROM chat_events")
        await stream.cancel(STOPPED)
    await lab.store.database.write(lambda connection: _put_back(connection, copy, events))


async def test_exchange_of_a_killed_server_is_completed_with_its_emitted_events(lab):
    await killed(lab, lab.turn())

    await lab.recovery.all()

    stored_chat = await lab.stored_chat()
    assert (stored_chat.status, stored_chat.error.code, output(stored_chat)) == (
        "incomplete",
        "server_stopped",
        ["Hel"],
    )
    assert await lab.store.chats.in_progress() == []


def _put_back(connection, chats, events):
    """As a kill -9 would have left it."""
    connection.execute("DELETE FROM chats")
    connection.execute("DELETE FROM messages")
    connection.executemany(f"INSERT INTO chats VALUES ({', '.join('?' * len(chats[0]))})", chats)
    connection.executemany("INSERT INTO chat_events VALUES (?, ?, ?, ?)", events)


async def test_next_turn_of_a_session_reads_what_a_killed_server_had_emitted(lab):
    resolver = TurnResolver(lab.store, None, lab.now)
    new = resolver.new_session(lab.caller, lab.turn().agent)
    await lab.store.sessions.create(new)
    session = await lab.store.sessions.find(lab.caller.scope, new.session.id)
    await killed(lab, lab.turn("one", session=session))

    await lab.engine(delta("Yes"), STOP).run(lab.turn("two", session=session, renew=resolver._joined_again))

    history = await lab.store.sessions.history(session)
    assert [message.content.string_value for message in history] == ["one", "Hel", "two", "Yes"]
    assert [message.content.string_value for message in lab.backend.requests[0].messages][-3:] == [
        "one",
        "Hel",
        "two",
    ]
    assert sorted(status for _, status in await lab.chats()) == ["completed", "incomplete"]


async def test_calls_of_several_servers_at_once_do_not_pass_for_a_deletion(lab):
    """Whoever runs a chat takes the locks that it looks at."""
    more = asyncio.Event()

    async with lab.streams(delta("Hel"), more, delta("lo"), STOP).start(lab.turn()) as stream:
        for _ in range(20):
            stream._called()
            await asyncio.sleep(0)
        if stream._answering is not None:
            await stream._answering
        more.set()
        events = await all_events(stream)

    assert kinds(events)[-1] == "completed"
    assert output(await lab.stored_chat()) == ["Hello"]


async def test_what_queues_up_while_the_reader_is_busy_is_one_batch(lab):
    more = asyncio.Event()
    script = [delta(str(number)) for number in range(10)]

    async with lab.streams(script[0], more, *script[1:], STOP).start(lab.turn()) as stream:
        batches = stream.batches()
        first = await anext(batches)
        more.set()
        await lab.backend.closed.wait()
        rest = [batch async for batch in batches]

    assert kinds(first) == ["started", "delta"]
    assert kinds(event for batch in rest for event in batch) == [*["delta"] * 9, "completed"]
    assert len(rest) <= 2


async def test_delta_is_emitted_before_the_next_one_exists(lab):
    more = asyncio.Event()

    async with lab.streams(delta("Hel"), more, STOP).start(lab.turn()) as stream:
        batches = stream.batches()
        first = await anext(batches)
        assert (kinds(first), first[1].delta.text) == (["started", "delta"], "Hel")
        more.set()
        assert [kinds(batch) async for batch in batches] == [["completed"]]


async def test_failure_after_the_first_token_is_reported_in_the_stream(lab):
    error = UpstreamTimeout("it stalled")

    async with lab.streams(delta("Hel"), error).start(lab.turn()) as stream:
        events = await all_events(stream)

    assert kinds(events) == ["started", "delta", "failed"]
    failed = events[-1].failed
    assert (failed.status, failed.error.code, output(failed)) == ("incomplete", "upstream_timeout", ["Hel"])
    assert (stream.error, stream.outcome.error) == (error, error)
    assert output(await lab.stored_chat()) == ["Hel"]


async def test_bug_after_the_first_token_is_reported_without_its_text(lab):
    with capture_logs() as logs:
        async with lab.streams(delta("Hel"), ZeroDivisionError("SECRET")).start(lab.turn()) as stream:
            events = await all_events(stream)

    assert kinds(events) == ["started", "delta", "failed"]
    assert (events[-1].failed.status, events[-1].failed.error.code) == ("failed", "internal_error")
    assert "SECRET" not in str(events[-1])
    assert type(stream.error) is Internal
    assert ((await lab.stored_chat()).status, output(await lab.stored_chat())) == ("failed", ["Hel"])
    assert [log["event"] for log in logs] == ["exchange broke"]


async def test_answer_that_cannot_be_recorded_has_failed(sqlite_lab):
    async def fill_the_disk():
        pages = sqlite_lab.store.database.reader.execute("PRAGMA page_count").fetchone()[0]
        sqlite_lab.store.database._connection.execute(f"PRAGMA max_page_count = {pages}")

    with pytest.raises(ResourceExhausted):
        async with sqlite_lab.streams(fill_the_disk, delta("x" * 50_000), STOP).start(sqlite_lab.turn()):
            pytest.fail("nothing of it is on disk")

    assert await sqlite_lab.chats() == []


async def test_session_deleted_under_a_stream_has_failed(sqlite_lab):
    """Before anything is kept, which is a matter of time on PostgreSQL."""
    new = TurnResolver(sqlite_lab.store, None, sqlite_lab.now).new_session(
        sqlite_lab.caller, sqlite_lab.turn().agent
    )
    await sqlite_lab.store.sessions.create(new)
    session = await sqlite_lab.store.sessions.find(sqlite_lab.caller.scope, new.session.id)

    async def delete():
        await sqlite_lab.store.sessions.delete(sqlite_lab.caller.scope, new.session.id)

    with pytest.raises(NotFound):
        async with sqlite_lab.streams(delete, delta("Hi"), STOP).start(sqlite_lab.turn(session=session)):
            pytest.fail("nothing of it is on disk")

    assert await sqlite_lab.chats() == []


# --- callers that go away -----------------------------------------------------------------------------------


async def gone_after_the_first_delta(lab, turn):
    """The caller leaves a stream in the middle."""
    never = asyncio.Event()
    async with lab.streams(delta("Hel"), never).start(turn) as stream:
        await anext(stream.batches())
        await lab.backend.waiting.wait()


async def test_caller_that_leaves_a_stream_stops_the_model_and_leaves_what_there_is(lab):
    await gone_after_the_first_delta(lab, lab.turn())

    assert lab.backend.closed.is_set()
    stored_chat = await lab.stored_chat()
    assert (stored_chat.status, stored_chat.error.code, output(stored_chat)) == (
        "incomplete",
        "client_disconnected",
        ["Hel"],
    )


async def test_what_a_caller_left_can_be_continued(lab):
    await gone_after_the_first_delta(lab, lab.turn("one"))
    [(chat_id, _)] = await lab.chats()
    previous = await lab.store.chats.find(lab.caller.scope, chat_id)

    await lab.engine(delta("lo"), STOP).run(lab.turn("two", previous=previous))

    assert [message.content.string_value for message in lab.backend.requests[0].messages][1:] == [
        "one",
        "Hel",
        "two",
    ]


async def test_cancelled_unary_call_stops_the_model_and_keeps_what_there_is(lab):
    running = asyncio.create_task(lab.engine(delta("Hel"), asyncio.Event()).run(lab.turn()))
    await lab.backend.waiting.wait()
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert lab.backend.closed.is_set()
    assert (await lab.stored_chat()).status == "incomplete"


async def test_model_that_never_pauses_can_be_left(lab):
    """Others get their turns between its words."""
    begun = asyncio.Event()

    async def begin():
        begun.set()

    engine = lab.engine()
    lab.backend.script = itertools.chain([begin], itertools.repeat(delta("more ")))
    running = asyncio.create_task(engine.run(lab.turn()))
    await begun.wait()
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert ((await lab.stored_chat()).status, lab.backend.closed.is_set()) == ("incomplete", True)


async def test_cancelled_before_the_first_token_keeps_nothing(lab):
    running = asyncio.create_task(lab.engine(asyncio.Event()).run(lab.turn()))
    await lab.backend.waiting.wait()
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert lab.backend.closed.is_set()
    assert await lab.chats() == []


async def test_caller_that_leaves_before_the_first_event_stops_the_model(lab):
    async def enter():
        async with lab.streams(asyncio.Event()).start(lab.turn()):
            pytest.fail("nothing was told")

    entering = asyncio.create_task(enter())
    await asyncio.sleep(0)
    await lab.backend.waiting.wait()
    entering.cancel()

    with pytest.raises(asyncio.CancelledError):
        await entering
    assert lab.backend.closed.is_set()
    assert await lab.chats() == []


async def test_cancelled_twice_still_keeps_what_there_is(lab):
    running = asyncio.create_task(lab.engine(delta("Hel"), asyncio.Event()).run(lab.turn()))
    await lab.backend.waiting.wait()
    running.cancel()
    await asyncio.sleep(0)
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    async with asyncio.timeout(20):
        while not await lab.chats():  # noqa: ASYNC110 (reading need not leave the loop its turn)
            await asyncio.sleep(0)
    assert (await lab.stored_chat()).status == "incomplete"


async def test_what_cannot_be_kept_of_a_stream_that_was_left_is_in_the_log(sqlite_lab):
    with capture_logs() as logs:
        async with sqlite_lab.streams(delta("Hel"), asyncio.Event()).start(sqlite_lab.turn()) as stream:
            await anext(stream.batches())
            sqlite_lab.store.database._connection.execute("PRAGMA query_only = ON")

    assert [log["event"] for log in logs] == ["a partial answer could not be stored"]


async def test_exception_in_the_reader_stops_the_model(lab):
    with pytest.raises(ZeroDivisionError):
        async with lab.streams(delta("Hel"), asyncio.Event()).start(lab.turn()) as stream:
            async for _ in stream.batches():
                raise ZeroDivisionError

    assert lab.backend.closed.is_set()
    assert (await lab.stored_chat()).error.code == "client_disconnected"


async def test_leaving_after_the_end_changes_nothing(lab):
    async with lab.streams(delta("Hi"), STOP).start(lab.turn()) as stream:
        await all_events(stream)
        before = await lab.chats()

    assert await lab.chats() == before


async def test_backend_that_is_cancelled_from_within_is_reported_as_failed(lab):
    with capture_logs():
        async with lab.streams(delta("Hel"), asyncio.CancelledError()).start(lab.turn()) as stream:
            events = await all_events(stream)

    assert kinds(events) == ["started", "delta", "failed"]
    assert type(stream.error) is Internal


async def test_hundred_streams_at_once_are_each_kept_whole(lab):
    async def one(number):
        engine = Engine(
            lab.store, ToolLoop(Scripted(delta(f"{number}"), delta("!"), STOP), None), {}, lab.now, 30
        )
        async with Streams(engine, lab.store.chats, lab.store.peers, lab.recovery).start(
            lab.turn(f"{number}?")
        ) as stream:
            return (await all_events(stream))[-1].completed

    chats = await asyncio.gather(*(one(number) for number in range(100)))

    assert [output(chat) for chat in chats] == [[f"{number}!"] for number in range(100)]
    assert len(await lab.chats()) == 100
