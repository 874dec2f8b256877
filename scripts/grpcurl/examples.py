"""A request for every method, as `docs/grpcurl.md` shows it and `tests/test_grpcurl.py` sends it.

In the order in which they can be run, service by service: what a line needs is made by a line before it. A
`$NAME` stands for a variable of the shell.
"""

from typing import Any, NamedTuple


class Example(NamedTuple):
    """A call of one method."""

    body: dict[str, Any]
    persists: str = ""
    """The variable to which a member of the answer is assigned."""
    member: str = "id"
    prints: str = ""
    """A text that the printed answer contains; empty where the answer goes into a variable."""
    about: str = ""
    """What the method does, where its first sentence in the proto is not enough."""
    code: int = 0
    """The gRPC status; other than OK only for methods that need more than a newcomer's setup."""
    is_read: bool = False
    """Whether the next method takes the answer as its request."""
    reads_answer: bool = False
    """Whether the request is the answer of the method before."""


_HTTP_BODY = '"content_type": "application/json"'
_HELLO = [{"role": "user", "content": "Hello"}]
_MODEL = {"provider": "offline", "model": "offline-1"}
_GREETER = {"assistant": {"name": "greeter", "model": _MODEL}}
_DESK = {"squad": {"name": "desk", "members": [{"assistantId": "$AGENT"}]}}
_CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
_WEATHER = {"tool": {"type": "function", "function": {"name": "weather", "parameters": _CITY}}}


def _documents(noun: str, body: dict[str, Any], patch: dict[str, Any], shows: str) -> dict[str, Example]:
    """The methods of a service of documents: each has a twin that answers an HttpBody."""
    first, second = {"id": f"${noun.upper()}"}, {"id": f"$OTHER_{noun.upper()}"}
    return {
        f"Create{noun}": Example(body, persists=noun.upper()),
        f"Post{noun}": Example(body, persists=f"OTHER_{noun.upper()}"),
        f"List{noun}s": Example({"limit": 10}, prints=shows),
        f"Fetch{noun}s": Example({"limit": 10}, prints=_HTTP_BODY),
        f"Get{noun}": Example(first, prints=shows),
        f"Fetch{noun}": Example(second, prints=_HTTP_BODY),
        f"Update{noun}": Example({**first, "patch": patch}, prints="updatedAt"),
        f"Patch{noun}": Example({**second, "patch": patch}, prints=_HTTP_BODY),
        f"Delete{noun}": Example(first, prints="updatedAt"),
        f"Remove{noun}": Example(second, prints=_HTTP_BODY),
    }


