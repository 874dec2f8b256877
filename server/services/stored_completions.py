"""The stored completions: read, listed, changed in their metadata, and deleted. Makes none.

Every exchange, from any door, is read as a completion by its id; listed are those that chat completions made.
"""

from urllib.parse import parse_qsl, urlsplit

from google.api.httpbody_pb2 import HttpBody

from generated.parley.v1.chat_completion_pb2 import (
    ChatCompletion,
    ChatCompletionList,
    ChatCompletionMessageList,
    DeletedChatCompletion,
)
from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.chat_record_pb2 import ChatRecord
from generated.parley.v1.completion_service_pb2 import (
    DeleteChatCompletionRequest,
    GetChatCompletionRequest,
    ListChatCompletionMessagesRequest,
    ListChatCompletionsRequest,
    UpdateChatCompletionRequest,
)
from server.agents.names import assistant_of_model
from server.content.fitting import presented
from server.content.json_values import to_python
from server.core.errors import FailedPrecondition, InvalidArgument, NotFound
from server.core.ids import hex_of, parse_id
from server.exchange.replay import DELETED, Replay
from server.exchange.streams import Streams
from server.rpc.call import current_call, current_caller
from server.services.nouns import calls
from server.storage.assistants import Assistants
from server.storage.chats import Chats
from server.storage.completions import Completions, Wanted
from server.storage.stored_chats import StoredChat
from server.wire import completions as wire
from server.wire.completion_chunks import completion_of, messages_page

_DEFAULT_LIMIT = 20
_MOST_MEMBERS = 16
_known_as_completion = calls("chat", "completion")


