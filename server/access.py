"""Which methods a publishable key may call; every other method needs an `api` or a `secret` key.

A publishable key creates chats and sessions, runs exchanges at any door, and reads or continues by id what it created
itself (`storage/scope.py` sees to that). What is not listed here, a method that is new included, it may not call.
"""

PUBLISHABLE_METHODS = frozenset({
    "ChatService/CreateChat", "ChatService/StreamChat", "ChatService/PostChat", "ChatService/GetChat",
    "ResponseService/CreateResponse", "ResponseService/StreamResponse", "ResponseService/PostResponse",
    "CompletionService/CreateChatCompletion", "CompletionService/StreamChatCompletion",
    "CompletionService/PostChatCompletion",
    "AgentChatService/CreateAgentChat", "AgentChatService/GetAgentChat", "AgentChatService/CreateMessage",
    "AgentChatService/StreamMessage", "AgentChatService/ListMessages",
    "SessionService/CreateSession", "SessionService/GetSession",
})
