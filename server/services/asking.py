"""Translates members that requests of several services share into the door-neutral parts of `Asked`."""

from generated.parley.v1.chat_service_pb2 import CreateChatRequest
from generated.parley.v1.response_service_pb2 import CreateResponseRequest
from generated.parley.v1.session_service_pb2 import CreateSessionRequest
from server.agents.who import Name, StoredAssistant, StoredSquad, TransientAssistant, TransientSquad, Who
from server.content.inputs import body_id
from server.content.json_values import to_python


def who_of(request: CreateChatRequest | CreateResponseRequest | CreateSessionRequest) -> Who:
    """Return who answers by the request's assistantId, assistant, squadId or squad. Raises InvalidArgument
    for an invalid id."""
    overrides = to_python(request.assistant_overrides) if request.HasField("assistant_overrides") else None
    return Who(_name_in(request), overrides=overrides)


def _name_in(request: CreateChatRequest | CreateResponseRequest | CreateSessionRequest) -> Name | None:
    if request.HasField("assistant_id"):
        return StoredAssistant(body_id(request.assistant_id, "assistantId"))
    if request.HasField("assistant"):
        return TransientAssistant(request.assistant)
    if request.HasField("squad_id"):
        return StoredSquad(body_id(request.squad_id, "squadId"))
    if request.HasField("squad"):
        return TransientSquad(request.squad)
    return None
