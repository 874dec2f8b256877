"""What requests cost: no member of any makes work that grows faster than the member. Counted, never timed.

`scripts/fuzz cost` measures the same in seconds, with larger members.
"""

import itertools
from concurrent.futures import Executor, Future
from functools import partial

import grpc
import pytest
from google.protobuf.json_format import ParseDict

from generated.parley.v1.message_pb2 import Message
from server.agents import documents, tools
from server.agents import handoffs as squads
from server.agents.bounded_liquid import Allowance
from server.agents.extracted_variables import bounded_variables
from server.backends import offline
from server.content import secrets, validation
from server.content.json_values import from_python
from server.core import offload
from server.core.errors import InvalidArgument
from server.storage.sqlite.database import SqliteConnection
from tests.fuzz import cost
from tests.work import calls_while, check_linear, grows_too_fast

MODEL = {"provider": "offline", "model": "offline-1"}


def refused(check, *arguments):
    """The violations."""
    with pytest.raises(InvalidArgument) as error:
        check(*arguments)
    return error.value.violations


# --- documents ----------------------------------------------------------------------------------------------

BROKEN = {
    "mistyped members": {"role": 1},
    "broken rules": {"role": "pirate"},
    "both": {"role": "pirate", "content": 7},
    "no objects": 7,
}


@pytest.mark.parametrize("message", BROKEN.values(), ids=BROKEN)
def test_many_violations_cost_no_more_each_than_few(message):
    def check(size: int):
        document = {"model": {**MODEL, "messages": [message] * size}}
        return partial(refused, documents.check_assistant, document)

    check_linear(check, 50)


@pytest.mark.parametrize("message", BROKEN.values(), ids=BROKEN)
def test_refusal_names_a_hundred_violations_and_says_that_there_are_more(message):
    document = {"model": {**MODEL, "messages": [message] * 500}}

    with pytest.raises(InvalidArgument, match=r"; and more$") as error:
        documents.check_assistant(document)

    assert len(error.value.violations) == validation.MOST_VIOLATIONS


def test_assistants_of_a_squad_are_checked_until_there_are_enough_violations():
    squad = {"members": [{"assistant": {"name": 7}} for _ in range(500)]}

    assert len(refused(documents.check_squad, squad)) == validation.MOST_VIOLATIONS


MASKED = {
    "other secrets": lambda index: {"provider": "a", "apiKey": f"{index:016}"},
    "equal secrets": lambda index: {"provider": "a", "apiKey": "0123456789abcdef"},
    "secrets of one mask": lambda index: {"provider": "a", "apiKey": f"{index:08}"},
}


@pytest.mark.parametrize("credential", MASKED.values(), ids=MASKED)
def test_many_masked_secrets_cost_no_more_each_than_few(credential):
    def restore(size: int):
        stored = {"credentials": [credential(index) for index in range(size)]}
        return partial(secrets.restore_secrets, secrets.mask_secrets(stored), stored)

    check_linear(restore, 50)


def test_secrets_below_a_long_name_come_back():
    name = "x" * 100_000
    stored = {name: [{"credentials": [{"apiKey": f"{index:016}"}]} for index in range(100)]}

    assert secrets.restore_secrets(secrets.mask_secrets(stored), stored) == stored


def test_path_of_a_refused_secret_shows_the_beginning_of_a_long_name():
    [violation] = refused(secrets.restore_secrets, {"x" * 1_000: {"credentials": [{"apiKey": "****"}]}}, {})

    assert violation.field == f"{'x' * 99}….credentials[0].apiKey"


# --- squads -------------------------------------------------------------------------------------------------

SQUADS = {
    "stored assistants": lambda index: {"assistantId": f"0190a0b0-c0d0-7000-8000-{index:012}"},
    "one stored assistant": lambda index: {"assistantId": "0190a0b0-c0d0-7000-8000-000000000000"},
    "own assistants": lambda index: {"assistant": {"name": f"agent {index}"}},
    "own assistants of one name": lambda index: {"assistant": {"name": "agent"}},
    "own assistants without a name": lambda index: {"assistant": {}},
}


@pytest.mark.parametrize("member", SQUADS.values(), ids=SQUADS)
@pytest.mark.parametrize("named", [False, True], ids=["all others", "named"])
def test_handoffs_of_a_large_squad_cost_no_more_each_than_of_a_small_one(member, named):
    def hand(size: int):
        squad = {"members": [member(index) for index in range(size)]}
        stored = {found: None for one in squad["members"] if (found := squads.stored_id(one))}
        if named:
            squad["members"][0]["assistantDestinations"] = [
                {"assistantId": one.get("assistantId"), "assistantName": one.get("assistant", {}).get("name")}
                for one in squad["members"]
            ]

        def work():
            names = {key: seat.name or "member" for key, seat in squads.seats(squad, stored).items()}
            squads.handoffs(squad["members"][0], next(iter(names)), names)

        return work

    check_linear(hand, 50)


# --- the offline model, and tools ---------------------------------------------------------------------------


