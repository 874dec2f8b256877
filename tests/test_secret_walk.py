"""Secrets in every member of every request that can hold one, looked for in everything that anybody is told
afterwards.

Methods, members and paths are read from the protos. A member that can hold secrets is one that holds free
JSON, or has the name of a secret or a URL. What people say, and the caller's own members, are told again as
they were sent.
"""

import itertools
import json
import re
from dataclasses import replace
from functools import partial

import grpc
import orjson
import pytest
from google.api import annotations_pb2
from google.protobuf.descriptor_pool import Default
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct, Value

from generated.parley.v1.access_pb2 import (
    RECORD_ASSISTANT,
    RECORD_CHAT,
    RECORD_SESSION,
    RECORD_SQUAD,
    RECORD_TOOL,
)
from generated.parley.v1.assistant_pb2 import JsonSchema
from server.content.json_values import from_python, struct_from
from server.content.secret_names import FREE, Kind, kind_of
from server.core.ids import new_id
from server.wire.history.lines import History
from tests.conftest import delivered_until, rows_of, running
from tests.descriptors import METHODS
from tests.test_access import (
    LISTS,
    NAMES,
    NEEDS_KEY,
    REFERENCES,
    bearer,
    call,
    record_of,
    records,
    request_with,
)
from tests.test_tools_run import QUESTION
from tests.upstream import Answer, Upstream

MARK = "not-to-be-told"
MARKS = re.compile(rf"{MARK}[\w.-]*")
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NOWHERE = "http://127.0.0.1:9"
"""Allowed, and nobody listens there."""

CONTENT_FIELDS = {
    "content",
    "contents",
    "conditions",
    "conversation",
    "input",
    "instructions",
    "message",
    "messages",
    "name",
    "stop",
}
OWN = FREE | {"customer"}
NOTHING = {
    "access_programs",
    "audio",
    "background_options",
    "context_management",
    "function_call",
    "functions",
    "image",
    "logit_bias",
    "moderation",
    "personality",
    "prompt",
    "web_search_options",
}
"""Members that are refused with anything but defaults or numbers in them."""


def secret(place):
    """A secret that says where it was sent."""
    return f"{MARK}.{place}-1234567890"


# --- what is sent -------------------------------------------------------------------------------------------


def odd(at):
    """A secret of every kind, in members that nobody knows."""
    put = partial("{}.{}".format, at)
    return {
        "apiKey": secret(put("apiKey")),
        "voice": {"credentialKey": secret(put("voice"))},
        "list": [{"authToken": secret(put("list"))}],
        "serverUrlSecret": secret(put("serverUrlSecret")),
        "oddHeaders": {"x-a": secret(put("oddHeaders"))},
        "authorization": secret(put("authorization")),
        "credentials": [
            {
                "provider": "x",
                "apiKey": secret(put("credentials")),
                "nested": [{"password": secret(put("in"))}],
            },
            {"gcpKey": {"private_key": secret(put("gcpKey"))}, "Token": secret(put("Token"))},
        ],
        "link": f"https://me:{secret(put('user'))}@example.com/?token={secret(put('token'))}&sig={secret(put('sig'))}",
    }


def server(at, url=NOWHERE):
    return {
        "url": f"{url}/{at}?key={secret(f'{at}.server.url')}",
        "secret": secret(f"{at}.server.secret"),
        "headers": {
            "Authorization": secret(f"{at}.server.authorization"),
            "x-any": secret(f"{at}.server.any"),
        },
    }


def tool(at, url=NOWHERE):
    return {
        **odd(at),
        "type": "apiRequest",
        "name": "order_status",
        "method": "POST",
        "url": f"{url}/{at}?api_key={secret(f'{at}.url')}",
        "headers": {
            "type": "object",
            "properties": {"x-any": {"type": "string", "value": secret(f"{at}.headers")}},
        },
        "body": {
            "type": "object",
            "properties": {"token": {"type": "string", "value": secret(f"{at}.body")}},
        },
        "parameters": [{"key": "api_key", "value": secret(f"{at}.parameters")}],
    }


