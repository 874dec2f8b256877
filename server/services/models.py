"""The models interface of OpenAI clients, in which a model is an assistant.

Under an assistant's own path the only model is the one that it runs: the value that `model` may have there.
"""

from urllib.parse import unquote

from generated.parley.v1.model_service_pb2 import (
    DeletedModel,
    DeleteModelRequest,
    GetModelRequest,
    ListModelsRequest,
    ListModelsResponse,
    Model,
)
from generated.parley.v1.model_service_pb2_grpc import ModelServiceServicer
from server.agents.agents import AssistantSettings
from server.agents.names import assistant_of_model, model_not_found
from server.core.ids import parse_id
from server.rpc.call import current_caller
from server.storage.assistants import Assistants
from server.storage.documents import Document

_MOST = 1000


class ModelService(ModelServiceServicer):
    """Lists and deletes assistants as models, for OpenAI clients."""

    def __init__(self, assistants: Assistants) -> None:
        self._assistants = assistants

    async def ListModels(self, request: ListModelsRequest, context: object) -> ListModelsResponse:
        """List the org's assistants as models, newest first, 1,000 at most."""
        if request.agent_id:
            return ListModelsResponse(object="list", data=[await self._own(request.agent_id)])
        found, has_more = await self._assistants.names(current_caller().org_id, _MOST)
        return ListModelsResponse(
            object="list", data=[_model(*named) for named in found], has_more=has_more or None
        )

    async def GetModel(self, request: GetModelRequest, context: object) -> Model:
        """Get one assistant as a model."""
        if not request.agent_id:
            return _of(await self._named(request.model))
        own = await self._own(request.agent_id)
        if own.id != unquote(request.model):
            raise model_not_found(request.model)
        return own

    async def DeleteModel(self, request: DeleteModelRequest, context: object) -> DeletedModel:
        """Delete the assistant that is this model, at every door."""
        document = await self._named(request.model)
        await self._assistants.delete(document.org_id, document.id)
        return DeletedModel(id=document.id, object="model", deleted=True)

    async def _named(self, model: str) -> Document:
        """Return the assistant that `model` names. Raises NotFound."""
        document = await assistant_of_model(self._assistants, current_caller(), model)
        if document is None:
            raise model_not_found(model)
        return document

    async def _own(self, agent_id: str) -> Model:
        """Return the model that an assistant runs. Raises NotFound."""
        document = await self._assistants.get(current_caller().org_id, parse_id(agent_id))
        model = _of(document)
        model.id = AssistantSettings.of(document.content).model
        return model


def _of(document: Document) -> Model:
    name = document.content.get("name")
    return _model(document.id, document.org_id, name if isinstance(name, str) else None, document.created_at)


def _model(document_id: str, org_id: str, name: str | None, created_at: int) -> Model:
    return Model(id=document_id, object="model", created=created_at // 1000, owned_by=org_id, name=name)
