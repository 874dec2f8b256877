"""One call of a model provider: deadline, silence, retries, size, and the errors that callers get.

Every error text is Parley's own: no text of a provider or an exception leaves this module, except a few error
codes listed below. Knows neither a provider's wire format (`openai.py`, `anthropic.py`) nor its addresses
(`transport.py`).
"""

import asyncio
import json
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Protocol

import aiohttp
import orjson
import structlog
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from server.backends.backend import Emit, ModelEvent, ModelRequest
from server.backends.event_stream import Event, EventReader
from server.backends.silence import Silence
from server.content.json_values import encodable
from server.core.errors import (
    InvalidArgument,
    ServiceError,
    UpstreamError,
    UpstreamIncomplete,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from server.core.outbound.client import Sleep, retry_after
from server.core.outbound.limits import Limits
from server.core.outbound.transport import (
    TRANSPORT_ERRORS,
    HttpClient,
    abandon,
    beginning,
    is_compressed,
)
from server.core.telemetry.tracing import trace_headers

_SAFE_CODES = frozenset(
    {
        "content_filter",
        "content_policy_violation",
        "context_length_exceeded",
        "invalid_function_parameters",
        "invalid_image",
        "unsupported_parameter",
        "unsupported_value",
    }
)
_DRAIN_SECONDS = 0.1
_backoff = wait_random_exponential(multiplier=0.5, max=8)
_log = structlog.get_logger(__name__)


class _Failed(Exception):
    """An attempt failed. The caller gets `error` when no other attempt follows."""

    def __init__(self, error: ServiceError, *, again: bool = False, status: int | None = None) -> None:
        super().__init__()
        self.error = error
        self.again = again
        self.status = status


class Answer(Protocol):
    """Reads the answer of one kind of provider to one call."""

    @property
    def complete(self) -> bool:
        """Whether every choice has ended."""

    @property
    def over(self) -> bool:
        """Whether no more events are expected, even if the body has not ended."""

    def read(self, event: Event) -> Iterable[ModelEvent]:
        """Read one event of a stream."""

    def read_document(self, document: Any) -> Iterable[ModelEvent]:
        """Read an answer that came as one document. Raises ValueError for any other value."""

    def end(self) -> Iterable[ModelEvent]:
        """Handle the end of the body. Raises UpstreamIncomplete when a choice has not ended."""


class Call:
    """One call of one provider.

    Retries happen in `post` alone, so never after an event has been received.
    """

    def __init__(
        self, request: ModelRequest, limits: Limits, *, streams: bool = True, sleep: Sleep = asyncio.sleep
    ) -> None:
        """`streams`: whether the request asks for a stream. Without one, a server is silent until its answer is
        complete."""
        self._request = request
        self._provider = request.provider
        self._limits = limits
        self._sleep = sleep
        self._generated = 0
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + request.timeout_seconds
        self._stall = limits.stall_seconds if streams else request.timeout_seconds

    async def post(
        self, http: HttpClient, url: str, headers: Mapping[str, str], body: Mapping[str, Any]
    ) -> aiohttp.ClientResponse:
        """Send the request, retry where that can help, and return the answer with its body unread."""
        content = orjson.dumps(body)
        try:
            try:
                return await self._attempt(http, url, headers, content)
            except _Failed as first:
                return await self._post_again(first, http, url, headers, content)
        except _Failed as failed:
            self._log_failure(failed.error, status=failed.status)
            raise failed.error from None

    async def _post_again(self, first: _Failed, *request: Any) -> aiohttp.ClientResponse:
        """Retry after a failed attempt. Planning the attempts costs more than a successful one, so it begins only
        after a failure."""
        failures = [first]

        async def attempt() -> aiohttp.ClientResponse:
            if failures:
                raise failures.pop()
            return await self._attempt(*request)

        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, _Failed) and error.again),
            stop=self._enough,
            wait=_wait,
            before_sleep=self._log_retry,
            sleep=self._sleep,
            reraise=True,
        )
        return await retrying(attempt)

    async def read(self, response: aiohttp.ClientResponse, answer: Answer, emit: Emit) -> None:
        """Emit the events of the answer, once for each piece of its body that arrives."""
        silence = Silence(response.content, self._deadline, self._stall)
        events = EventReader(self._limits)
        try:
            while not answer.over:
                piece = await self._piece(response, answer, silence)
                found: list[ModelEvent] = []
                try:
                    self._take(piece, events, answer, found)
                finally:  # what came before an error counts
                    if found:
                        await emit(found)
                if not piece:
                    return
            await _drain(response)
        except ServiceError as error:
            self._log_failure(error)
            raise
        finally:
            silence.end()
            abandon(response)

    async def _piece(self, response: aiohttp.ClientResponse, answer: Answer, silence: Silence) -> bytes:
        """The next piece of the body; empty at its end."""
        silence.begin()
        try:
            return await response.content.readany()
        except TimeoutError:
            raise self._timeout() from None
        except TRANSPORT_ERRORS:
            if answer.complete:  # the connection broke after the last choice
                return b""
            raise self.incomplete() from None
        finally:
            silence.pause()

    def _take(self, piece: bytes, events: EventReader, answer: Answer, found: list[ModelEvent]) -> None:
        try:
            for event in events.feed(piece) if piece else ():
                found.extend(answer.read(event))
                if answer.over:
                    return
            if events.is_too_large:
                raise UpstreamError("The model provider sent more than this service reads.")
            if not piece:
                if events.document is not None:
                    found.extend(answer.read_document(json_of(events.document)))
                found.extend(answer.end())
        except (ValueError, RecursionError):  # not JSON, not UTF-8, or nested too deeply
            raise self.unreadable() from None

    def accept(self, text: str) -> str:
        """Count a piece of generated text and return it in encodable form. Raises UpstreamError when the total
        is too large."""
        self._generated += len(text) + 1  # so that endless empty pieces reach the limit, too
        if self._generated > self._limits.generated_characters:
            raise UpstreamError(
                f"The model provider {self._provider} generated more than this service accepts."
            )
        return encodable(text)

    def incomplete(self) -> UpstreamIncomplete:
        """The error for a stream that ended before its answer was complete."""
        return UpstreamIncomplete(
            f"The answer of the model provider {self._provider} ended before it was complete."
        )

    def unreadable(self) -> UpstreamError:
        """The error for a stream that violates the provider's protocol."""
        return UpstreamError(f"The model provider {self._provider} sent an answer that cannot be read.")

    async def _attempt(
        self, http: HttpClient, url: str, headers: Mapping[str, str], content: bytes
    ) -> aiohttp.ClientResponse:
        response = None
        try:
            async with asyncio.timeout_at(min(self._deadline, self._loop.time() + self._stall)):
                response = await http.send("POST", url, {**headers, **trace_headers()}, content)
                if 200 <= response.status < 300:
                    if is_compressed(response):
                        raise UpstreamError(
                            "The model provider sent a compressed answer, which was not asked for."
                        )
                    answered, response = response, None
                    return answered
                body = await beginning(response, self._limits.error_bytes)
            failed = self._refused(response, body)
        except ServiceError as error:
            failed = _Failed(error)
        except aiohttp.ClientError as error:  # errors of connecting are TimeoutErrors, too
            self._explain(str(error))
            failed = _Failed(self._unreachable(), again=True)
        except TimeoutError:
            failed = _Failed(self._timeout())
        except (*TRANSPORT_ERRORS, ValueError):
            failed = _Failed(self._unreachable(), again=True)
        finally:
            if response is not None:
                abandon(response)
        raise failed from None

    def _refused(self, response: aiohttp.ClientResponse, body: bytes) -> _Failed:
        status, provider = response.status, self._provider
        self._explain(f"{status} {response.reason}: {body.decode(errors='replace')}")
        wait = retry_after(response.headers, time.time())
        if status in (400, 413, 422):
            return _Failed(self._request_refused(_code(json_or_none(body))), status=status)
        if status in (401, 403):
            key_owner = "operator's" if self._request.api_key is None else "assistant's"
            text = f"The model provider {provider} refused the {key_owner} credentials."
            return _Failed(UpstreamError(text, reason="UPSTREAM_CREDENTIALS_REFUSED"), status=status)
        if status == 404:
            text = f"The model was not found at the model provider {provider}."
            return _Failed(UpstreamError(text, reason="UPSTREAM_MODEL_NOT_FOUND"), status=status)
        if status == 429:
            reported: UpstreamError = self._rate_limited(wait)
        elif status in (408, 504):
            reported = self._timeout(wait)
        elif status in (503, 529):
            reported = self._overloaded(wait)
        else:
            reported = self._failed(wait)
        return _Failed(reported, again=status in (408, 409, 429) or status >= 500, status=status)

    def _explain(self, text: str) -> None:
        if self._request.explain is not None:
            self._request.explain(text)

    def _request_refused(self, code: str | None) -> InvalidArgument:
        text = f"The model provider {self._provider} refused the request"
        if code is None:
            return InvalidArgument(f"{text}.", reason="UPSTREAM_REFUSED_REQUEST")
        return InvalidArgument(f"{text}: {code}.", reason=code.upper())

    def reported(self, body: Any) -> UpstreamError:
        """The error that came with status 200: some have a type, others carry their proper status as their
        code."""
        kind, status = _member(body, "type"), _status(body)
        if kind == "overloaded_error" or status in (503, 529):
            return self._overloaded(None)
        if kind == "rate_limit_error" or status == 429:
            return self._rate_limited(None)
        return self._timeout() if status in (408, 504) else self._failed(None)

    def _failed(self, wait: float | None) -> UpstreamError:
        return UpstreamError(f"The model provider {self._provider} failed.", retry_after=wait)

    def _overloaded(self, wait: float | None) -> UpstreamUnavailable:
        return UpstreamUnavailable(
            f"The model provider {self._provider} is overloaded or down.", retry_after=wait
        )

    def _rate_limited(self, wait: float | None) -> UpstreamRateLimited:
        text = f"The model provider {self._provider} limits the rate or the quota of calls."
        return UpstreamRateLimited(text, retry_after=wait)

    def _timeout(self, wait: float | None = None) -> UpstreamTimeout:
        return UpstreamTimeout(
            f"The model provider {self._provider} did not answer in time.", retry_after=wait
        )

    def _unreachable(self) -> UpstreamUnavailable:
        return UpstreamUnavailable(f"The model provider {self._provider} could not be reached.")

    def _enough(self, state: RetryCallState) -> bool:
        longest = min(self._limits.longest_wait_seconds, self._deadline - self._loop.time())
        return stop_after_attempt(self._limits.attempts)(state) or state.upcoming_sleep >= longest

    def _log_retry(self, state: RetryCallState) -> None:
        failed = _failure(state)
        _log.warning(
            "model_call_retried",
            provider=self._provider,
            model=self._request.model,
            attempt=state.attempt_number,
            reason=failed.error.reason,
            status=failed.status,
            wait_seconds=round(state.upcoming_sleep, 3),
        )

    def _log_failure(self, error: ServiceError, status: int | None = None) -> None:
        _log.warning(
            "model_call_failed",
            provider=self._provider,
            model=self._request.model,
            reason=error.reason,
            status=status,
        )