def webhook(at, url=NOWHERE):
    return {**odd(at), "type": "function", "function": {"name": "order_status"}, "server": server(at, url)}


def assistant(at, url=NOWHERE):
    knowledge = {"provider": "custom-knowledge-base", "server": server(f"{at}.knowledge", url)}
    return {
        **odd(at),
        "name": at,
        "server": server(f"{at}.events", url),
        "transcriber": {"apiKey": secret(f"{at}.ear")},
        "model": {
            "provider": "offline",
            "model": "offline-1",
            "url": f"http://me:{secret(f'{at}.user')}@127.0.0.1:9",
            "headers": {"x-any": secret(f"{at}.model")},
            "knowledgeBase": knowledge,
            "tools": [webhook(f"{at}.hook", url), tool(f"{at}.tool", url)],
        },
    }


def squad(at):
    return {
        **odd(at),
        "members": [{"assistant": assistant(f"{at}.member"), "assistantOverrides": odd(f"{at}.own")}],
        "membersOverrides": assistant(f"{at}.all"),
    }


DOCUMENTS = {
    "assistant": assistant,
    "assistant_overrides": assistant,
    "squad": squad,
    "members_overrides": assistant,
}
"""What is in a Struct of this name. In any other is a secret of every kind."""
NOUNS = {"AssistantService": assistant, "SquadService": squad, "ToolService": tool}
"""What is in a `document` and a `patch`."""
ALSO = {
    ("CreateChatCompletionRequest", "tools"): {"type": "function", "function": {"name": "look"}},
    ("CreateChatCompletionRequest", "tool_choice"): {"type": "allowed_tools", "tools": []},
    ("CreateChatCompletionRequest", "response_format"): {"type": "text"},
    ("CountInputTokensRequest", "tool_choice"): {"type": "allowed_tools", "tools": []},
    ("CountInputTokensRequest", "tools"): {"type": "function", "name": "look"},
    ("CreateResponseRequest", "tool_choice"): {"type": "allowed_tools", "tools": []},
    ("CreateResponseRequest", "tools"): {"type": "function", "name": "look", "server_url": NOWHERE},
    ("CreateConversationRequest", "items"): {"role": "user", "content": "hi"},
    ("CreateItemsRequest", "items"): {"role": "user", "content": "hi"},
    ("Tool", "type"): "apiRequest",
    ("ToolFunction", "name"): "look",
    ("AssistantModel", "provider"): "offline",
    ("AssistantModel", "model"): "offline-1",
}
"""What a member is refused without."""


def can_contain_secrets(field, above=()):
    if field.name in CONTENT_FIELDS | OWN | NOTHING:
        return False
    if field.message_type is None:
        return field.type == field.TYPE_STRING and (
            kind_of(field.name) is not Kind.PLAIN or "url" in field.name
        )
    if field.message_type in (Struct.DESCRIPTOR, Value.DESCRIPTOR):
        return True
    return field.message_type not in above and any(
        can_contain_secrets(inner, (*above, field.message_type)) for inner in field.message_type.fields
    )


APART = ("document", "squad", "stream_options")
"""Members of an inner message that it cannot have there, or beside others."""


def fill(message, field, at, document=None):
    """Put secrets into one member of a message, at any depth."""
    where = f"{at}.{field.name}"
    if field.message_type is None:
        given = f"{NOWHERE}/?key={secret(where)}" if "url" in field.name else secret(where)
        setattr(message, field.name, given) if not field.is_repeated else getattr(message, field.name).append(
            given
        )
        return
    value_of_field = getattr(message, field.name)
    one = value_of_field.add() if field.is_repeated else value_of_field
    if isinstance(one, Struct | Value):
        more = ALSO.get((message.DESCRIPTOR.name, field.name), {})
        given = {**(document or DOCUMENTS.get(field.name, odd))(where), **more}
        if kind_of(field.name) is Kind.HEADERS:
            given = {"x-any": secret(where), "authorization": secret(where)}
        elif message.DESCRIPTOR == JsonSchema.DESCRIPTOR:
            given = {"token": {"type": "string", "value": secret(where)}}
        one.CopyFrom(struct_from(given) if isinstance(one, Struct) else from_python(given))
        return
    one.SetInParent()
    for inner in one.DESCRIPTOR.fields:
        if (one.DESCRIPTOR.name, inner.name) in ALSO and inner.message_type is None:
            setattr(one, inner.name, ALSO[one.DESCRIPTOR.name, inner.name])
        elif can_contain_secrets(inner, (message.DESCRIPTOR, one.DESCRIPTOR)) and inner.name not in APART:
            fill(one, inner, where)


