"""Every operation of the service as one method, spoken over gRPC (`Grpc`) or as REST through Envoy (`Rest`).

Both take and return the documented JSON, so that one body of cases holds for both. What only one of them has
(statuses, headers, frames, bytes; status codes, details, metadata) is tested without this module.
"""

import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from string import Formatter
from typing import Any, NamedTuple

import grpc
import httpx
from google.protobuf.descriptor_pool import Default
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from generated.parley.v1 import (
    agent_chat_service_pb2_grpc,
    assistant_service_pb2_grpc,
    chat_service_pb2_grpc,
    completion_service_pb2_grpc,
    response_service_pb2_grpc,
    session_service_pb2_grpc,
    squad_service_pb2_grpc,
)

COMPLETIONS = "/api/v1/compatibility/openai/v1/assistants/{agent_id}/chat/completions"
UNKNOWN_ID = "01890a5d-ac96-774b-bcce-b302099a8057"

_STUBS = {
    "AgentChatService": agent_chat_service_pb2_grpc.AgentChatServiceStub,
    "AssistantService": assistant_service_pb2_grpc.AssistantServiceStub,
    "ChatService": chat_service_pb2_grpc.ChatServiceStub,
    "CompletionService": completion_service_pb2_grpc.CompletionServiceStub,
    "ResponseService": response_service_pb2_grpc.ResponseServiceStub,
    "SessionService": session_service_pb2_grpc.SessionServiceStub,
    "SquadService": squad_service_pb2_grpc.SquadServiceStub,
}
# What each gRPC status is over HTTP, as far as both can tell.
_STATUSES = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
# HTTP says more than gRPC: which field rules make it 422, and who is unavailable.
_FOLDED = {422: 400, 502: 503}


Opening = AbstractAsyncContextManager[AsyncIterator[dict[str, Any]]]
"""A stream that is entered as `async with` and then read event by event."""


class CallError(Exception):
    """A call was refused. `status` is the HTTP status as far as gRPC can tell it too; `text` is all that was
    said."""

    def __init__(self, status: int, text: str, answer: Any) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text
        self.answer = answer


@dataclass
class Streamed:
    """A whole stream: its events, and the text of the error it ended in."""

    events: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None

    @property
    def text(self) -> str:
        """What was streamed, whichever form it came in; the first choice only."""
        return "".join(_delta(event) for event in self.events)


class Operation(NamedTuple):
    """One operation: its method, and its verb and path over REST."""

    rpc: str
    verb: str
    path: str
    body: str = "*"
    """The member that is the body; * for all that are not in the path."""
    plain: Callable[[Message], Any] = lambda message: to_json(message)
    """The gRPC answer as the documented JSON."""
    is_agents: bool = False


def to_json(message: Message) -> Any:
    return MessageToDict(message, always_print_fields_with_no_presence=True)


def _document(message: Message) -> dict[str, Any]:
    typed = MessageToDict(message)
    return {**typed["document"], **{name: typed[name] for name in ("id", "orgId", "createdAt", "updatedAt")}}


def _chat_event(message: Message) -> dict[str, Any]:
    """As `POST /chat` streams it; empty for events that only gRPC has."""
    event = MessageToDict(message)
    head = {"id": event["chatId"], **({"sessionId": event["sessionId"]} if "sessionId" in event else {})}
    if "delta" in event:
        return {**head, "path": "chat.output[0].content", "delta": event["delta"].get("text", "")}
    return {**head, "error": event["failed"]["error"]} if "failed" in event else {}


def _operation(*args: Any, **options: Any) -> Callable[..., Coroutine[Any, Any, Any]]:
    operation = Operation(*args, **options)

    async def call(self: "Door", **members: Any) -> Any:
        return await self._call(operation, members)

    return call


def _stream(*args: Any, **options: Any) -> Callable[..., Opening]:
    """A method that is used as `async with door.stream_x(…) as events`; leaving it early hangs up."""
    operation = Operation(*args, **options)

    def call(self: "Door", **members: Any) -> Opening:
        return self._open(operation, members)

    return call


def _noun(service: str, noun: str, path: str) -> list[Callable[..., Coroutine[Any, Any, Any]]]:
    """create, list, get, update, delete of a document."""
    many = f"{noun.lower()}s"
    return [
        _operation(f"{service}/Create{noun}", "POST", path, "document", _document),
        _operation(
            f"{service}/List{noun}s",
            "GET",
            path,
            "*",
            lambda all: [_document(one) for one in getattr(all, many)],
        ),
        _operation(f"{service}/Get{noun}", "GET", f"{path}/{{id}}", "*", _document),
        _operation(f"{service}/Update{noun}", "PATCH", f"{path}/{{id}}", "patch", _document),
        _operation(f"{service}/Delete{noun}", "DELETE", f"{path}/{{id}}", "*", _document),
    ]


