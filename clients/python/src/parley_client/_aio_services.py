"""The services of the async client. Written by scripts/generate from the protos; edit nothing here."""

from functools import cached_property

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
from parley_client import _methods
from parley_client._aio import AsyncConnection, AsyncStream
from parley_client._timeout import DEFAULT, Default, chosen


class AsyncAgentChatCalls:
    """The methods of AgentChatService."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def create(
        self, request: CreateAgentChatRequest, *, timeout: float | Default | None = DEFAULT, idempotency_key: str | None = None
    ) -> AgentChat:
        """Creates an empty chat with an agent and calls no model."""
        return await self._connection.unary(
            _methods.AGENT_CHAT_CREATE_AGENT_CHAT, request, chosen(timeout, self._connection.options.timeout), idempotency_key
        )

    async def list(
        self, request: ListAgentChatsRequest, *, timeout: float | Default | None = DEFAULT
    ) -> ListAgentChatsResponse:
        """Lists the org's chats, newest first, 1,000 at most."""
        return await self._connection.unary(
            _methods.AGENT_CHAT_LIST_AGENT_CHATS, request, chosen(timeout, self._connection.options.timeout), None
        )

    async def get(
        self, request: GetAgentChatRequest, *, timeout: float | Default | None = DEFAULT
    ) -> AgentChatWithMessages:
        """Gets one chat with all its messages."""
        return await self._connection.unary(
            _methods.AGENT_CHAT_GET_AGENT_CHAT, request, chosen(timeout, self._connection.options.timeout), None
        )

    async def delete(
        self, request: DeleteAgentChatRequest, *, timeout: float | Default | None = DEFAULT
    ) -> Empty:
        """Deletes a chat with its messages; HTTP answers 204 without a body."""
        return await self._connection.unary(
            _methods.AGENT_CHAT_DELETE_AGENT_CHAT, request, chosen(timeout, self._connection.options.timeout), None
        )

    async def create_message(
        self, request: CreateMessageRequest, *, timeout: float | Default | None = DEFAULT, idempotency_key: str | None = None
    ) -> AgentMessage:
        """Sends a message to a chat and returns the agent's reply, once both are on disk."""
        return await self._connection.unary(
            _methods.AGENT_CHAT_CREATE_MESSAGE, request, chosen(timeout, self._connection.options.timeout), idempotency_key
        )

    async def list_messages(
        self, request: ListMessagesRequest, *, timeout: float | Default | None = DEFAULT
    ) -> ListMessagesResponse:
        """Lists the messages of a chat, oldest first."""
        return await self._connection.unary(
            _methods.AGENT_CHAT_LIST_MESSAGES, request, chosen(timeout, self._connection.options.timeout), None
        )

    def stream_message(
        self, request: CreateMessageRequest, *, timeout: float | None = None, idempotency_key: str | None = None
    ) -> AsyncStream[ChatEvent]:
        """Sends a message to a chat and streams the reply as it is generated."""
        return self._connection.stream(
            _methods.AGENT_CHAT_STREAM_MESSAGE, request, timeout, idempotency_key
        )


class AsyncAssistantCalls:
    """The methods of AssistantService."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def create(
        self, request: CreateAssistantRequest, *, timeout: float | Default | None = DEFAULT, idempotency_key: str | None = None
    ) -> Assistant:
        """Creates an assistant."""
        return await self._connection.unary(
            _methods.ASSISTANT_CREATE_ASSISTANT, request, chosen(timeout, self._connection.options.timeout), idempotency_key
        )

    async def list(
        self, request: ListAssistantsRequest, *, timeout: float | Default | None = DEFAULT
    ) -> ListAssistantsResponse:
        """Lists the org's assistants, newest first."""
        return await self._connection.unary(
            _methods.ASSISTANT_LIST_ASSISTANTS, request, chosen(timeout, self._connection.options.timeout), None
        )

    async def get(
        self, request: GetAssistantRequest, *, timeout: float | Default | None = DEFAULT
    ) -> Assistant:
        """Gets one assistant."""
        return await self._connection.unary(
            _methods.ASSISTANT_GET_ASSISTANT, request, chosen(timeout, self._connection.options.timeout), None
        )

    async def update(
        self, request: UpdateAssistantRequest, *, timeout: float | Default | None = DEFAULT
    ) -> Assistant:
        """Changes an assistant."""
        return await self._connection.unary(
            _methods.ASSISTANT_UPDATE_ASSISTANT, request, chosen(timeout, self._connection.options.timeout), None
        )

    async def delete(
        self, request: DeleteAssistantRequest, *, timeout: float | Default | None = DEFAULT
    ) -> Assistant:
        """Deletes an assistant and returns its last state."""
        return await self._connection.unary(
            _methods.ASSISTANT_DELETE_ASSISTANT, request, chosen(timeout, self._connection.options.timeout), None
        )


