"""Who may do what, for every method, every kind of key and every id that the protos declare: nothing is
listed here.

What a method demands and what an id names are options in the protos (`access.proto`); a method or an id
without one fails. Calls are made as bytes, so that nothing but the server decides what is refused, and in
which order.
"""

import re
import uuid
from contextlib import suppress
from typing import Any, NamedTuple

import grpc
import pytest
from google.api import annotations_pb2
from google.protobuf.descriptor_pool import Default
from google.protobuf.struct_pb2 import Struct

from gateway.checker import DESCRIPTOR, read_descriptor
from generated.parley.v1.access_pb2 import (
    ACCESS_ANY_KEY,
    ACCESS_NO_KEY,
    ACCESS_UNSPECIFIED,
    RECORD_ASSISTANT,
    RECORD_CHAT,
    RECORD_ITEM,
    RECORD_NONE,
    RECORD_ORG,
    RECORD_SESSION,
    RECORD_SQUAD,
    RECORD_TOOL,
    RECORD_UNSPECIFIED,
    SENDER_ORG_KEY,
    Record,
    names,
    sent_with,
)
from generated.parley.v1.chat_completion_pb2 import ChatCompletion
from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.item_pb2 import ItemList
from generated.parley.v1.response_service_pb2 import ConnectResponsesEvent
from generated.parley.v1.session_pb2 import Session
from server.content.json_values import from_python, struct_from
from server.core.clock import now_ms
from server.core.ids import hex_of, new_id
from server.rpc.access import access_to
from tests.contract.doors import http_client
from tests.descriptors import METHODS
from tests.upstream import OpenAIUpstream, openai_text

NAMES = {str(method): method for method in METHODS}
EMPTY, GARBAGE = b"", b"\xff\xff\xff\xff"


class Answer(NamedTuple):
    """What a caller learns, but for the id of the request and where its limits stand."""

    code: grpc.StatusCode
    text: str | None
    metadata: tuple[tuple[str, Any], ...]
    messages: tuple[bytes, ...]


REFUSALS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
}
"""The status of a request on a connection, as a call of its own has it."""


async def call(channel, method, raw, *metadata):
    """Call a method with a request of these bytes, and read the answer to its end."""
    make = channel.unary_stream if method.streams else channel.unary_unary
    calling, messages = make(method.path)(raw, metadata=metadata), []
    with suppress(grpc.aio.AioRpcError):
        messages = [message async for message in calling] if method.streams else [await calling]
    trailing = tuple(
        (key, value)
        for key, value in await calling.trailing_metadata()
        if key != "x-request-id" and not key.startswith("x-ratelimit-")
    )
    code, text = await calling.code(), await calling.details()
    if method.connects and messages:
        last = ConnectResponsesEvent.FromString(messages[-1])
        if last.HasField("error"):  # of the one request, on a connection that is closed without an error
            code, text, messages = REFUSALS[last.error.status], last.error.message, []
    return Answer(code, text, trailing, tuple(messages))


def bearer(key):
    return "authorization", f"Bearer {key}"


# --- what is declared ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_every_method_says_who_may_call_it(method):
    assert access_to(method.path) != ACCESS_UNSPECIFIED


IS_ID = re.compile(r"(.*_)?ids?(_any)?")
IDS = {
    f"{request.__name__}.{field.name}": field
    for request in {method.request for method in METHODS}
    for field in request.DESCRIPTOR.fields
    if IS_ID.fullmatch(field.name) or field.GetOptions().HasExtension(names)
}


@pytest.mark.parametrize("name", sorted(IDS))
def test_every_id_of_a_request_says_what_it_names(name):
    assert record_of(IDS[name]) != RECORD_UNSPECIFIED


def record_of(field):
    return field.GetOptions().Extensions[names]


ANY_KEY = [method for method in METHODS if access_to(method.path) == ACCESS_ANY_KEY]


