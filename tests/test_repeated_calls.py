"""Callers who keep the history themselves: what providers want back with the calls that they repeat is put
there for them.

The stand-ins refuse what the real ones refuse (`test_provider_state.py` has their sources).
"""

import json
from typing import Any

import pytest

from generated.parley.v1.history_service_pb2 import ExportHistoryRequest, ImportHistoryRequest
from generated.parley.v1.history_service_pb2_grpc import HistoryServiceStub
from generated.parley.v1.message_pb2 import Message, ProviderState, ThinkingBlock
from server.content.json_values import from_python
from server.content.messages import text_of, tool_calls_of
from server.exchange.calls_key import key_of
from server.exchange.repeated_calls import MOST_LOOKED_UP, with_states
from server.storage.scope import Scope
from tests.conftest import Org
from tests.sdk import official_client
from tests.test_provider_state import PROVIDERS, RESULT, Claude, assistant, reveals, reveals_state

QUESTION = {"role": "user", "content": "Weather?"}
ANSWER = "It is sunny."


async def created(service, org: Org, upstream: Any) -> str:
    return (await service.store.assistants.create(org.id, assistant(upstream))).id


def is_sent(upstream: Any) -> bool:
    """Whether the model thinks on, with what it has thought."""
    last_body = upstream.bodies[-1]
    return reveals(last_body) and (not isinstance(upstream, Claude) or "thinking" in last_body)


# --- as the official SDK's users write it -------------------------------------------------------------------


@PROVIDERS
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_completions_with_the_whole_history_are_accepted(service, org, kind, streamed):
    async with kind() as upstream, official_client(f"{service.http_url}/v1", org.api) as sdk:
        model, messages = await created(service, org, upstream), [QUESTION]
        for _ in range(2):
            if streamed:
                async with sdk.chat.completions.stream(model=model, messages=messages) as stream:
                    first = await stream.get_final_completion()
            else:
                first = await sdk.chat.completions.create(model=model, messages=messages)
            message = first.choices[0].message
            messages += [message.model_dump(include={"role", "content", "tool_calls"}), RESULT]
            second = await sdk.chat.completions.create(model=model, messages=messages)
            messages += [second.choices[0].message.model_dump(include={"role", "content"}), QUESTION]
            assert second.choices[0].message.content == ANSWER
            assert is_sent(upstream)
            assert not reveals(first, second)


@PROVIDERS
async def test_output_of_a_response_that_is_sent_again_is_accepted(service, org, kind):
    async with kind() as upstream, official_client(f"{service.http_url}/v1", org.api) as sdk:
        model = await created(service, org, upstream)
        first = await sdk.responses.create(model=model, input=[QUESTION])
        output = {"type": "function_call_output", "call_id": "call_1", "output": "sunny"}
        turns = [QUESTION, *(item.model_dump() for item in first.output), output]
        second = await sdk.responses.create(model=model, input=turns)
        items = await sdk.responses.input_items.list(second.id, order="asc")
        third = await sdk.responses.create(model=model, previous_response_id=second.id, input="And tomorrow?")

    assert second.output_text == ANSWER
    kinds = [item.type for item in items.data if item.type != "reasoning"]
    assert kinds == ["message", "function_call", "function_call_output"]
    assert third.output[-1].type == "function_call"
    assert is_sent(upstream)
    assert not reveals_state(first, second, third, items)


@PROVIDERS
async def test_chat_with_the_whole_history_is_accepted(http, org, kind):
    async with kind() as upstream:
        document = assistant(upstream)
        first = (
            await http.post("/chat", headers=org.bearer, json={"assistant": document, "input": [QUESTION]})
        ).json()
        second = (
            await http.post(
                "/chat",
                headers=org.bearer,
                json={"assistant": document, "input": [QUESTION, *first["output"], RESULT]},
            )
        ).json()

    assert second["output"][0]["content"] == ANSWER
    assert is_sent(upstream)
    assert not reveals(first, second)


# --- who gets it --------------------------------------------------------------------------------------------


