"""Server events: what an assistant's own server is told, signed, in order, and never in the way."""

import hashlib
import hmac
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.json_format import ParseDict
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from generated.parley.v1.chat_service_pb2 import CreateChatRequest, DeleteChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from server.core.outbound.signatures import signed_headers
from tests.conftest import Org, Service, delivered_until, rows_of, running
from tests.upstream import STALL, Answer, Request, Upstream, failure, rate_limited

ACCEPTED = Answer()
SECRET = "a secret of the server's own"
STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def served(upstream: Upstream, **members: Any) -> dict[str, Any]:
    """An assistant with a server."""
    return {"name": "told", "server": {"url": f"{upstream.base_url}/events", **members}}


def messages(requests: list[Request]) -> list[dict[str, Any]]:
    return [request.body["message"] for request in requests]


async def create(http: httpx.AsyncClient, org: Org, path: str, body: dict[str, Any]) -> dict[str, Any]:
    response = await http.post(path, json=body, headers=org.bearer)
    assert response.status_code in (200, 201), response.text
    return response.json()


async def test_each_change_is_sent_in_order(http: httpx.AsyncClient, org: Org) -> None:
    async with Upstream(ACCEPTED) as upstream:
        assistant = await create(http, org, "/assistant", served(upstream))
        session = await create(http, org, "/session", {"assistantId": assistant["id"]})
        chat = await create(http, org, "/chat", {"sessionId": session["id"], "input": "Hello"})
        await http.patch(f"/session/{session['id']}", json={"name": "renamed"}, headers=org.bearer)
        await http.delete(f"/chat/{chat['id']}", headers=org.bearer)
        await http.delete(f"/session/{session['id']}", headers=org.bearer)
        delivered = messages(await upstream.arrived(5))

    assert [message["type"] for message in delivered] == [
        "session.created",
        "chat.created",
        "session.updated",
        "chat.deleted",
        "session.deleted",
    ]
    assert delivered[0]["session"]["id"] == session["id"]
    assert delivered[1]["chat"] == chat
    assert delivered[2]["session"]["name"] == "renamed"
    assert delivered[3]["chat"]["id"] == chat["id"]
    assert delivered[4]["session"]["status"] == "active"
    assert all(isinstance(message["timestamp"], int) for message in delivered)


async def test_streamed_exchange_is_sent_when_it_is_over(channel: grpc.aio.Channel, org: Org) -> None:
    async with Upstream(ACCEPTED) as upstream:
        request = ParseDict({"assistant": served(upstream), "input": "Hello"}, CreateChatRequest())
        async for event in ChatServiceStub(channel).StreamChat(request, metadata=org.metadata):
            chat_id = event.chat_id
        await ChatServiceStub(channel).DeleteChat(DeleteChatRequest(id=chat_id), metadata=org.metadata)
        delivered = messages(await upstream.arrived(2))

    assert [(message["type"], message["chat"]["id"]) for message in delivered] == [
        ("chat.created", chat_id),
        ("chat.deleted", chat_id),
    ]
    assert delivered[0]["chat"]["output"][0]["content"] == "You said: Hello"
    assert delivered[0]["chat"]["status"] == "completed"


async def test_exchanges_of_the_agents_door_and_of_squads_are_sent_too(
    http: httpx.AsyncClient, org: Org
) -> None:
    async with Upstream(ACCEPTED) as upstream:
        assistant = await create(http, org, "/assistant", served(upstream))
        squad = await create(http, org, "/squad", {"members": [{"assistantId": assistant["id"]}]})
        await create(http, org, "/chat", {"squadId": squad["id"], "input": "Hello"})
        await upstream.arrived(1)
        made = await http.post("/chat", json={"agentId": assistant["id"]}, headers={"x-api-key": org.secret})
        delivered = messages(await upstream.arrived(2))

    assert [(message["type"]) for message in delivered] == ["chat.created", "session.created"]
    assert delivered[1]["session"]["id"] == made.json()["id"]


async def test_chat_in_an_event_has_its_own_input_only(http: httpx.AsyncClient, org: Org) -> None:
    async with Upstream(ACCEPTED) as upstream:
        first = await create(http, org, "/chat", {"assistant": served(upstream), "input": "one"})
        await create(http, org, "/chat", {"previousChatId": first["id"], "input": "two"})
        delivered = messages(await upstream.arrived(2))

    by_input = {message["chat"]["input"]: message["chat"] for message in delivered}
    assert [message["content"] for message in by_input["two"]["messages"]] == ["two"]