@pytest.mark.parametrize("method", ANY_KEY, ids=str)
def test_what_a_publishable_key_may_call_neither_changes_nor_deletes_nor_lists_an_org(method):
    declared = Default().FindMethodByName(method.path[1:].replace("/", "."))
    rule = declared.GetOptions().Extensions[annotations_pb2.http]
    verbs = {one.WhichOneof("pattern") for one in (rule, *rule.additional_bindings)}
    inside = [
        field
        for field in method.request.DESCRIPTOR.fields
        if record_of(field) in (RECORD_CHAT, RECORD_SESSION) and not field.has_presence
    ]

    assert not verbs & {"delete", "patch", "put"}
    assert not method.name.startswith(("Delete", "Update", "Patch", "Remove"))
    assert inside or not method.name.startswith("List")


# --- every method, every kind of key ------------------------------------------------------------------------

SQL = "' OR '1'='1' --"
INVALID = {
    "no key": [],
    "empty Authorization": [("authorization", "")],
    "no scheme": [("authorization", "{api}")],
    "another scheme": [("authorization", "Basic {api}")],
    "scheme alone": [("authorization", "Bearer")],
    "scheme and a blank": [("authorization", "Bearer ")],
    "two keys in one": [("authorization", "Bearer {api} {api}")],
    "unknown key": [("authorization", "Bearer api_unknown")],
    "unknown secret key": [("authorization", "Bearer sk_live_unknown")],
    "unknown x-api-key": [("x-api-key", "sk_live_unknown")],
    "longer than any key": [("authorization", "Bearer api_" + "x" * 5_000)],
    "SQL in the key": [("authorization", f"Bearer {SQL}")],
    "SQL in x-api-key": [("x-api-key", SQL)],
    "revoked key": [("authorization", "Bearer {revoked}")],
    "revoked x-api-key": [("x-api-key", "{revoked}")],
    "expired key": [("authorization", "Bearer {expired}")],
    "expired x-api-key": [("x-api-key", "{expired}")],
    "a good x-api-key beside a bad Authorization": [
        ("authorization", "Bearer nobody"),
        ("x-api-key", "{api}"),
    ],
    "id of the org": [("authorization", "Bearer {org}")],
}
VALID = {
    f"{kind} as {form}": (kind, [(header, template.format(f"{{{kind}}}"))])
    for kind in ("publishable", "secret", "api", "secret of another org")
    for form, header, template in (
        ("bearer", "authorization", "Bearer {}"),
        ("x-api-key", "x-api-key", "{}"),
        ("sloppy bearer", "authorization", "bearer  {} "),
    )
}


@pytest.fixture
async def keys(service, org, other_org):
    revoked, expired = (
        await service.store.keys.create(org.name, "api"),
        await service.store.keys.create(org.name, "api", now_ms() - 1),
    )
    await service.store.keys.revoke(revoked.id)
    return {
        "api": org.api,
        "secret": org.secret,
        "publishable": org.publishable,
        "org": org.id,
        "revoked": revoked.key,
        "expired": expired.key,
        "secret of another org": other_org.secret,
    }


def shown(metadata, keys):
    return [(header, template.format_map(keys)) for header, template in metadata]


NEEDS_KEY = [method for method in METHODS if access_to(method.path) != ACCESS_NO_KEY]
KEYLESS = [method for method in METHODS if access_to(method.path) == ACCESS_NO_KEY]


@pytest.mark.parametrize("method", NEEDS_KEY, ids=str)
async def test_nothing_is_done_for_a_caller_without_a_valid_key(channel, keys, method):
    """One text for all of them, whatever is in the request: it is not even read."""
    answers = {
        (name, raw): await call(channel, method, raw, *shown(metadata, keys))
        for name, metadata in INVALID.items()
        for raw in (EMPTY, GARBAGE)
    }

    assert {answer.code for answer in answers.values()} == {grpc.StatusCode.UNAUTHENTICATED}, answers
    assert len(set(answers.values())) == 1
    assert all("Bearer <key>" in answer.text for answer in answers.values())


BINDINGS = {
    f"{binding.verb} {binding.template}": binding
    for binding in read_descriptor(DESCRIPTOR)[1]
    if access_to(f"/{binding.service}/{binding.method}") != ACCESS_NO_KEY
}


