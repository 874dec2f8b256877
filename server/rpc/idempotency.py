"""Idempotency-Key: a repeated request is answered again, but carried out only once.

Wraps every method that HTTP posts to, and its gRPC twins, as the proto says; without a key it
does nothing.

    the same key, the same request  the same messages again, marked `idempotent-replayed: true`
    … while the first one runs      409, at once
    … and its answer is not whole   the exchange replayed from the record, if it came to its own end; otherwise (the
                                    caller left, the server stopped, it was not an exchange) 409 that names
                                    the record
    … and nothing was stored        409: a call with `store: false` stores no answer either
    … and it was deleted since      409: an answer goes with the record that it shows
    the same key, another request   400 (422 at the completions door)
    after an error status           the key is free: nothing was answered, and a retry runs
    after a crash                   recorded work is not repeated; the rest is done

A key is one org's, a publishable key's own, for `RETENTION_MS`. Knows no SQL, and renders nothing itself.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import structlog
from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from generated.parley.v1.idempotency_pb2 import KeptAnswer, KeptError
from server.core.errors import InvalidArgument, ServiceError, Violation
from server.rpc.access import needs_key
from server.rpc.announcing import write_last
from server.rpc.call import Call, current_call, current_caller
from server.rpc.context import Context, Handler, Metadata, asynchronous
from server.storage.idempotency import Claim, IdempotencyKeys, enter_claim, lost

log = structlog.get_logger()

HEADER = "idempotency-key"
REPLAYED = ("idempotent-replayed", "true")
MOST_PERSISTED = 8 * 1024 * 1024
"""Bytes. The key of a longer answer is used all the same."""

_KEY = re.compile(r"[!-~]{1,255}")
_CODES = {code.value[0]: code for code in grpc.StatusCode}


class Idempotency:
    """Wraps the methods that HTTP posts to, so that a repeated request runs once."""

    def __init__(self, keys: IdempotencyKeys) -> None:
        self._keys = keys

    def around(self, method: str, handler: Handler) -> Handler:
        """Return the handler of `/package.Service/Method` wrapped for idempotency; unchanged when HTTP does
        not post to it."""
        if not is_posted(method) or not needs_key(method):
            return handler
        serve, serialize = serve_of(handler), handler.response_serializer

        async def once(request: Message, context: Context[Any]) -> Any:
            if HEADER not in current_call().metadata:
                return await serve(request, context)
            return await self.once(handler, request, context)

        make = (
            grpc.unary_stream_rpc_method_handler
            if handler.unary_stream
            else grpc.unary_unary_rpc_method_handler
        )
        return asynchronous(
            make(
                once,
                request_deserializer=handler.request_deserializer,
                response_serializer=lambda message: (
                    message if isinstance(message, bytes) else serialize(message)
                ),
            )
        )

    async def once(self, handler: Handler, request: Message, context: Context[Any]) -> Any:
        """Run the current call under its key, or answer it again."""
        call = current_call()
        claim = await self._keys.claim(current_caller().scope, _key_of(call), _fingerprint(call, request))
        try:
            if claim.answer is not None:
                return await _replay_answer(KeptAnswer.FromString(claim.answer), handler, context)
            enter_claim(claim)
            return await self._run(claim, handler, request, context)
        finally:
            await self._keys.release(claim)

    async def _run(self, claim: Claim, handler: Handler, request: Message, context: Context[Any]) -> Any:
        """Run the call. If an earlier run of it recorded something, exchanges are read from there, and any
        other write raises AnswerLost. When the call is aborted, its key knows only what is recorded by then.
        """
        recorder = _Recorder(context, handler.response_serializer, is_repeated=claim.record is not None)
        try:
            answer = await recorder.end(await serve_of(handler)(request, recorder))
        except ServiceError as error:
            if recorder.has_begun:
                await self._settle(claim, self._keys.persist(claim, recorder.serialized(error)))
            elif claim.record is not None:
                raise lost(claim.record) from None
            else:
                await self._settle(claim, self._keys.free(claim))
            raise
        await self._settle(claim, self._keys.persist(claim, recorder.serialized()))
        return answer

    async def _settle(self, claim: Claim, writing: Awaitable[None]) -> None:
        try:
            await writing
        # the call's result is recorded all the same, so it is answered as without a key
        except ServiceError as error:
            log.warning("idempotency key not settled", reason=error.reason, record=claim.making)


def is_posted(method: str) -> bool:
    """Return whether HTTP posts to `/package.Service/Method`, or to its counterpart: a method of that service
    with the same request."""
    service, _, name = method.removeprefix("/").partition("/")
    methods = descriptor_pool.Default().FindServiceByName(service).methods
    request_type = next(one.input_type for one in methods if one.name == name)
    return any(one.input_type == request_type and _has_post(one) for one in methods)


class _Recorder:
    """The context of a call that also records its answer."""

    def __init__(
        self, context: Context[Any], serialize: Callable[[Message], bytes], *, is_repeated: bool
    ) -> None:
        self._context = context
        self._serialize = serialize
        self._ahead = (REPLAYED,) if is_repeated else ()
        self._answer = KeptAnswer()
        self._length = 0
        self.has_begun = False
        """Whether a message was sent: no status can take its place any more."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def send_initial_metadata(self, metadata: Metadata) -> None:
        """Record and send leading metadata."""
        self._answer.metadata.update(metadata)
        ahead, self._ahead = self._ahead, ()
        await self._context.send_initial_metadata((*metadata, *ahead))

    async def write(self, message: Message) -> None:
        """Record and write one message of a stream."""
        self.has_begun = True
        await self._context.write(await self.end(message))

    async def write_last(self, message: Message) -> None:
        self.has_begun = True
        await write_last(self._context, await self.end(message))

    async def end(self, message: Message | None) -> bytes | None:
        """Record the answer of a unary method; None, the end of a stream, is passed through."""
        if self._ahead:
            await self.send_initial_metadata(())
        if message is None:
            return None
        data = self._serialize(message)
        self._length += len(data)
        if self._length <= MOST_PERSISTED:
            self._answer.messages.append(data)
        return data

    def serialized(self, error: ServiceError | None = None) -> bytes | None:
        """Return the whole answer serialized; None when it is too long to be stored."""
        if self._length > MOST_PERSISTED:
            return None
        if error is not None:
            self._answer.error.CopyFrom(
                KeptError(code=error.code.value[0], reason=error.reason, message=error.message)
            )
        return self._answer.SerializeToString()