class AsyncChatCalls:
    """The methods of ChatService."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def create(
        self, request: CreateChatRequest, *, timeout: float | Default | None = DEFAULT, idempotency_key: str | None = None
    ) -> Chat:
        """Runs one exchange and returns it once it is on disk."""
        return await self._connection.unary(
            _methods.CHAT_CREATE_CHAT, request, chosen(timeout, self._connection.options.timeout), idempotency_key
        )

    def stream(
        self, request: CreateChatRequest, *, timeout: float | None = None, idempotency_key: str | None = None
    ) -> AsyncStream[ChatEvent]:
        """Runs one exchange and streams its events."""
        return self._connection.stream(
            _methods.CHAT_STREAM_CHAT, request, timeout, idempotency_key
        )

    def watch(
        self, request: WatchChatRequest, *, timeout: float | None = None
    ) -> AsyncStream[ChatEvent]:
        """Streams the events of an exchange, running or over, from any point on, each event exactly once, even after a restart of the server."""
        return self._connection.stream(
            _methods.CHAT_WATCH_CHAT, request, timeout, None
        )

    async def list(
        self, request: ListChatsRequest, *, timeout: float | Default | None = DEFAULT
    ) -> ListChatsResponse:
        """Lists the org's chats from every door, newest first."""
        return await self._connection.unary(
            _methods.CHAT_LIST_CHATS, request, chosen(timeout, self._connection.options.timeout), None
        )

    async def get(
        self, request: GetChatRequest, *, timeout: float | Default | None = DEFAULT
    ) -> Chat:
        """Gets one chat with its whole context."""
        return await self._connection.unary(
            _methods.CHAT_GET_CHAT, request, chosen(timeout, self._connection.options.timeout), None
        )

    async def delete(
        self, request: DeleteChatRequest, *, timeout: float | Default | None = DEFAULT
    ) -> Chat:
        """Deletes one chat and returns its last state."""
        return await self._connection.unary(
            _methods.CHAT_DELETE_CHAT, request, chosen(timeout, self._connection.options.timeout), None
        )