@pytest.mark.parametrize("binding", BINDINGS.values(), ids=BINDINGS)
async def test_nothing_is_done_over_http_for_a_caller_without_a_valid_key(service, keys, binding):
    """Whichever door the key leads to."""
    answers = {}
    async with http_client(service) as http:
        for name, metadata in INVALID.items():
            # the client sends no blanks there
            headers = {header: value.strip() for header, value in shown(metadata, keys)}
            answers[name] = await http.request(binding.verb, binding.path, headers=headers, content=b"{}")

    assert {answer.status_code for answer in answers.values()} == {401}, answers
    assert all("Bearer <key>" in answer.text for answer in answers.values())


ADMITTED = (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
REFUSED = (grpc.StatusCode.PERMISSION_DENIED, "a publishable key cannot do this; use a secret key")


@pytest.mark.parametrize("method", NEEDS_KEY, ids=str)
async def test_key_may_call_what_the_proto_says_of_its_kind(channel, keys, method):
    """What it may not call is refused unread; what it may call and cannot be read is invalid, and not
    unknown."""
    for kind, metadata in VALID.values():
        may = kind != "publishable" or access_to(method.path) == ACCESS_ANY_KEY
        answer = await call(channel, method, EMPTY, *shown(metadata, keys))
        garbled = await call(channel, method, GARBAGE, *shown(metadata, keys))

        assert answer.code in ADMITTED if may else answer[:2] == REFUSED
        assert garbled.code is grpc.StatusCode.INVALID_ARGUMENT if may else garbled[:2] == REFUSED


@pytest.mark.parametrize("method", KEYLESS, ids=str)
async def test_key_opens_nothing_where_none_is_needed(channel, keys, method):
    """The method itself checks who calls (test_transports.py): no key makes a difference."""
    shows = [
        shown(metadata, keys)
        for metadata in (*INVALID.values(), *(metadata for _, metadata in VALID.values()))
    ]
    answers = {await call(channel, method, EMPTY, *metadata) for metadata in shows}

    assert len(answers) == 1
    assert answers.pop().code is not grpc.StatusCode.OK


OF_ORG_KEYS = {
    f"{method} {field.name}": (method, field)
    for method in ANY_KEY
    for field in method.request.DESCRIPTOR.fields
    if field.GetOptions().Extensions[sent_with] == SENDER_ORG_KEY
}


@pytest.mark.parametrize(("method", "field"), OF_ORG_KEYS.values(), ids=OF_ORG_KEYS)
async def test_publishable_key_may_not_send_what_the_proto_says_of_a_member(
    channel, service, org, method, field
):
    """Nothing is done of the rest of the request."""
    request = request_with(method, None, None, {RECORD_ASSISTANT: org.assistant_id})
    if field.message_type is None:
        setattr(request, field.name, "main")
    else:
        getattr(request, field.name).SetInParent()
    before = await rows(service)

    refused = await call(channel, method, request.SerializeToString(), bearer(org.publishable))

    assert refused.code is grpc.StatusCode.PERMISSION_DENIED
    assert refused.text == (
        f"{field.json_name} cannot be sent with a publishable key, which every visitor of a page can read; "
        "use an api or a secret key"
    )
    assert await rows(service) == before


@pytest.mark.parametrize("member", ["phoneNumberId", "customerId", "customer"])
async def test_publishable_key_makes_no_session_of_a_number_over_http(service, org, member):
    async with http_client(service) as http:
        refused = await http.post(
            "/session",
            headers={"authorization": f"Bearer {org.publishable}"},
            json={
                "assistantId": org.assistant_id,
                member: {"number": "+14155550123"} if member == "customer" else "main",
            },
        )

    assert refused.status_code == 403
    assert refused.json()["message"][0].startswith(f"{member} cannot be sent with a publishable key")


async def test_revoked_key_is_refused_at_once(channel, service, org):
    made = await service.store.keys.create(org.name, "api")
    method = NAMES["ChatService/ListChats"]
    before = await call(channel, method, EMPTY, bearer(made.key))

    await service.store.keys.revoke(made.id)

    after = await call(channel, method, EMPTY, bearer(made.key))
    assert (before.code, after.code) == (grpc.StatusCode.OK, grpc.StatusCode.UNAUTHENTICATED)


async def test_unknown_method_is_unimplemented_with_and_without_a_key(channel, org):
    method = NAMES["ChatService/GetChat"]._replace(name="DropChats")

    assert {(await call(channel, method, EMPTY, *metadata)).code for metadata in ([], [bearer(org.api)])} == {
        grpc.StatusCode.UNIMPLEMENTED
    }


async def test_nothing_that_is_logged_holds_a_key(channel, service, org, capfd, caplog, monkeypatch):
    """Also where the server itself is at fault, and logs what it was doing."""
    monkeypatch.setattr(service.store.chats, "list", None)
    failed = await call(channel, NAMES["ChatService/ListChats"], EMPTY, bearer(org.api))
    for key in (org.api, org.secret, org.publishable, "sk_live_unknown"):
        for method in NEEDS_KEY:
            await call(channel, method, GARBAGE, bearer(key))

    logged = "".join(capfd.readouterr()) + caplog.text
    assert failed.code is grpc.StatusCode.INTERNAL
    assert "call failed" in logged
    assert not any(
        key.partition("_")[2] in logged for key in (org.api, org.secret, org.publishable, "sk_live_unknown")
    )


# --- every id of another org --------------------------------------------------------------------------------

REFERENCES = {
    f"{method} {field.name}": (method, field.name, record_of(field))
    for method in NEEDS_KEY
    for field in method.request.DESCRIPTOR.fields
    if record_of(field) not in (RECORD_UNSPECIFIED, RECORD_NONE, RECORD_ORG)
}
LISTS = [
    method
    for method in NEEDS_KEY
    if method.name.startswith(("List", "Fetch", "Export", "Get"))
    and all(field.has_presence or field.is_repeated for field in method.request.DESCRIPTOR.fields)
]
"""What shows an org: nothing has to be named in its request, and what is named is a filter."""
IN_PLACE_OF_AN_ASSISTANT = (RECORD_SQUAD, RECORD_SESSION, RECORD_CHAT)


@pytest.fixture(scope="module")
async def model():
    """A model that notes whether it was called."""
    async with OpenAIUpstream([openai_text("Hello")]) as upstream:
        yield upstream


@pytest.fixture
async def assistant(service, org, model):
    """An assistant of the caller's, on that model."""
    made = await service.store.assistants.create(
        org.id, {"model": {"provider": "custom-llm", "model": "m", "url": model.base_url}}
    )
    return made.id


def request_with(method, member, value, own):
    """A request in which nothing but the id in `member` is wrong; `own` has the caller's record of each
    kind."""
    known = method.request.DESCRIPTOR.fields_by_name
    record = record_of(known[member]) if member else RECORD_NONE
    members = {
        "input": from_python("hi"),
        "content": "hi",
        "role": "user",
        "messages": from_python([]),
        "patch": Struct(),
        "metadata": Struct(),
        "items": [struct_from({"role": "user", "content": "hi"})],
    }
    if method.service == "CompletionService":
        members["messages"] = [{"role": "user", "content": from_python("hi")}]
    names_assistant = record == RECORD_ASSISTANT or (
        record in IN_PLACE_OF_AN_ASSISTANT
        and method.service in ("ChatService", "ResponseService", "SessionService")
    )
    members |= (
        {} if names_assistant else {"agent_id": own[RECORD_ASSISTANT], "assistant_id": own[RECORD_ASSISTANT]}
    )
    if record == RECORD_ITEM:
        chat = own[RECORD_CHAT]
        members |= {"conversation_id": own[RECORD_SESSION], "response_id": chat, "completion_id": chat}
        members.pop("agent_id", None)  # the chat may be another's
    if member:
        members[member] = from_python(value) if known[member].message_type is not None else value
    return method.request(**{name: value for name, value in members.items() if name in known})


async def records(service, channel, org, key):
    """One record of each kind that a key has made."""

    async def made(name, kind, **members):
        method = NAMES[name]
        raw = await channel.unary_unary(method.path)(
            method.request(**members).SerializeToString(), metadata=(bearer(key),)
        )
        return kind.FromString(raw)

    session = await made("SessionService/CreateSession", Session, assistant_id=org.assistant_id)
    chat_input = {"input": from_python("hi")}
    chat = await made("ChatService/CreateChat", Chat, **chat_input, session_id=session.id)
    items = await made("ConversationService/ListItems", ItemList, conversation_id=session.id)
    squad = await service.store.squads.create(org.id, {"members": [{"assistantId": org.assistant_id}]})
    tool = await service.store.tools.create(org.id, {"type": "function", "function": {"name": "look_up"}})
    return {
        RECORD_ASSISTANT: org.assistant_id,
        RECORD_SQUAD: squad.id,
        RECORD_TOOL: tool.id,
        RECORD_SESSION: session.id,
        RECORD_CHAT: chat.id,
        RECORD_ITEM: items.data[0]["id"],
    }


def without(answer, text):
    """The answer, where it repeats what was asked for, as it is for every text of this length."""
    blank = "?" * len(text)
    metadata = tuple(
        (key, value.replace(text.encode(), blank.encode()) if isinstance(value, bytes) else value)
        for key, value in answer.metadata
    )
    return answer._replace(text=answer.text and answer.text.replace(text, blank), metadata=metadata)


async def rows(service):
    """How many rows every table has."""
    tables = [
        name
        for (name,) in service.store.database.reader.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        )
    ]
    return await service.store.database.read(
        lambda connection: {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables
        }
    )


