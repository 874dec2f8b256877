"""Who may do what, for every method that the protos declare: a new one cannot be forgotten here.

Calls are made as bytes, so that nothing but the server decides what is refused, and in which order.
"""

import uuid
from typing import Any, NamedTuple

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct

from generated.parley.v1.chat_completion_pb2 import ChatCompletion
from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.session_pb2 import Session
from server.access import KEYLESS_METHODS, PUBLISHABLE_METHODS
from server.ids import hex_of, new_id
from server.json_values import from_python, struct_from
from tests.descriptors import METHODS as ALL_METHODS

METHODS = [method for method in ALL_METHODS if str(method) not in KEYLESS_METHODS]
"""The methods that need a key; test_transports.py has what the others need."""
NAMES = {str(method): method for method in METHODS}
EMPTY, GARBAGE = b"", b"\xff\xff\xff\xff"


class Answer(NamedTuple):
    """What a caller learns, but for the id of the request."""

    code: grpc.StatusCode
    text: str | None
    metadata: tuple[tuple[str, Any], ...]


async def call(channel, method, raw, *metadata):
    """Call a method with a request of these bytes, and read the answer to its end."""
    make = channel.unary_stream if method.streams else channel.unary_unary
    calling = make(method.path)(raw, metadata=metadata)
    try:
        if method.streams:
            async for _ in calling:
                pass
        else:
            await calling
    except grpc.aio.AioRpcError:
        pass
    trailing = tuple((key, value) for key, value in await calling.trailing_metadata() if key != "x-request-id")
    return Answer(await calling.code(), await calling.details(), trailing)


def bearer(key):
    return "authorization", f"Bearer {key}"


# --- keys -------------------------------------------------------------------------------------------------------------

SQL = "' OR '1'='1' --"
NO_KEY = {
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
    "SQL in the key": [("authorization", f"Bearer {SQL}")],
    "SQL in x-api-key": [("x-api-key", SQL)],
    "revoked key": [("authorization", "Bearer {revoked}")],
    "revoked x-api-key": [("x-api-key", "{revoked}")],
    "a good x-api-key beside a bad Authorization": [("authorization", "Bearer nobody"), ("x-api-key", "{api}")],
    "id of the org": [("authorization", "Bearer {org}")],
}


@pytest.fixture
async def keys(service, org):
    made = await service.store.keys.create(org.name, "api")
    await service.store.keys.revoke(made.id)
    return {"api": org.api, "revoked": made.key, "org": org.id}


@pytest.mark.parametrize("method", NAMES.values(), ids=NAMES)
async def test_nothing_is_done_for_a_caller_without_a_valid_key(channel, keys, method):
    """One text for all of them, whatever is in the request: it is not even read."""
    answers = {name: await call(channel, method, raw, *((key, value.format(**keys)) for key, value in metadata))
               for name, metadata in NO_KEY.items() for raw in (EMPTY, GARBAGE)}

    assert {answer.code for answer in answers.values()} == {grpc.StatusCode.UNAUTHENTICATED}, answers
    assert len(set(answers.values())) == 1
    assert all("Bearer <key>" in answer.text for answer in answers.values())


REFUSED_TO_PUBLISHABLE = {name: method for name, method in NAMES.items() if name not in PUBLISHABLE_METHODS}


@pytest.mark.parametrize("method", REFUSED_TO_PUBLISHABLE.values(), ids=REFUSED_TO_PUBLISHABLE)
async def test_publishable_key_may_not_call_what_is_not_listed(channel, org, method):
    for raw in (EMPTY, GARBAGE):
        for metadata in (bearer(org.publishable), ("x-api-key", org.publishable)):
            answer = await call(channel, method, raw, metadata)

            assert (answer.code, answer.text) == (
                grpc.StatusCode.PERMISSION_DENIED, "a publishable key cannot do this; use a secret key")


def test_every_publishable_method_exists():
    assert set(NAMES) >= PUBLISHABLE_METHODS


def test_lists_changes_and_documents_are_not_for_publishable_keys():
    verbs = ("List", "Delete", "Update", "Patch", "Remove", "Fetch")

    assert {name for name in PUBLISHABLE_METHODS if name.partition("/")[2].startswith(verbs)} == {
        # By the id of what it made itself.
        "AgentChatService/ListMessages", "ResponseService/FetchResponse", "ResponseService/ListInputItems",
        "ConversationService/ListItems"}
    assert not any(name.startswith(("AssistantService/", "SquadService/")) for name in PUBLISHABLE_METHODS)


ADMITTED = (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)


@pytest.mark.parametrize("name", sorted(PUBLISHABLE_METHODS))
async def test_publishable_key_is_admitted_where_it_is_listed(channel, org, name):
    assert (await call(channel, NAMES[name], EMPTY, bearer(org.publishable))).code in ADMITTED


