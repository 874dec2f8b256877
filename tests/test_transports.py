"""Chats carried by text message: out through Twilio's REST interface, in by its webhook, against a local
stand-in."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlencode

import grpc
import httpx
import pytest
from google.api.httpbody_pb2 import HttpBody
from google.protobuf.json_format import MessageToDict, ParseDict

from generated.parley.v1.chat_service_pb2 import CreateChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from generated.parley.v1.transport_service_pb2 import ReceiveTwilioMessageRequest
from generated.parley.v1.transport_service_pb2_grpc import TransportServiceStub
from server.core.config import TwilioNumber
from server.core.ids import new_id
from server.delivery.twilio_account import TwilioAccount
from server.exchange.outgoing import MOST_CHARACTERS, parts_of
from server.services import transports
from tests.conftest import Org, Service, delivered_until, rows_of, running
from tests.upstream import Answer, OpenAIUpstream, Request, Upstream, failure, openai_text, rate_limited

SID, TOKEN = "AC0123456789", "the account's token"
NUMBER, ANOTHER = "+14155550100", "+14155550199"
ACCEPTED = Answer([b'{"sid": "SM1", "status": "queued"}'], 201, {"content-type": "application/json"})
Post = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


class Twilio(Upstream):
    """A stand-in for Twilio's REST interface, which tests script one after the other."""

    def script(self, *answers: Answer) -> None:
        self.requests.clear()
        self._answers = list(answers)


def form_of(request: Request) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(request.raw.decode(), keep_blank_values=True).items()}


@pytest.fixture(scope="module")
async def carrier() -> AsyncIterator[Twilio]:
    async with Twilio(ACCEPTED) as upstream:
        yield upstream


@pytest.fixture(scope="module")
async def carrying(carrier: Twilio, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    settings = {
        "twilio_account_sid": SID,
        "twilio_auth_token": TOKEN,
        "twilio_url": carrier.base_url,
        "twilio_numbers": {"phone-1": NUMBER, "phone-2": {"number": ANOTHER, "orgId": "of another org"}},
        "upstream_allow_hosts": "127.0.0.1",
        "delivery_attempts": 3,
        "delivery_base_seconds": 0,
    }
    async with running(tmp_path_factory.mktemp("carrying"), **settings) as service:
        yield service


@pytest.fixture
def twilio(carrier: Twilio) -> Twilio:
    carrier.script(ACCEPTED)
    return carrier


@pytest.fixture
async def sender(carrying: Service) -> Org:
    return await carrying.new_org()


@pytest.fixture
async def rest(carrying: Service, sender: Org) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=carrying.http_url, timeout=20, headers=sender.bearer) as client:
        yield client


@pytest.fixture(params=["gRPC", "REST"])
async def post(
    request: pytest.FixtureRequest, carrying: Service, sender: Org, rest: httpx.AsyncClient
) -> AsyncIterator[Post]:
    """Posts a chat, one body over both."""
    async with grpc.aio.insecure_channel(carrying.grpc_address) as channel:

        async def over_grpc(body: dict[str, Any]) -> dict[str, Any]:
            chat = await ChatServiceStub(channel).CreateChat(
                ParseDict(body, CreateChatRequest()), metadata=sender.metadata
            )
            return MessageToDict(chat)

        async def over_rest(body: dict[str, Any]) -> dict[str, Any]:
            response = await rest.post("/chat", json=body)
            assert response.status_code == 200, response.text
            return response.json()

        yield over_grpc if request.param == "gRPC" else over_rest


def body(
    org: Org, text: Any = "Hello", *, phone: str = "phone-1", number: str = "+14155550123", **transport: Any
) -> dict[str, Any]:
    carried = {"type": "twilio.sms", "phoneNumberId": phone, "customer": {"number": number}, **transport}
    return {"assistantId": org.assistant_id, "input": text, "transport": carried}


