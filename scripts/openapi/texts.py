"""Comments of the protos in the terms of HTTP callers, without the parts that are for readers of the protos.

Left out are reasons for a type, references to mirrored messages, and names of methods and messages, which
HTTP does not have. Adds nothing to the comments.
"""

import re

_SENTENCE = re.compile(r"(?<=[.?!])\s+(?=[A-Z`{]|gRPC )")
_INNER = re.compile(
    r"Mirrors "
    r"|An? (HttpBody|ListValue|Value|Struct|double) because "
    r"|(Request|Answer) of (?!the methods)\w+( method)?"
    r"|gRPC callers "
    r"|HTTP prints every|HTTP prints it with every"
    r"|\w+ for HTTP(\.|, answered 201\.)"
)
_INNER_PARAGRAPH = re.compile(
    r"Mirrors .*this message is its typed view|Mirrors the message objects", re.DOTALL
)
_METHODS = {
    "GetResponse for HTTP, and WatchResponse when `stream` is true.": "Its events instead, when `stream` is true.",
    "CreateChat and StreamChat for HTTP: JSON": "JSON",
    "CreateChatCompletion and StreamChatCompletion for HTTP: JSON": "JSON",
    "CreateResponse and StreamResponse for HTTP: JSON": "JSON",
    "by which ListAgentChats can filter": "by which `GET /chat` can filter",
    "as a document that AssistantService accepts": "as a document that `POST /assistant` accepts",
    "which ListMessages lists": "which `GET /chat/{chatId}/message` lists",
    "SessionService returns them": "`GET /session/{id}` returns them",
    "which GetModel returns": "which `GET /v1/models/{model}` returns",
    "that CreateResponse would give the model": "that `POST /v1/responses` would give the model",
    "GetResponse returns its answer": "`GET /v1/responses/{response_id}` returns its answer",
    "includes the request's `seed`": "includes the number in the request",
}


def for_callers(comment: str) -> str:
    """The comment, its paragraphs parted by blank lines, with what callers have no use for left out."""
    for inner, outer in _METHODS.items():
        comment = comment.replace(inner, outer)
    paragraphs = (_kept(paragraph) for paragraph in comment.split("\n\n"))
    return "\n\n".join(filter(None, paragraphs))


def _kept(paragraph: str) -> str:
    if _INNER_PARAGRAPH.match(paragraph):
        return ""
    return " ".join(sentence for sentence in _SENTENCE.split(paragraph) if not _INNER.match(sentence))
