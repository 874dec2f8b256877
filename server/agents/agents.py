"""Finds who answers: a stored or transient assistant, or the active member of a squad, with its settings for
a model call.

Reads documents and fills templates; calls no model and writes nothing.
"""

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from google.protobuf.struct_pb2 import Struct, Value

from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.chat_record_pb2 import ConversationState
from generated.parley.v1.message_pb2 import Message
from generated.parley.v1.session_pb2 import Session
from server.agents import model_providers
from server.agents.bounded_liquid import Allowance
from server.agents.chat_warnings import ChatWarning, of_fault
from server.agents.documents import check_assistant, check_squad, merge_patch, tool_ids
from server.agents.handoffs import Destination, Seat, handoffs, overridden, seats, stored_id
from server.agents.ignored_settings import (
    of_destinations,
    of_knowledge_base,
    of_missing_member,
    of_missing_tool,
)
from server.agents.model_providers import Fault, check_providers
from server.agents.names import (
    MEMBER_BYTES,
    assistant_of_model,
    check_handoffs,
    model_without_assistant,
    stored_names,
)
from server.agents.templates import render
from server.agents.who import StoredAssistant, StoredSquad, TransientAssistant, TransientSquad, Who
from server.content.json_values import struct_from, to_python
from server.content.secrets import mask_secrets
from server.core.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied
from server.core.ids import parse_id
from server.core.offload import by_size
from server.storage.documents import Document
from server.storage.keys import Caller
from server.storage.store import Store

DEFAULT_PROVIDER = "offline"
DEFAULT_MODEL = "offline-1"
_INSTRUCTION_MODE = "chatSystemInstructionMode"
_ITS_OWN = object()


class Prompt(NamedTuple):
    """One of an assistant's own messages."""

    role: str
    text: str
    param: str
    """The member that has the text."""


@dataclass(frozen=True, slots=True)
class AssistantSettings:
    """The settings of an assistant document that an exchange uses."""

    name: str
    provider: str
    model: str
    prompts: tuple["Prompt", ...]
    """The assistant's own messages, templates not yet filled."""
    temperature: float | None
    max_tokens: int | None
    thinking: dict[str, Any] | None
    url: str | None
    api_key: str | None = field(repr=False)
    tools: tuple[dict[str, Any], ...]
    """Its own tools, as documents."""
    tool_ids: tuple[str, ...]
    """The stored tools it offers besides."""
    first_message: str | None
    allows_system_messages: bool
    agent_type: str | None
    exposes_reasoning: bool = False
    """Whether publishable keys may read the model's reasoning."""
    knowledge_base: dict[str, Any] | None = field(default=None, repr=False)
    """The assistant's `model.knowledgeBase`."""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "AssistantSettings":
        """Read the settings of a document that `check_assistant` accepted."""
        model = document.get("model") or {}
        provider = model.get("provider") or DEFAULT_PROVIDER
        metadata = document.get("metadata") or {}
        speaks_first = document.get("firstMessageMode", "assistant-speaks-first") == "assistant-speaks-first"
        return cls(
            name=document.get("name") or "",
            provider=provider,
            model=model.get("model") or (DEFAULT_MODEL if provider == DEFAULT_PROVIDER else ""),
            prompts=tuple(prompts_of(model)),
            temperature=model.get("temperature"),
            max_tokens=model.get("maxTokens"),
            thinking=model.get("thinking"),
            url=model.get("url") or None,
            api_key=_api_key(document, provider),
            tools=tuple(model.get("tools") or ()),
            tool_ids=tuple(tool_ids(document)),
            first_message=(document.get("firstMessage") or None) if speaks_first else None,
            allows_system_messages=document.get(_INSTRUCTION_MODE) == "allow",
            agent_type=metadata.get("agentType") if isinstance(metadata.get("agentType"), str) else None,
            exposes_reasoning=document.get("exposeReasoning") is True,
            knowledge_base=model.get("knowledgeBase"),
        )


@dataclass(frozen=True, slots=True)
class Member:
    """An assistant that can answer, alone or as a member of a squad."""

    settings: AssistantSettings
    tools: tuple[dict[str, Any], ...] = ()
    """The documents of all the tools it offers."""
    variable_values: dict[str, Any] = field(default_factory=dict)
    """Template values from its squad: the member's own, overridden by those for all members."""
    key: str = ""
    """Its key in a squad; empty outside of squads."""
    destinations: tuple[Destination, ...] = ()
    warnings: tuple[ChatWarning, ...] = ()
    """About parts of its document, and of its squad's, that have no effect."""

    def prompts(
        self, variables: Mapping[str, Any], allowance: Allowance
    ) -> tuple[list[Message], list[ChatWarning]]:
        """Return the assistant's own messages with templates filled, and warnings about their faults."""
        messages, warnings = [], []
        for role, text, param in self.settings.prompts:
            part = allowance.part()
            messages.append(Message(role=role, content=Value(string_value=render(text, variables, part))))
            warnings += [of_fault(fault, param) for fault in part.faults]
        return messages, warnings


