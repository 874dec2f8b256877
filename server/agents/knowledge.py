"""Knowledge bases: queries a `custom-knowledge-base` server before the model, and adds its documents to the
context.

Never fails an exchange: failures are reported on the chat. Other kinds of knowledge base are not queried.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import structlog
from google.protobuf.struct_pb2 import Value

from generated.parley.v1.chat_pb2 import ChatError, ChatKnowledge
from generated.parley.v1.message_pb2 import Message
from server.content.json_values import to_python
from server.core.errors import InvalidArgument, ServiceError, UpstreamError, UpstreamTimeout
from server.core.outbound.client import Outgoing

log = structlog.get_logger()

CUSTOM = "custom-knowledge-base"
_FIELD = "model.knowledgeBase.server"
_INTRODUCTION = "What the knowledge base has on this:"
_MOST_MESSAGES = 100
_MOST_DOCUMENTS = 50
_MOST_CHARACTERS = 100_000


class Known(NamedTuple):
    """The result of a query, for the model and for the chat."""

    messages: Sequence[Message] = ()
    report: ChatKnowledge | None = None


class Poster(Protocol):
    """Posts JSON to a server; implemented in `core/outbound/json_post.py`."""

    async def post(self, server: Mapping[str, Any], content: Any, field: str, outgoing: Outgoing) -> Any:
        """Return the server's answer. Raises ServiceError."""
        ...


class KnowledgeBases:
    """Queries servers through `poster`; without one, none."""

    def __init__(self, poster: Poster | None = None) -> None:
        self._poster = poster

    async def query(
        self, base: dict[str, Any] | None, conversation: Sequence[Message], outgoing: Outgoing
    ) -> Known:
        """Query an assistant's knowledge base for a conversation that ends in a user's message."""
        server = (base or {}).get("server") or {}
        if self._poster is None or (base or {}).get("provider") != CUSTOM or not server.get("url"):
            return Known()
        # a tool's result: the query was made before
        if not conversation or conversation[-1].role != "user":
            return Known()
        try:
            documents = _documents(await self._poster.post(server, _request(conversation), _FIELD, outgoing))
        except ServiceError as error:
            log.warning("knowledge_base_failed", reason=error.reason)
            return Known(report=ChatKnowledge(error=_chat_error(error)))
        if not documents:
            return Known(report=ChatKnowledge())
        text = "\n\n".join([_INTRODUCTION, *documents])
        message = Message(role="system", content=Value(string_value=text))
        return Known([message], ChatKnowledge(documents=len(documents)))


def _request(conversation: Sequence[Message]) -> dict[str, Any]:
    sent = [
        {"role": message.role, "content": to_python(message.content)}
        for message in conversation[-_MOST_MESSAGES:]
        if message.HasField("content")
    ]
    return {"message": {"type": "knowledge-base-request", "messages": sent}}


def _documents(answer: Any) -> list[str]:
    """Return the texts in {"documents": [{"content", …}]}, or the one in {"message": {"content"}}, cut to the
    limit of a context."""
    if not isinstance(answer, dict):
        raise UpstreamError("its answer is not an object")
    found = answer["documents"] if "documents" in answer else [answer.get("message")]
    if not isinstance(found, list) or not all(map(_has_text, found)):
        raise UpstreamError("its answer has neither documents nor a message, each with its content")
    documents, left = [], _MOST_CHARACTERS
    for text in (one["content"] for one in found[:_MOST_DOCUMENTS] if one["content"]):
        if left <= 0:
            break
        documents.append(text[:left])
        left -= len(text)
    return documents


def _has_text(found: Any) -> bool:
    return isinstance(found, dict) and isinstance(found.get("content"), str)


def _chat_error(error: ServiceError) -> ChatError:
    """Return the error in the form of the chat, without any text of the server."""
    if isinstance(error, InvalidArgument):
        return ChatError(
            code="knowledge_base_refused", message=f"The knowledge base was not asked: {error.message}."
        )
    code = "knowledge_base_timeout" if isinstance(error, UpstreamTimeout) else "knowledge_base_error"
    return ChatError(code=code, message=f"The knowledge base was of no help: {error.message}.")