class AsyncResponseCalls:
    """The methods of ResponseService."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def create(
        self, request: CreateResponseRequest, *, timeout: float | Default | None = DEFAULT, idempotency_key: str | None = None
    ) -> Response:
        """Runs one exchange and returns it once it is on disk."""
        return await self._connection.unary(
            _methods.RESPONSE_CREATE_RESPONSE, request, chosen(timeout, self._connection.options.timeout), idempotency_key
        )

    def stream(
        self, request: CreateResponseRequest, *, timeout: float | None = None, idempotency_key: str | None = None
    ) -> AsyncStream[ResponseStreamEvent]:
        """Runs one exchange and streams its events."""
        return self._connection.stream(
            _methods.RESPONSE_STREAM_RESPONSE, request, timeout, idempotency_key
        )

    async def get(
        self, request: GetResponseRequest, *, timeout: float | Default | None = DEFAULT
    ) -> Response:
        """Gets one exchange in the Responses form, from any door."""
        return await self._connection.unary(
            _methods.RESPONSE_GET_RESPONSE, request, chosen(timeout, self._connection.options.timeout), None
        )

    def watch(
        self, request: GetResponseRequest, *, timeout: float | None = None
    ) -> AsyncStream[ResponseStreamEvent]:
        """Streams the events of an exchange, running or over, from any point on, each exactly once, even after a restart of the server."""
        return self._connection.stream(
            _methods.RESPONSE_WATCH_RESPONSE, request, timeout, None
        )

    async def delete(
        self, request: DeleteResponseRequest, *, timeout: float | Default | None = DEFAULT
    ) -> DeletedResponse:
        """Deletes an exchange."""
        return await self._connection.unary(
            _methods.RESPONSE_DELETE_RESPONSE, request, chosen(timeout, self._connection.options.timeout), None
        )

    async def cancel(
        self, request: CancelResponseRequest, *, timeout: float | Default | None = DEFAULT, idempotency_key: str | None = None
    ) -> Response:
        """Cancels a running exchange; its output so far is stored, with the status cancelled."""
        return await self._connection.unary(
            _methods.RESPONSE_CANCEL_RESPONSE, request, chosen(timeout, self._connection.options.timeout), idempotency_key
        )

    async def compact(
        self, request: CompactResponseRequest, *, timeout: float | Default | None = DEFAULT, idempotency_key: str | None = None
    ) -> CompactedResponse:
        """Replaces a context by a summary that the model writes."""
        return await self._connection.unary(
            _methods.RESPONSE_COMPACT_RESPONSE, request, chosen(timeout, self._connection.options.timeout), idempotency_key
        )

    async def count_input_tokens(
        self, request: CountInputTokensRequest, *, timeout: float | Default | None = DEFAULT, idempotency_key: str | None = None
    ) -> InputTokens:
        """Counts the tokens of the context that CreateResponse would give the model, without running it."""
        return await self._connection.unary(
            _methods.RESPONSE_COUNT_INPUT_TOKENS, request, chosen(timeout, self._connection.options.timeout), idempotency_key
        )

    async def list_input_items(
        self, request: ListInputItemsRequest, *, timeout: float | Default | None = DEFAULT
    ) -> ItemList:
        """Lists the input of an exchange as input items."""
        return await self._connection.unary(
            _methods.RESPONSE_LIST_INPUT_ITEMS, request, chosen(timeout, self._connection.options.timeout), None
        )


class AsyncCompletionCalls:
    """The methods of CompletionService."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def create(
        self, request: CreateChatCompletionRequest, *, timeout: float | Default | None = DEFAULT, idempotency_key: str | None = None
    ) -> ChatCompletion:
        """Answers a conversation."""
        return await self._connection.unary(
            _methods.COMPLETION_CREATE_CHAT_COMPLETION, request, chosen(timeout, self._connection.options.timeout), idempotency_key
        )

    def stream(
        self, request: CreateChatCompletionRequest, *, timeout: float | None = None, idempotency_key: str | None = None
    ) -> AsyncStream[ChatCompletionChunk]:
        """Answers a conversation as a stream."""
        return self._connection.stream(
            _methods.COMPLETION_STREAM_CHAT_COMPLETION, request, timeout, idempotency_key
        )

    async def get(
        self, request: GetChatCompletionRequest, *, timeout: float | Default | None = DEFAULT
    ) -> ChatCompletion:
        """Gets one exchange as a completion, from any door."""
        return await self._connection.unary(
            _methods.COMPLETION_GET_CHAT_COMPLETION, request, chosen(timeout, self._connection.options.timeout), None
        )

    async def list_chat_completions(
        self, request: ListChatCompletionsRequest, *, timeout: float | Default | None = DEFAULT
    ) -> ChatCompletionList:
        """Lists the stored completions."""
        return await self._connection.unary(
            _methods.COMPLETION_LIST_CHAT_COMPLETIONS, request, chosen(timeout, self._connection.options.timeout), None
        )

    async def update(
        self, request: UpdateChatCompletionRequest, *, timeout: float | Default | None = DEFAULT, idempotency_key: str | None = None
    ) -> ChatCompletion:
        """Replaces the metadata of a stored completion, and returns it."""
        return await self._connection.unary(
            _methods.COMPLETION_UPDATE_CHAT_COMPLETION, request, chosen(timeout, self._connection.options.timeout), idempotency_key
        )

    async def delete(
        self, request: DeleteChatCompletionRequest, *, timeout: float | Default | None = DEFAULT
    ) -> DeletedChatCompletion:
        """Deletes a stored completion."""
        return await self._connection.unary(
            _methods.COMPLETION_DELETE_CHAT_COMPLETION, request, chosen(timeout, self._connection.options.timeout), None
        )

    async def list_chat_completion_messages(
        self, request: ListChatCompletionMessagesRequest, *, timeout: float | Default | None = DEFAULT
    ) -> ChatCompletionMessageList:
        """Lists the messages that a stored completion answers, as they were sent."""
        return await self._connection.unary(
            _methods.COMPLETION_LIST_CHAT_COMPLETION_MESSAGES, request, chosen(timeout, self._connection.options.timeout), None
        )


