"""Exchanges of one session run one after the other, at whatever door they come in: the next knows what was
answered.

The model is `tests/upstream.py`; the engine's own queue is tested in `tests/test_session_turns.py`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import running
from tests.contract.doors import CallError, Door, door_to, read
from tests.contract.test_streams import BEGINNING, assistant_of
from tests.upstream import STALL, Answer, OpenAIUpstream, openai_text

MANY = 8
DOORS: dict[str, Callable[[Door, str, str, str], Awaitable[Any]]] = {
    "chat": lambda door, session, agent, text: door.create_chat(input=text, sessionId=session),
    "streamed chat": lambda door, session, agent, text: read(door.stream_chat(input=text, sessionId=session)),
    "response": lambda door, session, agent, text: door.create_response(input=text, sessionId=session),
    "streamed response": lambda door, session, agent, text: read(
        door.stream_response(input=text, sessionId=session)
    ),
    "conversation": lambda door, session, agent, text: door.create_response(
        input=text, conversation=session, assistantId=agent
    ),
    "message": lambda door, session, agent, text: door.create_message(chatId=session, content=text),
    "completion": lambda door, session, agent, text: door.create_completion(
        agent_id=agent, store_in_session=session, messages=[{"role": "user", "content": text}]
    ),
    "streamed completion": lambda door, session, agent, text: read(
        door.stream_completion(
            agent_id=agent, store_in_session=session, messages=[{"role": "user", "content": text}]
        )
    ),
}


NOUNS = {"conversation": "conversation", "message": "chat"}
"""What the session is called at a door, where it is not session."""


class Scene:
    """A session with an assistant whose model is scripted."""

    def __init__(self, door: Door, upstream: OpenAIUpstream, agent: str, session: str) -> None:
        self.door = door
        self.upstream = upstream
        self.agent = agent
        self.session = session

    async def history(self) -> list[tuple[str, str]]:
        messages = (await self.door.get_session(id=self.session))["messages"]
        return [(message["role"], message["content"]) for message in messages]


@asynccontextmanager
async def scene_at(door: Door, answers: Answer | list[Answer]) -> AsyncIterator[Scene]:
    async with OpenAIUpstream(answers) as upstream:
        agent = await assistant_of(door, upstream)
        yield Scene(door, upstream, agent, (await door.create_session(assistantId=agent))["id"])


async def test_exchanges_that_come_at_once_are_answered_one_after_the_other(door: Door) -> None:
    async with scene_at(door, [openai_text(f"answer {number}") for number in range(MANY)]) as scene:
        senders = list(DOORS.values())
        await asyncio.gather(
            *(
                senders[number % len(senders)](door, scene.session, scene.agent, f"question {number}")
                for number in range(MANY)
            )
        )

        history = await scene.history()
        contexts = [
            [message["content"] for message in request.body["messages"]]
            for request in scene.upstream.requests
        ]

    assert [role for role, _ in history] == ["user", "assistant"] * MANY
    assert [text for role, text in history if role == "assistant"] == [
        f"answer {number}" for number in range(MANY)
    ]
    assert contexts == [[text for _, text in history[: 2 * number + 1]] for number in range(MANY)]


@asynccontextmanager
async def impatient(tmp_path: Path, kind: str, answers: list[Answer]) -> AsyncIterator[Scene]:
    """Where an exchange waits for a twentieth of a second only."""
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(
            running(tmp_path, turn_wait_seconds=0.05, upstream_allow_hosts="127.0.0.1")
        )
        door = await stack.enter_async_context(door_to(kind, service, await service.new_org()))
        yield await stack.enter_async_context(scene_at(door, answers))


@pytest.mark.parametrize("kind", ["grpc", "rest"])
async def test_exchange_that_waits_too_long_is_refused_and_may_be_tried_again(
    tmp_path: Path, kind: str
) -> None:
    async with impatient(tmp_path, kind, [Answer([*BEGINNING, STALL]), openai_text("Now")]) as scene:
        refusals = {}
        async with scene.door.stream_chat(input="Hi", sessionId=scene.session) as events:
            await anext(events)
            for name, send_text in DOORS.items():
                with pytest.raises(CallError) as refused:
                    await one(send_text, scene)
                refusals[name] = refused.value

        async with asyncio.timeout(5):
            await scene.upstream.disconnected.wait()
        again = await once_free(scene, "And now?")
        history = await scene.history()

    assert {
        name: (refusal.status, refusal.text.partition(" still busy")[0]) for name, refusal in refusals.items()
    } == {name: (409, f"the {NOUNS.get(name, 'session')} is") for name in DOORS}
    assert again["output"][0]["content"] == "Now"
    assert [text for _, text in history] == ["Hi", "Hello wor", "And now?", "Now"]


async def once_free(scene: Scene, text: str) -> dict[str, Any]:
    """An exchange that is tried again while what was hung up on is not yet on record."""
    while True:
        try:
            found: dict[str, Any] = await scene.door.create_chat(input=text, sessionId=scene.session)
            return found
        except CallError as busy:
            assert busy.status == 409


async def one(send_text: Callable[..., Awaitable[Any]], scene: Scene) -> None:
    """One exchange; a stream's error is raised, too."""
    answered = await send_text(scene.door, scene.session, scene.agent, "Me too")
    if error := getattr(answered, "error", None):
        raise CallError(409, error, answered)


