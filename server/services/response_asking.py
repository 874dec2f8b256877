"""Who answers a request for a response, and where: the door-neutral parts of `Asked`. Loads nothing."""

from dataclasses import replace

from generated.parley.v1.response_service_pb2 import CreateResponseRequest
from server.agents.names import model_not_found
from server.agents.who import Model, Who
from server.content.inputs import body_id
from server.content.json_values import to_python
from server.core.errors import InvalidArgument, ServiceError, Violation
from server.exchange.asked import After, InConversation, InSession, Where
from server.rpc.call import current_call
from server.services.asking import who_of

_GOES_ON = ("session_id", "previous_chat_id", "previous_response_id", "conversation")


def leave_out_input(request: CreateResponseRequest, *, goes_on: bool) -> None:
    """Make the input of a request without any an empty one. Raises InvalidArgument where nothing is continued."""
    if not goes_on:
        raise InvalidArgument.of(
            "input",
            "is required",
            rule="required",
        )
    request.input.list_value.SetInParent()


def goes_on(request: CreateResponseRequest) -> bool:
    """Return whether a request continues something."""
    return any(is_given(request, name) for name in _GOES_ON)


def who_in(request: CreateResponseRequest) -> Who:
    """Return who answers. `model` can name it when no other member does."""
    who = who_of(request)
    if who.name is not None or not request.model:
        return who
    return replace(who, model=Model(request.model, _unknown_model(request)))


def _unknown_model(request: CreateResponseRequest) -> ServiceError | None:
    """Return the error for a `model` that names no assistant, or None when it is ignored.

    Under `/v1` it is an error. Elsewhere it is ignored when a conversation is continued, because the OpenAI
    SDKs must send a model.
    """
    if (current_call().http_path or "").startswith("/v1/"):
        return model_not_found(request.model)
    if goes_on(request):
        return None
    return InvalidArgument(
        "model is not an assistant's id or name: send assistantId (the OpenAI SDK: "
        "extra_body={'assistantId': …}), or an assistant's id or name as model",
        violations=(Violation("model", "is not an assistant's id or name"),),
    )


def where_in(request: CreateResponseRequest) -> Where | None:
    if request.HasField("session_id"):
        return InSession(body_id(request.session_id, "sessionId"))
    if (conversation_id := _conversation_id(request)) is not None:
        return InConversation(body_id(conversation_id, "conversation"))
    for name, field in (
        ("previous_response_id", "previous_response_id"),
        ("previous_chat_id", "previousChatId"),
    ):
        if request.HasField(name):
            return After(body_id(getattr(request, name), field), field)
    return None


def _conversation_id(request: CreateResponseRequest) -> str | None:
    """Return the conversation's id, which is sent bare or in an object."""
    conversation = to_python(request.conversation)
    identifier = conversation.get("id") if isinstance(conversation, dict) else conversation
    if conversation is not None and not isinstance(identifier, str):
        raise InvalidArgument.of(
            "conversation", "must be the id of a conversation, or an object with it as id"
        )
    return identifier


def is_given(request: CreateResponseRequest, name: str) -> bool:
    """Return whether a member is sent and not null."""
    return request.HasField(name) and not (
        name == "conversation" and request.conversation.HasField("null_value")
    )
