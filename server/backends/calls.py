"""One call of a model provider through its official SDK: deadline, silence, retries, size, and what callers
are told.

Every text is ours: nothing that a provider or an exception says gets out of here, except a few error codes
listed below. Does not know any provider's wire format (`openai.py`, `anthropic.py`) nor its addresses
(`transport.py`).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import httpx2
import structlog
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from server.backends.backend import ModelRequest
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

END = object()
"""What `Call.receive` returns when the stream is over."""

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
    """An attempt failed. `error` is what the caller is told when no other follows."""

    def __init__(self, error: ServiceError, *, again: bool = False, status: int | None = None) -> None:
        super().__init__()
        self.error = error
        self.again = again
        self.status = status


class Call:
    """One call of one provider. `sdk` is the module of its SDK, for its exceptions (both name them alike).

    Retries happen in `open` alone, so never after an event has been received.
    """

    def __init__(
        self, request: ModelRequest, sdk: Any, limits: Limits, *, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._request = request
        self._provider = request.provider
        self._sdk = sdk
        self._limits = limits
        self._sleep = sleep
        self._generated = 0
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + request.timeout_seconds
        self._silence: asyncio.Timeout | None = None

    async def open(self, send: Callable[[], Awaitable[Any]]) -> Any:
        """Send the request, again where that can help, and return what `send` returns."""
        retrying = AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, _Failed) and error.again),
            stop=self._enough,
            wait=_wait,
            before_sleep=self._log_retry,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return await retrying(self._attempt, send)
        except _Failed as failed:
            self._log_failure(failed.error, status=failed.status)
            raise failed.error from None

    async def receive(self, stream: Any) -> Any:
        """The next event of the SDK's stream, or END. The SDKs pass over comments and pings; `note_progress` is told
        of them."""
        try:
            async with asyncio.timeout_at(self._patience()) as self._silence:
                return await anext(stream, END)
        except (
            TimeoutError,
            self._sdk.APIError,
            httpx2.HTTPError,
            ServiceError,
            ValueError,
            RecursionError,
        ) as error:
            reported = self._broken(error)
        finally:
            self._silence = None
        self._log_failure(reported)
        raise reported

    def note_progress(self) -> None:
        """Something came, if only a comment: the provider is not silent, and has until the deadline at
        most."""
        if self._silence is not None and not self._silence.expired():
            self._silence.reschedule(self._patience())

    async def drain(self, stream: Any) -> None:
        """Read the end of an answer that is complete, if it is there: only then can its connection be used
        again."""
        with suppress(TimeoutError, self._sdk.APIError, httpx2.HTTPError, ServiceError, ValueError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                await anext(stream, END)

    def accept(self, text: str) -> str:
        """Count a piece of what was generated and return it encodable. Raises UpstreamError when it is too
        much."""
        self._generated += len(text) + 1  # endless empty pieces are too much, too
        if self._generated > self._limits.generated_characters:
            raise UpstreamError(
                f"The model provider {self._provider} generated more than this service accepts."
            )
        return encodable(text)

    def incomplete(self) -> UpstreamIncomplete:
        """The error of a stream that ended before its answer did."""
        return UpstreamIncomplete(
            f"The answer of the model provider {self._provider} ended before it was complete."
        )

    def unreadable(self) -> UpstreamError:
        """The error of a stream that is not what the provider's protocol says."""
        return UpstreamError(f"The model provider {self._provider} sent an answer that cannot be read.")

    def _patience(self) -> float:
        return min(self._deadline, self._loop.time() + self._limits.stall_seconds)

    async def _attempt(self, send: Callable[[], Awaitable[Any]]) -> Any:
        sdk = self._sdk
        try:
            async with asyncio.timeout_at(self._patience()):
                return await send()
        except TimeoutError:
            failed = _Failed(self._timeout())
        except ServiceError as error:
            failed = _Failed(error)
        except sdk.APIStatusError as error:
            failed = self._refused(error)
        except (sdk.APIError, httpx2.HTTPError) as error:
            own = _own_error(error)
            failed = _Failed(own) if own else _Failed(self._unreachable(), again=True)
        raise failed from None

    def _refused(self, error: Any) -> _Failed:
        status, provider = error.status_code, self._provider
        wait = retry_after(error.response.headers, time.time())
        if status in (400, 413, 422):
            return _Failed(self._request_refused(_code(error.body)), status=status)
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

    def _request_refused(self, code: str | None) -> InvalidArgument:
        text = f"The model provider {self._provider} refused the request"
        if code is None:
            return InvalidArgument(f"{text}.", reason="UPSTREAM_REFUSED_REQUEST")
        return InvalidArgument(f"{text}: {code}.", reason=code.upper())

    def _broken(self, error: BaseException) -> ServiceError:
        """What the caller is told of an exception in the middle of a stream."""
        if own := _own_error(error):
            return own
        if isinstance(error, TimeoutError):
            return self._timeout()
        if isinstance(error, ValueError | RecursionError):  # not JSON, not UTF-8, or nested without end
            return self.unreadable()
        if isinstance(error, httpx2.HTTPError | self._sdk.APIConnectionError):
            return self.incomplete()
        return self._reported(getattr(error, "body", None))

    def _reported(self, body: Any) -> UpstreamError:
        """An error that came with a 200: some have a type, others the status that they would have had as
        their code."""
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
    assert isinstance(error, _Failed)  # nothing else is retried
    return error


def _wait(state: RetryCallState) -> float:
    requested_pause = _failure(state).error.retry_after
    return _backoff(state) if requested_pause is None else requested_pause


def _own_error(error: BaseException | None) -> ServiceError | None:
    """Our own error, when the transport raised it inside the SDK: anthropic wraps what passes through it."""
    while error is not None and not isinstance(error, ServiceError):
        error = error.__cause__
    return error


def _member(body: Any, name: str) -> Any:
    error = body.get("error", body) if isinstance(body, dict) else None
    return error.get(name) if isinstance(error, dict) else None


def _code(body: Any) -> str | None:
    code = _member(body, "code")
    return code if isinstance(code, str) and code in _SAFE_CODES else None


def _status(body: Any) -> int | None:
    """openrouter.ai/docs/errors"""
    code = _member(body, "code")
    return int(code) if isinstance(code, int) or (isinstance(code, str) and code.isdecimal()) else None