async def test_refusals_have_the_shape_of_their_door(tmp_path: Path) -> None:
    async with impatient(tmp_path, "rest", [Answer([*BEGINNING, STALL])]) as scene:
        async with scene.door.stream_chat(input="Hi", sessionId=scene.session) as events:
            await anext(events)
            shapes = {}
            for name in ("chat", "response", "completion", "message"):
                with pytest.raises(CallError) as refused:
                    await one(DOORS[name], scene)
                answer = refused.value.answer
                shapes[name] = sorted(answer.json()), answer.status_code, "retry-after" in answer.headers

    assert shapes == {
        "chat": (["error", "message", "statusCode"], 409, True),
        "response": (["error"], 409, True),
        "completion": (["detail", "error"], 409, True),
        "message": (["error", "message", "retryAfter"], 409, True),
    }


async def test_chains_fork_instead_of_waiting(door: Door) -> None:
    async with scene_at(
        door, [openai_text("root"), Answer([*BEGINNING, STALL]), openai_text("other branch")]
    ) as scene:
        root = await door.create_chat(input="Hi", assistantId=scene.agent)
        async with door.stream_chat(input="left", previousChatId=root["id"]) as events:
            await anext(events)
            other = await door.create_chat(input="right", previousChatId=root["id"])

    assert other["output"][0]["content"] == "other branch"


async def test_other_requests_of_a_busy_session_do_not_wait(door: Door) -> None:
    async with scene_at(door, Answer([*BEGINNING, STALL])) as scene:
        async with door.stream_chat(input="Hi", sessionId=scene.session) as events:
            await anext(events)
            changed = await door.update_session(id=scene.session, name="renamed")
            gone = await door.delete_session(id=scene.session)

    assert (changed["name"], gone["id"]) == ("renamed", scene.session)


@pytest.mark.parametrize("form", DOORS)
async def test_exchange_is_refused_as_its_door_says_it_when_the_session_is_completed_while_it_waits(
    door: Door, form: str
) -> None:
    async with scene_at(door, [Answer([*BEGINNING, STALL]), openai_text("too late")]) as scene:
        async with door.stream_chat(input="Hi", sessionId=scene.session) as events:
            await anext(events)
            waiting = asyncio.create_task(one(DOORS[form], scene))
            await door.update_session(id=scene.session, status="completed")
        with pytest.raises(CallError) as refused:
            await waiting

    noun = NOUNS.get(form, "session")
    assert refused.value.status == (404 if "completion" in form else 400)
    assert refused.value.text.removeprefix("the ").startswith(f"{noun} ")
    assert len(scene.upstream.requests) == 1


@pytest.mark.parametrize("form", [form for form in DOORS if not form.startswith("streamed")])
async def test_exchange_of_a_session_that_is_deleted_meanwhile_ends_as_its_door_says_it(
    door: Door, form: str
) -> None:
    go_on = asyncio.Event()
    async with scene_at(door, Answer([*BEGINNING, go_on, *openai_text("the end").pieces])) as scene:
        running = asyncio.create_task(one(DOORS[form], scene))
        await scene.upstream.arrived(1)
        await door.delete_session(id=scene.session)
        go_on.set()
        with pytest.raises(CallError) as refused:
            await running

    assert (refused.value.status, refused.value.text) == (404, f"{NOUNS.get(form, 'session')} not found")
