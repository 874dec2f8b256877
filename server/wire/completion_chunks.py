"""An exchange in the form of chat completions: the answer, and the chunks of a streamed one.

Translates Chats and ChatEvents to typed messages; `wire/completions.py` serializes them. Runs nothing.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from google.protobuf.struct_pb2 import NULL_VALUE, ListValue, Struct

from generated.parley.v1.chat_completion_pb2 import (
    ChatCompletion,
    ChatCompletionChoice,
    ChatCompletionChunk,
    ChatCompletionChunkChoice,
    ChatCompletionChunkDelta,
    ChatCompletionCustomCall,
    ChatCompletionFunctionCall,
    ChatCompletionMessage,
    ChatCompletionMessageList,
    ChatCompletionToolCall,
    CompletionTokensDetails,
    CompletionUsage,
    PromptTokensDetails,
)
from generated.parley.v1.chat_pb2 import Chat, ChatEvent, ToolCallDelta
from generated.parley.v1.message_pb2 import Message
from server.content.json_values import struct_from, to_python
from server.content.messages import answer_of, text_of, tool_calls_of
from server.content.reasoning import Kept, with_reasoning
from server.core.errors import BROKEN_OFF
from server.core.ids import hex_of
from server.exchange.run import Outcome, ReadableExchange, choices_of

_BETWEEN = "\n\n"
"""Between the texts of two rounds, which are one text at this door."""


def completion_of(outcome: Outcome, metadata: Struct | None = None) -> ChatCompletion:
    """Return the answer of a finished exchange; `metadata` is that of the request."""
    chat = outcome.chat
    return ChatCompletion(
        service_tier=outcome.service_tier or "default",
        metadata=metadata,
        id=f"chatcmpl-{hex_of(chat.id)}",
        object="chat.completion",
        created=chat.created_at.seconds,
        model=outcome.model,
        system_fingerprint=outcome.system_fingerprint,
        session_id=_session_id(chat),
        usage=_usage(outcome),
        warnings=_warnings(chat),
        choices=[
            ChatCompletionChoice(
                index=index,
                message=_message(messages, outcome.kept),
                finish_reason=reason,
                logprobs=_logprobs(messages),
            )
            for index, (messages, reason) in enumerate(
                zip(choices_of(chat.output, len(outcome.finish_reasons)), outcome.finish_reasons, strict=True)
            )
        ],
    )


def messages_page(messages: Sequence[Message], *, has_more: bool) -> ChatCompletionMessageList:
    """Return some messages of a completion's input as a page."""
    page = ChatCompletionMessageList(
        object="list", data=[struct_from(_stored_message(message)) for message in messages], has_more=has_more
    )
    if messages:
        page.first_id, page.last_id = messages[0].id, messages[-1].id
    return page


class CompletionChunks:
    """Translates the events of one streamed exchange to chunks: the role first, then new text, then the
    finish reason."""

    def __init__(self, choices: int, *, with_usage: bool) -> None:
        self._with_usage = with_usage
        self._started = ChatEvent()
        self._silent = set(range(choices))
        """The choices that have not begun."""
        self._has_text = self._apart = False
        """Whether there was text, and whether the next text belongs to another message."""

    def consume(self, events: Iterable[ChatEvent], stream: ReadableExchange) -> Iterator[ChatCompletionChunk]:
        """Yield the chunks of some events."""
        for event in events:
            kind = event.WhichOneof("event")
            if kind == "started":
                self._started = event
            elif kind == "delta":
                text = _BETWEEN + event.delta.text if self._apart else event.delta.text
                self._has_text, self._apart = True, False
                yield from self._begin(event.delta.choice, content="" if not event.delta.refusal else None)
                yield self._chunk(
                    event.delta.choice,
                    ChatCompletionChunkDelta(refusal=text)
                    if event.delta.refusal
                    else ChatCompletionChunkDelta(content=text),
                    logprobs=_of_tokens(event.delta.logprobs, refused=event.delta.refusal),
                )
            elif kind == "reasoning" and event.reasoning.exposed and event.reasoning.text:
                yield from self._begin(event.reasoning.choice, content=None)
                yield self._chunk(
                    event.reasoning.choice, ChatCompletionChunkDelta(reasoning_content=event.reasoning.text)
                )
            elif kind == "round":
                self._apart = self._has_text
            elif kind == "tool_call":
                yield from self._begin(event.tool_call.choice, content=None)
                yield self._chunk(event.tool_call.choice, _call_delta(event.tool_call))
            elif kind == "completed" and event.completed.error.code not in BROKEN_OFF:
                yield from self._end(stream.outcome)

    def _begin(self, choice: int, content: str | None) -> Iterator[ChatCompletionChunk]:
        """Yield the chunk with the role, before the first of a choice. A choice that begins with a tool call
        has no content."""
        if choice in self._silent:
            self._silent.discard(choice)
            yield self._chunk(choice, ChatCompletionChunkDelta(role="assistant", content=content))

    def _end(self, outcome: Outcome) -> Iterator[ChatCompletionChunk]:
        last = len(outcome.finish_reasons) - 1
        for index, reason in enumerate(outcome.finish_reasons):
            yield from self._begin(index, content="")
            chunk = self._chunk(index, ChatCompletionChunkDelta(), finish_reason=reason)
            if index == last and outcome.chat.HasField("warnings"):
                chunk.warnings.CopyFrom(outcome.chat.warnings)
            yield chunk
        if self._with_usage:
            yield self._bare(usage=_usage(outcome))

    def _chunk(
        self,
        index: int,
        delta: ChatCompletionChunkDelta,
        finish_reason: str | None = None,
        logprobs: Struct | None = None,
    ) -> ChatCompletionChunk:
        return self._bare(
            choices=[
                ChatCompletionChunkChoice(
                    index=index, delta=delta, finish_reason=finish_reason, logprobs=logprobs
                )
            ],
        )

    def _bare(self, **members: Any) -> ChatCompletionChunk:
        started = self._started
        return ChatCompletionChunk(
            id=f"chatcmpl-{hex_of(started.chat_id)}",
            object="chat.completion.chunk",
            model=started.model,
            created=started.started.created_at.seconds,
            session_id=_session_id(started.started),
            service_tier=started.service_tier or "default",
            system_fingerprint=started.system_fingerprint if started.HasField("system_fingerprint") else None,
            **members,
        )