def _failure(state: RetryCallState) -> _Failed:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, _Failed)  # no other exception is retried
    return error


def _wait(state: RetryCallState) -> float:
    requested_pause = _failure(state).error.retry_after
    return _backoff(state) if requested_pause is None else requested_pause


def json_of(text: bytes) -> Any:
    """The value of a JSON text. Raises ValueError or RecursionError for an invalid one."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # orjson accepts neither lone surrogates nor NaN
        return json.loads(text.decode())


def json_or_none(text: bytes) -> Any:
    """The value of a JSON text, None for an invalid one."""
    try:
        return json_of(text)
    except (ValueError, RecursionError):
        return None


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Read the end of a complete answer if it has arrived: only then can its connection be reused."""
    if response.content.at_eof():
        return
    with suppress(*TRANSPORT_ERRORS):
        async with asyncio.timeout(_DRAIN_SECONDS):
            await response.content.readany()


def _member(body: Any, name: str) -> Any:
    error = body.get("error", body) if isinstance(body, dict) else None
    return error.get(name) if isinstance(error, dict) else None


def _code(body: Any) -> str | None:
    code = _member(body, "code")
    return code if isinstance(code, str) and code in _SAFE_CODES else None


def _status(body: Any) -> int | None:
    """The status that an error carries as its code: openrouter.ai/docs/errors"""
    code = _member(body, "code")
    return int(code) if isinstance(code, int) or (isinstance(code, str) and code.isdecimal()) else None