async def repeat(http, bearer: dict[str, str], document: dict[str, Any], output: list[Any]) -> Any:
    return await http.post(
        "/chat", headers=bearer, json={"assistant": document, "input": [QUESTION, *output, RESULT]}
    )


async def bodies_by(
    upstream: Any, http, bearer: dict[str, str], who: dict[str, Any], output: list[Any]
) -> list[Any]:
    """What the model is asked when a key repeats these calls to it."""
    before = len(upstream.bodies)
    answer = await http.post(
        "/v1/responses", headers=bearer, json={**who, "input": [QUESTION, *output, RESULT]}
    )
    assert len(upstream.bodies) > before, answer.text
    return upstream.bodies[before:]


@PROVIDERS
async def test_nobody_else_gets_it(http, org, other_org, kind):
    publishable = {"authorization": f"Bearer {org.publishable}"}
    async with kind() as upstream, kind() as other:
        document = assistant(upstream)
        first = (
            await http.post("/chat", headers=org.bearer, json={"assistant": document, "input": [QUESTION]})
        ).json()
        stored = {
            "assistantId": (await http.post("/assistant", headers=org.bearer, json=document)).json()["id"]
        }
        output, transient = first["output"], {"assistant": document}
        changed = json.loads(json.dumps(output).replace('"weather"', '"weathers"'))
        assert reveals(await bodies_by(upstream, http, org.bearer, stored, output))
        received = [
            await bodies_by(upstream, http, other_org.bearer, transient, output),
            await bodies_by(upstream, http, publishable, stored, output),
            await bodies_by(other, http, org.bearer, {"assistant": assistant(other)}, output),
            await bodies_by(upstream, http, org.bearer, transient, changed),
        ]
        for chat in (await http.get("/chat", headers=org.bearer)).json()["results"]:
            await http.delete(f"/chat/{chat['id']}", headers=org.bearer)
        received.append(await bodies_by(upstream, http, org.bearer, transient, output))

    assert not reveals(received)


async def test_export_has_what_it_is_found_by(http, org, other_org, channel):
    history = HistoryServiceStub(channel)
    async with Claude() as upstream:
        document = assistant(upstream)
        first = (
            await http.post("/chat", headers=org.bearer, json={"assistant": document, "input": [QUESTION]})
        ).json()
        lines = [
            line
            async for answer in history.ExportHistory(ExportHistoryRequest(), metadata=org.metadata)
            for line in answer.lines
        ]
        await history.ImportHistory(ImportHistoryRequest(lines=lines), metadata=other_org.metadata)
        second = await repeat(http, other_org.bearer, document, first["output"])

    assert second.json()["output"][0]["content"] == ANSWER
    assert is_sent(upstream)


# --- what is put in its place -------------------------------------------------------------------------------

CLAUDE = ProviderState(provider="anthropic", model_family="claude")
SCOPE = Scope("org")


def calling(
    *names: str, arguments: str = "{}", text: str = "", state: ProviderState | None = None
) -> Message:
    message = Message(role="assistant", provider_state=state)
    if names:
        message.tool_calls.CopyFrom(
            from_python(
                [
                    {
                        "id": f"id_{name}",
                        "type": "function",
                        "function": {"name": name, "arguments": arguments},
                    }
                    for name in names
                ]
            )
        )
    if text:
        message.content.string_value = text
    return message


def result() -> Message:
    return Message(role="tool", tool_call_id="id", content=from_python("done"))


class RecordedMessages:
    """A store of answers that counts what it is asked."""

    def __init__(self, *answers: Message) -> None:
        self._answers = {key_of(tool_calls_of(answer), CLAUDE): answer for answer in answers}
        self.bodies: list[list[str]] = []

    async def messages_by_calls(self, scope: Scope, keys: list[str], most_bytes: int) -> dict[str, Message]:
        assert scope == SCOPE
        self.bodies.append(keys)
        return {key: self._answers[key] for key in keys if key in self._answers}


def thought(text: str, **members: Any) -> ProviderState:
    state = ProviderState(thinking=[ThinkingBlock(thinking=text, **members)])
    state.MergeFrom(CLAUDE)
    return state