EXAMPLES: dict[str, dict[str, Example]] = {
    "ChatService": {
        "CreateChat": Example({"assistantId": "$AGENT", "input": "Hello"}, persists="CHAT"),
        "GetChat": Example({"id": "$CHAT"}, prints="You said: Hello"),
        "StreamChat": Example(
            {"assistantId": "$AGENT", "input": "And again", "previousChatId": "$CHAT"},
            prints='"completed": {',
        ),
        "WatchChat": Example({"id": "$CHAT"}, prints='"completed": {'),
        "PostChat": Example({"assistantId": "$AGENT", "input": "Hello"}, prints=_HTTP_BODY),
        "ListChats": Example({"limit": 1}, prints='"results": ['),
        "DeleteChat": Example({"id": "$CHAT"}, prints="You said: Hello"),
    },
    "ResponseService": {
        "CreateResponse": Example(
            {"model": "$AGENT", "input": "Hello", "background": True}, persists="RESPONSE"
        ),
        "StreamResponse": Example({"model": "$AGENT", "input": "Hello"}, prints="response.completed"),
        "ConnectResponses": Example(
            {"create": {"model": "$AGENT", "input": "Hello", "store": False}}, prints="response.completed"
        ),
        "PostResponse": Example({"model": "$AGENT", "input": "Hello", "stream": False}, prints=_HTTP_BODY),
        "WatchResponse": Example({"response_id": "$RESPONSE"}, prints="response.completed"),
        "GetResponse": Example({"response_id": "$RESPONSE"}, prints="You said: Hello"),
        "FetchResponse": Example({"response_id": "$RESPONSE"}, prints=_HTTP_BODY),
        "ListInputItems": Example({"response_id": "$RESPONSE"}, prints="input_text"),
        "CountInputTokens": Example({"model": "$AGENT", "input": "Hello"}, prints='"estimated": true'),
        "CompactResponse": Example(
            {"model": "$AGENT", "previous_response_id": "$RESPONSE"}, prints="response.compaction"
        ),
        "CancelResponse": Example({"response_id": "$RESPONSE"}, prints='"status": "completed"'),
        "PostCancelResponse": Example({"response_id": "$RESPONSE"}, prints=_HTTP_BODY),
        "DeleteResponse": Example({"response_id": "$RESPONSE"}, prints='"deleted": true'),
    },
    "CompletionService": {
        "CreateChatCompletion": Example(
            {"agent_id": "$AGENT", "messages": _HELLO, "metadata": {"topic": "greetings"}},
            persists="COMPLETION",
        ),
        "StreamChatCompletion": Example(
            {"agent_id": "$AGENT", "messages": _HELLO}, prints='"finish_reason": "stop"'
        ),
        "PostChatCompletion": Example({"agent_id": "$AGENT", "messages": _HELLO}, prints=_HTTP_BODY),
        "GetChatCompletion": Example({"completion_id": "$COMPLETION"}, prints="You said: Hello"),
        "FetchChatCompletion": Example({"completion_id": "$COMPLETION"}, prints=_HTTP_BODY),
        "ListChatCompletions": Example({"metadata": {"topic": "greetings"}}, prints="You said: Hello"),
        "FetchChatCompletions": Example({"limit": 1}, prints=_HTTP_BODY),
        "UpdateChatCompletion": Example(
            {"completion_id": "$COMPLETION", "metadata": {"topic": "farewells"}}, prints="farewells"
        ),
        "PostUpdateChatCompletion": Example(
            {"completion_id": "$COMPLETION", "metadata": {"topic": "both"}}, prints=_HTTP_BODY
        ),
        "ListChatCompletionMessages": Example({"completion_id": "$COMPLETION"}, prints='"content": "Hello"'),
        "DeleteChatCompletion": Example({"completion_id": "$COMPLETION"}, prints='"deleted": true'),
    },
    "AgentChatService": {
        "CreateAgentChat": Example({"agentId": "$AGENT", "userId": "ada"}, persists="CHAT"),
        "CreateMessage": Example({"chatId": "$CHAT", "content": "Hello"}, prints="You said: Hello"),
        "StreamMessage": Example({"chatId": "$CHAT", "content": "And again"}, prints='"completed": {'),
        "ListMessages": Example({"chatId": "$CHAT"}, prints="You said: And again"),
        "GetAgentChat": Example({"chatId": "$CHAT"}, prints="You said: And again"),
        "ListAgentChats": Example({"userId": "ada"}, prints='"userId": "ada"'),
        "DeleteAgentChat": Example({"chatId": "$CHAT"}, prints="{}"),
    },
    "SessionService": {
        "CreateSession": Example({"assistantId": "$AGENT", "name": "support"}, persists="SESSION"),
        "GetSession": Example({"id": "$SESSION"}, prints='"name": "support"'),
        "ListSessions": Example({"name": "support"}, prints='"name": "support"'),
        "UpdateSession": Example({"id": "$SESSION", "name": "sales"}, prints='"name": "sales"'),
        "DeleteSession": Example({"id": "$SESSION"}, prints='"name": "sales"'),
    },
    "ConversationService": {
        "CreateConversation": Example({"items": _HELLO}, persists="CONVERSATION"),
        "CreateItems": Example(
            {"conversation_id": "$CONVERSATION", "items": [{"role": "user", "content": "And again"}]},
            persists="ITEM",
            member="first_id",
        ),
        "ListItems": Example({"conversation_id": "$CONVERSATION", "order": "asc"}, prints="And again"),
        "GetItem": Example({"conversation_id": "$CONVERSATION", "item_id": "$ITEM"}, prints="And again"),
        "DeleteItem": Example(
            {"conversation_id": "$CONVERSATION", "item_id": "$ITEM"}, prints='"object": "conversation"'
        ),
        "UpdateConversation": Example(
            {"conversation_id": "$CONVERSATION", "metadata": {"topic": "greetings"}}, prints="greetings"
        ),
        "GetConversation": Example({"conversation_id": "$CONVERSATION"}, prints="greetings"),
        "DeleteConversation": Example({"conversation_id": "$CONVERSATION"}, prints='"deleted": true'),
    },
    "AssistantService": _documents("Assistant", _GREETER, {"name": "welcomer"}, "greeter"),
    "SquadService": _documents("Squad", _DESK, {"name": "counter"}, "desk"),
    "ToolService": _documents("Tool", _WEATHER, {"function": {"name": "forecast"}}, "weather"),
    "ModelService": {
        "ListModels": Example({}, prints='"object": "model"'),
        "GetModel": Example({"model": "$AGENT"}, prints='"object": "model"'),
        "DeleteModel": Example({"model": "$ASSISTANT"}, prints='"deleted": true'),
    },
    "UsageService": {
        "GetUsage": Example({"groupBy": ["day", "assistant"]}, prints='"rows": ['),
    },
    "HistoryService": {
        "ExportHistory": Example({"sessionId": "$SESSION"}, is_read=True),
        "ImportHistory": Example({}, reads_answer=True, prints='"skipped"'),
    },
    "TransportService": {
        "ReceiveTwilioMessage": Example(
            {
                "orgId": "$ORG",
                "body": {"contentType": "application/x-www-form-urlencoded", "data": "Qm9keT1IaQ=="},
            },
            about="what Twilio posts to; NOT_FOUND as long as no account is configured.",
            prints="NotFound",
            code=5,
        ),
    },
}

NEEDS = {
    "ModelService": ("AssistantService", "CreateAssistant"),
    "HistoryService": ("SessionService", "CreateSession"),
    "UsageService": ("ChatService", "CreateChat"),
}
"""The method of another service that creates the prerequisite of a service's examples."""
