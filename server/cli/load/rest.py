"""Calls of a load through the REST door. Repeats nothing, and knows answers only as far as it measures them."""

import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson

from server.cli.load.calls import (
    ANSWER,
    CONNECTION,
    CUT,
    INCOMPLETE,
    SHED,
    Answer,
    Conversations,
    Failed,
    check_ended,
    now,
)
from server.cli.load.plan import STREAMS, Plan

_OPENS: dict[str, tuple[str, str]] = {
    "responses": ("responses", "/v1/responses"),
    "responses-stream": ("responses", "/v1/responses"),
    "completions": ("completions", "/v1/chat/completions"),
    "completions-stream": ("completions", "/v1/chat/completions"),
}
"""The form and the path of calls that are not the assistants door's."""


class RestCaller:
    """Makes calls over HTTP, each on a connection of its own while it is under way."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._base = plan.url.rstrip("/")
        self._conversations = Conversations()
        context: ssl.SSLContext | bool = (
            ssl.create_default_context(cafile=str(plan.ca)) if plan.ca is not None else True
        )
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=context),
            timeout=aiohttp.ClientTimeout(total=None),  # the load has its own for a whole call
            headers={"authorization": f"Bearer {plan.key}", "accept": "*/*", "user-agent": "parley-load"},
            auto_decompress=True,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def call(self, kind: str, text: str) -> Answer:
        """Make one call and read its answer to the end. Raises Failed."""
        answer = Answer()
        try:
            if kind == "session":
                await self._turn(text)
            elif kind == "read":
                await self._whole("GET", f"/chat/{self._conversations.chat()}")
            elif kind == "list":
                await self._whole("GET", "/chat?limit=20")
            elif kind in STREAMS:
                await self._stream(kind, self._body(kind, text), answer)
            else:
                await self._post(kind, self._body(kind, text))
        except (aiohttp.ClientPayloadError, aiohttp.http_exceptions.HttpProcessingError) as error:
            raise Failed(CUT, "", str(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            if answer.first is not None:
                raise Failed(CUT, "", str(error)) from error
            raise Failed(CONNECTION, type(error).__name__, str(error)) from error
        except (AttributeError, KeyError, TypeError) as error:
            raise Failed(ANSWER, "another form", f"{kind}: {error!r}") from error
        return answer

    def _body(self, kind: str, text: str) -> dict[str, Any]:
        form, _ = _OPENS.get(kind, ("chat", ""))
        streamed = {"stream": kind in STREAMS}
        if form == "responses":
            return {"model": self._plan.assistant, "input": text, **streamed}
        if form == "completions":
            messages = [{"role": "user", "content": text}]
            return {"model": self._plan.assistant, "messages": messages, **streamed}
        return {"assistantId": self._plan.assistant, "input": text, **streamed}

    async def _turn(self, text: str) -> None:
        session, turns = self._conversations.session() or (await self._begun_session(), 0)
        await self._post("session", {"sessionId": session, "input": text})
        self._conversations.turned(session, turns + 1)

    async def _begun_session(self) -> str:
        made = await self._whole("POST", "/session", {"assistantId": self._plan.assistant})
        return str(made["id"])

    async def _post(self, kind: str, body: dict[str, Any]) -> None:
        form, path = _OPENS.get(kind, ("chat", "/chat"))
        made = await self._whole("POST", path, body)
        check_ended(made.get("error"))
        if form == "chat":
            self._conversations.made(str(made.get("id") or ""))

    async def _whole(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        async with self._request(method, path, body) as response:
            await _check(response)
            read = _json(await response.read())
            if not isinstance(read, dict):
                raise Failed(ANSWER, "not an object", str(read))
            return read

    async def _stream(self, kind: str, body: dict[str, Any], answer: Answer) -> None:
        form, path = _OPENS.get(kind, ("chat", "/chat"))
        is_over, chat_id = False, ""
        async with self._request("POST", path, body) as response:
            await _check(response)
            async for events in _events(response):
                texts = ""
                for event in events:
                    if event == b"[DONE]":
                        is_over = True
                        continue
                    read = _json(event)
                    texts += _text_of(form, read)
                    chat_id = read.get("id") or chat_id
                if texts:
                    answer.arrived(now())
        if answer.first is None or (form != "chat" and not is_over):
            raise Failed(CUT, "", "the stream ended before its answer did")
        if form == "chat":
            self._conversations.made(str(chat_id))

    def _request(self, method: str, path: str, body: dict[str, Any] | None) -> Any:
        data = None if body is None else orjson.dumps(body)
        headers = None if body is None else {"content-type": "application/json"}
        return self._http.request(
            method, self._base + path, data=data, headers=headers, allow_redirects=False
        )


async def _check(response: aiohttp.ClientResponse) -> None:
    if response.status in (200, 201):
        return
    message = (await response.read()).decode(errors="replace")
    sheds = response.status == 429 or "x-envoy-overloaded" in response.headers
    raise Failed(SHED if sheds else "http", response.status, message)


async def _events(response: aiohttp.ClientResponse) -> AsyncIterator[list[bytes]]:
    """Yield the data of the events that arrived together."""
    left = b""
    async for piece in response.content.iter_any():
        *whole, left = (left + piece).replace(b"\r\n", b"\n").split(b"\n\n")
        if found := [
            line[5:].strip() for event in whole for line in event.split(b"\n") if line.startswith(b"data:")
        ]:
            yield found
    if left.strip() and not left.lstrip().startswith(b":"):
        raise Failed(CUT, "", "the stream ended inside an event")


def _text_of(form: str, event: dict[str, Any]) -> str:
    """The text that an event adds to the answer. Raises Failed for an event that ends it with an error."""
    if form == "responses":
        if event.get("type") in ("error", "response.failed", "response.incomplete"):
            response = event.get("response") or event
            error = response.get("error") or response
            raise Failed(INCOMPLETE, error.get("code") or event["type"], str(error.get("message") or ""))
        return event["delta"] if event.get("type") == "response.output_text.delta" else ""
    check_ended(event.get("error"))
    if form == "completions":
        return "".join(choice["delta"].get("content") or "" for choice in event.get("choices", ()))
    delta = event.get("delta")
    return delta if isinstance(delta, str) else ""


def _json(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise Failed(ANSWER, "not JSON", raw[:200].decode(errors="replace")) from None