async def settled(service: Service, rest: httpx.AsyncClient, chat_id: str) -> dict[str, Any]:
    """What a chat says of its transport, once none of its messages waits."""

    async def found() -> bool | None:
        waiting = "SELECT 1 FROM outbox WHERE chat_id = ? AND state = 'waiting'"
        return None if await rows_of(service.store, waiting, [chat_id]) else True

    await delivered_until(service.store, found)
    return (await rest.get(f"/chat/{chat_id}")).json()["transport"]


async def test_reply_is_sent_by_text_message(
    post: Post, carrying: Service, rest: httpx.AsyncClient, twilio: Twilio, sender: Org
) -> None:
    chat = await post(body(sender))
    (request,) = await twilio.arrived(1)

    assert chat["transport"]["status"] == "queued"
    assert (request.method, request.path) == ("POST", f"/2010-04-01/Accounts/{SID}/Messages.json")
    assert form_of(request) == {"From": NUMBER, "To": "+14155550123", "Body": "You said: Hello"}
    assert (
        base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode() == f"{SID}:{TOKEN}"
    )
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["i-twilio-idempotency-token"]
    assert await settled(carrying, rest, chat["id"]) == {
        "type": "twilio.sms",
        "status": "sent",
        "message": "The message was handed to the carrier.",
    }


async def test_same_number_and_customer_go_on_in_their_session(
    post: Post, twilio: Twilio, sender: Org
) -> None:
    first = await post(body(sender, "My name is Ada"))
    again = await post(body(sender, "What is my name?"))
    other = await post(body(sender, number="+14155550124"))
    named = await post(
        {"sessionId": first["sessionId"], "input": "What was my name?", "transport": {"type": "twilio.sms"}}
    )
    requests = await twilio.arrived(4)

    assert again["sessionId"] == first["sessionId"] == named["sessionId"] != other["sessionId"]
    sent = [form_of(request)["Body"] for request in requests if form_of(request)["To"] == "+14155550123"]
    assert sent == ["You said: My name is Ada", "Your name is Ada.", "Your name is Ada."]


async def test_first_messages_at_once_begin_one_session(post: Post, sender: Org) -> None:
    chats = await asyncio.gather(*(post(body(sender, f"Hello {number}")) for number in range(5)))

    assert len({chat["sessionId"] for chat in chats}) == 1


async def test_completed_session_and_another_assistants_are_not_reused(
    rest: httpx.AsyncClient, sender: Org
) -> None:
    first = (await rest.post("/chat", json=body(sender))).json()
    other = (await rest.post("/assistant", json={"name": "other"})).json()
    another = (await rest.post("/chat", json={**body(sender), "assistantId": other["id"]})).json()
    await rest.patch(f"/session/{first['sessionId']}", json={"status": "completed"})
    after = (await rest.post("/chat", json=body(sender))).json()

    assert len({first["sessionId"], another["sessionId"], after["sessionId"]}) == 3


async def test_input_is_forwarded_as_it_is_without_a_model(post: Post, twilio: Twilio, sender: Org) -> None:
    request_body = body(sender, "Your table is ready", useLLMGeneratedMessageForOutbound=False)
    request_body.pop("assistantId")
    chat = await post(
        {**request_body, "assistant": {"model": {"provider": "openai", "model": "cannot be called"}}}
    )
    (request,) = await twilio.arrived(1)

    assert form_of(request)["Body"] == "Your table is ready"
    assert [message["content"] for message in chat["output"]] == ["Your table is ready"]
    assert (chat["cost"], [cost["type"] for cost in chat["costs"]]) == (0, ["chat"])


async def test_undeliverable_message_is_recorded_and_reported(
    post: Post, carrying: Service, sender: Org, twilio: Twilio
) -> None:
    for phone in ("phone-3", "phone-2"):  # nobody's, and another org's
        chat = await post(body(sender, phone=phone))

        assert chat["transport"]["status"] == "recorded"
        assert "will not be sent" in chat["transport"]["message"]
    found = await rows_of(
        carrying.store, "SELECT state, chat_id IS NOT NULL FROM outbox WHERE org_id = ?", [sender.id]
    )
    assert found == [("recorded", True)] * 2
    assert twilio.requests == []


