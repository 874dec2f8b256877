"""The error body of each door, and that it fits into the headers it travels in."""

import asyncio
import json

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from generated.parley.v1.assistant_service_pb2 import CreateAssistantRequest
from generated.parley.v1.assistant_service_pb2_grpc import AssistantServiceStub
from server.content.json_values import struct_from
from server.core.errors import (
    Aborted,
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    Overloaded,
    PermissionDenied,
    RateLimited,
    ResourceExhausted,
    ServerStopping,
    ServiceError,
    StorageUnavailable,
    Unauthenticated,
    UpstreamError,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
    Violation,
    shortened,
)
from server.wire.errors import body_of, door_of, header_of, http_status
from tests.descriptors import FILES

DOORS = ("assistants", "agents", "responses", "completions")
SERVICES = {
    "ChatService": "assistants",
    "SessionService": "assistants",
    "AssistantService": "assistants",
    "SquadService": "assistants",
    "AgentChatService": "agents",
    "ResponseService": "responses",
    "CompletionService": "completions",
    "ConversationService": "responses",
    "ModelService": "responses",
    "ToolService": "assistants",
    "HistoryService": "assistants",
    "UsageService": "assistants",
    "TransportService": "assistants",
}
ROLE = InvalidArgument.of("messages[0].role", "must be one of user, assistant", rule="in")
TWO = InvalidArgument(
    "name too long; input is required",
    violations=(Violation("name", "too long", "max_len"), Violation("input", "is required", "required")),
)
WHOLE = InvalidArgument(
    "a and b are mutually exclusive", violations=(Violation("", "a and b are mutually exclusive"),)
)
NOBODY = NotFound("chat not found", reason="CHAT_NOT_FOUND")
BUSY = ResourceExhausted("too many", retry_after=3)


def openai(message, kind, param, code):
    return {"message": message, "type": kind, "param": param, "code": code}


BODIES = {
    "one field, assistants": (
        ROLE,
        "assistants",
        {
            "message": ["messages[0].role must be one of user, assistant"],
            "error": "Bad Request",
            "statusCode": 400,
        },
    ),
    "one field, agents": (
        ROLE,
        "agents",
        {"error": "Bad Request", "message": "messages[0].role must be one of user, assistant"},
    ),
    "one field, responses": (
        ROLE,
        "responses",
        {"error": openai(ROLE.message, "invalid_request_error", "messages[0].role", "invalid_argument")},
    ),
    "one field, completions": (
        ROLE,
        "completions",
        {
            "detail": [
                {
                    "loc": ["body", "messages", 0, "role"],
                    "msg": "must be one of user, assistant",
                    "type": "in",
                }
            ]
        },
    ),
    "two fields, assistants": (
        TWO,
        "assistants",
        {"message": ["name too long", "input is required"], "error": "Bad Request", "statusCode": 400},
    ),
    "two fields, responses": (
        TWO,
        "responses",
        {"error": openai(TWO.message, "invalid_request_error", "name", "invalid_argument")},
    ),
    "two fields, completions": (
        TWO,
        "completions",
        {
            "detail": [
                {"loc": ["body", "name"], "msg": "too long", "type": "max_len"},
                {"loc": ["body", "input"], "msg": "is required", "type": "required"},
            ]
        },
    ),
    "whole request, assistants": (
        WHOLE,
        "assistants",
        {"message": ["a and b are mutually exclusive"], "error": "Bad Request", "statusCode": 400},
    ),
    "whole request, responses": (
        WHOLE,
        "responses",
        {"error": openai(WHOLE.message, "invalid_request_error", None, "invalid_argument")},
    ),
    "whole request, completions": (
        WHOLE,
        "completions",
        {"detail": [{"loc": ["body"], "msg": "a and b are mutually exclusive", "type": "invalid"}]},
    ),
    "no field, completions": (
        InvalidArgument("Unsupported role"),
        "completions",
        {
            "detail": "Unsupported role",
            "error": openai("Unsupported role", "invalid_request_error", None, "invalid_argument"),
        },
    ),
    "not found, assistants": (
        NOBODY,
        "assistants",
        {"message": "chat not found", "error": "Not Found", "statusCode": 404},
    ),
    "not found, agents": (NOBODY, "agents", {"error": "Not Found", "message": "chat not found"}),
    "not found, responses": (
        NOBODY,
        "responses",
        {"error": openai("chat not found", "not_found_error", None, "chat_not_found")},
    ),
    "not found, completions": (
        NOBODY,
        "completions",
        {
            "detail": "chat not found",
            "error": openai("chat not found", "not_found_error", None, "chat_not_found"),
        },
    ),
    "retry, agents": (BUSY, "agents", {"error": "Too Many Requests", "message": "too many", "retryAfter": 3}),
    "retry, assistants": (
        BUSY,
        "assistants",
        {"message": "too many", "error": "Too Many Requests", "statusCode": 429},
    ),
}