def test_results_of_tools_are_named_by_their_calls_once():
    def answer(size: int):
        calls = [
            {"id": f"c{index}", "type": "function", "function": {"name": f"f{index}", "arguments": "{}"}}
            for index in range(size)
        ]
        context = offline._Context(
            [
                Message(role="user"),
                Message(role="assistant", tool_calls=from_python(calls)),
                *(Message(role="tool", tool_call_id=call["id"], content=from_python("x")) for call in calls),
            ]
        )
        return context.answer

    check_linear(answer, 50)


@pytest.mark.timeout(20)
def test_alias_of_many_braces_is_soon_read():
    """In one regular expression this took an hour."""
    plan = {"aliases": [{"key": "a", "value": "{{" * 500_000}]}

    assert tools._extract(plan, tools._Answer({}, "{}"), {}, Allowance()).variables == {}


def test_parameters_that_a_url_names_are_not_sent_in_the_query_too():
    tool = {
        "url": "http://a/{{id}}/{{- two_words -}}/{{ user-id}}/{{other.x}}/{{last-}}",
        "method": "GET",
        "body": {"properties": {name: {} for name in ("id", "two_words", "user-id", "user", "x", "last")}},
    }
    arguments = dict.fromkeys(("id", "two_words", "user-id", "user", "x", "last"), "1")

    request = tools._api_request(tool, arguments, {"other": {"x": "1"}}, Allowance())

    assert request.url.partition("?")[2] == "user=1&x=1"


def test_variables_of_one_conversation_are_bounded_together():
    found = {f"name{index}": "x" * 60_000 for index in range(300)}

    assert list(bounded_variables(found).variables) == ["name0", "name1", "name2", "name3"]
    assert bounded_variables({"large": "x" * 70_000, "nan": float("nan"), "small": 1}) == (
        {"small": 1},
        ["large", "nan"],
    )


# --- every member of every request --------------------------------------------------------------------------

SIZE = 100
CHEAP = 20
"""Calls for each item of the largest request: what takes no more cannot have grown much."""
UNANSWERED = {
    "TransportService/ReceiveTwilioMessage": "not signed",
}
"""Methods whose base request is refused, and why."""


@pytest.fixture
def statements(monkeypatch):
    """How many SQL statements are run, in whichever thread."""
    count = itertools.count()
    execute = SqliteConnection.execute

    def counted(connection, *arguments):
        next(count)
        return execute(connection, *arguments)

    monkeypatch.setattr(SqliteConnection, "execute", counted)
    return lambda: next(count)


class AtOnce(Executor):
    """Work for threads, done in the thread that asks for it, where it is counted."""

    def submit(self, work, /, *arguments, **named):
        done = Future()
        try:
            done.set_result(work(*arguments, **named))
        except BaseException as error:
            done.set_exception(error)
        return done


@pytest.fixture
def in_this_thread(monkeypatch):
    for threads in ("_threads", "_one_thread"):
        monkeypatch.setattr(offload, threads, AtOnce())


@pytest.mark.parametrize("method", cost.methods(), ids=str)
async def test_request_that_every_case_grows_from_is_answered(service, method):
    """A method of which nothing more is known than its descriptor needs a line in `BASES`."""
    async with cost.caller_of(service) as caller:
        request = ParseDict(cost.base_of(method, await caller.records()), method.request())

        code = await caller.call(method, request)

    assert (code is grpc.StatusCode.OK) != (str(method) in UNANSWERED), code


@pytest.mark.parametrize(("method", "cases"), cost.short_cases().items(), ids=map(str, cost.methods()))
@pytest.mark.usefixtures("in_this_thread")
async def test_work_of_a_call_grows_no_faster_than_a_member_of_its_request(
    service, method, cases, statements
):
    async with cost.caller_of(service) as caller:
        records = await caller.records()

        async def work(case: cost.Case, size: int) -> tuple[int, grpc.StatusCode]:
            request, codes = case.request(size, await caller.renewed(method, records)), []

            async def call():
                codes.append(await caller.call(method, request))

            before = statements()
            calls = await calls_while(call)
            return calls + CHEAP * (statements() - before), codes[0]

        found = [f"{case.name}: {grown}" for case in cases if (grown := await too_much(partial(work, case)))]

    assert not found, "\n".join(found)


async def too_much(work) -> list[int] | None:
    """The work for three sizes where it grows too fast; none where it is little."""
    (_, small), (calls, large) = await work(SIZE), await work(4 * SIZE)
    if calls <= CHEAP * 4 * SIZE and small is large:
        return None
    # Where only small ones are answered, both those and what is refused.
    for size in (SIZE,) if small is large else (SIZE // 4, 4 * SIZE):
        if grown := await measured(work, size):
            return grown
    return None


async def measured(work, size: int) -> list[int] | None:
    """The work for three sizes where it grows too fast; none where it did not when measured again."""
    for _ in range(2):
        counts = [(await work(size * factor))[0] for factor in (1, 2, 4)]
        if not grows_too_fast(*counts):
            return None
    return counts