class StoredCompletions:
    """The methods of CompletionService that run no model."""

    def __init__(
        self, streams: Streams, chats: Chats, completions: Completions, assistants: Assistants
    ) -> None:
        self._streams = streams
        self._chats = chats
        self._completions = completions
        self._assistants = assistants

    @_known_as_completion
    async def GetChatCompletion(self, request: GetChatCompletionRequest, context: object) -> ChatCompletion:
        """Get one stored completion."""
        return await self._completion(request.completion_id, request.agent_id)

    async def FetchChatCompletion(self, request: GetChatCompletionRequest, context: object) -> HttpBody:
        """GetChatCompletion for HTTP."""
        return wire.completion_body(await self.GetChatCompletion(request, context))

    async def ListChatCompletions(
        self, request: ListChatCompletionsRequest, context: object
    ) -> ChatCompletionList:
        """List the stored completions."""
        found, has_more = await self._completions.list(current_caller().scope, await self._wanted(request))
        shown = [_completion(stored.chat, stored.record) for stored in found]
        page = ChatCompletionList(object="list", data=shown, has_more=has_more)
        if found:
            page.first_id, page.last_id = page.data[0].id, page.data[-1].id
        return page

    async def FetchChatCompletions(self, request: ListChatCompletionsRequest, context: object) -> HttpBody:
        """ListChatCompletions for HTTP."""
        return wire.completions_body(await self.ListChatCompletions(request, context))

    @_known_as_completion
    async def UpdateChatCompletion(
        self, request: UpdateChatCompletionRequest, context: object
    ) -> ChatCompletion:
        """Replace the metadata of a stored completion, and return it."""
        stored = await self._find(request.completion_id, request.agent_id)
        await self._completions.update(current_caller().scope, stored.id, request.metadata)
        return await self._completion(request.completion_id, request.agent_id)

    async def PostUpdateChatCompletion(
        self, request: UpdateChatCompletionRequest, context: object
    ) -> HttpBody:
        """UpdateChatCompletion for HTTP."""
        return wire.completion_body(await self.UpdateChatCompletion(request, context))

    @_known_as_completion
    async def DeleteChatCompletion(
        self, request: DeleteChatCompletionRequest, context: object
    ) -> DeletedChatCompletion:
        """Delete a stored completion."""
        scope = current_caller().scope
        stored = await self._find(request.completion_id, request.agent_id, is_over=False)
        await self._streams.cancel(scope, stored.id, DELETED)
        await self._chats.delete(scope, stored.id)
        return DeletedChatCompletion(id=_id_of(stored), object="chat.completion.deleted", deleted=True)

    @_known_as_completion
    async def ListChatCompletionMessages(
        self, request: ListChatCompletionMessagesRequest, context: object
    ) -> ChatCompletionMessageList:
        """List the messages that a stored completion answers, as they were sent."""
        stored = await self._find(request.completion_id, request.agent_id)
        limit, after = request.limit or _DEFAULT_LIMIT, None
        if request.HasField("after") and (after := parse_id(request.after)) is None:
            raise _not_after()
        messages, has_more = await self._chats.input_page(stored, after, request.order != "desc", limit)
        if after is not None:
            if not messages:
                raise _not_after()
            messages = messages[1:]
        return messages_page(messages[:limit], has_more=has_more or len(messages) > limit)

    async def _completion(self, completion_id: str, agent_id: str) -> ChatCompletion:
        stored = await self._find(completion_id, agent_id)
        return _completion(await self._chats.whole(stored), stored.record)

    async def _find(self, completion_id: str, agent_id: str, *, is_over: bool = True) -> StoredChat:
        """Return an exchange, of this agent if one is named. Raises NotFound, and FailedPrecondition for one in
        progress that is to be over."""
        agent = await self._agent_id(agent_id)
        stored = await self._chats.find(current_caller().scope, parse_id(completion_id))
        if agent is not None and stored.chat.assistant_id != agent:
            raise NotFound.of("completion")
        if is_over and not stored.is_over:
            raise FailedPrecondition(
                "the completion is still in progress; wait for its end", reason="CHAT_IN_PROGRESS"
            )
        return stored

    async def _agent_id(self, agent_id: str) -> str | None:
        """Return the id of the assistant that the path names. Raises NotFound."""
        if not agent_id:
            return None
        return (await self._assistants.get(current_caller().org_id, parse_id(agent_id))).id

    async def _wanted(self, request: ListChatCompletionsRequest) -> Wanted:
        assistant_id, model = await self._agent_id(request.agent_id), None
        if request.model:
            named = await assistant_of_model(self._assistants, current_caller(), request.model)
            model = request.model if named is None else None
            if named is not None and assistant_id in (None, named.id):
                assistant_id = named.id
            elif named is not None:
                model = request.model  # the path's assistant is another one
        after = parse_id(request.after) or request.after if request.HasField("after") else None
        return Wanted(
            after=after,
            ascending=request.order != "desc",
            limit=request.limit or _DEFAULT_LIMIT,
            assistant_id=assistant_id,
            model=model,
            metadata=_metadata(request),
        )


def _metadata(request: ListChatCompletionsRequest) -> dict[str, str]:
    """Return what the metadata is to have. Over HTTP it is in the query, as `metadata[name]=value`, which the
    transcoder cannot read into a member."""
    found: dict[str, str] = to_python(request.metadata)
    for name, value in parse_qsl(urlsplit(current_call().http_path or "").query, keep_blank_values=True):
        if name.startswith("metadata[") and name.endswith("]"):
            found[name[len("metadata[") : -1]] = value
    if len(found) > _MOST_MEMBERS:
        raise InvalidArgument.of("metadata", f"must have at most {_MOST_MEMBERS} members")
    return found


def _completion(chat: Chat, record: ChatRecord) -> ChatCompletion:
    metadata = record.completion.metadata
    return completion_of(Replay(presented(chat), record).outcome, metadata if metadata.fields else None)


def _id_of(stored: StoredChat) -> str:
    return f"chatcmpl-{hex_of(stored.id)}"


def _not_after() -> NotFound:
    return NotFound("the message named by `after` is not in this list", reason="MESSAGE_NOT_FOUND")
