"""The methods that the clients call. Written by scripts/generate from the protos; edit nothing here."""

from google.protobuf.empty_pb2 import Empty
from google.protobuf.struct_pb2 import Struct
from parley.v1.agent_chat_pb2 import AgentChat, AgentChatWithMessages, AgentMessage
from parley.v1.agent_chat_service_pb2 import CreateAgentChatRequest, CreateMessageRequest, DeleteAgentChatRequest, GetAgentChatRequest, ListAgentChatsRequest, ListAgentChatsResponse, ListMessagesRequest, ListMessagesResponse
from parley.v1.assistant_pb2 import Assistant
from parley.v1.assistant_service_pb2 import CreateAssistantRequest, DeleteAssistantRequest, GetAssistantRequest, ListAssistantsRequest, ListAssistantsResponse, UpdateAssistantRequest
from parley.v1.chat_completion_pb2 import ChatCompletion, ChatCompletionChunk, ChatCompletionList, ChatCompletionMessageList, DeletedChatCompletion
from parley.v1.chat_pb2 import Chat, ChatEvent
from parley.v1.chat_service_pb2 import CreateChatRequest, DeleteChatRequest, GetChatRequest, ListChatsRequest, ListChatsResponse, WatchChatRequest
from parley.v1.completion_service_pb2 import CreateChatCompletionRequest, DeleteChatCompletionRequest, GetChatCompletionRequest, ListChatCompletionMessagesRequest, ListChatCompletionsRequest, UpdateChatCompletionRequest
from parley.v1.conversation_pb2 import Conversation
from parley.v1.conversation_service_pb2 import CreateConversationRequest, CreateItemsRequest, DeleteConversationRequest, DeleteItemRequest, DeletedConversation, GetConversationRequest, GetItemRequest, ListItemsRequest, UpdateConversationRequest
from parley.v1.history_service_pb2 import ExportHistoryRequest, ExportHistoryResponse, ImportHistoryRequest, ImportHistoryResponse
from parley.v1.item_pb2 import ItemList
from parley.v1.model_service_pb2 import DeleteModelRequest, DeletedModel, GetModelRequest, ListModelsRequest, ListModelsResponse, Model
from parley.v1.response_pb2 import Response, ResponseStreamEvent
from parley.v1.response_service_pb2 import CancelResponseRequest, CompactResponseRequest, CompactedResponse, CountInputTokensRequest, CreateResponseRequest, DeleteResponseRequest, DeletedResponse, GetResponseRequest, InputTokens, ListInputItemsRequest
from parley.v1.session_pb2 import Session
from parley.v1.session_service_pb2 import CreateSessionRequest, DeleteSessionRequest, GetSessionRequest, ListSessionsRequest, ListSessionsResponse, UpdateSessionRequest
from parley.v1.squad_pb2 import Squad
from parley.v1.squad_service_pb2 import CreateSquadRequest, DeleteSquadRequest, GetSquadRequest, ListSquadsRequest, ListSquadsResponse, UpdateSquadRequest
from parley.v1.tool_pb2 import Tool
from parley.v1.tool_service_pb2 import CreateToolRequest, DeleteToolRequest, GetToolRequest, ListToolsRequest, ListToolsResponse, UpdateToolRequest
from parley.v1.usage_service_pb2 import GetUsageRequest, GetUsageResponse
from parley_client._calls import ChatPlace, Method, ResponsePlace