SENT = {
    f"{request.__name__}.{field.name}": ([method for method in NEEDS_KEY if method.request is request], field)
    for request in dict.fromkeys(method.request for method in NEEDS_KEY)
    for field in request.DESCRIPTOR.fields
    if can_contain_secrets(field)
}
"""By member: the methods that take it."""


# --- who is told what ---------------------------------------------------------------------------------------


class Walk:
    """An org whose assistant is full of secrets, and every way of asking for what it has."""

    def __init__(self, service, channel, http, org):
        self.service, self.channel, self.http, self.org = service, channel, http, org
        self.revealed = {}
        """By method, door and key: all that was answered to any call."""

    async def send(self, method, request, key, *, over_http=True):
        """Over gRPC, and over HTTP wherever the method is there; the status over gRPC."""
        kind = next(kind for kind in ("api", "secret", "publishable") if getattr(self.org, kind) == key)
        answer = await call(self.channel, method, request.SerializeToString(), bearer(key))
        self._note(f"{method} over gRPC with the {kind} key", repr(answer))
        for verb, options in http_requests(method, request) if over_http else ():
            sent = await self.http.request(verb, headers={"authorization": f"Bearer {key}"}, **options)
            self._note(f"{method} over HTTP with the {kind} key", f"{sent.headers}{sent.text}")
        return answer

    def _note(self, who, text):
        self.revealed.setdefault(who, set()).update(MARKS.findall(text))

    def keys(self, method):
        return self.org.secret if method.service == "AgentChatService" else self.org.api, self.org.publishable

    async def records(self):
        """The kind and the id of everything that the org has."""
        return [
            (kind, row[0])
            for kind, table in TABLES.items()
            for row in await rows_of(
                self.service.store, f"SELECT id FROM {table} WHERE org_id = ?", [self.org.id]
            )
        ]

    async def in_records(self):
        """The secrets in what is kept to be shown."""
        stored = [
            await rows_of(
                self.service.store, f"SELECT {columns} FROM {table} WHERE org_id = ?", [self.org.id]
            )
            for table, columns in (("chats", "body, record"), ("sessions", "body"), ("messages", "body"))
        ]
        return set(MARKS.findall(str(stored)))

    async def request_all(self, made, own):
        """Call every method that shows the org, and every method with every id of these; what deletes comes
        last."""
        for method in LISTS:
            for key in self.keys(method):
                await self.send(method, method.request(), key)
        for method, member, record in sorted(
            REFERENCES.values(), key=lambda reference: deletes(reference[0])
        ):
            values = list(dict.fromkeys(value for kind, value in made if kind == record))
            for value in values[:1] if makes(method) else values:
                request = request_with(method, member, value, own)
                for key in reversed(self.keys(method)):  # the one that may delete it comes last
                    await self.send(method, request, key, over_http=not makes(method))


TABLES = {
    RECORD_ASSISTANT: "assistants",
    RECORD_SQUAD: "squads",
    RECORD_TOOL: "tools",
    RECORD_SESSION: "sessions",
    RECORD_CHAT: "chats",
}


def makes(method):
    return method.name.startswith(("Compact", "Create", "Post", "Stream"))


def deletes(method):
    return method.name.startswith(("Delete", "Remove"))