async def test_without_twilio_messages_are_recorded(http: httpx.AsyncClient, org: Org) -> None:
    chat = (await http.post("/chat", json=body(org), headers=org.bearer)).json()

    assert chat["transport"]["status"] == "recorded"


async def test_deleted_chat_takes_its_message_with_it(
    rest: httpx.AsyncClient, carrying: Service, sender: Org
) -> None:
    chat = (await rest.post("/chat", json=body(sender, phone="phone-3"))).json()
    stored = (await rest.post("/chat", json=body(sender, phone="phone-3"))).json()
    await rest.delete(f"/chat/{chat['id']}")
    outbox = "SELECT chat_id FROM outbox WHERE org_id = ?"

    assert await rows_of(carrying.store, outbox, [sender.id]) == [(stored["id"],)]
    await rest.delete(f"/session/{stored['sessionId']}")
    assert await rows_of(carrying.store, outbox, [sender.id]) == []


async def test_responses_form_says_it_too(rest: httpx.AsyncClient, twilio: Twilio, sender: Org) -> None:
    plain = {"assistantId": sender.assistant_id, "input": "Hi", "stream": False}
    carried = (await rest.post("/chat/responses", json={**body(sender), "stream": False})).json()
    without = (await rest.post("/chat/responses", json=plain)).json()

    assert carried["transport"]["status"] == "queued"
    assert "transport" not in without
    assert form_of((await twilio.arrived(1))[0])["Body"] == "You said: Hello"


async def test_streamed_reply_is_sent_when_it_is_whole(
    rest: httpx.AsyncClient, twilio: Twilio, sender: Org
) -> None:
    response = await rest.post("/chat", json={**body(sender, "one two three"), "stream": True})
    (request,) = await twilio.arrived(1)

    assert response.text.count("data: ") > 1
    assert form_of(request)["Body"] == "You said: one two three"


@pytest.mark.parametrize(
    "failures", [[failure(503)], [rate_limited()], [Answer(status=0)]], ids=["503", "429", "reset"]
)
async def test_message_is_tried_again_under_one_token(
    failures: list[Answer], carrying: Service, rest: httpx.AsyncClient, twilio: Twilio, sender: Org
) -> None:
    twilio.script(*failures, ACCEPTED)
    chat = (await rest.post("/chat", json=body(sender))).json()
    requests = await twilio.arrived(2)

    assert len({request.headers["i-twilio-idempotency-token"] for request in requests}) == 1
    assert (await settled(carrying, rest, chat["id"]))["status"] == "sent"


async def test_refused_message_is_given_up_with_twilios_number_of_the_reason(
    carrying: Service, rest: httpx.AsyncClient, twilio: Twilio, sender: Org
) -> None:
    twilio.script(failure(400, {"code": 21211, "message": "SECRET TEXT"}), ACCEPTED)
    chat = (await rest.post("/chat", json=body(sender))).json()

    assert await settled(carrying, rest, chat["id"]) == {
        "type": "twilio.sms",
        "status": "failed",
        "message": "The message was not sent: Twilio answered 400 (error 21211).",
    }
    assert len(twilio.requests) == 1


async def test_long_reply_is_sent_in_order_in_parts(
    rest: httpx.AsyncClient, twilio: Twilio, sender: Org
) -> None:
    text = " ".join(f"word{number}" for number in range(500))
    await rest.post("/chat", json=body(sender, text, useLLMGeneratedMessageForOutbound=False))
    requests = await twilio.arrived(3)

    assert "".join(form_of(request)["Body"] for request in requests) == text


