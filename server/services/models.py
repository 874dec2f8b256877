"""The models interface of OpenAI clients, in which a model is an assistant."""

from generated.parley.v1.model_service_pb2 import (
    GetModelRequest,
    ListModelsRequest,
    ListModelsResponse,
    Model,
)
from generated.parley.v1.model_service_pb2_grpc import ModelServiceServicer
from server.agents.names import assistant_of_model, model_not_found
from server.rpc.call import current_caller
from server.storage.assistants import Assistants
from server.storage.documents import Document

_MOST = 1000


class ModelService(ModelServiceServicer):
    """Lists assistants as models, for OpenAI clients."""

    def __init__(self, assistants: Assistants) -> None:
        self._assistants = assistants

    async def ListModels(self, request: ListModelsRequest, context: object) -> ListModelsResponse:
        """List the org's assistants as models, newest first, 1,000 at most."""
        found, has_more = await self._assistants.names(current_caller().org_id, _MOST)
        return ListModelsResponse(
            object="list", data=[_model(*named) for named in found], has_more=has_more or None
        )

    async def GetModel(self, request: GetModelRequest, context: object) -> Model:
        """Get one assistant as a model."""
        document = await assistant_of_model(self._assistants, current_caller(), request.model)
        if document is None:
            raise model_not_found(request.model)
        return _of(document)


def _of(document: Document) -> Model:
    name = document.content.get("name")
    return _model(document.id, document.org_id, name if isinstance(name, str) else None, document.created_at)


def _model(document_id: str, org_id: str, name: str | None, created_at: int) -> Model:
    return Model(id=document_id, object="model", created=created_at // 1000, owned_by=org_id, name=name)