class Door:
    """The service as one org sees it: with its api key, and with its secret key at the agents door."""

    kind = ""

    def __init__(self, api: str, secret: str) -> None:
        self._api = api
        self._secret = secret

    create_chat = _operation("ChatService/CreateChat", "POST", "/chat")
    list_chats = _operation("ChatService/ListChats", "GET", "/chat")
    get_chat = _operation("ChatService/GetChat", "GET", "/chat/{id}")
    delete_chat = _operation("ChatService/DeleteChat", "DELETE", "/chat/{id}")
    stream_chat = _stream("ChatService/StreamChat", "POST", "/chat", plain=_chat_event)

    create_response = _operation("ResponseService/CreateResponse", "POST", "/chat/responses")
    stream_response = _stream("ResponseService/StreamResponse", "POST", "/chat/responses")

    create_completion = _operation("CompletionService/CreateChatCompletion", "POST", COMPLETIONS)
    stream_completion = _stream("CompletionService/StreamChatCompletion", "POST", COMPLETIONS)

    create_agent_chat = _operation("AgentChatService/CreateAgentChat", "POST", "/chat", is_agents=True)
    list_agent_chats = _operation("AgentChatService/ListAgentChats", "GET", "/chat", is_agents=True)
    get_agent_chat = _operation("AgentChatService/GetAgentChat", "GET", "/chat/{chatId}", is_agents=True)
    delete_agent_chat = _operation(
        "AgentChatService/DeleteAgentChat",
        "DELETE",
        "/chat/{chatId}",
        is_agents=True,
        plain=lambda empty: None,
    )
    create_message = _operation(
        "AgentChatService/CreateMessage", "POST", "/chat/{chatId}/message", is_agents=True
    )
    list_messages = _operation(
        "AgentChatService/ListMessages", "GET", "/chat/{chatId}/message", is_agents=True
    )

    create_session = _operation("SessionService/CreateSession", "POST", "/session")
    list_sessions = _operation("SessionService/ListSessions", "GET", "/session")
    get_session = _operation("SessionService/GetSession", "GET", "/session/{id}")
    update_session = _operation("SessionService/UpdateSession", "PATCH", "/session/{id}")
    delete_session = _operation("SessionService/DeleteSession", "DELETE", "/session/{id}")

    create_assistant, list_assistants, get_assistant, update_assistant, delete_assistant = _noun(
        "AssistantService", "Assistant", "/assistant"
    )
    create_squad, list_squads, get_squad, update_squad, delete_squad = _noun(
        "SquadService", "Squad", "/squad"
    )

    def of(self, org: Any) -> "Door":
        """The same service as another org sees it."""
        return self._again(org.api, org.secret)

    def having(self, key: str) -> "Door":
        """The same service, with one key at every door."""
        return self._again(key, key)

    def _again(self, api: str, secret: str) -> "Door":
        raise NotImplementedError

    def _key(self, operation: Operation) -> str:
        return self._secret if operation.is_agents else self._api

    async def _call(self, operation: Operation, members: dict[str, Any]) -> Any:
        raise NotImplementedError

    def _open(self, operation: Operation, members: dict[str, Any]) -> Opening:
        raise NotImplementedError


async def read(opening: Opening) -> Streamed:
    """`await read(door.stream_chat(…))`: a stream to its end."""
    streamed = Streamed()
    async with opening as events:
        try:
            async for event in events:
                streamed.events.append(event)
                if error := _error(event):
                    streamed.error = error
        except CallError as error:
            streamed.error = error.text
    return streamed