class AsyncConversationCalls:
    """The methods of ConversationService."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def create(
        self, request: CreateConversationRequest, *, timeout: float | Default | None = DEFAULT, idempotency_key: str | None = None
    ) -> Conversation:
        """Creates a conversation, with items if any are given."""
        return await self._connection.unary(
            _methods.CONVERSATION_CREATE_CONVERSATION, request, chosen(timeout, self._connection.options.timeout), idempotency_key
        )

    async def get(
        self, request: GetConversationRequest, *, timeout: float | Default | None = DEFAULT
    ) -> Conversation:
        """Gets one conversation."""
        return await self._connection.unary(
            _methods.CONVERSATION_GET_CONVERSATION, request, chosen(timeout, self._connection.options.timeout), None
        )

    async def update(
        self, request: UpdateConversationRequest, *, timeout: float | Default | None = DEFAULT, idempotency_key: str | None = None
    ) -> Conversation:
        """Replaces the metadata of a conversation."""
        return await self._connection.unary(
            _methods.CONVERSATION_UPDATE_CONVERSATION, request, chosen(timeout, self._connection.options.timeout), idempotency_key
        )

    async def delete(
        self, request: DeleteConversationRequest, *, timeout: float | Default | None = DEFAULT
    ) -> DeletedConversation:
        """Deletes a conversation with its items."""
        return await self._connection.unary(
            _methods.CONVERSATION_DELETE_CONVERSATION, request, chosen(timeout, self._connection.options.timeout), None
        )

    async def create_items(
        self, request: CreateItemsRequest, *, timeout: float | Default | None = DEFAULT, idempotency_key: str | None = None
    ) -> ItemList:
        """Appends items to a conversation and returns them."""
        return await self._connection.unary(
            _methods.CONVERSATION_CREATE_ITEMS, request, chosen(timeout, self._connection.options.timeout), idempotency_key
        )

    async def list_items(
        self, request: ListItemsRequest, *, timeout: float | Default | None = DEFAULT
    ) -> ItemList:
        """Lists the items of a conversation."""
        return await self._connection.unary(
            _methods.CONVERSATION_LIST_ITEMS, request, chosen(timeout, self._connection.options.timeout), None
        )

    async def get_item(
        self, request: GetItemRequest, *, timeout: float | Default | None = DEFAULT
    ) -> Struct:
        """Gets one item of a conversation, in the form that the list has."""
        return await self._connection.unary(
            _methods.CONVERSATION_GET_ITEM, request, chosen(timeout, self._connection.options.timeout), None
        )

    async def delete_item(
        self, request: DeleteItemRequest, *, timeout: float | Default | None = DEFAULT
    ) -> Conversation:
        """Deletes one item of a conversation and returns the conversation."""
        return await self._connection.unary(
            _methods.CONVERSATION_DELETE_ITEM, request, chosen(timeout, self._connection.options.timeout), None
        )


class AsyncHistoryCalls:
    """The methods of HistoryService."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    def export(
        self, request: ExportHistoryRequest, *, timeout: float | None = None
    ) -> AsyncStream[ExportHistoryResponse]:
        """Streams the lines of the org, or of one session with its exchanges, as of this moment."""
        return self._connection.stream(
            _methods.HISTORY_EXPORT_HISTORY, request, timeout, None
        )

    async def import_(
        self, request: ImportHistoryRequest, *, timeout: float | Default | None = DEFAULT
    ) -> ImportHistoryResponse:
        """Imports some lines of an export, in the order of the export."""
        return await self._connection.unary(
            _methods.HISTORY_IMPORT_HISTORY, request, chosen(timeout, self._connection.options.timeout), None
        )