def test_every_kind_of_record_is_named_somewhere():
    assert {record for _, _, record in REFERENCES.values()} == set(Record.values()) - {
        RECORD_UNSPECIFIED,
        RECORD_NONE,
        RECORD_ORG,
    }


@pytest.mark.parametrize(("method", "member", "record"), REFERENCES.values(), ids=REFERENCES)
async def test_record_of_another_org_is_as_absent_as_any(
    channel, service, org, other_org, assistant, model, method, member, record
):
    """Byte for byte, with nothing written and no model called; in a list, where ids are filters, nothing is
    found."""
    own = (await records(service, channel, org, org.api)) | {RECORD_ASSISTANT: assistant}
    theirs = (await records(service, channel, other_org, other_org.api))[record]
    before, requests_before = await rows(service), len(model.requests)

    async def answer(text):
        request = request_with(method, member, text, own)
        given = await call(channel, method, request.SerializeToString(), bearer(org.api))
        return without(given, text)

    if record == RECORD_ITEM:
        prefix = theirs.partition("_")[0]
        others = [f"{prefix}_{new_id()}", f"{prefix}_{hex_of(new_id())}_0"]
    else:
        others = [theirs.upper(), new_id(), str(uuid.uuid4())]
        # Documented as a uuid there, and as a name here.
        others += [f"resp_{hex_of(theirs)}"] if member not in ("store_in_session", "model") else []
    answers = [await answer(text) for text in (theirs, *others)]
    assert len(set(answers)) == 1, answers
    if method in LISTS and answers[0].code is grpc.StatusCode.OK:
        assert not any(record.encode() in answers[0].messages[0] for record in (*own.values(), theirs))
    else:  # what may be a name as well as an id is a wrong argument to some methods
        wrong = {grpc.StatusCode.INVALID_ARGUMENT} if member == "model" else set()
        assert answers[0].code in {grpc.StatusCode.NOT_FOUND, *wrong}
    assert (await rows(service), len(model.requests)) == (before, requests_before)