def _stored_message(message: Message) -> dict[str, Any]:
    """Return a message as it was sent; of an array of parts the text is `content`, and all are `content_parts`."""
    has_parts = message.content.WhichOneof("kind") == "list_value"
    return {
        "id": message.id,
        "role": message.role,
        "content": text_of(message) if message.HasField("content") else None,
        "content_parts": to_python(message.content) if has_parts else None,
        "name": message.name or None,
        "tool_calls": to_python(message.tool_calls) if message.HasField("tool_calls") else None,
        "tool_call_id": message.tool_call_id or None,
        "refusal": message.refusal or None,
    }


def _session_id(chat: Chat) -> str | None:
    return chat.session_id if chat.HasField("session_id") else None


def _warnings(chat: Chat) -> ListValue | None:
    return chat.warnings if chat.HasField("warnings") else None


def _usage(outcome: Outcome) -> CompletionUsage:
    usage = outcome.usage
    return CompletionUsage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
        prompt_tokens_details=PromptTokensDetails(
            cached_tokens=usage.cached_tokens, cache_write_tokens=usage.cache_write_tokens
        ),
        completion_tokens_details=CompletionTokensDetails(reasoning_tokens=usage.reasoning_tokens),
    )


def _message(messages: Sequence[Message], kept: Kept) -> ChatCompletionMessage:
    """Return one message with the text of all rounds of tools. Calls that the server ran itself are left out,
    because the caller must not answer them."""
    last = messages[-1]
    calls = [_call(call) for call in (tool_calls_of(last) if last.role == "assistant" else [])]
    answers = [answer_of(message) for message in messages if message.role == "assistant"]
    text = _BETWEEN.join(text for text, _ in answers if text)
    refusal = "".join(refusal for _, refusal in answers) or None
    return ChatCompletionMessage(
        role="assistant",
        content=text if text or not (calls or refusal) else None,
        refusal=refusal,
        tool_calls=calls,
        reasoning_content="".join(
            part.text
            for message in messages
            for part in with_reasoning(message, kept, publishable=True).reasoning.parts
        )
        or None,
    )


def _logprobs(messages: Sequence[Message]) -> Struct | None:
    """Return the log probabilities of the tokens of all rounds; None where none were requested."""
    tokens = ListValue()
    for message in messages:
        tokens.values.extend(message.logprobs.values)
    return _of_tokens(tokens, refused=not answer_of(messages[-1])[0] and bool(messages[-1].refusal))


def _of_tokens(tokens: ListValue, *, refused: bool) -> Struct | None:
    if not tokens.values:
        return None
    logprobs = Struct()
    for name in ("content", "refusal"):
        if (name == "refusal") is refused:
            logprobs.fields[name].list_value.CopyFrom(tokens)
        else:
            logprobs.fields[name].null_value = NULL_VALUE
    return logprobs


def _call(call: dict[str, Any]) -> ChatCompletionToolCall:
    if "input" in call:
        custom = ChatCompletionCustomCall(name=call["name"], input=call["input"])
        return ChatCompletionToolCall(id=call["id"], type="custom", custom=custom)
    function = ChatCompletionFunctionCall(name=call["name"], arguments=call["arguments"])
    return ChatCompletionToolCall(id=call["id"], type="function", function=function)


def _call_delta(delta: ToolCallDelta) -> ChatCompletionChunkDelta:
    call = ChatCompletionToolCall(index=delta.index)
    called: ChatCompletionCustomCall | ChatCompletionFunctionCall
    if delta.custom:
        call.custom.input, called = delta.arguments, call.custom
    else:
        call.function.arguments, called = delta.arguments, call.function
    if delta.HasField("id"):
        call.id, call.type = delta.id, "custom" if delta.custom else "function"
    if delta.HasField("name"):
        called.name = delta.name
    return ChatCompletionChunkDelta(tool_calls=[call])
