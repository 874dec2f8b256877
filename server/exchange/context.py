"""The context of a model, round after round of an exchange: active member, prompts, messages, tools and
results.

Calls no model and runs no tool (`exchange/tool_loop.py` does); stores nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.chat_record_pb2 import ConversationState
from generated.parley.v1.message_pb2 import Message
from server.agents import chat_warnings
from server.agents.agents import Member
from server.agents.bounded_liquid import Allowance
from server.agents.chat_warnings import ChatWarning, of_variable
from server.agents.extracted_variables import bounded_variables
from server.agents.handoffs import Destination
from server.agents.ignored_settings import of_duplicate_name, of_overrides, of_tool_type
from server.agents.templates import BRIEF, variables_of
from server.agents.tools import function_of, is_run_here
from server.backends.backend import ModelRequest
from server.content.custom_tools import check_taken, name_of
from server.content.inputs import INSTRUCTING
from server.content.json_values import struct_from, to_python
from server.content.schemas import in_order
from server.content.well_formed import well_formed
from server.core.errors import NotFound
from server.core.offload import in_thread
from server.core.outbound.client import Outgoing
from server.exchange.turn import Turn

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Offer:
    """One tool that is offered to the model."""

    function: dict[str, Any]
    runs: dict[str, Any] | Destination | None = None
    """The document of a tool that the server runs, or the destination of a handoff; None: its calls go back
    to the caller."""


class Context:
    """The context of one exchange. Has a request once it is prepared."""

    def __init__(
        self,
        turn: Turn,
        chat: Chat,
        history: Sequence[Message],
        input_messages: Sequence[Message],
        now: int,
        timeout_seconds: float,
        outgoing: Outgoing,
        *,
        streams: bool,
    ) -> None:
        self._streams = streams
        self.outgoing = outgoing
        """The budget of requests that tools may still send."""
        self._turn = turn
        self._chat = chat
        self._messages = [*history, *input_messages]
        self._now = now
        self._timeout_seconds = timeout_seconds
        state = turn.state
        self.member = turn.agent.member
        self._from = (
            state.context_from if state and self.member.key and state.member == self.member.key else ""
        )
        self._found: dict[str, Any] = (
            to_python(state.variables) if state and state.HasField("variables") else {}
        )
        self._left_out = 0
        """Index of the first message that the model is given; of those before it, only instructions are."""
        self._calls_left = turn.options.max_tool_calls
        self._warnings: list[ChatWarning] = []
        self.warn([*turn.warnings, *of_overrides(turn.agent.overrides)])
        self.allowance = Allowance()
        """The budget for rendering the templates of tools."""

    async def prepare(self, number: int, *, last: bool) -> None:
        """Set `request` and `offers` for a round. In the last one no tool can be called."""
        self.offers = self._offers()
        self.request = self._request(await self._prompts(), self._tool_choice(number, last=last))

    async def _prompts(self) -> list[Message]:
        """Return the active member's own messages, whose templates share an allowance. Long rendering moves
        to a thread."""
        variables, allowance = self.variables, Allowance(BRIEF)
        prompts, warnings = self.member.prompts(variables, allowance)
        if allowance.is_used_up:
            prompts, warnings = await in_thread(self.member.prompts, variables, Allowance())
        self.warn(warnings)
        return prompts

    def warn(self, warnings: Iterable[ChatWarning]) -> None:
        """Add warnings to the chat and to the log; each once, though several rounds may find it."""
        for warning in map(self._of_member, warnings):
            if warning not in self._warnings and len(self._warnings) < chat_warnings.MOST:
                self._warnings.append(warning)
                log.info("passed_over", org=self._chat.org_id, chat=self._chat.id, **warning.shown())
        chat_warnings.put(self._chat, self._warnings, for_page=self._turn.caller.is_publishable)

    def _of_member(self, warning: ChatWarning) -> ChatWarning:
        """Return the warning; in a squad, one about the assistant's model names the member."""
        if not self.member.key or not (warning.param or "").startswith("model."):
            return warning
        return warning._replace(message=f"{self.member.settings.name or self.member.key}: {warning.message}")

    @property
    def variables(self) -> dict[str, Any]:
        """Variables for templates: those of the session, or of the request and the squad, then those that
        tools extracted."""
        turn = self._turn
        if joined := turn.session or turn.new_session:
            # The session's variables are fixed when it is made, except for members of a squad, which have
            # their own.
            own = turn.agent.values_for(self.member) if self.member.key else {}
            return {**joined.variables, **own, **self._found}
        return {**variables_of(turn.agent.values_for(self.member), self._now), **self._found}

    @property
    def state(self) -> ConversationState | None:
        """The state, beside the messages, from which the next exchange continues; None when there is nothing
        to keep."""
        if not self.member.key and not self._found:
            return None
        return ConversationState(
            member=self.member.key,
            context_from=self._from,
            variables=struct_from(self._found) if self._found else None,
        )

    @property
    def about(self) -> dict[str, Any]:
        """Description of the chat for a webhook."""
        chat = self._chat
        session = {"sessionId": chat.session_id} if chat.HasField("session_id") else {}
        return {"chat": {"id": chat.id, "orgId": chat.org_id, **session}}

    async def behind(self, destination: Destination) -> Member | None:
        """Return the member that a handoff leads to; None when its assistant has been deleted meanwhile."""
        load = self._turn.agent.load
        assert load is not None
        try:
            return await load(destination.member)
        except NotFound:
            return None

    def add(
        self,
        messages: Sequence[Message],
        found: Mapping[str, Any],
        handed: tuple[Destination, Member] | None = None,
    ) -> None:
        """Continue after a round: with its messages, the variables that tools extracted, and the member that
        took over."""
        if handed is not None:
            destination, self.member = handed
            self._from = destination.context_from(self._visible()) or self._from
        self._found, left_out = bounded_variables({**self._found, **found})
        self.warn(map(of_variable, left_out))
        self._messages += messages

    @property
    def truncates(self) -> bool:
        """Whether a context that is too long for the model may be cut at its beginning."""
        return self._turn.options.truncates

    def shorten(self) -> bool:
        """Drop the older half of the messages from the request; False when only the last one is left."""
        given = len(self._messages) - max(self._first(), self._left_out)
        if given < 2:
            return False
        self._left_out = len(self._messages) - (given + 1) // 2
        self.request = replace(self.request, messages=self._given())
        return True

    def reserve_calls(self, count: int) -> int:
        """Count up to `count` calls against the request's limit, and return how many may run."""
        if self._calls_left is None:
            return count
        reserved = min(count, self._calls_left)
        self._calls_left -= reserved
        return reserved

    def _first(self) -> int:
        """Return the index where the active member's messages begin; 0 when its first message is gone."""
        return (
            next((at for at, message in enumerate(self._messages) if message.id == self._from), 0)
            if self._from
            else 0
        )

    def _visible(self) -> list[Message]:
        """Return the messages that the active member sees."""
        first = self._first()
        if first >= self._left_out:
            return self._messages[first:]
        instructing = [
            message for message in self._messages[first : self._left_out] if message.role in INSTRUCTING
        ]
        return [*instructing, *self._messages[self._left_out :]]

    def _given(self) -> list[Message]:
        """Return everything that the model is given."""
        return well_formed([*self._prompted, *self._turn.instructions, *self._visible()])

    def _offers(self) -> dict[str, Offer]:
        """Return the tools by name. The assistant's own wins over another of the same name: a request cannot
        replace it."""
        several = self._turn.options.n > 1  # several choices with tool rounds would be several conversations
        offers: dict[str, Offer] = {}
        warnings = list(self.member.warnings)
        for index, tool in enumerate(self.member.tools):
            param = f"model.tools[{index}]" if index < len(self.member.settings.tools) else "model.toolIds"
            if not (function := function_of(tool)):
                warnings.append(of_tool_type(tool, param))
            elif (name := function["function"]["name"]) in offers:
                warnings.append(of_duplicate_name(name, param))
            else:
                offers[name] = Offer(function, tool if is_run_here(tool) and not several else None)
        for destination in () if several else self.member.destinations:
            if destination.tool in offers:
                warnings.append(of_duplicate_name(destination.tool, "assistantDestinations"))
            offers.setdefault(destination.tool, Offer(destination.function, destination))
        for tool in self._turn.options.tools:
            if (name := name_of(tool)) in offers:
                warnings.append(of_duplicate_name(name, "tools", of_request=True))
            offers.setdefault(name, Offer(tool))
        self.warn(warnings)
        if self._allowed is None:
            return offers
        return {name: offer for name, offer in offers.items() if name in self._allowed["names"]}

    @property
    def _allowed(self) -> dict[str, Any] | None:
        """The tool choice that allows some tools only."""
        requested = self._turn.options.tool_choice
        return requested if isinstance(requested, dict) and requested["type"] == "allowed_tools" else None

    def _tool_choice(self, number: int, *, last: bool) -> Any:
        """Return the choice for a round: after the first one a required tool has already been called."""
        requested = self._allowed["mode"] if self._allowed else self._turn.options.tool_choice
        if last:
            return "none" if self.offers else None
        return requested if number == 0 or requested == "none" else None

    def _request(self, prompts: Sequence[Message], tool_choice: Any) -> ModelRequest:
        settings, options = self.member.settings, self._turn.options
        check_taken(settings.provider, options.tools, options.tool_choice, options.custom_places)
        self._prompted = prompts
        return ModelRequest(
            provider=settings.provider,
            model=settings.model,
            url=settings.url,
            api_key=settings.api_key,
            messages=self._given(),
            temperature=settings.temperature if options.temperature is None else options.temperature,
            max_tokens=settings.max_tokens if options.max_tokens is None else options.max_tokens,
            tools=[in_order(offer.function) for offer in self.offers.values()],
            thinking=settings.thinking,
            top_p=options.top_p,
            stop=options.stop,
            seed=options.seed,
            n=options.n,
            frequency_penalty=options.frequency_penalty,
            presence_penalty=options.presence_penalty,
            tool_choice=tool_choice,
            parallel_tool_calls=options.parallel_tool_calls,
            response_format=in_order(options.response_format),
            reasoning_effort=options.reasoning_effort,
            reasoning_summary=options.reasoning_summary,
            more=options.more,
            timeout_seconds=self._timeout_seconds,
            streams=self._streams,
        )