NOUNS = {
    "conversation": "conversation",
    "previous_response_id": "response",
    "response_id": "response",
    "completion_id": "completion",
    "before": "message",
    "conversation_id": "conversation",
    "model": "model",
    "item_id": "item",
    "after": "item",
}
"""What is said not to be there, by the member that names it; where it is not the record's own noun."""
OF_AGENTS = {RECORD_SESSION: "chat", RECORD_ASSISTANT: "agent"}


@pytest.mark.parametrize(("method", "member", "record"), REFERENCES.values(), ids=REFERENCES)
async def test_record_that_is_absent_is_called_what_the_caller_calls_it(
    channel, service, org, assistant, method, member, record
):
    own = (await records(service, channel, org, org.api)) | {RECORD_ASSISTANT: assistant}
    unknown = f"msg_{hex_of(new_id())}" if record == RECORD_ITEM else new_id()

    answer = await call(
        channel, method, request_with(method, member, unknown, own).SerializeToString(), bearer(org.api)
    )

    if answer.code is grpc.StatusCode.NOT_FOUND:
        noun = NOUNS.get(member) or Record.Name(record).removeprefix("RECORD_").lower()
        if (method.service, member) == ("CompletionService", "after"):
            noun = "message" if method.name.endswith("Messages") else "completion"
        if method.service == "AgentChatService":
            noun = OF_AGENTS.get(record, noun)
        nouns = {
            "agent",
            "assistant",
            "chat",
            "completion",
            "conversation",
            "item",
            "message",
            "response",
            "session",
            "squad",
            "tool",
        }
        assert re.match(rf"(the )?{noun}\b", answer.text, re.IGNORECASE), answer.text
        if noun != "model":
            assert set(re.findall(r"[a-z]+", answer.text.partition(";")[0])) & nouns - {"chat"} <= {noun}


