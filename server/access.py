"""Which methods a publishable key may call; every other method needs an `api` or a `secret` key.

A publishable key creates chats and sessions, runs exchanges at any door, and reads or continues by id what it created
itself (`storage/scope.py` sees to that). What is not listed here, a method that is new included, it may not call.
"""

KEYLESS_METHODS = frozenset({"TransportService/ReceiveTwilioMessage"})
"""The methods that take no key, because they check who calls by themselves."""

PUBLISHABLE_METHODS = frozenset({
    "ChatService/CreateChat", "ChatService/StreamChat", "ChatService/PostChat", "ChatService/GetChat",
    "ChatService/WatchChat",
    "ResponseService/CreateResponse", "ResponseService/StreamResponse", "ResponseService/PostResponse",
    "ResponseService/GetResponse", "ResponseService/WatchResponse", "ResponseService/FetchResponse",
    "ResponseService/CancelResponse", "ResponseService/PostCancelResponse", "ResponseService/ListInputItems",
    "ResponseService/CompactResponse",
    "ConversationService/CreateConversation", "ConversationService/GetConversation", "ConversationService/CreateItems",
    "ConversationService/ListItems", "ConversationService/GetItem",
    "CompletionService/CreateChatCompletion", "CompletionService/StreamChatCompletion",
    "CompletionService/PostChatCompletion",
    "AgentChatService/CreateAgentChat", "AgentChatService/GetAgentChat", "AgentChatService/CreateMessage",
    "AgentChatService/StreamMessage", "AgentChatService/ListMessages",
    "SessionService/CreateSession", "SessionService/GetSession",
})