def http_requests(method, request):
    """What a client of the REST paths sends, once for each path of the method."""
    rule = (
        Default()
        .FindMethodByName(method.path[1:].replace("/", "."))
        .GetOptions()
        .Extensions[annotations_pb2.http]
    )
    for one in (rule, *rule.additional_bindings) if rule.WhichOneof("pattern") else ():
        verb = one.WhichOneof("pattern")
        path, names = getattr(one, verb), request.DESCRIPTOR.fields_by_name
        inside = re.findall(r"\{(\w+)\}", path)
        for name in inside:
            path = path.replace(f"{{{name}}}", getattr(request, name) or "none")
        members = {
            name: value
            for name, value in MessageToDict(request).items()
            if name not in {names[member].json_name for member in inside}
        }
        if one.body == "*":
            yield verb.upper(), {"url": path, "json": members}
        elif one.body:
            yield verb.upper(), {"url": path, "json": members.get(names[one.body].json_name, {})}
        else:
            yield verb.upper(), {"url": path, "params": members}


@pytest.fixture(scope="module")
async def service(tmp_path_factory):
    """One of its own: what it cannot deliver to nobody goes with it."""
    async with running(tmp_path_factory.mktemp("walk"), upstream_allow_hosts="127.0.0.1") as started:
        yield started


@pytest.fixture
async def walk(service, channel, http, org):
    made = await service.store.assistants.create(
        org.id, {**assistant("stored"), "server": server("stored.events")}
    )
    return Walk(service, channel, http, replace(org, assistant_id=made.id))


def test_every_method_is_walked():
    walked = {str(method) for methods, _ in SENT.values() for method in methods} | set(map(str, LISTS))
    walked |= {str(method) for method, *_ in REFERENCES.values()}

    assert set(map(str, METHODS)) - walked == {
        # the one is below, the other has no key
        "HistoryService/ImportHistory",
        "TransportService/ReceiveTwilioMessage",
    }


@pytest.mark.parametrize(("methods", "field"), SENT.values(), ids=SENT)
async def test_secret_that_is_sent_is_not_revealed(walk, service, channel, methods, field, capfd, caplog):
    own, answers, made = await records(service, channel, walk.org, walk.org.api), [], []
    for method in methods:
        request = request_with(method, None, None, own)
        for other in request.DESCRIPTOR.fields:
            if record_of(other) in own and not other.has_presence:
                setattr(request, other.name, own[record_of(other)])
                made.append((record_of(other), own[record_of(other)]))
            elif other.name == "assistant_id" and field.name in ("assistant", "squad"):
                request.ClearField("assistant_id")
        fill(
            request,
            field,
            field.name,
            NOUNS.get(method.service) if field.name in ("document", "patch") else None,
        )
        if method.connects:
            request.create.input.string_value = "hi"
        for key in walk.keys(method):
            before = await walk.records()
            answers.append((key, await walk.send(method, request, key)))
            made += [record for record in await walk.records() if record not in before][:1]
    assert {answer.code for key, answer in answers if key != walk.org.publishable} == {grpc.StatusCode.OK}, (
        answers
    )
    assert await walk.in_records() == set()

    await walk.request_all(made, own)

    assert {who: marks for who, marks in walk.revealed.items() if marks} == {}
    assert MARK not in "".join(capfd.readouterr()) + caplog.text


@pytest.mark.parametrize(
    "change",
    [
        {
            "model": {
                "provider": "custom-llm",
                "model": "m",
                "url": f"http://me:{secret('user')}@10.0.0.1/?key={secret('key')}",
            }
        },
        {
            "model": {
                "provider": "custom-llm",
                "model": "m",
                "url": f"ftp://me:{secret('user')}@127.0.0.1/?key={secret('key')}",
            }
        },
        {
            "model": {"provider": "openai", "model": "m"},
            "credentials": [{"provider": "openai", "apiKey": secret("é")}],
        },
        {
            "model": {"provider": "openai", "model": "m"},
            "credentials": [{"provider": ["x"], "apiKey": secret("a")}],
        },
        {"model": {"provider": "offline", "model": "offline-1", "tools": [{**tool("bad"), "url": 7}]}},
        {"model": {"provider": "offline", "model": "offline-1", "temperature": secret("temperature")}},
        {"server": {**server("bad"), "headers": [secret("list")], "timeoutSeconds": secret("timeout")}},
        {"server": server(f"bad.{secret('path')}"), "firstMessage": 7},
    ],
    ids=lambda change: "-".join(change),
)
async def test_secret_in_a_refused_request_is_not_revealed(walk, service, channel, change, capfd, caplog):
    for name in (
        "ChatService/CreateChat",
        "AssistantService/CreateAssistant",
        "ResponseService/PostResponse",
    ):
        own = await records(service, channel, walk.org, walk.org.api)
        request = request_with(NAMES[name], None, None, own)
        if name.startswith("Assistant"):
            member = request.document
        else:
            member = request.assistant
            request.ClearField("assistant_id")
        member.CopyFrom(struct_from({**assistant("refused"), **change}))
        for key in walk.keys(NAMES[name]):
            await walk.send(NAMES[name], request, key)

    assert {who: marks for who, marks in walk.revealed.items() if marks} == {}
    assert MARK not in "".join(capfd.readouterr()) + caplog.text