@pytest.mark.parametrize(
    "text",
    ["a" * 4000, "a b\n" * 1000, "😀" * 1601, "short", "é" * 1600],
    ids=["no spaces", "spaces", "pairs of UTF-16", "short", "just one"],
)
def test_parts_fit_and_are_the_text(text: str) -> None:
    parts = list(parts_of(text))

    assert "".join(parts) == text
    assert all(len(part.encode("utf-16-le")) // 2 <= MOST_CHARACTERS for part in parts)


async def test_answer_that_broke_off_is_not_sent(
    rest: httpx.AsyncClient, twilio: Twilio, sender: Org
) -> None:
    whole = openai_text("This is cut")
    async with OpenAIUpstream(Answer(whole.pieces[:-3])) as model:
        assistant = {"model": {"provider": "custom-llm", "model": "m", "url": model.base_url}}
        chat = (
            await rest.post(
                "/chat",
                json={
                    "assistant": assistant,
                    **{name: value for name, value in body(sender).items() if name != "assistantId"},
                },
            )
        ).json()

    assert chat["status"] == "incomplete"
    assert chat["transport"]["status"] == "not_sent"
    assert twilio.requests == []


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"transport": {"type": "twilio.sms"}}, "transport"),
        ({"transport": {"phoneNumberId": "phone-1"}}, "transport"),
        (
            {"transport": {"phoneNumberId": "phone-1", "customer": {"name": "Ada"}}},
            "transport.customer.number",
        ),
        (
            {"transport": {"phoneNumberId": "phone-1", "customer": {"number": "12"}}},
            "transport.customer.number",
        ),
        ({"transport": {"type": "pigeon"}}, "transport.type"),
        ({"previousChatId": new_id()}, "transport"),
    ],
    ids=["nothing", "no customer", "no number", "not E.164", "unknown type", "chain"],
)
async def test_transport_that_leads_nowhere_is_refused(
    change: dict[str, Any], place: str, rest: httpx.AsyncClient, sender: Org
) -> None:
    response = await rest.post("/chat", json={**body(sender), **change})

    assert response.status_code == 400
    assert place in str(response.json()["message"])