@dataclass(frozen=True, slots=True)
class Agent:
    """The assistant or squad that answers, and how the request named it."""

    member: Member
    """The member that is active when the exchange begins."""
    load: Callable[[str], Awaitable[Member]] | None = None
    """Finds another member of the squad by its key. Raises NotFound when its assistant is gone."""
    others_accept_instructions: Callable[[], Awaitable[bool]] | None = None
    """Finds out whether every other member of the squad lets callers instruct the model."""
    assistant_id: str | None = None
    assistant: dict[str, Any] | None = None
    """The transient assistant as sent, secrets included."""
    squad_id: str | None = None
    squad: dict[str, Any] | None = None
    """The transient squad as sent, secrets included."""
    overrides: dict[str, Any] | None = None
    """The `assistantOverrides` of the request, as sent."""

    @property
    def settings(self) -> AssistantSettings:
        """The settings of the active member when the exchange begins."""
        return self.member.settings

    @property
    def variable_values(self) -> dict[str, Any]:
        """The values for templates; the request's override those of the squad."""
        return self.values_for(self.member)

    def values_for(self, member: Member) -> dict[str, Any]:
        """Return the template values for another member of the squad."""
        return {**member.variable_values, **_variable_values(self.overrides or {})}

    @property
    def private(self) -> dict[str, Any] | None:
        """Return the state that a later turn needs and callers must not see."""
        transient = {"assistant": self.assistant, "squad": self.squad}
        return {name: document for name, document in transient.items() if document is not None} or None

    async def accepts_instructions(self) -> bool:
        """Whether every possible member lets callers instruct the model."""
        return self.settings.allows_system_messages and (
            self.others_accept_instructions is None or await self.others_accept_instructions()
        )

    def describe(self, record: Chat | Session) -> None:
        """Record the agent on a Chat or a Session, with secrets masked."""
        if self.assistant_id is not None:
            record.assistant_id = self.assistant_id
        if self.squad_id is not None:
            record.squad_id = self.squad_id
        for name, document in (
            ("assistant", self.assistant),
            ("squad", self.squad),
            ("assistant_overrides", self.overrides),
        ):
            if document is not None:
                getattr(record, name).CopyFrom(struct_from(mask_secrets(document)))