def serve_of(handler: Handler) -> Callable[[Message, Context[Any]], Awaitable[Any]]:
    """Return the handler's function for a single request."""
    serve = handler.unary_stream or handler.unary_unary
    assert serve is not None
    return serve


async def _replay_answer(answer: KeptAnswer, handler: Handler, context: Context[Any]) -> bytes | None:
    await context.send_initial_metadata((*answer.metadata.items(), REPLAYED))
    if not handler.unary_stream:
        return answer.messages[0]
    for message in answer.messages:
        await context.write(message)
    if answer.HasField("error"):
        raise _error_of(answer.error)
    return None


def _error_of(stored: KeptError) -> ServiceError:
    error = ServiceError(stored.message, reason=stored.reason)
    error.code = _CODES[stored.code]
    return error


def _key_of(call: Call) -> str:
    key = call.metadata[HEADER]
    if not _KEY.fullmatch(key):
        text = "must be 1 to 255 visible ASCII characters"
        raise InvalidArgument(
            f"Idempotency-Key {text}",
            violations=(Violation("Idempotency-Key", text, "idempotency_key_invalid", "header"),),
        )
    return key


def _fingerprint(call: Call, request: Message) -> bytes:
    """Return a digest that is equal for equal requests: method, every member, and over HTTP the path.
    Computed before serving changes the request."""
    path = (call.http_path or "").partition("?")[0]
    called = f"{call.method} {path}\n".encode("utf-8", "surrogatepass")
    return hashlib.sha256(called + request.SerializeToString(deterministic=True)).digest()


def _has_post(method: MethodDescriptor) -> bool:
    options = method.GetOptions()
    rule: http_pb2.HttpRule = options.Extensions[annotations_pb2.http]  # type: ignore[index]  # google.api types no extension
    return any(one.HasField("post") for one in (rule, *rule.additional_bindings))
