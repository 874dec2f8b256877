"""The models interface of OpenAI clients: here a model is an assistant."""

from typing import Any

from generated.parley.v1.assistant_service_pb2 import ListAssistantsRequest
from generated.parley.v1.model_service_pb2 import GetModelRequest, ListModelsRequest, ListModelsResponse, Model
from generated.parley.v1.model_service_pb2_grpc import ModelServiceServicer
from server.agents import model_not_found
from server.call import current_caller
from server.ids import parse_id
from server.storage.assistants import Assistants
from server.storage.documents import Document

_MOST = 1000


class ModelService(ModelServiceServicer):
    def __init__(self, assistants: Assistants) -> None:
        self._assistants = assistants

    async def ListModels(self, request: ListModelsRequest, context: Any) -> ListModelsResponse:
        found = await self._assistants.list(current_caller().org_id, ListAssistantsRequest(limit=_MOST))
        return ListModelsResponse(object="list", data=[_model(document) for document in found])

    async def GetModel(self, request: GetModelRequest, context: Any) -> Model:
        org_id = current_caller().org_id
        if parse_id(request.model):
            return _model(await self._assistants.get(org_id, parse_id(request.model)))
        document = await self._assistants.find(org_id, request.model)
        if document is None:
            raise model_not_found(request.model)
        return _model(document)


def _model(document: Document) -> Model:
    name = document.content.get("name")
    return Model(id=document.id, object="model", created=document.created_at // 1000, owned_by=document.org_id,
                 name=name if isinstance(name, str) else None)