class Agents:
    """Finds who answers. Settings of stored assistants are parsed once for each version."""

    def __init__(
        self,
        store: Store,
        provider_fault: Fault = lambda provider, url: None,
        models_without_assistant: bool = False,
    ) -> None:
        """`provider_fault` returns why a transient assistant is refused because of its model's provider."""
        self._store = store
        self._models_without_assistant = models_without_assistant
        self._provider_fault = provider_fault
        self._settings: dict[tuple[str, str, int], AssistantSettings] = {}
        """By org, id and version."""

    async def named(self, caller: Caller, who: Who, state: ConversationState | None = None) -> Agent | None:
        """Return the assistant or squad of `who.name`; None when it is unset.

        `state` names the active member of the squad in the conversation that the request continues.
        """
        overrides = who.overrides
        if not isinstance((overrides or {}).get("variableValues"), dict | None):
            raise InvalidArgument.of("assistantOverrides.variableValues", "must be an object")
        match who.name:
            case StoredAssistant(assistant_id):
                return await self.stored(caller, assistant_id, overrides)
            case TransientAssistant(document):
                return await self._transient(caller, await self._checked_assistant(document), overrides)
            case StoredSquad(squad_id):
                squad = await self._store.squads.get(caller.org_id, squad_id)
                return await self._squad(caller, squad.content, state, overrides=overrides, squad_id=squad.id)
            case TransientSquad(document):
                content = await self._checked_squad(caller, document)
                return await self._squad(caller, content, state, overrides=overrides, squad=content)
        return None

    async def stored(
        self,
        caller: Caller,
        assistant_id: str | None,
        overrides: dict[str, Any] | None = None,
        *,
        version: int | None = None,
    ) -> Agent:
        """Return the stored assistant of this id. Raises NotFound, also for an invalid id. `version` is its
        version, when the caller has just read it."""
        document = await self._store.assistants.get(caller.org_id, assistant_id, version)
        return await self._of(caller, document, overrides)

    async def named_by_model(self, caller: Caller, who: Who) -> Agent | None:
        """Return the stored assistant whose id or name is `who.model`, or the model PROVIDER/MODEL without an
        assistant, where the operator allows it. Raises InvalidArgument for a name that several have."""
        if who.model is None:
            return None
        document = await assistant_of_model(self._store.assistants, caller, who.model.name)
        if document is not None:
            return await self._of(caller, document, who.overrides)
        provider, _, model = who.model.name.partition("/")
        if provider and model and self._provider_fault(provider, None) is None:
            if self._models_without_assistant:
                return await self._of_model(caller, provider, model, who.overrides)
            if who.model.unknown is not None:
                raise model_without_assistant(who.model.name, who.model.unknown)
        if who.model.unknown is not None:
            raise who.model.unknown
        return None

    async def _of_model(
        self, caller: Caller, provider: str, model: str, overrides: dict[str, Any] | None
    ) -> Agent:
        """Return a model with no instructions of an assistant's: those of the request are all it gets."""
        if caller.is_publishable:
            raise PermissionDenied.of(
                "model", "names a model of a provider, which a publishable key cannot send; name an assistant"
            )
        content = {"model": {"provider": provider, "model": model}, _INSTRUCTION_MODE: "allow"}
        return await self._transient(caller, content, overrides)

    async def _checked_assistant(self, document: Struct) -> dict[str, Any]:
        content: dict[str, Any] = to_python(document)
        await by_size(document.ByteSize(), check_assistant, content, "assistant")
        check_providers(model_providers.of_assistant(content, "assistant"), self._provider_fault)
        return content

    async def _checked_squad(self, caller: Caller, document: Struct) -> dict[str, Any]:
        content: dict[str, Any] = to_python(document)
        await by_size(document.ByteSize(), check_squad, content, "squad")
        check_providers(model_providers.of_squad(content, "squad"), self._provider_fault)
        await check_handoffs(self._store.assistants, caller, content, "squad")
        return content

    async def again(
        self,
        caller: Caller,
        record: Any,
        private: dict[str, Any] | None,
        state: ConversationState | None,
        overrides: dict[str, Any] | None = None,
        *,
        version: int | None = None,
    ) -> Agent | None:
        """Return the agent that answered in a stored Chat or Session; None when it names none. `version` is that of
        its assistant, when the caller has just read it.

        Raises FailedPrecondition when that assistant is gone.
        """
        overrides = overrides or _document(record, "assistant_overrides")
        private = private or {}
        try:
            if "squad" in private:
                return await self._squad(
                    caller, private["squad"], state, overrides=overrides, squad=private["squad"]
                )
            if "assistant" in private:
                return await self._transient(caller, private["assistant"], overrides)
            if record.HasField("squad_id"):
                squad = await self._store.squads.get(caller.org_id, record.squad_id)
                return await self._squad(caller, squad.content, state, overrides=overrides, squad_id=squad.id)
            if record.HasField("assistant_id"):
                return await self.stored(caller, record.assistant_id, overrides, version=version)
        except NotFound:
            raise FailedPrecondition(
                "the assistant of this conversation was deleted; begin a new one"
            ) from None
        return None

    async def _of(self, caller: Caller, document: Document, overrides: dict[str, Any] | None = None) -> Agent:
        member = await self._member(caller, self._settings_of(document))
        return Agent(member, assistant_id=document.id, overrides=overrides)

    async def _transient(
        self, caller: Caller, content: dict[str, Any], overrides: dict[str, Any] | None
    ) -> Agent:
        member = await self._member(caller, AssistantSettings.of(content))
        return Agent(member, assistant=content, overrides=overrides)

    async def _squad(
        self, caller: Caller, content: dict[str, Any], state: ConversationState | None, **named: Any
    ) -> Agent:
        """Return the squad with the member that `state` names as active, or its first. Deleted members are
        left out.

        Only the names of other members are read: settings, tools and handoffs are those of the active one.
        """
        entries = content["members"]
        stored = await stored_names(self._store.assistants, caller, entries)
        size = len(entries) * MEMBER_BYTES
        seated = await by_size(size, seats, content, stored)
        missing = [
            of_missing_member(place)
            for place, entry in enumerate(entries)
            if not isinstance(entry.get("assistant"), dict) and stored_id(entry) not in stored
        ]
        names = {key: seat.name or f"member {place}" for place, (key, seat) in enumerate(seated.items(), 1)}

        async def load(key: str) -> Member:
            settings, values = await self._in_squad(caller, seated[key].entry, content)
            destinations = await by_size(size, handoffs, seated[key].entry, key, names)
            warnings = missing + await by_size(size, of_destinations, seated[key], names)
            return await self._member(caller, settings, values, key, destinations, warnings)

        first = next(iter(seated), None)
        if first is None or seated[first].entry is not entries[0]:
            raise NotFound("assistant not found", reason="ASSISTANT_NOT_FOUND")
        active = await load(state.member if state and state.member in seated else first)
        return Agent(
            active, load, partial(self._all_accept_instructions, caller, content, seated.values()), **named
        )

    async def _all_accept_instructions(
        self, caller: Caller, squad: dict[str, Any], seated: Iterable[Seat]
    ) -> bool:
        for seat in seated:
            with contextlib.suppress(NotFound):  # the member was deleted meanwhile, and will not answer
                own = overridden(squad, seat.entry, _INSTRUCTION_MODE, _ITS_OWN)
                if own is _ITS_OWN:
                    own = (await self._assistant_of(caller, seat.entry)).get(_INSTRUCTION_MODE)
                if own != "allow":
                    return False
        return True

    async def _assistant_of(self, caller: Caller, entry: Mapping[str, Any]) -> dict[str, Any]:
        """Return the assistant of a member, without overrides. Raises NotFound."""
        if isinstance(own := entry.get("assistant"), dict):
            return own
        return (await self._store.assistants.get(caller.org_id, stored_id(entry))).content

    async def _in_squad(
        self, caller: Caller, entry: Mapping[str, Any], squad: dict[str, Any]
    ) -> tuple[AssistantSettings, dict[str, Any]]:
        """Return the settings of a member and its template values: its own overrides, then those for all
        members."""
        given = [
            over
            for over in (entry.get("assistantOverrides"), squad.get("membersOverrides"))
            if isinstance(over, dict)
        ]
        values: dict[str, Any] = {}
        for overrides in given:
            values |= _variable_values(overrides)
        changes = [
            {name: value for name, value in over.items() if name != "variableValues"} for over in given
        ]
        if isinstance(entry.get("assistant"), dict):
            content = entry["assistant"]
        else:
            document = await self._store.assistants.get(
                caller.org_id, parse_id(str(entry.get("assistantId")))
            )
            if not any(changes):
                return self._settings_of(document), values
            content = document.content
        for change in changes:
            content = merge_patch(content, change)
        return AssistantSettings.of(content), values

    async def _member(
        self,
        caller: Caller,
        settings: AssistantSettings,
        values: dict[str, Any] | None = None,
        key: str = "",
        destinations: tuple[Destination, ...] = (),
        warnings: Sequence[ChatWarning] = (),
    ) -> Member:
        tools, found = list(settings.tools), [*warnings, *of_knowledge_base(settings.knowledge_base)]
        for index, tool_id in enumerate(settings.tool_ids):
            try:
                tools.append((await self._store.tools.get(caller.org_id, parse_id(tool_id))).content)
            except NotFound:  # a deleted tool is no longer offered
                found.append(of_missing_tool(index))
        return Member(settings, tuple(tools), values or {}, key, destinations, tuple(found))

    def _settings_of(self, document: Document) -> AssistantSettings:
        key = document.org_id, document.id, document.version
        settings = self._settings.get(key)
        if settings is None:
            settings = self._settings[key] = AssistantSettings.of(document.content)
            if len(self._settings) > 1024:
                del self._settings[next(iter(self._settings))]
        return settings


def _variable_values(overrides: Mapping[str, Any]) -> dict[str, Any]:
    given = overrides.get("variableValues")
    return given if isinstance(given, dict) else {}


def prompts_of(model: Mapping[str, Any]) -> list[Prompt]:
    """Return the prompts of an assistant's model: systemPrompt first, then its messages."""
    system = model.get("systemPrompt")
    prompts = [Prompt("system", system, "model.systemPrompt")] if isinstance(system, str) and system else []
    for index, message in enumerate(model.get("messages") or ()):
        member = "content" if "content" in message else "message"
        if isinstance(text := message.get(member), str):
            prompts.append(Prompt(message.get("role") or "system", text, f"model.messages[{index}].{member}"))
    return prompts


def _api_key(document: Mapping[str, Any], provider: str) -> str | None:
    for credential in document.get("credentials") or ():
        if credential.get("provider") == provider and isinstance(key := credential.get("apiKey"), str):
            return key
    return None


def _document(record: Any, name: str) -> dict[str, Any] | None:
    struct: Struct = getattr(record, name)
    return to_python(struct) if record.HasField(name) else None


NOBODY = Member(AssistantSettings.of({}))
"""The member of a session without an assistant. It answers nothing."""
