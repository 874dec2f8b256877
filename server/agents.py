"""Who answers: a stored or transient assistant, or the first member of a squad, with what a model call needs of it.

Reads documents and fills templates; calls no model and writes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.struct_pb2 import Struct, Value

from generated.parley.v1.message_pb2 import Message
from server.documents import check_assistant, check_squad, mask_secrets
from server.errors import FailedPrecondition, NotFound, PermissionDenied, Violation
from server.ids import parse_id
from server.inputs import body_id
from server.json_values import struct_from, to_python
from server.storage.documents import Document
from server.storage.keys import Caller
from server.storage.store import Store
from server.templates import render

DEFAULT_PROVIDER = "offline"
DEFAULT_MODEL = "offline-1"


@dataclass(frozen=True, slots=True)
class AssistantSettings:
    """What an exchange acts on in an assistant document (seed 003)."""

    provider: str
    model: str
    prompts: tuple[tuple[str, str], ...]
    """Role and text of the assistant's own messages, templates not yet filled."""
    temperature: float | None
    max_tokens: int | None
    thinking: dict[str, Any] | None
    url: str | None
    api_key: str | None = field(repr=False)
    tools: tuple[dict[str, Any], ...]
    first_message: str | None
    allows_system_messages: bool
    agent_type: str | None
    knowledge_base: dict[str, Any] | None = field(default=None, repr=False)
    """The assistant's `model.knowledgeBase`."""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "AssistantSettings":
        """Read a document that `check_assistant` accepted."""
        model = document.get("model") or {}
        provider = model.get("provider") or DEFAULT_PROVIDER
        metadata = document.get("metadata") or {}
        speaks_first = document.get("firstMessageMode", "assistant-speaks-first") == "assistant-speaks-first"
        return cls(
            provider=provider,
            model=model.get("model") or (DEFAULT_MODEL if provider == DEFAULT_PROVIDER else ""),
            prompts=tuple(_prompts(model)),
            temperature=model.get("temperature"),
            max_tokens=model.get("maxTokens"),
            thinking=model.get("thinking"),
            url=model.get("url") or None,
            api_key=_api_key(document, provider),
            tools=tuple(tool for tool in model.get("tools") or () if tool.get("type") == "function" and "function" in tool),
            first_message=(document.get("firstMessage") or None) if speaks_first else None,
            allows_system_messages=document.get("chatSystemInstructionMode") == "allow",
            agent_type=metadata.get("agentType") if isinstance(metadata.get("agentType"), str) else None,
            knowledge_base=model.get("knowledgeBase"))


@dataclass(frozen=True, slots=True)
class Agent:
    """Who answers, and how it was named."""

    settings: AssistantSettings
    assistant_id: str | None = None
    assistant: dict[str, Any] | None = None
    """The transient assistant as sent, secrets included."""
    squad_id: str | None = None
    squad: dict[str, Any] | None = None
    """The transient squad as sent, secrets included."""
    overrides: dict[str, Any] | None = None
    """The `assistantOverrides` of the request, as sent."""
    squad_overrides: tuple[dict[str, Any], ...] = ()
    """What the squad has for all its members, then for this one."""

    @property
    def variable_values(self) -> dict[str, Any]:
        """The values for templates; the request's win over the member's, those over the squad's."""
        values: dict[str, Any] = {}
        for overrides in (*self.squad_overrides, self.overrides or {}):
            given = overrides.get("variableValues")
            values |= given if isinstance(given, dict) else {}
        return values

    @property
    def private(self) -> dict[str, Any] | None:
        """What a later turn needs and callers must not see."""
        kept = {"assistant": self.assistant, "squad": self.squad}
        return {name: document for name, document in kept.items() if document is not None} or None

    def prompts(self, variables: Mapping[str, Any]) -> list[Message]:
        """The assistant's own messages, templates filled."""
        return [Message(role=role, content=Value(string_value=render(text, variables)))
                for role, text in self.settings.prompts]

    def describe(self, record: Any) -> None:
        """Say on a Chat or a Session who answers, with secrets masked."""
        if self.assistant_id is not None:
            record.assistant_id = self.assistant_id
        if self.squad_id is not None:
            record.squad_id = self.squad_id
        for name, document in (("assistant", self.assistant), ("squad", self.squad),
                               ("assistant_overrides", self.overrides)):
            if document is not None:
                getattr(record, name).CopyFrom(struct_from(mask_secrets(document)))