AGENT_CHAT_CREATE_AGENT_CHAT: Method[CreateAgentChatRequest, AgentChat] = Method(
    "/parley.v1.AgentChatService/CreateAgentChat", AgentChat, keyed=True
)
AGENT_CHAT_LIST_AGENT_CHATS: Method[ListAgentChatsRequest, ListAgentChatsResponse] = Method(
    "/parley.v1.AgentChatService/ListAgentChats", ListAgentChatsResponse, reads=True
)
AGENT_CHAT_GET_AGENT_CHAT: Method[GetAgentChatRequest, AgentChatWithMessages] = Method(
    "/parley.v1.AgentChatService/GetAgentChat", AgentChatWithMessages, reads=True
)
AGENT_CHAT_DELETE_AGENT_CHAT: Method[DeleteAgentChatRequest, Empty] = Method(
    "/parley.v1.AgentChatService/DeleteAgentChat", Empty
)
AGENT_CHAT_CREATE_MESSAGE: Method[CreateMessageRequest, AgentMessage] = Method(
    "/parley.v1.AgentChatService/CreateMessage", AgentMessage, keyed=True
)
AGENT_CHAT_LIST_MESSAGES: Method[ListMessagesRequest, ListMessagesResponse] = Method(
    "/parley.v1.AgentChatService/ListMessages", ListMessagesResponse, reads=True
)
AGENT_CHAT_STREAM_MESSAGE: Method[CreateMessageRequest, ChatEvent] = Method(
    "/parley.v1.AgentChatService/StreamMessage", ChatEvent, keyed=True, place=ChatPlace
)
ASSISTANT_CREATE_ASSISTANT: Method[CreateAssistantRequest, Assistant] = Method(
    "/parley.v1.AssistantService/CreateAssistant", Assistant, keyed=True
)
ASSISTANT_LIST_ASSISTANTS: Method[ListAssistantsRequest, ListAssistantsResponse] = Method(
    "/parley.v1.AssistantService/ListAssistants", ListAssistantsResponse, reads=True
)
ASSISTANT_GET_ASSISTANT: Method[GetAssistantRequest, Assistant] = Method(
    "/parley.v1.AssistantService/GetAssistant", Assistant, reads=True
)
ASSISTANT_UPDATE_ASSISTANT: Method[UpdateAssistantRequest, Assistant] = Method(
    "/parley.v1.AssistantService/UpdateAssistant", Assistant
)
ASSISTANT_DELETE_ASSISTANT: Method[DeleteAssistantRequest, Assistant] = Method(
    "/parley.v1.AssistantService/DeleteAssistant", Assistant
)
CHAT_CREATE_CHAT: Method[CreateChatRequest, Chat] = Method(
    "/parley.v1.ChatService/CreateChat", Chat, keyed=True
)
CHAT_STREAM_CHAT: Method[CreateChatRequest, ChatEvent] = Method(
    "/parley.v1.ChatService/StreamChat", ChatEvent, keyed=True, place=ChatPlace
)
CHAT_WATCH_CHAT: Method[WatchChatRequest, ChatEvent] = Method(
    "/parley.v1.ChatService/WatchChat", ChatEvent, reads=True, place=ChatPlace
)
CHAT_LIST_CHATS: Method[ListChatsRequest, ListChatsResponse] = Method(
    "/parley.v1.ChatService/ListChats", ListChatsResponse, reads=True
)
CHAT_GET_CHAT: Method[GetChatRequest, Chat] = Method(
    "/parley.v1.ChatService/GetChat", Chat, reads=True
)
CHAT_DELETE_CHAT: Method[DeleteChatRequest, Chat] = Method(
    "/parley.v1.ChatService/DeleteChat", Chat
)
RESPONSE_CREATE_RESPONSE: Method[CreateResponseRequest, Response] = Method(
    "/parley.v1.ResponseService/CreateResponse", Response, keyed=True
)
RESPONSE_STREAM_RESPONSE: Method[CreateResponseRequest, ResponseStreamEvent] = Method(
    "/parley.v1.ResponseService/StreamResponse", ResponseStreamEvent, keyed=True, place=ResponsePlace
)
RESPONSE_GET_RESPONSE: Method[GetResponseRequest, Response] = Method(
    "/parley.v1.ResponseService/GetResponse", Response, reads=True
)
RESPONSE_WATCH_RESPONSE: Method[GetResponseRequest, ResponseStreamEvent] = Method(
    "/parley.v1.ResponseService/WatchResponse", ResponseStreamEvent, reads=True, place=ResponsePlace
)
RESPONSE_DELETE_RESPONSE: Method[DeleteResponseRequest, DeletedResponse] = Method(
    "/parley.v1.ResponseService/DeleteResponse", DeletedResponse
)
RESPONSE_CANCEL_RESPONSE: Method[CancelResponseRequest, Response] = Method(
    "/parley.v1.ResponseService/CancelResponse", Response, keyed=True
)
RESPONSE_COMPACT_RESPONSE: Method[CompactResponseRequest, CompactedResponse] = Method(
    "/parley.v1.ResponseService/CompactResponse", CompactedResponse, keyed=True
)
RESPONSE_COUNT_INPUT_TOKENS: Method[CountInputTokensRequest, InputTokens] = Method(
    "/parley.v1.ResponseService/CountInputTokens", InputTokens, keyed=True
)
RESPONSE_LIST_INPUT_ITEMS: Method[ListInputItemsRequest, ItemList] = Method(
    "/parley.v1.ResponseService/ListInputItems", ItemList, reads=True
)
COMPLETION_CREATE_CHAT_COMPLETION: Method[CreateChatCompletionRequest, ChatCompletion] = Method(
    "/parley.v1.CompletionService/CreateChatCompletion", ChatCompletion, keyed=True
)
COMPLETION_STREAM_CHAT_COMPLETION: Method[CreateChatCompletionRequest, ChatCompletionChunk] = Method(
    "/parley.v1.CompletionService/StreamChatCompletion", ChatCompletionChunk, keyed=True
)
COMPLETION_GET_CHAT_COMPLETION: Method[GetChatCompletionRequest, ChatCompletion] = Method(
    "/parley.v1.CompletionService/GetChatCompletion", ChatCompletion, reads=True
)
COMPLETION_LIST_CHAT_COMPLETIONS: Method[ListChatCompletionsRequest, ChatCompletionList] = Method(
    "/parley.v1.CompletionService/ListChatCompletions", ChatCompletionList, reads=True
)
COMPLETION_UPDATE_CHAT_COMPLETION: Method[UpdateChatCompletionRequest, ChatCompletion] = Method(
    "/parley.v1.CompletionService/UpdateChatCompletion", ChatCompletion, keyed=True
)
COMPLETION_DELETE_CHAT_COMPLETION: Method[DeleteChatCompletionRequest, DeletedChatCompletion] = Method(
    "/parley.v1.CompletionService/DeleteChatCompletion", DeletedChatCompletion
)
COMPLETION_LIST_CHAT_COMPLETION_MESSAGES: Method[ListChatCompletionMessagesRequest, ChatCompletionMessageList] = Method(
    "/parley.v1.CompletionService/ListChatCompletionMessages", ChatCompletionMessageList, reads=True
)
CONVERSATION_CREATE_CONVERSATION: Method[CreateConversationRequest, Conversation] = Method(
    "/parley.v1.ConversationService/CreateConversation", Conversation, keyed=True
)
CONVERSATION_GET_CONVERSATION: Method[GetConversationRequest, Conversation] = Method(
    "/parley.v1.ConversationService/GetConversation", Conversation, reads=True
)
CONVERSATION_UPDATE_CONVERSATION: Method[UpdateConversationRequest, Conversation] = Method(
    "/parley.v1.ConversationService/UpdateConversation", Conversation, keyed=True
)
CONVERSATION_DELETE_CONVERSATION: Method[DeleteConversationRequest, DeletedConversation] = Method(
    "/parley.v1.ConversationService/DeleteConversation", DeletedConversation
)
CONVERSATION_CREATE_ITEMS: Method[CreateItemsRequest, ItemList] = Method(
    "/parley.v1.ConversationService/CreateItems", ItemList, keyed=True
)
CONVERSATION_LIST_ITEMS: Method[ListItemsRequest, ItemList] = Method(
    "/parley.v1.ConversationService/ListItems", ItemList, reads=True
)
CONVERSATION_GET_ITEM: Method[GetItemRequest, Struct] = Method(
    "/parley.v1.ConversationService/GetItem", Struct, reads=True
)
CONVERSATION_DELETE_ITEM: Method[DeleteItemRequest, Conversation] = Method(
    "/parley.v1.ConversationService/DeleteItem", Conversation
)
HISTORY_EXPORT_HISTORY: Method[ExportHistoryRequest, ExportHistoryResponse] = Method(
    "/parley.v1.HistoryService/ExportHistory", ExportHistoryResponse, reads=True
)
HISTORY_IMPORT_HISTORY: Method[ImportHistoryRequest, ImportHistoryResponse] = Method(
    "/parley.v1.HistoryService/ImportHistory", ImportHistoryResponse
)
MODEL_LIST_MODELS: Method[ListModelsRequest, ListModelsResponse] = Method(
    "/parley.v1.ModelService/ListModels", ListModelsResponse, reads=True
)
MODEL_GET_MODEL: Method[GetModelRequest, Model] = Method(
    "/parley.v1.ModelService/GetModel", Model, reads=True
)
MODEL_DELETE_MODEL: Method[DeleteModelRequest, DeletedModel] = Method(
    "/parley.v1.ModelService/DeleteModel", DeletedModel
)
SESSION_CREATE_SESSION: Method[CreateSessionRequest, Session] = Method(
    "/parley.v1.SessionService/CreateSession", Session, keyed=True
)
SESSION_LIST_SESSIONS: Method[ListSessionsRequest, ListSessionsResponse] = Method(
    "/parley.v1.SessionService/ListSessions", ListSessionsResponse, reads=True
)
SESSION_GET_SESSION: Method[GetSessionRequest, Session] = Method(
    "/parley.v1.SessionService/GetSession", Session, reads=True
)
SESSION_UPDATE_SESSION: Method[UpdateSessionRequest, Session] = Method(
    "/parley.v1.SessionService/UpdateSession", Session
)
SESSION_DELETE_SESSION: Method[DeleteSessionRequest, Session] = Method(
    "/parley.v1.SessionService/DeleteSession", Session
)
SQUAD_CREATE_SQUAD: Method[CreateSquadRequest, Squad] = Method(
    "/parley.v1.SquadService/CreateSquad", Squad, keyed=True
)
SQUAD_LIST_SQUADS: Method[ListSquadsRequest, ListSquadsResponse] = Method(
    "/parley.v1.SquadService/ListSquads", ListSquadsResponse, reads=True
)
SQUAD_GET_SQUAD: Method[GetSquadRequest, Squad] = Method(
    "/parley.v1.SquadService/GetSquad", Squad, reads=True
)
SQUAD_UPDATE_SQUAD: Method[UpdateSquadRequest, Squad] = Method(
    "/parley.v1.SquadService/UpdateSquad", Squad
)
SQUAD_DELETE_SQUAD: Method[DeleteSquadRequest, Squad] = Method(
    "/parley.v1.SquadService/DeleteSquad", Squad
)
TOOL_CREATE_TOOL: Method[CreateToolRequest, Tool] = Method(
    "/parley.v1.ToolService/CreateTool", Tool, keyed=True
)
TOOL_LIST_TOOLS: Method[ListToolsRequest, ListToolsResponse] = Method(
    "/parley.v1.ToolService/ListTools", ListToolsResponse, reads=True
)
TOOL_GET_TOOL: Method[GetToolRequest, Tool] = Method(
    "/parley.v1.ToolService/GetTool", Tool, reads=True
)
TOOL_UPDATE_TOOL: Method[UpdateToolRequest, Tool] = Method(
    "/parley.v1.ToolService/UpdateTool", Tool
)
TOOL_DELETE_TOOL: Method[DeleteToolRequest, Tool] = Method(
    "/parley.v1.ToolService/DeleteTool", Tool
)
USAGE_GET_USAGE: Method[GetUsageRequest, GetUsageResponse] = Method(
    "/parley.v1.UsageService/GetUsage", GetUsageResponse, reads=True
)