@pytest.mark.parametrize("where", ["server", "credentials"])
async def test_events_are_signed_and_the_secret_is_shown_to_nobody(
    where: str, http: httpx.AsyncClient, org: Org
) -> None:
    async with Upstream(ACCEPTED) as upstream:
        document = served(
            upstream, headers={"X-Own": "yes", "Host": "elsewhere", "x-parley-signature": "forged"}
        )
        if where == "server":
            document["server"]["secret"] = SECRET
        else:
            document["credentials"] = [{"provider": "webhook", "apiKey": SECRET}]
        chat = await create(http, org, "/chat", {"assistant": document, "input": "Hello"})
        (request,) = await upstream.arrived(1)

    parts = dict(part.split("=") for part in request.headers["x-parley-signature"].split(","))
    expected = hmac.new(SECRET.encode(), f"{parts['t']}.".encode() + request.raw, hashlib.sha256).hexdigest()
    assert parts["v1"] == expected
    assert request.headers["x-own"] == "yes"
    assert request.headers["host"].startswith("127.0.0.1:")
    assert request.headers["content-type"] == "application/json"
    assert SECRET not in request.raw.decode()
    assert SECRET not in str(chat)


async def test_stored_server_secret_is_masked_and_kept_by_a_patch(http: httpx.AsyncClient, org: Org) -> None:
    async with Upstream(ACCEPTED) as upstream:
        made = await create(http, org, "/assistant", served(upstream, secret=SECRET))
        assert made["server"]["secret"] == "****" + SECRET[-4:]
        await http.patch(f"/assistant/{made['id']}", json={"server": made["server"]}, headers=org.bearer)
        await create(http, org, "/chat", {"assistantId": made["id"], "input": "Hello"})
        (request,) = await upstream.arrived(1)

    seconds = request.headers["x-parley-signature"].partition(",")[0].removeprefix("t=")
    digest = hmac.new(SECRET.encode(), f"{seconds}.".encode() + request.raw, hashlib.sha256).hexdigest()
    assert request.headers["x-parley-signature"] == f"t={seconds},v1={digest}"


@pytest.mark.parametrize(
    ("secret", "consumer"),
    [(STANDARD_SECRET, Webhook(STANDARD_SECRET)), (SECRET, Webhook(SECRET.encode()))],
    ids=["whsec", "any text"],
)
@pytest.mark.parametrize("where", ["server", "credentials"])
async def test_standard_webhooks_verifies_an_event_and_notices_a_changed_one(
    where: str, secret: str, consumer: Webhook, http: httpx.AsyncClient, org: Org
) -> None:
    async with Upstream(ACCEPTED) as upstream:
        document = served(upstream, headers={"Webhook-Id": "forged", "webhook-signature": "v1,forged"})
        if where == "server":
            document["server"]["secret"] = secret
        else:
            document["credentials"] = [{"provider": "webhook", "apiKey": secret}]
        chat = await create(http, org, "/chat", {"assistant": document, "input": "Hello"})
        (request,) = await upstream.arrived(1)

    assert consumer.verify(request.raw, request.headers)["message"]["chat"]["id"] == chat["id"]
    assert request.headers["webhook-id"] == request.headers["x-parley-delivery"]
    parts = dict(part.split("=") for part in request.headers["x-parley-signature"].split(","))
    assert parts["t"] == request.headers["webhook-timestamp"]
    with pytest.raises(WebhookVerificationError, match="No matching signature"):
        consumer.verify(request.raw.replace(b"Hello", b"Hallo"), request.headers)


@pytest.mark.parametrize(
    "secret",
    [
        "whsec_",
        "whsec_not base64 but as long as a secret is",
        "whsec_c2hvcnQ=",
        "whsec_" + "A" * 33,
        "whsec_" + "A" * 92,
    ],
    ids=["empty", "no base64", "short", "cut off", "long"],
)
async def test_whsec_secret_that_no_consumer_could_read_is_refused(
    secret: str, http: httpx.AsyncClient, org: Org
) -> None:
    in_server = await http.post(
        "/assistant", headers=org.bearer, json={"server": {"url": "https://example.com", "secret": secret}}
    )
    in_tool = await http.post(
        "/tool",
        headers=org.bearer,
        json={"type": "function", "function": {"name": "f"}, "server": {"secret": secret}},
    )
    in_credentials = await http.post(
        "/assistant", headers=org.bearer, json={"credentials": [{"provider": "webhook", "apiKey": secret}]}
    )

    for answer, field in (
        (in_server, "server.secret"),
        (in_tool, "server.secret"),
        (in_credentials, "apiKey"),
    ):
        assert answer.status_code == 400
        [text] = answer.json()["message"]
        assert field in text
        assert "after whsec_ must be the base64 of 24 to 64 bytes" in text
        assert "A" * 33 not in text


