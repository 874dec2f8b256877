"""Runs tools on the server: HTTP requests (`apiRequest`), and functions with a webhook (`server.url`).

Calls only hosts that the operator has listed, over the guarded transport of the model providers. A failed
tool raises no error: its result reports the failure to the model. Decides nothing about rounds
(`exchange/tool_loop.py`) and stores nothing.
"""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import orjson
import structlog

from server.agents.bounded_liquid import Allowance
from server.agents.chat_warnings import ChatWarning, of_tool
from server.agents.extracted_variables import Extracted, bounded_variables
from server.agents.templates import render
from server.agents.tool_urls import PathChanged, filled_url
from server.content.json_values import encodable, with_exact_numbers
from server.content.secrets import without_secrets
from server.core.clock import Clock
from server.core.errors import InvalidArgument, UpstreamError, UpstreamTimeout, UpstreamUnavailable
from server.core.ids import new_id
from server.core.offload import in_thread
from server.core.outbound.client import (
    MOST_SECONDS,
    OURS,
    Outgoing,
    Outside,
    Sleep,
    can_be_sent,
    retrying,
    seconds_of,
)
from server.core.outbound.guard import AllowedHosts
from server.core.outbound.limits import Limits
from server.core.outbound.signatures import SIGNED, signed_headers

if TYPE_CHECKING:
    from server.core.outbound.transport import Resolve

MOST_BYTES = 128 << 10
"""Of one answer, all of which the model is given."""
_MOST_EXCERPT = 500
_LIMITS = Limits(body_bytes=MOST_BYTES, event_bytes=MOST_BYTES, error_bytes=4096)
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_IN_BODY = frozenset({"POST", "PUT", "PATCH"})
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_EXPRESSION = re.compile(r"\{\{[^{}]*\}\}")
_NAMED = re.compile(r"\{\{-?\s*([\w-]*\w)")
_DOLLAR = re.compile(r"(?<![\w$])\$(?=[\s.\[|}])")
_BODY = "tool_response_body"
_FAILURES = {"UPSTREAM_ADDRESS_REFUSED": "not_allowed", "TOO_MANY_REQUESTS_OUT": "too_many_requests"}

_log = structlog.get_logger(__name__)


class ToolCall(NamedTuple):
    """One call of a model; the arguments are JSON as the model wrote them."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """The result of a call."""

    text: str
    """For the model."""
    failure: str | None = None
    """Why it failed, in one word."""
    variables: dict[str, Any] = field(default_factory=dict)
    """The variables extracted from the answer."""
    warnings: Sequence[ChatWarning] = ()
    """About parts of the tool, or of the answer, that have no effect."""


class _Answer(NamedTuple):
    headers: dict[str, str]
    text: str

    @property
    def body(self) -> Any:
        """Return the text parsed as JSON, if it is JSON."""
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError):
            return self.text


class _Request(NamedTuple):
    method: str
    url: str
    headers: dict[str, str]
    content: bytes | None
    timeout_seconds: float
    backoff: Any
    signature: "_Signature | None" = None


class _Signature(NamedTuple):
    """The signature of a webhook, made anew for every attempt under one id."""

    delivery_id: str
    secret: str | None


class _Failed(Exception):
    """A call failed. `text` completes the message `The tool … failed: `."""

    def __init__(self, failure: str, text: str, *, again: bool = False) -> None:
        super().__init__()
        self.failure = failure
        self.text = text
        self.again = again


def function_of(tool: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the tool as presented to a model; None for a kind of tool that is not offered."""
    if tool.get("type") == "function" and isinstance(tool.get("function"), dict):
        members = {
            name: tool["function"][name]
            for name in ("name", "description", "parameters", "strict")
            if tool["function"].get(name) is not None
        }
        return {"type": "function", "function": members} if members.get("name") else None
    if tool.get("type") == "apiRequest" and isinstance(tool.get("url"), str):
        name = _NO_NAME.sub("_", str(tool.get("name") or "")).strip("_")[:64] or "api_request"
        described = {"description": tool["description"]} if isinstance(tool.get("description"), str) else {}
        return {
            "type": "function",
            "function": {"name": name, **described, "parameters": _parameters(tool.get("body"))},
        }
    return None