class Grpc(Door):
    kind = "grpc"

    def __init__(self, channel: grpc.aio.Channel, api: str, secret: str) -> None:
        super().__init__(api, secret)
        self._channel = channel

    def _again(self, api: str, secret: str) -> Door:
        return Grpc(self._channel, api, secret)

    async def _call(self, operation: Operation, members: dict[str, Any]) -> Any:
        try:
            return operation.plain(await self._begin(operation, members))
        except grpc.aio.AioRpcError as error:
            raise _of_grpc(error) from None

    @asynccontextmanager
    async def _open(
        self, operation: Operation, members: dict[str, Any]
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        call = self._begin(operation, members)
        try:
            first = await call.read()
        except grpc.aio.AioRpcError as error:
            raise _of_grpc(error) from None
        try:
            yield self._events(operation, first, call)
        finally:
            call.cancel()

    def _begin(self, operation: Operation, members: dict[str, Any]) -> Any:
        service, _, method = operation.rpc.partition("/")
        request = GetMessageClass(Default().FindMethodByName(f"parley.v1.{service}.{method}").input_type)()
        metadata = (("authorization", f"Bearer {self._key(operation)}"),)
        return getattr(_STUBS[service](self._channel), method)(ParseDict(members, request), metadata=metadata)

    async def _events(self, operation: Operation, message: Any, call: Any) -> AsyncIterator[dict[str, Any]]:
        try:
            while message is not grpc.aio.EOF:
                if event := operation.plain(message):
                    yield event
                message = await call.read()
        except grpc.aio.AioRpcError as error:
            raise _of_grpc(error) from None


class Rest(Door):
    kind = "rest"

    def __init__(self, http: httpx.AsyncClient, api: str, secret: str) -> None:
        super().__init__(api, secret)
        self._http = http

    def _again(self, api: str, secret: str) -> Door:
        return Rest(self._http, api, secret)

    async def _call(self, operation: Operation, members: dict[str, Any]) -> Any:
        if operation.path == "/chat/responses":
            members = {"stream": False, **members}
        answer = await self._http.request(operation.verb, **self._request(operation, members))
        if answer.is_error:
            raise _of_http(answer)
        return answer.json() if answer.content else None

    @asynccontextmanager
    async def _open(
        self, operation: Operation, members: dict[str, Any]
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        request = self._request(operation, {**members, "stream": True})
        async with self._http.stream(operation.verb, **request) as answer:
            if answer.is_error:
                await answer.aread()
                raise _of_http(answer)
            yield _events_of(answer)

    def _request(self, operation: Operation, members: dict[str, Any]) -> dict[str, Any]:
        named = {name for _, name, _, _ in Formatter().parse(operation.path) if name}
        rest = {name: value for name, value in members.items() if name not in named}
        request: dict[str, Any] = {
            "url": operation.path.format_map(members),
            "headers": {"authorization": f"Bearer {self._key(operation)}"},
        }
        if operation.verb in ("POST", "PATCH"):
            request["json"] = rest if operation.body == "*" else rest[operation.body]
        elif rest:
            request["params"] = rest
        return request


@asynccontextmanager
async def door_to(kind: str, service: Any, org: Any) -> AsyncIterator[Door]:
    """A door of this kind to a running service."""
    if kind == "grpc":
        async with grpc.aio.insecure_channel(service.grpc_address) as channel:
            yield Grpc(channel, org.api, org.secret)
    else:
        async with http_client(service) as http:
            yield Rest(http, org.api, org.secret)


def http_client(service: Any) -> httpx.AsyncClient:
    """A client of the REST paths, without a key."""
    # verify=False: reading certificates, for plain HTTP, would be a third of the time of these tests.
    return httpx.AsyncClient(base_url=service.http_url, timeout=20, verify=False)


async def _events_of(answer: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in answer.aiter_lines():
        data = line.removeprefix("data: ")
        if data != line and data != "[DONE]":
            yield json.loads(data)


def _of_grpc(error: grpc.aio.AioRpcError) -> CallError:
    return CallError(_STATUSES[error.code()], error.details() or "", error)


def _of_http(answer: httpx.Response) -> CallError:
    return CallError(_FOLDED.get(answer.status_code, answer.status_code), _text(answer.json()), answer)


def _text(body: dict[str, Any]) -> str:
    """Everything that a body of any door's shape says."""
    if "detail" in body and isinstance(body["detail"], list):
        return "; ".join(f"{'.'.join(map(str, one['loc'][1:]))} {one['msg']}" for one in body["detail"])
    if "detail" in body:
        return str(body["detail"])
    if isinstance(body["error"], dict):
        return str(body["error"]["message"])
    message = body["message"]
    return message if isinstance(message, str) else "; ".join(message)


def _delta(event: dict[str, Any]) -> str:
    if "choices" in event:
        return "".join(
            choice["delta"].get("content", "") for choice in event["choices"] if choice["index"] == 0
        )
    if event.get("type", "response.output_text.delta") != "response.output_text.delta":
        return ""
    return str(event.get("delta", ""))


def _error(event: dict[str, Any]) -> str | None:
    if event.get("type") == "error":
        return str(event["message"])
    return event["error"]["message"] if isinstance(event.get("error"), dict) and "type" not in event else None


def details_of(
    error: grpc.aio.AioRpcError,
) -> tuple[error_details_pb2.ErrorInfo, error_details_pb2.BadRequest]:
    """The google.rpc details of a gRPC error; the second one empty when there is none."""
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in rpc_status.from_call(error).details:  # type: ignore[arg-type]  # asked for no more than it has
        assert detail.Unpack(info) or detail.Unpack(bad)
    return info, bad