class Agents:
    """Finds who answers. Settings of stored assistants are read once for each version."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._settings: dict[tuple[str, int], AssistantSettings] = {}

    async def named(self, caller: Caller, request: Any) -> Agent | None:
        """Who the assistantId, assistant, squadId or squad of a request names; None when it names nobody."""
        overrides = _document(request, "assistant_overrides")
        if request.HasField("assistant_id"):
            return await self.stored(caller, request.assistant_id, overrides)
        if request.HasField("assistant"):
            return self._transient(caller, _document(request, "assistant") or {}, overrides)
        if request.HasField("squad_id"):
            squad = await self._store.squads.get(caller.org_id, body_id(request.squad_id, "squadId"))
            return await self._first_member(caller, squad.content, overrides, squad_id=squad.id)
        if request.HasField("squad"):
            content = _document(request, "squad") or {}
            _refuse_publishable(caller, "squad")
            check_squad(content, "squad")
            return await self._first_member(caller, content, overrides, squad=content)
        return None

    async def stored(self, caller: Caller, assistant_id: str, overrides: dict[str, Any] | None = None,
                     field_name: str = "assistantId") -> Agent:
        """The stored assistant of this id. Raises NotFound."""
        document = await self._store.assistants.get(caller.org_id, body_id(assistant_id, field_name))
        return Agent(self._settings_of(document), assistant_id=document.id, overrides=overrides)

    async def in_path(self, caller: Caller, assistant_id: str) -> Agent:
        """The stored assistant of an id in a path. Raises NotFound, also for what is no id."""
        document = await self._store.assistants.get(caller.org_id, parse_id(assistant_id))
        return Agent(self._settings_of(document), assistant_id=document.id)

    async def by_model(self, caller: Caller, model: str) -> Agent | None:
        """The stored assistant whose id or name `model` is."""
        if parse_id(model):
            try:
                return await self.in_path(caller, model)
            except NotFound:
                return None
        document = await self._store.assistants.find(caller.org_id, model)
        return Agent(self._settings_of(document), assistant_id=document.id) if document else None

    async def again(self, caller: Caller, record: Any, private: dict[str, Any] | None,
                    overrides: dict[str, Any] | None = None) -> Agent:
        """Who answered in a stored Chat or Session. Raises FailedPrecondition when that assistant is gone."""
        overrides = overrides or _document(record, "assistant_overrides")
        private = private or {}
        try:
            if "squad" in private:
                return await self._first_member(caller, private["squad"], overrides, squad=private["squad"])
            if "assistant" in private:
                document = private["assistant"]
                return Agent(AssistantSettings.of(document), assistant=document, overrides=overrides)
            if record.HasField("squad_id"):
                squad = await self._store.squads.get(caller.org_id, record.squad_id)
                return await self._first_member(caller, squad.content, overrides, squad_id=squad.id)
            if record.HasField("assistant_id"):
                return await self.stored(caller, record.assistant_id, overrides)
        except NotFound:
            raise FailedPrecondition("the assistant of this conversation was deleted; begin a new one") from None
        return Agent(AssistantSettings.of({}), overrides=overrides)

    def _transient(self, caller: Caller, content: dict[str, Any], overrides: dict[str, Any] | None) -> Agent:
        _refuse_publishable(caller, "assistant")
        check_assistant(content, "assistant")
        return Agent(AssistantSettings.of(content), assistant=content, overrides=overrides)

    async def _first_member(self, caller: Caller, squad: dict[str, Any], overrides: dict[str, Any] | None, /,
                            **named: Any) -> Agent:
        member = squad["members"][0]
        if isinstance(member.get("assistant"), dict):
            settings = AssistantSettings.of(member["assistant"])
        else:
            document = await self._store.assistants.get(caller.org_id, parse_id(str(member.get("assistantId"))))
            settings = self._settings_of(document)
        squad_overrides = tuple(given for given in (squad.get("membersOverrides"), member.get("assistantOverrides"))
                                if isinstance(given, dict))
        return Agent(settings, overrides=overrides, squad_overrides=squad_overrides, **named)

    def _settings_of(self, document: Document) -> AssistantSettings:
        key = document.id, document.version
        settings = self._settings.get(key)
        if settings is None:
            settings = self._settings[key] = AssistantSettings.of(document.content)
            if len(self._settings) > 1024:
                del self._settings[next(iter(self._settings))]
        return settings


def model_not_found(model: str) -> NotFound:
    """The error of OpenAI's interfaces for a `model` that names no assistant."""
    return NotFound(f"The model '{model[:100]}' does not exist; send the id or the name of an assistant.",
                    reason="MODEL_NOT_FOUND", violations=(Violation("model", "does not exist"),))


def _prompts(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    system = model.get("systemPrompt")
    prompts = [("system", system)] if isinstance(system, str) and system else []
    for message in model.get("messages") or ():
        text = message.get("content", message.get("message"))
        if isinstance(text, str):
            prompts.append((message.get("role") or "system", text))
    return prompts


def _api_key(document: Mapping[str, Any], provider: str) -> str | None:
    for credential in document.get("credentials") or ():
        if credential.get("provider") == provider and isinstance(credential.get("apiKey"), str):
            return credential["apiKey"]
    return None


def _document(record: Any, name: str) -> dict[str, Any] | None:
    struct: Struct = getattr(record, name)
    return to_python(struct) if record.HasField(name) else None


def _refuse_publishable(caller: Caller, field_name: str) -> None:
    if caller.is_publishable:
        raise PermissionDenied(f"a publishable key cannot send its own {field_name}; name a stored one by its id")