def test_secret_from_before_the_check_signs_as_it_did() -> None:
    headers = signed_headers("id", 7, b"{}", "whsec_not base64")

    digest = hmac.new(b"whsec_not base64", b"7.{}", hashlib.sha256).hexdigest()
    assert headers == {
        "webhook-id": "id",
        "webhook-timestamp": "7",
        "x-parley-signature": f"t=7,v1={digest}",
    }


async def test_without_a_secret_events_are_not_signed(http: httpx.AsyncClient, org: Org) -> None:
    async with Upstream(ACCEPTED) as upstream:
        await create(http, org, "/chat", {"assistant": served(upstream), "input": "Hello"})
        (request,) = await upstream.arrived(1)

    assert not {"x-parley-signature", "webhook-signature"} & request.headers.keys()
    assert request.headers["webhook-id"] == request.headers["x-parley-delivery"]


async def test_answer_does_not_wait_for_the_server(http: httpx.AsyncClient, org: Org) -> None:
    async with Upstream(Answer([STALL])) as upstream:
        chat = await create(http, org, "/chat", {"assistant": served(upstream), "input": "Hello"})
        await upstream.arrived(1)

    assert chat["status"] == "completed"


async def test_event_that_failed_is_sent_again_under_the_same_id(http: httpx.AsyncClient, org: Org) -> None:
    plan = {"type": "fixed", "maxRetries": 3, "baseDelaySeconds": 0}
    async with Upstream([failure(500), rate_limited(), Answer(status=0), ACCEPTED]) as upstream:
        await create(http, org, "/chat", {"assistant": served(upstream, backoffPlan=plan), "input": "Hello"})
        requests = await upstream.arrived(3)

    assert len({request.headers["x-parley-delivery"] for request in requests}) == 1
    assert len({request.headers["webhook-id"] for request in requests}) == 1
    assert len({request.raw for request in requests}) == 1


async def reason(service: Service, org: Org) -> str:
    """Why the org's only delivery is dead, once it is."""
    query = "SELECT reason FROM outbox WHERE org_id = ? AND state = 'dead'"

    async def found() -> str | None:
        return next((reason for (reason,) in await rows_of(service.store, query, [org.id])), None)

    return await delivered_until(service.store, found)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            Answer(status=302, headers={"location": "http://127.0.0.1:1/"}),
            "the server answered 302, and redirects are not followed",
        ),
        (failure(404), "the server answered 404"),
    ],
    ids=["redirect", "refusal"],
)
async def test_what_no_retry_can_help_is_given_up_at_once(
    answer: Answer, expected: str, service: Service, http: httpx.AsyncClient, org: Org
) -> None:
    async with Upstream(answer) as upstream:
        await create(http, org, "/chat", {"assistant": served(upstream), "input": "Hello"})

        assert await reason(service, org) == expected
        assert len(upstream.requests) == 1


async def test_events_go_only_to_hosts_that_the_operator_lists(
    http: httpx.AsyncClient, service: Service, org: Org
) -> None:
    for url in (
        "http://localhost:9/",
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "http://user@127.0.0.1:9/",
    ):
        await create(http, org, "/chat", {"assistant": {"server": {"url": url}}, "input": "Hello"})

    assert await rows_of(service.store, "SELECT 1 FROM outbox WHERE org_id = ?", [org.id]) == []


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (["chat.deleted", "status-update"], ["chat.deleted"]),
        (["status-update", "end-of-call-report"], ["chat.created", "chat.deleted"]),
        ([], ["chat.created", "chat.deleted"]),
    ],
    ids=["names one", "names others only", "names none"],
)
async def test_server_messages_choose_the_events(
    listed: list[str], expected: list[str], http: httpx.AsyncClient, org: Org
) -> None:
    async with Upstream(ACCEPTED) as upstream:
        document = {**served(upstream), "serverMessages": listed}
        chat = await create(http, org, "/chat", {"assistant": document, "input": "Hello"})
        await http.delete(f"/chat/{chat['id']}", headers=org.bearer)
        delivered = messages(await upstream.arrived(len(expected)))

    assert [message["type"] for message in delivered] == expected


async def test_event_under_way_is_sent_again_after_a_restart(tmp_path: Path) -> None:
    async with Upstream([Answer([STALL]), ACCEPTED]) as upstream:
        async with running(tmp_path, upstream_allow_hosts="127.0.0.1") as service:
            org = await service.new_org()
            async with httpx.AsyncClient(base_url=service.http_url, timeout=20) as http:
                await create(http, org, "/chat", {"assistant": served(upstream), "input": "Hello"})
            await upstream.arrived(1)
        async with running(tmp_path, upstream_allow_hosts="127.0.0.1"):
            first, second = await upstream.arrived(2)

    assert first.headers["x-parley-delivery"] == second.headers["x-parley-delivery"]
    assert first.raw == second.raw