@pytest.mark.parametrize(("error", "door", "body"), BODIES.values(), ids=BODIES)
def test_body_has_the_shape_of_the_door(error, door, body):
    assert body_of(error, door) == body
    assert json.loads(header_of(error, door)) == body


STATUSES = {
    Unauthenticated: (401, "Unauthorized", "authentication_error"),
    PermissionDenied: (403, "Forbidden", "permission_error"),
    NotFound: (404, "Not Found", "not_found_error"),
    FailedPrecondition: (400, "Bad Request", "invalid_request_error"),
    Aborted: (409, "Conflict", "conflict_error"),
    ResourceExhausted: (429, "Too Many Requests", "rate_limit_error"),
    RateLimited: (429, "Too Many Requests", "rate_limit_error"),
    Overloaded: (429, "Too Many Requests", "rate_limit_error"),
    DeadlineExceeded: (504, "Gateway Timeout", "server_error"),
    StorageUnavailable: (503, "Service Unavailable", "server_error"),
    ServerStopping: (503, "Service Unavailable", "server_error"),
    UpstreamError: (502, "Bad Gateway", "server_error"),
    UpstreamUnavailable: (503, "Service Unavailable", "server_error"),
    UpstreamTimeout: (504, "Gateway Timeout", "server_error"),
    UpstreamRateLimited: (429, "Too Many Requests", "rate_limit_error"),
}


@pytest.mark.parametrize("kind", STATUSES, ids=lambda kind: kind.__name__)
def test_status_title_and_type_of_each_error(kind):
    error, (status, title, openai_type) = kind("text"), STATUSES[kind]

    assert [http_status(error, door) for door in DOORS] == [status] * 4
    assert body_of(error, "assistants") == {"message": "text", "error": title, "statusCode": status}
    assert body_of(error, "agents") == {"error": title, "message": "text"}
    assert body_of(error, "responses")["error"] == openai("text", openai_type, None, kind.reason.lower())
    assert body_of(error, "completions") == {"detail": "text", "error": body_of(error, "responses")["error"]}


def test_every_error_is_in_a_table_here():
    def kinds(kind):
        return {kind}.union(*map(kinds, kind.__subclasses__()))

    tested = {*STATUSES, InvalidArgument, Internal, ServiceError}
    assert {kind.__name__ for kind in kinds(ServiceError)} - {kind.__name__ for kind in tested} <= {
        "UpstreamIncomplete",
        "IdempotencyKeyReused",
        "IdempotencyKeyInUse",
        "AnswerLost",
        # test_idempotency.py, test_capacity.py, test_races.py
        "SessionBusy",
        "TooLarge",
        "ConversationFull",
        "ChangedMeanwhile",
    }


def test_bug_is_reported_without_its_text():
    assert body_of(Internal(), "assistants") == {
        "message": "internal error; the request id names it in the server's log",
        "error": "Internal Server Error",
        "statusCode": 500,
    }


def test_wrong_members_are_422_at_the_completions_door_only():
    assert [http_status(ROLE, door) for door in DOORS] == [400, 400, 400, 422]


def test_every_service_is_of_a_door():
    declared = {service for file in FILES for service in file.services_by_name}

    assert declared == set(SERVICES)
    assert {name: door_of(f"/parley.v1.{name}/Any", {}) for name in declared} == SERVICES


# --- headers ------------------------------------------------------------------------------------------------