class AsyncModelCalls:
    """The methods of ModelService."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def list(
        self, request: ListModelsRequest, *, timeout: float | Default | None = DEFAULT
    ) -> ListModelsResponse:
        """Lists the org's assistants as models, newest first, 1,000 at most."""
        return await self._connection.unary(
            _methods.MODEL_LIST_MODELS, request, chosen(timeout, self._connection.options.timeout), None
        )

    async def get(
        self, request: GetModelRequest, *, timeout: float | Default | None = DEFAULT
    ) -> Model:
        """Gets one assistant as a model."""
        return await self._connection.unary(
            _methods.MODEL_GET_MODEL, request, chosen(timeout, self._connection.options.timeout), None
        )

    async def delete(
        self, request: DeleteModelRequest, *, timeout: float | Default | None = DEFAULT
    ) -> DeletedModel:
        """Deletes the assistant that is this model, at every door."""
        return await self._connection.unary(
            _methods.MODEL_DELETE_MODEL, request, chosen(timeout, self._connection.options.timeout), None
        )


class AsyncSessionCalls:
    """The methods of SessionService."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def create(
        self, request: CreateSessionRequest, *, timeout: float | Default | None = DEFAULT, idempotency_key: str | None = None
    ) -> Session:
        """Creates a session."""
        return await self._connection.unary(
            _methods.SESSION_CREATE_SESSION, request, chosen(timeout, self._connection.options.timeout), idempotency_key
        )

    async def list(
        self, request: ListSessionsRequest, *, timeout: float | Default | None = DEFAULT
    ) -> ListSessionsResponse:
        """Lists the org's sessions, newest first, without their messages."""
        return await self._connection.unary(
            _methods.SESSION_LIST_SESSIONS, request, chosen(timeout, self._connection.options.timeout), None
        )

    async def get(
        self, request: GetSessionRequest, *, timeout: float | Default | None = DEFAULT
    ) -> Session:
        """Gets one session with its messages."""
        return await self._connection.unary(
            _methods.SESSION_GET_SESSION, request, chosen(timeout, self._connection.options.timeout), None
        )

    async def update(
        self, request: UpdateSessionRequest, *, timeout: float | Default | None = DEFAULT
    ) -> Session:
        """Changes a session."""
        return await self._connection.unary(
            _methods.SESSION_UPDATE_SESSION, request, chosen(timeout, self._connection.options.timeout), None
        )

    async def delete(
        self, request: DeleteSessionRequest, *, timeout: float | Default | None = DEFAULT
    ) -> Session:
        """Deletes a session with its exchanges and returns its last state."""
        return await self._connection.unary(
            _methods.SESSION_DELETE_SESSION, request, chosen(timeout, self._connection.options.timeout), None
        )


class AsyncSquadCalls:
    """The methods of SquadService."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def create(
        self, request: CreateSquadRequest, *, timeout: float | Default | None = DEFAULT, idempotency_key: str | None = None
    ) -> Squad:
        """Creates a squad."""
        return await self._connection.unary(
            _methods.SQUAD_CREATE_SQUAD, request, chosen(timeout, self._connection.options.timeout), idempotency_key
        )

    async def list(
        self, request: ListSquadsRequest, *, timeout: float | Default | None = DEFAULT
    ) -> ListSquadsResponse:
        """Lists the org's squads, newest first."""
        return await self._connection.unary(
            _methods.SQUAD_LIST_SQUADS, request, chosen(timeout, self._connection.options.timeout), None
        )

    async def get(
        self, request: GetSquadRequest, *, timeout: float | Default | None = DEFAULT
    ) -> Squad:
        """Gets one squad."""
        return await self._connection.unary(
            _methods.SQUAD_GET_SQUAD, request, chosen(timeout, self._connection.options.timeout), None
        )

    async def update(
        self, request: UpdateSquadRequest, *, timeout: float | Default | None = DEFAULT
    ) -> Squad:
        """Changes a squad."""
        return await self._connection.unary(
            _methods.SQUAD_UPDATE_SQUAD, request, chosen(timeout, self._connection.options.timeout), None
        )

    async def delete(
        self, request: DeleteSquadRequest, *, timeout: float | Default | None = DEFAULT
    ) -> Squad:
        """Deletes a squad and returns its last state."""
        return await self._connection.unary(
            _methods.SQUAD_DELETE_SQUAD, request, chosen(timeout, self._connection.options.timeout), None
        )


