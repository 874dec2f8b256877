"""The services that reflection lists, through every client of it."""

SERVICES = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1alpha.ServerReflection",
    "parley.v1.AgentChatService",
    "parley.v1.AssistantService",
    "parley.v1.ChatService",
    "parley.v1.CompletionService",
    "parley.v1.ConversationService",
    "parley.v1.HistoryService",
    "parley.v1.ModelService",
    "parley.v1.ResponseService",
    "parley.v1.SessionService",
    "parley.v1.SquadService",
    "parley.v1.ToolService",
    "parley.v1.TransportService",
    "parley.v1.UsageService",
]
"""By name, sorted."""