MANY = InvalidArgument(
    "; ".join(f"items[{n}].role must be one of user, assistant" for n in range(1000)),
    violations=tuple(Violation(f"items[{n}].role", "must be one of user, assistant") for n in range(1000)),
)
LARGE = {
    "thousand violations": MANY,
    "long text": NotFound("x" * 100_000),
    "long text of astral characters": NotFound("😀" * 100_000),
    "long text, retry": ResourceExhausted("é" * 100_000, retry_after=1),
    "long field": InvalidArgument.of("f" * 100_000, "is wrong"),
    "long field of steps": InvalidArgument.of("a.b[0]." * 10_000, "is wrong"),
    "long message of a field": InvalidArgument.of("input", "😀" * 100_000),
    "long everything": InvalidArgument("😀" * 9_000, violations=(Violation("é" * 9_000, "\0" * 9_000),) * 50),
    "just too long": NotFound("x" * 7_499),
}
KEYS = {
    "assistants": {"message", "error", "statusCode"},
    "agents": {"error", "message"},
    "responses": {"error"},
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("error", LARGE.values(), ids=LARGE)
def test_header_is_at_most_8_kb_of_ascii_in_the_shape_of_the_door(error, door):
    header = header_of(error, door)

    assert header.isascii() and header.isprintable()
    assert len(header) <= 8_000
    body = json.loads(header)
    expected = KEYS.get(door, {"detail"} if error.violations else {"detail", "error"})
    assert set(body) - {"retryAfter"} == expected
    assert body.get("statusCode", 0) in (0, error.http_status)


@pytest.mark.parametrize("door", ["assistants", "completions"])
def test_of_a_thousand_violations_the_first_ones_are_reported(door):
    body = json.loads(header_of(MANY, door))

    listed_problems = body["message"] if door == "assistants" else [one["loc"] for one in body["detail"]]
    whole = body_of(MANY, door)
    assert len(listed_problems) > 50
    assert (
        listed_problems
        == (whole["message"] if door == "assistants" else [one["loc"] for one in whole["detail"]])[
            : len(listed_problems)
        ]
    )


ODD = [
    "ü é 中文 العربية",
    "😀\U0010ffff",
    '"quotes" and \\ and /',
    "\x7f\x80\u2028\u2029",
    "\t\r\n\x01",
    "<script>&amp;",
]


@pytest.mark.parametrize("text", ODD, ids=ascii)
@pytest.mark.parametrize("door", DOORS)
def test_text_survives_the_header(text, door):
    error = InvalidArgument.of(text, text)

    header = header_of(error, door)

    assert header.isascii() and header.isprintable()
    assert json.loads(header) == body_of(error, door)


def test_shortened_error_is_the_same_kind_of_error():
    short = shortened(ResourceExhausted("x" * 1_000, reason="DISK_FULL", retry_after=2), 0)

    assert (short.code, short.http_status, short.reason, short.retry_after, short.message) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        429,
        "DISK_FULL",
        2,
        "x" * 149 + "…",
    )


# --- over the wire ------------------------------------------------------------------------------------------


def wrong_in(places):
    """An assistant with that many wrong members."""
    return {
        "name": "x",
        "model": {"provider": "offline", "model": "offline-1", "messages": [{"role": "bad"}] * places},
    }


@pytest.mark.parametrize("places", [1, 30, 45, 100, 1_000])
async def test_grpc_callers_get_violations_however_many_there_are(channel, org, places):
    stub = AssistantServiceStub(channel)
    request = CreateAssistantRequest(document=struct_from(wrong_in(places)))

    with pytest.raises(grpc.aio.AioRpcError) as error:
        await stub.CreateAssistant(request, metadata=org.metadata)

    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    status = rpc_status.from_call(error.value)
    info, wrong = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info) and status.details[1].Unpack(wrong)
    assert (info.reason, info.domain) == ("INVALID_ARGUMENT", "parley")
    assert [one.field for one in wrong.field_violations] == [
        f"model.messages[{n}].role" for n in range(len(wrong.field_violations))
    ]
    assert len(wrong.field_violations) >= min(places, 20)


async def test_http_callers_get_violations_however_many_there_are_and_others_are_not_disturbed(http, org):
    """Headers that are too large end the connection between Envoy and the server, and with it every call on
    it."""
    answers = await asyncio.gather(
        *(
            http.post("/assistant", json=wrong_in(1_000), headers=org.bearer)
            if n % 2
            else http.get("/assistant", headers=org.bearer)
            for n in range(8)
        )
    )

    assert [answer.status_code for answer in answers] == [200, 400] * 4
    assert answers[1].json()["message"][0].startswith("model.messages[0].role ")


async def test_unicode_reaches_http_callers(http, org):
    answer = await http.post(
        "/session",
        json={
            "messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}],
            "name": "名前😀" * 20,
        },
        headers=org.bearer,
    )

    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json")
    assert answer.json()["error"] == "Bad Request"
