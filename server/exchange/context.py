"""What the model is given, round after round of an exchange: who is active, prompts, what was said, tools and
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
from server.content.inputs import INSTRUCTING
from server.content.json_values import struct_from, to_python
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
    """The document of a tool that the server runs, or where a handoff leads; None: its calls go back to the
    caller."""


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
        """What tools may still send."""
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
        """Where in the messages those begin that the model is given; of what was said before, instructions
        are."""
        self._calls_left = turn.options.max_tool_calls
        self._warnings: list[ChatWarning] = []
        self.warn([*turn.warnings, *of_overrides(turn.agent.overrides)])
        self.allowance = Allowance()
        """What the templates of tools may take."""

    async def prepare(self, number: int, *, last: bool) -> None:
        """Make `request` and `offers` for a round. In the last one no tool can be called."""
        self.offers = self._offers()
        self.request = self._request(await self._prompts(), self._tool_choice(number, last=last))

    async def _prompts(self) -> list[Message]:
        """The active member's own messages; their templates share an allowance. What takes long is done in a
        thread."""
        variables, allowance = self.variables, Allowance(BRIEF)
        prompts, warnings = self.member.prompts(variables, allowance)
        if allowance.is_used_up:
            prompts, warnings = await in_thread(self.member.prompts, variables, Allowance())
        self.warn(warnings)
        return prompts

    def warn(self, warnings: Iterable[ChatWarning]) -> None:
        """Say in the chat, and in the log, what was passed over; once, though each of several rounds may find
        it."""
        for warning in map(self._of_member, warnings):
            if warning not in self._warnings and len(self._warnings) < chat_warnings.MOST:
                self._warnings.append(warning)
                log.info("passed_over", org=self._chat.org_id, chat=self._chat.id, **warning.shown())
        chat_warnings.put(self._chat, self._warnings, for_page=self._turn.caller.is_publishable)

    def _of_member(self, warning: ChatWarning) -> ChatWarning:
        """The same; of what an assistant in a squad has, with the member that it is about."""
        if not self.member.key or not (warning.param or "").startswith("model."):
            return warning
        return warning._replace(message=f"{self.member.settings.name or self.member.key}: {warning.message}")

    @property
    def variables(self) -> dict[str, Any]:
        """What fills templates: those of the session, or of the request and the squad, and what tools have
        found."""
        turn = self._turn
        if joined := turn.session or turn.new_session:
            # What the session was made with stands, but for a squad's members, which have values of their
            # own.
            own = turn.agent.values_for(self.member) if self.member.key else {}
            return {**joined.variables, **own, **self._found}
        return {**variables_of(turn.agent.values_for(self.member), self._now), **self._found}

    @property
    def state(self) -> ConversationState | None:
        """What the next exchange goes on from, beside the messages; None when there is nothing to keep."""
        if not self.member.key and not self._found:
            return None
        return ConversationState(
            member=self.member.key,
            context_from=self._from,
            variables=struct_from(self._found) if self._found else None,
        )

    @property
    def about(self) -> dict[str, Any]:
        """What a webhook is told of the chat."""
        chat = self._chat
        session = {"sessionId": chat.session_id} if chat.HasField("session_id") else {}
        return {"chat": {"id": chat.id, "orgId": chat.org_id, **session}}

    async def behind(self, destination: Destination) -> Member | None:
        """The member that a handoff leads to; None when its assistant was deleted meanwhile."""
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
        """Go on after a round: with what was said in it, what tools have found, and the member it was handed
        to."""
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
        """Leave the older half of what the model was given out of its request; False when only the last
        message is left."""
        given = len(self._messages) - max(self._first(), self._left_out)
        if given < 2:
            return False
        self._left_out = len(self._messages) - (given + 1) // 2
        self.request = replace(self.request, messages=self._given())
        return True

    def reserve_calls(self, count: int) -> int:
        """How many of so many calls may be run; they are counted."""
        if self._calls_left is None:
            return count
        reserved = min(count, self._calls_left)
        self._calls_left -= reserved
        return reserved

    def _first(self) -> int:
        """Where what the active member is given begins; at the first message when its own is gone."""
        return (
            next((at for at, message in enumerate(self._messages) if message.id == self._from), 0)
            if self._from
            else 0
        )

    def _visible(self) -> list[Message]:
        """What the active member is given of what was said."""
        first = self._first()
        if first >= self._left_out:
            return self._messages[first:]
        instructing = [
            message for message in self._messages[first : self._left_out] if message.role in INSTRUCTING
        ]
        return [*instructing, *self._messages[self._left_out :]]

    def _given(self) -> list[Message]:
        """All that the model is given."""
        return well_formed([*self._prompted, *self._turn.instructions, *self._visible()])

    def _offers(self) -> dict[str, Offer]:
        """Tools by name. Of two of one name the assistant's own stands: a request cannot replace it."""
        several = self._turn.options.n > 1  # rounds of several answers at once would be several conversations
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
            if (name := tool["function"]["name"]) in offers:
                warnings.append(of_duplicate_name(name, "tools", of_request=True))
            offers.setdefault(name, Offer(tool))
        self.warn(warnings)
        if self._allowed is None:
            return offers
        return {name: offer for name, offer in offers.items() if name in self._allowed["names"]}

    @property
    def _allowed(self) -> dict[str, Any] | None:
        """The choice that allows some tools only."""
        requested = self._turn.options.tool_choice
        return requested if isinstance(requested, dict) and requested["type"] == "allowed_tools" else None

    def _tool_choice(self, number: int, *, last: bool) -> Any:
        """A tool that had to be called has been called, when there is another round."""
        requested = self._allowed["mode"] if self._allowed else self._turn.options.tool_choice
        if last:
            return "none" if self.offers else None
        return requested if number == 0 or requested == "none" else None

    def _request(self, prompts: Sequence[Message], tool_choice: Any) -> ModelRequest:
        settings, options = self.member.settings, self._turn.options
        self._prompted = prompts
        return ModelRequest(
            provider=settings.provider,
            model=settings.model,
            url=settings.url,
            api_key=settings.api_key,
            messages=self._given(),
            temperature=settings.temperature if options.temperature is None else options.temperature,
            max_tokens=settings.max_tokens if options.max_tokens is None else options.max_tokens,
            tools=[offer.function for offer in self.offers.values()],
            thinking=settings.thinking,
            top_p=options.top_p,
            stop=options.stop,
            seed=options.seed,
            n=options.n,
            frequency_penalty=options.frequency_penalty,
            presence_penalty=options.presence_penalty,
            tool_choice=tool_choice,
            parallel_tool_calls=options.parallel_tool_calls,
            response_format=options.response_format,
            reasoning_effort=options.reasoning_effort,
            more=options.more,
            timeout_seconds=self._timeout_seconds,
            streams=self._streams,
        )