OWN = {
    name: case
    for name, case in REFERENCES.items()
    if case[0] in ANY_KEY and case[2] in (RECORD_CHAT, RECORD_SESSION)
}


@pytest.mark.parametrize(("method", "member", "record"), OWN.values(), ids=OWN)
async def test_record_of_another_key_is_absent_for_a_publishable_one(
    channel, service, org, method, member, record
):
    theirs = await records(service, channel, org, org.api)
    mine = await records(service, channel, org, org.publishable)
    answers = []

    for text in (theirs[record], new_id(), mine[record]):
        request = request_with(method, member, text, mine)
        if "item_id" in request.DESCRIPTOR.fields_by_name:
            request.item_id = mine[RECORD_ITEM]
        answers.append(await call(channel, method, request.SerializeToString(), bearer(org.publishable)))

    assert answers[0] == answers[1]
    assert [answer.code for answer in answers] == [
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.OK,
    ]


@pytest.mark.parametrize("method", LISTS, ids=str)
async def test_what_shows_an_org_shows_nothing_of_another(channel, service, org, other_org, method):
    theirs = await records(service, channel, other_org, other_org.api)
    secrets = {org.id: other_org.api, other_org.id: org.api}

    mine, others = [await call(channel, method, EMPTY, bearer(key)) for key in (org.api, other_org.api)]

    assert (mine.code, others.code) == (grpc.StatusCode.OK, grpc.StatusCode.OK)
    shown = [b"".join(answer.messages) for answer in (mine, others)]
    assert not any(record.encode() in shown[0] for record in (*theirs.values(), other_org.id))
    assert not any(secret.encode() in text for secret in secrets.values() for text in shown)
    assert shown[1]


FREE = {
    "member of a squad sent along": (
        "ChatService/CreateChat",
        RECORD_ASSISTANT,
        lambda text: {"squad": struct_from({"members": [{"assistantId": text}]})},
    ),
    "conversation as an object": (
        "ResponseService/CreateResponse",
        RECORD_SESSION,
        lambda text: {"conversation": from_python({"id": text})},
    ),
    "conversation under OpenAI's prefix": (
        "ResponseService/CreateResponse",
        RECORD_SESSION,
        lambda text: {"conversation": from_python(f"conv_{hex_of(text)}")},
    ),
}
"""Ids in free JSON, which has no members that could be declared."""


@pytest.mark.parametrize(("name", "record", "members"), FREE.values(), ids=FREE)
async def test_record_of_another_org_is_as_absent_as_any_in_free_json(
    channel, service, org, other_org, name, record, members
):
    method, theirs = NAMES[name], (await records(service, channel, other_org, other_org.api))[record]
    before = await rows(service)

    answers = [
        without(
            await call(
                channel,
                method,
                method.request(input=from_python("hi"), **members(text)).SerializeToString(),
                bearer(org.api),
            ),
            text,
        )
        for text in (theirs, new_id(), str(uuid.uuid4()))
    ]

    assert len(set(answers)) == 1, answers
    assert answers[0].code is grpc.StatusCode.NOT_FOUND
    assert await rows(service) == before