ORIGINAL = calling("a", "b", text="Let me see", state=thought("hm", characters_before=4))
ORIGINAL.text_before_calls.extend([4, 10])


@pytest.mark.parametrize(
    "turns",
    [
        [calling("a", "b", text="Let me see")],
        [calling("a", "b", text="Let me see", arguments=" { } ")],
        [calling(text="Let "), calling("a"), calling(text="me see"), calling("b")],
        [calling(text="Let me see"), calling("a", "b", arguments="")],
    ],
    ids=["as it was", "spaced in another way", "item by item", "text and calls"],
)
async def test_answer_is_restored_as_it_was(turns):
    user = Message(role="user", content=from_python("x"))
    whole = await with_states(RecordedMessages(ORIGINAL), SCOPE, CLAUDE, [user, *turns, result(), result()])

    assert whole == [user, ORIGINAL, result(), result()]


async def test_changed_text_is_the_callers_behind_what_was_thought():
    [changed, _] = await with_states(
        RecordedMessages(ORIGINAL), SCOPE, CLAUDE, [calling("a", "b", text="Look"), result()]
    )

    assert text_of(changed) == "Look"
    assert changed.provider_state == thought("hm", characters_before=0)


@pytest.mark.parametrize(
    "turns",
    [
        [calling("a")],
        [calling("b", "a")],
        [calling("a", "b", arguments='{"x": 1}')],
        [calling("a", text="Let"), calling("b")],
    ],
    ids=["fewer", "another order", "other arguments", "two messages and another text"],
)
async def test_other_calls_stay_as_they_are(turns):
    assert await with_states(RecordedMessages(ORIGINAL), SCOPE, CLAUDE, [*turns, result()]) == [
        *turns,
        result(),
    ]


async def test_input_without_calls_asks_nothing_and_many_are_asked_for_once():
    recorded = RecordedMessages(ORIGINAL)
    rounds = [message for _ in range(1000) for message in (calling("a", "b", text="Let me see"), result())]
    await with_states(recorded, SCOPE, CLAUDE, [calling(text="a"), Message(role="user")])
    whole = await with_states(recorded, SCOPE, CLAUDE, rounds)

    assert [len(keys) for keys in recorded.bodies] == [MOST_LOOKED_UP]
    assert whole[: 2 * (1000 - MOST_LOOKED_UP)] == rounds[: 2 * (1000 - MOST_LOOKED_UP)]
    assert whole[-2:] == [ORIGINAL, result()]


def test_key_is_of_the_calls_and_of_who_made_them():
    call = {"id": "a", "name": "f", "arguments": '{"x": 1, "y": 2}'}
    same = {**call, "arguments": '{"y":2,"x":1}'}
    others = [
        {**call, "id": "b"},
        {**call, "name": "g"},
        {**call, "arguments": '{"x": 1}'},
        {**call, "arguments": "{"},
    ]
    elsewhere = [
        ProviderState(provider="bedrock", model_family="claude"),
        ProviderState(provider="anthropic"),
        ProviderState(provider="anthropic", model_family="claude", host="one.example"),
    ]
    keys = [
        key_of([call], CLAUDE),
        *(key_of([one], CLAUDE) for one in others),
        *(key_of([call], one) for one in elsewhere),
        key_of([call, call], CLAUDE),
    ]

    assert key_of([same], thought("hm")) == keys[0]
    assert len(set(keys)) == len(keys)
    assert {len(key) for key in keys} == {32}


async def test_message_is_found_by_its_calls_with_an_index(service):
    plan = await service.store.database.read(
        lambda connection: connection.execute(
            "EXPLAIN QUERY PLAN SELECT body FROM messages WHERE org_id = ? AND substr(body, length(body) - "
            "34, 3) = x'c23e20' "
            "AND substr(body, length(body) - 34) = ?",
            ["o", b"x"],
        ).fetchall()
    )

    assert "USING INDEX messages_by_calls" in plan[0][3]