@pytest.mark.parametrize("kind", ["api", "secret"])
@pytest.mark.parametrize("method", NAMES.values(), ids=NAMES)
async def test_other_keys_are_admitted_everywhere(channel, org, method, kind):
    key = getattr(org, kind)

    for metadata in (bearer(key), ("x-api-key", key), ("authorization", f"bearer  {key} ")):
        assert (await call(channel, method, EMPTY, metadata)).code in ADMITTED


@pytest.mark.parametrize("method", NAMES.values(), ids=NAMES)
async def test_request_that_cannot_be_read_is_invalid_and_not_unknown(channel, org, method):
    assert (await call(channel, method, GARBAGE, bearer(org.api))).code is grpc.StatusCode.INVALID_ARGUMENT


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
        grpc.StatusCode.UNIMPLEMENTED}


# --- ids of others ----------------------------------------------------------------------------------------------------

NOUNS = {
    "assistant_id": "assistant", "agent_id": "assistant", "squad_id": "squad", "session_id": "session",
    "store_in_session": "session", "chat_id": "session", "conversation_id": "session",
    "response_id": "chat", "previous_chat_id": "chat", "previous_response_id": "chat",
    "AssistantService": "assistant", "SquadService": "squad", "SessionService": "session", "ChatService": "chat",
    "ToolService": "tool",
}
"""What the id in a member of a request names; `id` itself names what the service is of."""
OF_THE_CALLER = {"user_id", "customer_id", "phone_number_id", "item_id", "org_id"}
"""Ids that name nothing here, or only something inside of what another id names."""
LISTS = [method for method in METHODS if method.request.__name__.startswith("List")
         and method.name not in ("ListMessages", "ListInputItems", "ListItems")]


def references(method):
    """The members of a method's request that name a record, each with the noun."""
    if method in LISTS:
        return []
    return [(field.name, NOUNS[method.service if field.name == "id" else field.name])
            for field in method.request.DESCRIPTOR.fields
            if field.name == "id" or field.name in NOUNS or (field.name.endswith("_id") and field.name not in OF_THE_CALLER)]


def request_with(method, member, text, own_assistant):
    """A request in which nothing but that id is wrong."""
    members = {"input": from_python("hi"), "content": "hi", "role": "user", "messages": from_python([]), "patch": Struct(),
               "metadata": Struct(), "items": [struct_from({"role": "user", "content": "hi"})],
               "agent_id": own_assistant, "assistant_id": own_assistant}
    if method.service == "CompletionService":
        members["messages"] = [{"role": "user", "content": from_python("hi")}]
    if member in ("squad_id", "session_id", "previous_chat_id", "previous_response_id"):
        del members["assistant_id"]
    known = method.request.DESCRIPTOR.fields_by_name
    return method.request(**{name: value for name, value in {**members, member: text}.items() if name in known})


async def records(service, channel, org, key):
    """One record of each noun that a key has made, by noun."""
    calls = {
        "chat": ("ChatService/CreateChat", Chat, {"input": from_python("hi"), "assistant_id": org.assistant_id}),
        "session": ("SessionService/CreateSession", Session, {"assistant_id": org.assistant_id}),
    }
    made = {}
    for noun, (name, answer, members) in calls.items():
        method = NAMES[name]
        raw = await channel.unary_unary(method.path)(
            method.request(**members).SerializeToString(), metadata=(bearer(key),))
        made[noun] = answer.FromString(raw).id
    squad = await service.store.squads.create(org.id, {"members": [{"assistantId": org.assistant_id}]})
    tool = await service.store.tools.create(org.id, {"type": "function", "function": {"name": "look_up"}})
    return made | {"assistant": org.assistant_id, "squad": squad.id, "tool": tool.id}


async def rows(service):
    return await service.store.database.read(lambda connection: [
        connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("chats", "messages", "sessions", "assistants", "squads", "tools", "forks")])


REFERENCES = {f"{method} {member}": (method, member, noun) for method in METHODS for member, noun in references(method)}


def test_methods_that_take_an_id_are_among_those_tested():
    without = {str(method) for method in METHODS if not references(method)} - {str(method) for method in LISTS}

    assert without == {
        "ConversationService/CreateConversation", "ModelService/GetModel", "HistoryService/ImportHistory",
        "UsageService/GetUsage"} | {
        f"{noun}Service/{verb}{noun}" for noun in ("Assistant", "Squad", "Tool") for verb in ("Create", "Post")}