async def test_record_of_another_org_that_a_stored_squad_names_is_as_absent_as_any(
    channel, service, org, other_org
):
    method, answers = NAMES["ChatService/CreateChat"], []

    for assistant_id in (other_org.assistant_id, new_id()):
        squad = await service.store.squads.create(org.id, {"members": [{"assistantId": assistant_id}]})
        request = method.request(input=from_python("hi"), squad_id=squad.id)
        answers.append(await call(channel, method, request.SerializeToString(), bearer(org.api)))

    assert answers[0] == answers[1]
    assert answers[0].code is grpc.StatusCode.NOT_FOUND


def with_tool(tool_id, document):
    return {"assistant": struct_from({"model": {**document["model"], "toolIds": [tool_id]}})}


def with_member(assistant_id, document):
    return {"squad": struct_from({"members": [{"assistant": document}, {"assistantId": assistant_id}]})}


@pytest.mark.parametrize(
    ("record", "members"),
    [(RECORD_TOOL, with_tool), (RECORD_ASSISTANT, with_member)],
    ids=["tool", "member of a squad"],
)
async def test_record_of_another_org_is_offered_to_no_model(
    channel, service, org, other_org, model, record, members
):
    """As one that was deleted: the exchange goes on without it."""
    method, offered = NAMES["ChatService/CreateChat"], []
    theirs, own = [(await records(service, channel, one, one.api))[record] for one in (other_org, org)]
    document = {"model": {"provider": "custom-llm", "model": "m", "url": model.base_url}}

    for text in (theirs, new_id(), own):
        request = method.request(input=from_python("hi"), **members(text, document))
        assert (
            await call(channel, method, request.SerializeToString(), bearer(org.api))
        ).code is grpc.StatusCode.OK
        offered.append([one["function"]["name"] for one in model.requests[-1].body.get("tools", [])])

    assert offered[:2] == [[], []]
    assert len(offered[2]) == 1


@pytest.mark.parametrize(
    "text",
    ["' OR '1'='1", "", "1", "\0", "../..", "%", "x" * 10_000],
    ids=["sql", "empty", "number", "nul", "path", "like", "long"],
)
async def test_what_is_no_id_is_absent_where_a_path_would_have_it(channel, org, text):
    in_paths = [
        (method, member)
        for method, member, _ in REFERENCES.values()
        if member in ("id", "chat_id") and not method.request.DESCRIPTOR.fields_by_name[member].has_presence
    ]
    own = {RECORD_ASSISTANT: org.assistant_id}

    answers = {
        await call(
            channel, method, request_with(method, member, text, own).SerializeToString(), bearer(org.api)
        )
        for method, member in in_paths
    }

    assert {answer.code for answer in answers} == {grpc.StatusCode.NOT_FOUND}
    assert len(answers) == 5  # one text for each kind


async def test_answer_of_a_chat_completion_is_of_the_caller_alone(channel, service, org, other_org):
    """A session's id is not a way in: what is stored in it is told to its own org only."""
    method = NAMES["CompletionService/CreateChatCompletion"]
    own = {RECORD_ASSISTANT: org.assistant_id}
    request = request_with(method, "create_session", True, own)
    raw = await channel.unary_unary(method.path)(request.SerializeToString(), metadata=(bearer(org.api),))
    session_id = ChatCompletion.FromString(raw).session_id

    theirs = request_with(method, "store_in_session", session_id, {RECORD_ASSISTANT: other_org.assistant_id})
    answer = await call(channel, method, theirs.SerializeToString(), bearer(other_org.api))

    assert answer.code is grpc.StatusCode.NOT_FOUND
    caller = await service.store.keys.caller(org.api)
    history = await service.store.sessions.get(caller.scope, session_id)
    assert len(history.messages) == 2
