"""What operators read: a line for every call, and why a provider failed, on a terminal and as JSON."""

import io
import json
import re

import grpc
import pytest
import structlog
from google.protobuf.struct_pb2 import Value

from generated.parley.v1.chat_service_pb2 import CreateChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from server.core.telemetry import logs
from server.core.telemetry.notes import CallNotes, enter
from tests.processes import Serving, run
from tests.test_serve import chat_body, client_of
from tests.upstream import OpenAIUpstream, failure, openai_text

FORGED = '404\n12:00:00.000 INFO    POST /chat 200 1ms org=victim\x1b[2J\x9b2J\x7f\u2028"'


@pytest.fixture
def written():
    """A log in memory; afterwards structlog is as it was."""
    before = structlog.get_config()
    stream = io.StringIO()

    def configured(level="info", form="json"):
        logs.configure(level, form, stream)
        return structlog.get_logger()

    yield configured, stream
    structlog.configure(**before)


async def by_grpc(parley, **members):
    async with grpc.aio.insecure_channel(parley.grpc) as channel:
        request = CreateChatRequest(
            assistant_id=parley.keys["assistantId"], input=Value(string_value="Hello"), **members
        )
        metadata = (("authorization", f"Bearer {parley.keys['api']}"), ("x-request-id", "mine-1"))
        return await ChatServiceStub(channel).CreateChat(request, metadata=metadata)


async def test_every_call_is_a_line_that_a_person_can_read(tmp_path):
    async with Serving(tmp_path, "--log-format", "console") as parley:
        async with client_of(parley) as client:
            made = (await client.post("/chat", json=chat_body(parley, "Hello"))).json()
            streamed = await client.post(
                "/chat", json=chat_body(parley, "Hello", stream=True), headers={"x-request-id": "two words"}
            )
            unknown = await client.get("/chat/nothing?token=hidden")
            created = await client.post("/assistant", json={"name": "a"})
        async with client_of(parley) as client:
            await client.post("/chat", json={}, headers={"authorization": "Bearer hidden-key"})
        chat = await by_grpc(parley)
        ended = await parley.stop()

    lines = [line for line in ended.err.splitlines() if " INFO " in line]
    streamed_id = re.search(r'"id":"([^"]+)"', streamed.text).group(1)
    org, time = "org=dev", r"[\d.]+ms"
    for line, expected in zip(
        lines,
        [
            rf"POST /chat 200 {time} {org} chat={made['id']} tok=13/3 req=\S{{36}}",
            rf'POST /chat 200 {time} {org} chat={streamed_id} tok=13/3 req="two words"',
            rf"GET /chat/nothing 404 {time} reason=CHAT_NOT_FOUND {org} req={unknown.headers['x-request-id']}",
            rf"POST /assistant 201 {time} {org} req={created.headers['x-request-id']}",
            rf"POST /chat 401 {time} reason=UNAUTHENTICATED req=\S{{36}}",
            rf"ChatService.CreateChat OK {time} {org} chat={chat.id} tok=13/3 req=mine-1",
        ],
        strict=True,
    ):
        assert re.fullmatch(rf"\d\d:\d\d:\d\d\.\d\d\d INFO    {expected}", line)
    assert "hidden" not in ended.err and "Hello" not in ended.err


async def test_provider_that_fails_is_logged_with_call_org_and_chat(tmp_path):
    async with (
        OpenAIUpstream([failure(400), openai_text("Hi")]) as upstream,
        Serving(
            tmp_path,
            PARLEY_PROVIDER_KEYS=json.dumps({"openai": "sk-hidden"}),
            PARLEY_PROVIDER_URLS=json.dumps({"openai": upstream.base_url}),
            PARLEY_MODEL_ALLOW_HOSTS="127.0.0.1",
        ) as parley,
    ):
        async with client_of(parley) as client:
            assistant = {"model": {"provider": "openai", "model": "gpt-4o-mini"}}
            failed = await client.post("/chat", json={"assistant": assistant, "input": "Hello"})
            served = await client.post("/chat", json={"assistant": assistant, "input": "Hello"})
        ended = await parley.stop()

    records = [json.loads(line) for line in ended.err.splitlines()]
    failures = [one for one in records if one["event"].startswith("model_call_")]
    calls = [one for one in records if one["event"] == "call"]
    assert {one["event"] for one in failures} == {"model_call_failed"}
    assert (
        failures[-1]
        | {
            "provider": "openai",
            "status": 400,
            "org": "dev",
            "request_id": failed.headers["x-request-id"],
            "chat": calls[0]["chat"],
        }
        == failures[-1]
    )
    assert [(one["http"], one["status"], one["code"], one["method"]) for one in calls] == [
        ("POST /chat", 400, "INVALID_ARGUMENT", "ChatService.PostChat"),
        ("POST /chat", 200, "OK", "ChatService.PostChat"),
    ]
    assert (calls[1]["prompt_tokens"], calls[1]["completion_tokens"]) == (3, 2)
    assert (calls[1]["chat"], calls[1]["request_id"]) == (served.json()["id"], served.headers["x-request-id"])
    assert "hidden" not in ended.err


async def test_calls_are_not_logged_from_warning_on(tmp_path):
    async with Serving(tmp_path, PARLEY_LOG_LEVEL="warning") as parley:
        async with client_of(parley) as client:
            assert (await client.post("/chat", json=chat_body(parley, "Hello"))).status_code == 200
        ended = await parley.stop()

    assert ended == (0, "", "")


@pytest.mark.parametrize(
    ("option", "reported"),
    [
        ("--log-level", "must be 'debug', 'info', 'warning' or 'error'"),
        ("--log-format", "must be 'auto', 'console' or 'json'"),
    ],
)
async def test_word_that_is_none_is_refused_with_those_that_are(tmp_path, option, reported):
    ended = await run("parley", "serve", "--data", tmp_path, option, "loud")

    assert (ended.code, ended.err) == (1, f"Error: {option}: {reported}\n")


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_value_can_forge_a_line(written, form):
    configured, stream = written
    log = configured(form=form)
    log.warning("model_call_failed", model=FORGED, names=[FORGED])
    log.info(logs.CALL, method=FORGED, http=FORGED, status=404, code="NOT_FOUND", ms=1.0, request_id=FORGED)

    lines = stream.getvalue().split("\n")
    assert len(lines) == 3 and lines[-1] == ""
    assert all(line.isprintable() for line in lines)
    if form == "json":
        assert [json.loads(line).get("model") for line in lines[:2]] == [FORGED, None]


def test_what_a_level_leaves_out_is_not_formatted(written):
    class Value:
        def __repr__(self):
            pytest.fail("it was formatted")

    configured, stream = written
    configured("error").warning("model_call_failed", model=Value())

    assert stream.getvalue() == ""


def test_log_that_cannot_be_written_fails_no_call(written):
    class Full(io.StringIO):
        def write(self, _):
            raise OSError(28, "No space left on device")

    logs.configure("info", "json", Full())
    structlog.get_logger().info("call")


async def test_line_has_the_call_that_it_is_logged_for(written):
    configured, stream = written
    notes = CallNotes("r-1", 0.0)
    notes.org, notes.chat = "acme", "c-1"
    enter(notes)
    configured().error("exchange broke", chat="another")

    assert json.loads(stream.getvalue()) | {
        "org": "acme",
        "chat": "another",
        "request_id": "r-1",
    } == json.loads(stream.getvalue())