# --- what is exported and imported --------------------------------------------------------------------------


async def test_secret_in_imported_lines_is_not_revealed(walk, service, channel, http, other_org):
    """Older exports have the whole request in them, and headers in clear."""
    own = await records(service, channel, walk.org, walk.org.api)
    request = request_with(NAMES["ResponseService/CreateResponse"], None, None, own)
    await walk.send(NAMES["ResponseService/CreateResponse"], request, walk.org.api)
    lines = [
        orjson.loads(line)
        async for batch in History(service.store.database).export(walk.org.id, None, secrets=True)
        for line in batch
    ]
    named = itertools.cycle(({"assistant": assistant("body")}, {"squad": squad("body")}))
    for line in lines:
        if line["kind"] in ("chat", "session"):
            for name in ("assistantId", "assistant", "squadId", "squad"):
                line.pop(name, None), line["body"].pop(name, None)
            line["body"] |= {**next(named), "assistantOverrides": odd("body")}
        if line["kind"] == "chat" and "request" in line["record"]:
            line["record"]["request"] |= {
                "assistant": assistant("record"),
                "squad": squad("record"),
                "assistantOverrides": odd("record"),
                "tools": [tool("record")],
            }
            line["record"]["request"]["reasoning"] = odd("record")
    there, ids = Walk(service, channel, http, other_org), {}
    renamed = UUID.sub(lambda found: ids.setdefault(found[0], new_id()), json.dumps(lines))
    imported = NAMES["HistoryService/ImportHistory"].request(
        lines=[json.dumps(line) for line in json.loads(renamed)]
    )

    answer = await there.send(NAMES["HistoryService/ImportHistory"], imported, other_org.api)
    await there.request_all(await there.records(), await records(service, channel, other_org, other_org.api))

    assert answer.code is grpc.StatusCode.OK, answer.text
    assert MARK in str(lines)
    assert {who: marks for who, marks in there.revealed.items() if marks} == {}


# --- what others are sent -----------------------------------------------------------------------------------


async def test_secret_is_sent_only_to_its_server(service, http, org):
    answer = json.dumps({"results": [{"toolCallId": "call_offline_0", "result": "shipped"}], "documents": []})
    async with Upstream(Answer([answer.encode()], headers={"content-type": "application/json"})) as others:
        document = assistant("it", others.base_url)
        for tools in document["model"]["tools"], document["model"]["tools"][1:]:
            document["model"]["tools"] = tools
            sent = await http.post(
                "/chat", headers=org.bearer, json={"assistant": document, "input": QUESTION}
            )
            assert sent.is_success, sent.text
        await delivered_until(
            service.store,
            lambda: len([1 for one in others.requests if one.path.startswith("/it.events")]) == 2 or None,
        )

    revealed, bodies = {}, set()
    for request in others.requests:
        bodies |= {
            mark for mark in MARKS.findall(str(request.raw)) if not request.path.startswith("/it.tool")
        }
        name = request.path[1:].partition("?")[0]
        revealed.setdefault(name, set()).update(
            MARKS.findall(f"{request.path} {request.headers} {request.raw}")
        )
    assert bodies == set()
    assert set(revealed) == {"it.events", "it.knowledge", "it.hook", "it.tool"}
    assert {
        name: {mark for mark in marks if not mark.startswith(f"{MARK}.{name}")}
        for name, marks in revealed.items()
    } == {name: set() for name in revealed}