def is_run_here(tool: Mapping[str, Any]) -> bool:
    """Return whether the server runs the tool; otherwise its calls are returned to the caller."""
    return tool.get("type") == "apiRequest" or (
        tool.get("type") == "function" and bool(_server(tool).get("url"))
    )


class ToolRunner:
    """Runs tools. A host that `allowed` does not list is never called."""

    def __init__(
        self,
        allowed: AllowedHosts,
        clock: Clock,
        *,
        resolve: "Resolve | None" = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._outside = Outside(allowed, _LIMITS, resolve=resolve)
        self._clock = clock
        self._sleep = sleep

    async def run(
        self,
        tool: Mapping[str, Any],
        call: ToolCall,
        variables: Mapping[str, Any],
        about: Mapping[str, Any],
        outgoing: Outgoing,
        allowance: Allowance | None = None,
    ) -> ToolResult:
        """Run one call. `variables` fill the tool's templates; `about` identifies the chat to a webhook.
        Never raises.

        `allowance` limits the templates of all calls of an exchange; without one, this call has its own.
        """
        allowance = (allowance or Allowance()).part()
        try:
            arguments = _arguments(call)
            async with asyncio.timeout(MOST_SECONDS):
                if tool.get("type") == "apiRequest":
                    request = await in_thread(_api_request, tool, arguments, variables, allowance)
                    answer = await self._send(request, outgoing)
                else:
                    answer = _result_of(
                        await self._send(self._webhook(tool, call, arguments, about), outgoing), call
                    )
            found, left_out = await in_thread(
                _extract, tool.get("variableExtractionPlan"), answer, variables, allowance
            )
            return ToolResult(
                answer.text, variables=found, warnings=of_tool(call.name, allowance.faults, left_out)
            )
        except _Failed as failed:
            failure, text = failed.failure, failed.text
        except TimeoutError:
            failure, text = "timeout", "it did not answer in time"
        _log.warning("tool_failed", tool=call.name, failure=failure)
        return ToolResult(
            f"The tool {call.name} failed: {text}.", failure, warnings=of_tool(call.name, allowance.faults)
        )

    async def close(self) -> None:
        """Close every connection. Running calls fail."""
        await self._outside.close()

    def _webhook(
        self, tool: Mapping[str, Any], call: ToolCall, arguments: Any, about: Mapping[str, Any]
    ) -> _Request:
        server = _server(tool)
        sent = {
            "id": call.id,
            "type": "function",
            "name": call.name,
            "arguments": arguments,
            "function": {"name": call.name, "arguments": arguments},
        }
        known = without_secrets({name: value for name, value in tool.items() if name != "server"})
        message = {
            "type": "tool-calls",
            "timestamp": self._clock(),
            "toolCallList": [sent],
            "toolWithToolCallList": [{**known, "toolCall": sent}],
            **about,
        }
        headers, secret = server.get("headers"), server.get("secret")
        own = _headers(headers if isinstance(headers, dict) else {}, {}, Allowance())
        return _request(
            "POST",
            str(server["url"]),
            {name: value for name, value in own.items() if name not in SIGNED},
            {"message": message},
            server,
        )._replace(signature=_Signature(new_id(), secret if isinstance(secret, str) else None))

    async def _send(self, request: _Request, outgoing: Outgoing) -> _Answer:
        try:
            url = self._outside.allowed.check_url(request.url, "url").text
        except InvalidArgument as refused:
            raise _Failed("not_allowed", f"its URL {refused.violations[0].message}") from None
        return await retrying(request.backoff, _may_help, self._sleep)(self._attempt, request, url, outgoing)

    async def _attempt(self, request: _Request, url: str, outgoing: Outgoing) -> _Answer:
        try:
            outgoing.count_request()
            answer = await self._outside.send(
                request.method,
                url,
                headers=self._signed(request),
                content=request.content,
                seconds=request.timeout_seconds,
            )
        except UpstreamError as error:
            raise _failed(error) from None
        text = _storable(answer.body)
        if not 200 <= answer.status < 300:
            raise _Failed(
                "status",
                f"it answered with status {answer.status}: {text[:_MOST_EXCERPT]}".rstrip(": "),
                again=answer.status in _AGAIN,
            )
        return _Answer(answer.headers, text)

    def _signed(self, request: _Request) -> dict[str, str]:
        """The headers of an attempt that begins now."""
        if request.signature is None:
            return request.headers
        delivery_id, secret = request.signature
        return request.headers | signed_headers(
            delivery_id, self._clock() // 1000, request.content or b"", secret
        )


# --- requests -----------------------------------------------------------------------------------------------


def _api_request(
    tool: Mapping[str, Any], arguments: dict[str, Any], variables: Mapping[str, Any], allowance: Allowance
) -> _Request:
    method = str(tool.get("method") or "GET").upper()
    if method not in _METHODS:
        raise _Failed("not_allowed", f"its method must be one of {', '.join(sorted(_METHODS))}")
    declared = _properties(tool.get("body"))
    # Arguments outside of the schema are not sent, and fill no variable in the tool's templates.
    arguments = {name: value for name, value in arguments.items() if name in declared}
    filled = {**variables, **arguments}
    template = str(tool["url"])
    try:
        url = filled_url(template, filled, allowance)
    except PathChanged as changed:
        raise _Failed("not_allowed", str(changed)) from None
    sent = {**arguments, **_static(tool, filled, allowance)}
    if method not in _IN_BODY:
        named = set(_NAMED.findall(template))
        query = {name: value for name, value in sent.items() if name not in named}
        url, sent = _with_query(url, query), {}
    body = sent if sent or (tool.get("body") and method in _IN_BODY) else None
    return _request(method, url, _headers(_given_headers(tool.get("headers")), filled, allowance), body, tool)


def _request(method: str, url: str, headers: dict[str, str], body: Any, plan: Mapping[str, Any]) -> _Request:
    """Return a request with the `timeoutSeconds` and the `backoffPlan` of a tool or its server."""
    content = None
    if body is not None:
        headers = {"content-type": "application/json", **headers}
        try:
            content = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        except ValueError:
            raise _Failed("invalid_arguments", "its arguments cannot be sent as JSON") from None
    return _Request(method, url, headers, content, seconds_of(plan), plan.get("backoffPlan"))


def _static(tool: Mapping[str, Any], variables: Mapping[str, Any], allowance: Allowance) -> dict[str, Any]:
    """Return the values that do not depend on the model: properties with a `value`, and `parameters`."""
    found = {
        name: given["value"] for name, given in _properties(tool.get("body")).items() if "value" in given
    }
    for parameter in tool["parameters"] if isinstance(tool.get("parameters"), list) else ():
        if isinstance(parameter, dict) and isinstance(parameter.get("key"), str):
            found[parameter["key"]] = parameter.get("value")
    return {
        name: render(value, variables, allowance) if isinstance(value, str) else value
        for name, value in found.items()
    }


def _parameters(body: Any) -> dict[str, Any]:
    """Return the parameters of a body's schema that the model fills in."""
    if not isinstance(body, dict):
        return {"type": "object", "properties": {}}
    to_fill = {name: given for name, given in _properties(body).items() if "value" not in given}
    required = body.get("required")
    needed = [name for name in required if name in to_fill] if isinstance(required, list) else []
    return {**body, "type": "object", "properties": to_fill, "required": needed}


def _given_headers(schema: Any) -> dict[str, Any]:
    """Return the fixed headers of a schema; a plain object of names and values is accepted, too."""
    if not isinstance(schema, dict):
        return {}
    if "properties" not in schema:
        return {name: value for name, value in schema.items() if isinstance(value, str) and name != "type"}
    found = {}
    for name, given in _properties(schema).items():
        options = given.get("enum")
        first = options[0] if isinstance(options, list) and options else None
        found[name] = next(
            (given[kind] for kind in ("value", "const", "default") if given.get(kind) is not None), first
        )
    return found


def _headers(given: Mapping[str, Any], variables: Mapping[str, Any], allowance: Allowance) -> dict[str, str]:
    headers = {}
    for name, value in given.items():
        text = _header(value, variables, allowance)
        if not can_be_sent(name, text):
            raise _Failed("not_allowed", f"its header {name[:40]!r} cannot be sent")
        if text and name.lower() not in OURS:
            headers[name.lower()] = text
    return headers


def _header(value: Any, variables: Mapping[str, Any], allowance: Allowance) -> str:
    if isinstance(value, str):
        return render(value, variables, allowance).strip()
    return "" if value is None else json.dumps(value)


def _with_query(url: str, query: Mapping[str, Any]) -> str:
    pairs = [
        f"{quote(name, safe='')}={quote(value if isinstance(value, str) else json.dumps(value), safe='')}"
        for name, value in query.items()
    ]
    return url + ("&" if "?" in url else "?") + "&".join(pairs) if pairs else url


def _arguments(call: ToolCall) -> dict[str, Any]:
    try:
        # strict: NaN and lone surrogates could not be sent on
        arguments = orjson.loads(call.arguments or "{}")
    except ValueError:
        arguments = None
    if not isinstance(arguments, dict):
        raise _Failed("invalid_arguments", "its arguments are not a JSON object")
    return arguments


def _properties(schema: Any) -> dict[str, dict[str, Any]]:
    given = schema.get("properties") if isinstance(schema, dict) else None
    return (
        {name: inner for name, inner in given.items() if isinstance(inner, dict)}
        if isinstance(given, dict)
        else {}
    )


def _server(tool: Mapping[str, Any]) -> dict[str, Any]:
    server = tool.get("server")
    return server if isinstance(server, dict) else {}


# --- answers ------------------------------------------------------------------------------------------------


def _result_of(answer: _Answer, call: ToolCall) -> _Answer:
    """Return a webhook's result of the call: {"results": [{"toolCallId", "result" or "error"}]}."""
    body = answer.body
    results = body.get("results") if isinstance(body, dict) else None
    given = [result for result in results if isinstance(result, dict)] if isinstance(results, list) else []
    ours = next((result for result in given if result.get("toolCallId", call.id) == call.id), None)
    if ours is None:
        raise _Failed("no_result", "its server gave no result for the call")
    if ours.get("error") is not None and ours.get("result") is None:
        raise _Failed("error", _text(ours["error"])[:_MOST_EXCERPT])
    return _Answer(answer.headers, _text(ours.get("result")))


def _extract(plan: Any, answer: _Answer, variables: Mapping[str, Any], allowance: Allowance) -> Extracted:
    """Extract the variables of a plan from an answer: members that its schema names, then its aliases."""
    if not isinstance(plan, dict):
        return Extracted({}, [])
    body, schema = answer.body, plan.get("schema")
    found: dict[str, Any] = {}
    if isinstance(body, dict):
        found = {name: body[name] for name in _properties(schema) if name in body}
    elif isinstance(schema, dict) and isinstance(schema.get("title"), str):
        found = {schema["title"]: body}
    response = {"response": {"body": body, "headers": answer.headers}}
    known = {**variables, **(body if isinstance(body, dict) else {}), **found, "tool": response, _BODY: body}
    for alias in plan["aliases"] if isinstance(plan.get("aliases"), list) else ():
        if (
            isinstance(alias, dict)
            and isinstance(alias.get("key"), str)
            and isinstance(alias.get("value"), str)
        ):
            template = _EXPRESSION.sub(lambda found: _DOLLAR.sub(_BODY, found[0]), alias["value"])
            found[alias["key"]] = render(template, known, allowance)
    return bounded_variables(with_exact_numbers(found))


def _failed(error: UpstreamError) -> _Failed:
    if isinstance(error, UpstreamTimeout):
        return _Failed("timeout", error.message, again=True)
    if isinstance(error, UpstreamUnavailable):
        return _Failed("unreachable", error.message, again=True)
    return _Failed(_FAILURES.get(error.reason, "unreadable"), error.message)


def _may_help(error: BaseException) -> bool:
    return isinstance(error, _Failed) and error.again


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return encodable(text).replace("\0", "")


def _storable(content: bytes) -> str:
    return content.decode(errors="replace").replace("\0", "")