async def test_publishable_key_sends_no_messages(carrying: Service, sender: Org) -> None:
    async with grpc.aio.insecure_channel(carrying.grpc_address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ChatServiceStub(channel).CreateChat(
                ParseDict(body(sender), CreateChatRequest()),
                metadata=(("authorization", f"Bearer {sender.publishable}"),),
            )

    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED


# --- inbound ------------------------------------------------------------------------------------------------


def incoming(text: str = "My name is Ada", number: str = "+14155550123", to: str = NUMBER) -> dict[str, str]:
    return {
        "MessageSid": f"SM{new_id()}",
        "AccountSid": SID,
        "From": number,
        "To": to,
        "Body": text,
        "NumMedia": "0",
    }


def signed(url: str, form: dict[str, str], token: str = TOKEN) -> dict[str, str]:
    account = TwilioAccount(SID, token, "", {})
    return {
        "x-twilio-signature": account.signature(url, form.items()),
        "content-type": "application/x-www-form-urlencoded",
    }


async def receive(
    service: Service, org_id: str, form: dict[str, str], headers: dict[str, str] | None = None
) -> httpx.Response:
    """Post a form as Twilio does, without a key."""
    url = f"{service.http_url}/transport/twilio/{org_id}"
    async with httpx.AsyncClient(timeout=20) as client:
        return await client.post(
            url, content=urlencode(form), headers={**signed(url, form), **(headers or {})}
        )


async def test_message_of_a_person_goes_on_in_their_session_and_is_answered(
    carrying: Service, rest: httpx.AsyncClient, twilio: Twilio, sender: Org
) -> None:
    chat = (
        await rest.post("/chat", json=body(sender, "Welcome!", useLLMGeneratedMessageForOutbound=False))
    ).json()
    first = await receive(carrying, sender.id, incoming("My name is Ada"))
    await twilio.arrived(2)
    await receive(carrying, sender.id, incoming("What is my name?"))
    requests = await twilio.arrived(3)

    assert (first.status_code, first.headers["content-type"], first.text) == (200, "text/xml", "<Response/>")
    assert [form_of(request)["Body"] for request in requests] == [
        "Welcome!",
        "You said: My name is Ada",
        "Your name is Ada.",
    ]
    assert {form_of(request)["To"] for request in requests} == {"+14155550123"}
    session = (await rest.get(f"/session/{chat['sessionId']}")).json()
    assert [message["content"] for message in session["messages"]][2:4] == [
        "My name is Ada",
        "You said: My name is Ada",
    ]


async def test_message_that_was_received_before_is_ignored(
    carrying: Service, rest: httpx.AsyncClient, twilio: Twilio, sender: Org
) -> None:
    chat = (await rest.post("/chat", json=body(sender))).json()
    form = incoming("once")
    answers = await asyncio.gather(*(receive(carrying, sender.id, form) for _ in range(5)))
    await receive(carrying, sender.id, incoming("twice"))
    requests = await twilio.arrived(3)

    assert {answer.status_code for answer in answers} == {200}
    assert [form_of(request)["Body"] for request in requests] == [
        "You said: Hello",
        "You said: once",
        "You said: twice",
    ]
    listed = (await rest.get("/chat", params={"sessionId": chat["sessionId"]})).json()
    assert listed["metadata"]["totalItems"] == 3


async def test_message_is_answered_when_the_model_is_back(
    carrying: Service, rest: httpx.AsyncClient, twilio: Twilio, sender: Org
) -> None:
    # 404: what a model call does not send again by itself.
    async with OpenAIUpstream([openai_text("Welcome"), failure(404), openai_text("Back again")]) as model:
        assistant = {"model": {"provider": "custom-llm", "model": "m", "url": model.base_url}}
        without = {name: value for name, value in body(sender).items() if name != "assistantId"}
        await rest.post("/chat", json={"assistant": assistant, **without})
        await receive(carrying, sender.id, incoming("Hello?"))
        requests = await twilio.arrived(2)

    assert [form_of(request)["Body"] for request in requests] == ["Welcome", "Back again"]


async def test_person_whose_session_is_over_gets_a_new_one_with_the_same_assistant(
    carrying: Service, rest: httpx.AsyncClient, twilio: Twilio, sender: Org
) -> None:
    chat = (await rest.post("/chat", json=body(sender))).json()
    await rest.patch(f"/session/{chat['sessionId']}", json={"status": "completed"})
    await receive(carrying, sender.id, incoming("Still there?"))
    await twilio.arrived(2)
    sessions = (await rest.get("/session")).json()["results"]

    assert [session["assistantId"] for session in sessions] == [sender.assistant_id] * 2
    assert sessions[0]["id"] != chat["sessionId"]


async def test_session_that_a_publishable_key_made_is_joined_by_nothing(
    post: Post, carrying: Service, rest: httpx.AsyncClient, twilio: Twilio, sender: Org
) -> None:
    """Those that were made while a publishable key could name a number."""
    made = (
        await rest.post(
            "/session",
            json={
                "assistantId": sender.assistant_id,
                "phoneNumberId": "phone-1",
                "customer": {"number": "+14155550123"},
                "messages": [{"role": "user", "content": "My name is Mallory"}],
            },
        )
    ).json()
    key = await carrying.store.keys.caller(sender.publishable)
    await carrying.store.database.write(
        lambda connection: connection.execute(
            "UPDATE sessions SET key_id = ? WHERE id = ?", [key.key_id, made["id"]]
        )
    )

    nobody = await receive(carrying, sender.id, incoming("My PIN is 4242"))
    chat = await post(body(sender, "What is my name?"))
    answered = await receive(carrying, sender.id, incoming("What is my name?"))
    requests = await twilio.arrived(2)

    assert (nobody.status_code, answered.status_code) == (404, 200)
    assert chat["sessionId"] != made["id"]
    assert not any("Mallory" in form_of(request)["Body"] for request in requests)
    seen = await rest.get(f"/session/{made['id']}", headers={"authorization": f"Bearer {sender.publishable}"})
    assert [message["content"] for message in seen.json()["messages"]] == ["My name is Mallory"]


async def test_number_without_a_session_is_not_found(carrying: Service, sender: Org) -> None:
    for form in (incoming(number="+14155550000"), incoming(to="+14155550001"), incoming(to=ANOTHER)):
        answer = await receive(carrying, sender.id, form)

        assert answer.status_code == 404
        assert answer.json()["statusCode"] == 404


async def test_form_that_is_not_signed_for_this_url_is_refused(
    carrying: Service, rest: httpx.AsyncClient, sender: Org
) -> None:
    await rest.post("/chat", json=body(sender))
    form = incoming()
    url, other = (
        f"{carrying.http_url}/transport/twilio/{sender.id}",
        f"http://elsewhere.test/transport/twilio/{sender.id}",
    )
    wrong = [
        signed(url, form, "another token"),
        signed(other, form),
        signed(url, {**form, "Body": "changed"}),
        {"x-twilio-signature": ""},
        {**signed(url, form), "host": "elsewhere.test"},
        {**signed(other, form), "x-parley-host": "elsewhere.test"},
    ]
    for headers in wrong:
        answer = await receive(carrying, sender.id, form, headers)

        assert answer.status_code == 403
        assert answer.json()["error"] == "Forbidden"
    assert (await receive(carrying, sender.id, form)).status_code == 200


async def test_webhook_needs_twilio_to_be_configured(service: Service, org: Org) -> None:
    answer = await receive(service, org.id, incoming())

    assert answer.status_code == 404
    assert answer.json()["message"] == "text messages are not received here: no Twilio account is configured"


async def test_form_is_read_when_it_is_signed_and_small(
    carrying: Service, sender: Org, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    monkeypatch.setattr(transports, "parse_qsl", lambda form, **_: read.append(len(form)) or [])
    url, form = f"{carrying.http_url}/transport/twilio/{sender.id}", incoming("x" * 66_000)
    request = ReceiveTwilioMessageRequest(org_id=sender.id, body=HttpBody(data=urlencode(form).encode()))

    too_large = await receive(carrying, sender.id, form)
    unsigned = await receive(carrying, sender.id, incoming(), {"x-twilio-signature": ""})
    async with grpc.aio.insecure_channel(carrying.grpc_address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await TransportServiceStub(channel).ReceiveTwilioMessage(
                request, metadata=tuple(signed(url, form).items())[:1]
            )

    assert (too_large.status_code, unsigned.status_code) == (413, 403)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details() == (
        "the request is larger than 64 KiB, which is the most this method takes; send less"
    )
    assert not read


async def test_webhook_over_grpc_and_under_a_public_url(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = {
        "twilio_account_sid": SID,
        "twilio_auth_token": TOKEN,
        "public_url": "https://parley.example/",
    }
    async with running(tmp_path_factory.mktemp("public"), **settings) as service:
        form, org_id = incoming(), new_id()
        signature = signed(f"https://parley.example/transport/twilio/{org_id}", form)["x-twilio-signature"]
        over_http = await receive(service, org_id, form, {"x-twilio-signature": signature})
        request = ReceiveTwilioMessageRequest(org_id=org_id, body=HttpBody(data=urlencode(form).encode()))
        async with grpc.aio.insecure_channel(service.grpc_address) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await TransportServiceStub(channel).ReceiveTwilioMessage(
                    request, metadata=(("x-twilio-signature", signature),)
                )

    assert over_http.status_code == 404  # the signature passed; there is no session
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


async def test_wrong_method_and_unknown_carrier(http: httpx.AsyncClient, org: Org) -> None:
    wrong = await http.get(f"/transport/twilio/{org.id}")
    unknown = await http.post(f"/transport/pigeon/{org.id}")

    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert unknown.status_code == 404


def test_signature_is_the_one_twilio_documents() -> None:
    # https://www.twilio.com/docs/usage/security, as in the tests of Twilio's own libraries
    form = {
        "CallSid": "CA1234567890ABCDE",
        "Caller": "+14158675309",
        "Digits": "1234",
        "From": "+14158675309",
        "To": "+18005551212",
    }
    account = TwilioAccount("AC", "12345", "", {"phone": TwilioNumber(number=NUMBER)})

    assert (
        account.signature("https://mycompany.com/myapp.php?foo=1&bar=2", form.items())
        == "RSOYDt4T1cUTdK1PDd93/VVr8B8="
    )