class AsyncToolCalls:
    """The methods of ToolService."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def create(
        self, request: CreateToolRequest, *, timeout: float | Default | None = DEFAULT, idempotency_key: str | None = None
    ) -> Tool:
        """Creates a tool."""
        return await self._connection.unary(
            _methods.TOOL_CREATE_TOOL, request, chosen(timeout, self._connection.options.timeout), idempotency_key
        )

    async def list(
        self, request: ListToolsRequest, *, timeout: float | Default | None = DEFAULT
    ) -> ListToolsResponse:
        """Lists the org's tools, newest first."""
        return await self._connection.unary(
            _methods.TOOL_LIST_TOOLS, request, chosen(timeout, self._connection.options.timeout), None
        )

    async def get(
        self, request: GetToolRequest, *, timeout: float | Default | None = DEFAULT
    ) -> Tool:
        """Gets one tool."""
        return await self._connection.unary(
            _methods.TOOL_GET_TOOL, request, chosen(timeout, self._connection.options.timeout), None
        )

    async def update(
        self, request: UpdateToolRequest, *, timeout: float | Default | None = DEFAULT
    ) -> Tool:
        """Changes a tool."""
        return await self._connection.unary(
            _methods.TOOL_UPDATE_TOOL, request, chosen(timeout, self._connection.options.timeout), None
        )

    async def delete(
        self, request: DeleteToolRequest, *, timeout: float | Default | None = DEFAULT
    ) -> Tool:
        """Deletes a tool and returns its last state."""
        return await self._connection.unary(
            _methods.TOOL_DELETE_TOOL, request, chosen(timeout, self._connection.options.timeout), None
        )


class AsyncUsageCalls:
    """The methods of UsageService."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get(
        self, request: GetUsageRequest, *, timeout: float | Default | None = DEFAULT
    ) -> GetUsageResponse:
        """Sums the tokens and the cost of the org's exchanges, including deleted ones."""
        return await self._connection.unary(
            _methods.USAGE_GET_USAGE, request, chosen(timeout, self._connection.options.timeout), None
        )


class AsyncServices:
    """Every service of one connection."""

    _connection: AsyncConnection

    @cached_property
    def agent_chats(self) -> AsyncAgentChatCalls:
        """The methods of AgentChatService."""
        return AsyncAgentChatCalls(self._connection)

    @cached_property
    def assistants(self) -> AsyncAssistantCalls:
        """The methods of AssistantService."""
        return AsyncAssistantCalls(self._connection)

    @cached_property
    def chats(self) -> AsyncChatCalls:
        """The methods of ChatService."""
        return AsyncChatCalls(self._connection)

    @cached_property
    def responses(self) -> AsyncResponseCalls:
        """The methods of ResponseService."""
        return AsyncResponseCalls(self._connection)

    @cached_property
    def completions(self) -> AsyncCompletionCalls:
        """The methods of CompletionService."""
        return AsyncCompletionCalls(self._connection)

    @cached_property
    def conversations(self) -> AsyncConversationCalls:
        """The methods of ConversationService."""
        return AsyncConversationCalls(self._connection)

    @cached_property
    def history(self) -> AsyncHistoryCalls:
        """The methods of HistoryService."""
        return AsyncHistoryCalls(self._connection)

    @cached_property
    def models(self) -> AsyncModelCalls:
        """The methods of ModelService."""
        return AsyncModelCalls(self._connection)

    @cached_property
    def sessions(self) -> AsyncSessionCalls:
        """The methods of SessionService."""
        return AsyncSessionCalls(self._connection)

    @cached_property
    def squads(self) -> AsyncSquadCalls:
        """The methods of SquadService."""
        return AsyncSquadCalls(self._connection)

    @cached_property
    def tools(self) -> AsyncToolCalls:
        """The methods of ToolService."""
        return AsyncToolCalls(self._connection)

    @cached_property
    def usage(self) -> AsyncUsageCalls:
        """The methods of UsageService."""
        return AsyncUsageCalls(self._connection)