@pytest.mark.parametrize(("method", "member", "noun"), REFERENCES.values(), ids=REFERENCES)
async def test_record_of_another_org_is_as_absent_as_any(channel, service, org, other_org, method, member, noun):
    theirs = (await records(service, channel, other_org, other_org.api))[noun]
    before = await rows(service)

    async def answer(text):
        request = request_with(method, member, text, org.assistant_id)
        return await call(channel, method, request.SerializeToString(), bearer(org.api))

    prefixed = [] if member == "store_in_session" else [f"resp_{hex_of(theirs)}"]  # documented as a uuid
    answers = [await answer(text) for text in (theirs, theirs.upper(), *prefixed, new_id(), str(uuid.uuid4()))]
    assert {given.code for given in answers} == {grpc.StatusCode.NOT_FOUND}
    assert len(set(answers)) == 1
    assert noun in answers[0].text
    assert await rows(service) == before


OWN = {name: case for name, case in REFERENCES.items()  # GetItem needs an item too
       if str(case[0]) in PUBLISHABLE_METHODS - {"ConversationService/GetItem"} and case[2] in ("chat", "session")}


@pytest.mark.parametrize(("method", "member", "noun"), OWN.values(), ids=OWN)
async def test_record_of_another_key_is_absent_for_a_publishable_one(channel, service, org, method, member, noun):
    theirs = (await records(service, channel, org, org.api))[noun]
    mine = (await records(service, channel, org, org.publishable))[noun]
    codes = []

    for text in (theirs, new_id(), mine):
        request = request_with(method, member, text, org.assistant_id)
        codes.append(await call(channel, method, request.SerializeToString(), bearer(org.publishable)))

    assert codes[0] == codes[1]
    assert [answer.code for answer in codes] == [
        grpc.StatusCode.NOT_FOUND, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.OK]


@pytest.mark.parametrize("method", LISTS, ids=str)
async def test_lists_hold_nothing_of_another_org(channel, service, org, other_org, method):
    theirs = await records(service, channel, other_org, other_org.api)

    raw = [await channel.unary_unary(method.path)(EMPTY, metadata=(bearer(key),)) for key in (org.api, other_org.api)]

    assert not any(record.encode() in raw[0] for record in theirs.values())
    assert any(record.encode() in raw[1] for record in theirs.values())


HIDDEN = {
    "member of a squad sent along": ("ChatService/CreateChat", lambda theirs: {
        "input": from_python("hi"), "squad": struct_from({"members": [{"assistantId": theirs}]})}),
    "model": ("ResponseService/CreateResponse", lambda theirs: {"input": from_python("hi"), "model": theirs}),
}


@pytest.mark.parametrize(("name", "members"), HIDDEN.values(), ids=HIDDEN)
async def test_assistant_of_another_org_is_as_absent_as_any_in_other_places(channel, service, org, other_org, name, members):
    before = await rows(service)

    answers = [await call(channel, NAMES[name], NAMES[name].request(**members(text)).SerializeToString(), bearer(org.api))
               for text in (other_org.assistant_id, new_id())]

    assert answers[0] == answers[1]
    assert answers[0].code in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT)
    assert await rows(service) == before


async def test_stored_squad_with_an_assistant_of_another_org_has_no_such_member(channel, service, org, other_org):
    method, answers = NAMES["ChatService/CreateChat"], []

    for assistant_id in (other_org.assistant_id, new_id()):
        squad = await service.store.squads.create(org.id, {"members": [{"assistantId": assistant_id}]})
        request = method.request(input=from_python("hi"), squad_id=squad.id)
        answers.append(await call(channel, method, request.SerializeToString(), bearer(org.api)))

    assert answers[0] == answers[1]
    assert answers[0].code is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("text", ["' OR '1'='1", "", "1", "\0", "../..", "%", "x" * 10_000],
                         ids=["sql", "empty", "number", "nul", "path", "like", "long"])
async def test_what_is_no_id_is_absent_where_a_path_would_have_it(channel, org, text):
    in_paths = [case for case in REFERENCES.values() if case[1] == "id" or (case[1] == "chat_id")]

    answers = {await call(channel, method, request_with(method, member, text, org.assistant_id).SerializeToString(),
                          bearer(org.api)) for method, member, _ in in_paths}

    assert {answer.code for answer in answers} == {grpc.StatusCode.NOT_FOUND}
    assert len(answers) == 5  # one text for each noun


async def test_answer_of_a_chat_completion_is_of_the_caller_alone(channel, service, org, other_org):
    """A session's id is not a way in: what is stored in it is told to its own org only."""
    method = NAMES["CompletionService/CreateChatCompletion"]
    request = request_with(method, "create_session", True, org.assistant_id)
    raw = await channel.unary_unary(method.path)(request.SerializeToString(), metadata=(bearer(org.api),))
    session_id = ChatCompletion.FromString(raw).session_id

    theirs = request_with(method, "store_in_session", session_id, other_org.assistant_id)
    answer = await call(channel, method, theirs.SerializeToString(), bearer(other_org.api))

    assert answer.code is grpc.StatusCode.NOT_FOUND
    caller = await service.store.keys.caller(org.api)
    history = await service.store.sessions.get(caller.scope, session_id)
    assert len(history.messages) == 2
