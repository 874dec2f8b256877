"""Histories taken in: every noun comes back, wherever it breaks off all is whole, and nothing is taken that fails later."""

import random
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from generated.parley.v1.history_service_pb2 import ExportHistoryRequest
from generated.parley.v1.history_service_pb2_grpc import HistoryServiceStub
from server import history_files
from server.history import History, Line, Taken
from server.history_files import take_in_file
from server.storage.checking import findings
from server.storage.history import TABLES
from server.storage.store import open_store
from tests.conftest import Org, Service

PARTS = [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]
CREDENTIALS = [{"provider": "openai", "apiKey": "sk-very-secret-indeed"}, {"provider": "x", "keys": ["sk-one", "sk-two"]}]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}, "server": {
    "url": "https://example.com", "secret": "very-secret-indeed"}}


async def say_everything(http: httpx.AsyncClient, org: Org) -> dict[str, str]:
    """Something of every noun; the ids of one each."""
    made: dict[str, str] = {}

    async def post(path: str, **body: Any) -> str:
        answer = await http.post(path, headers=org.bearer, json=body)
        assert answer.is_success, answer.text
        return answer.json()["id"]

    assistant = {"assistantId": org.assistant_id}
    made["tool"] = await post("/tool", **TOOL)
    made["assistant"] = await post("/assistant", name="own", credentials=CREDENTIALS, server={"secret": "s", "url": "u"},
                                   model={"provider": "offline", "model": "offline-1", "toolIds": [made["tool"]],
                                          "messages": [{"role": "system", "content": "Hi {{name}}"}], "tools": [TOOL]})
    made["squad"] = await post("/squad", name="team", members=[assistant, {"assistant": {"name": "inner"}}])
    made["session"] = await post("/session", **assistant, name="box", metadata={"z": 1, "a": [1.5, None]},
                                 customer={"number": "+14155550100"}, phoneNumberId="main",
                                 messages=[{"role": "user", "content": "before"}, {"role": "assistant", "content": ""}])
    in_squad = await post("/session", squadId=made["squad"])
    made["conversation"] = await post("/v1/conversations", metadata={"k": "v"}, items=[
        {"role": "user", "content": "item"}, {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "done"}])
    transient = {"name": "transient", "credentials": CREDENTIALS}
    for body in ({**assistant, "input": "plain", "name": "named"}, {**assistant, "input": [{"role": "user", "content": PARTS}]},
                 {"assistant": transient, "input": "t", "assistantOverrides": {"variableValues": {"name": "Ada"}}},
                 {"squad": {"members": [{"assistant": transient}]}, "input": "s"},
                 {"sessionId": made["session"], "input": "one"}, {"sessionId": made["session"], "input": "two"},
                 {"sessionId": in_squad, "input": "squad"}):
        made["chat"] = await post("/chat", **body)
    streamed = {**assistant, "input": "streamed in pieces", "stream": True}
    assert (await http.post("/chat", headers=org.bearer, json=streamed)).is_success
    made["response"] = await post("/v1/responses", model="demo", input="Hi", instructions="Be brief", metadata={"k": "v"},
                                  tools=[{"type": "function", "name": "f", "parameters": {}}], tool_choice="auto",
                                  text={"format": {"type": "text"}}, reasoning={"effort": "low"}, temperature=0.5)
    await post("/v1/responses", model="demo", input="Hi", conversation=made["conversation"])
    completions = f"/api/v1/compatibility/openai/v1/assistants/{org.assistant_id}/chat/completions"
    said = [{"role": "user", "content": "Hello"}]
    await post(completions, messages=said, n=2)
    await post(completions, messages=said, create_session=True)
    for chat in (await http.get("/chat", headers=org.bearer)).json()["results"]:
        for _ in range(2):
            await post("/chat", previousChatId=chat["id"], input="fork")
    said = [{"role": "user", "content": "replaced"}]
    assert (await http.patch(f"/session/{in_squad}", headers=org.bearer, json={"messages": said})).is_success
    assert (await http.delete(f"/chat/{chat['id']}", headers=org.bearer)).is_success
    return made


async def exported(history: HistoryServiceStub, org: Org) -> list[str]:
    answers = history.ExportHistory(ExportHistoryRequest(), metadata=org.metadata)
    return [line async for answer in answers for line in answer.lines]


@pytest.fixture
async def empty(service: Service) -> Org:
    org = await service.new_org()
    await service.store.assistants.delete(org.id, org.assistant_id)
    return org


@pytest.mark.parametrize("secrets", [False, True], ids=["over gRPC", "by the command"])
async def test_every_noun_comes_back_byte_for_byte(http: httpx.AsyncClient, service: Service, org: Org, empty: Org,
                                                   secrets: bool) -> None:
    made = await say_everything(http, org)
    history = History(service.store.database)

    async def lines_of(one: Org) -> list[str]:
        return [line async for lines in history.export(one.id, None, secrets=secrets) for line in lines]

    lines = await lines_of(org)
    taken = await history.take_in(empty.id, [Line(number, text) for number, text in enumerate(lines, 1)])

    assert {orjson.loads(line)["kind"] for line in lines} == {*TABLES, "history"}
    assert (taken.imported, taken.skipped) == (len(lines) - 1, 0)
    assert await lines_of(empty) == lines
    for path in paths_of(made):
        shown, same = [(await http.get(path, headers=one.bearer)).text.replace(one.id, "") for one in (org, empty)]
        if secrets or not any(f"/{noun}/" in path for noun in ("assistant", "squad", "tool")):
            assert orjson.loads(same) == orjson.loads(shown)
    for body in ({"previousChatId": made["response"].removeprefix("resp_")}, {"sessionId": made["session"]}):
        assert (await http.post("/chat", headers=empty.bearer, json={**body, "input": "on"})).is_success


def paths_of(made: dict[str, str]) -> Iterator[str]:
    for noun in ("assistant", "squad", "tool", "session", "chat"):
        yield f"/{noun}/{made[noun]}"
    yield f"/v1/responses/{made['response']}"
    yield f"/v1/responses/{made['response']}/input_items"
    yield f"/v1/conversations/{made['conversation']}"
    yield f"/v1/conversations/{made['conversation']}/items"


# --- what breaks off ------------------------------------------------------------------------------------------------------


def in_the_older_order(lines: list[str]) -> list[str]:
    """As files were that put all chats before all forks, and those before all messages."""
    kinds = ["history", *TABLES]
    return sorted(lines, key=lambda line: kinds.index(orjson.loads(line)["kind"]))


@pytest.mark.parametrize("order", ["as exported", "older", "any"])
async def test_import_that_breaks_off_leaves_whole_conversations_and_is_simply_run_again(
        http: httpx.AsyncClient, service: Service, org: Org, tmp_path: Path, order: str,
        monkeypatch: pytest.MonkeyPatch) -> None:
    await say_everything(http, org)
    source = History(service.store.database)
    lines = [line async for batch in source.export(org.id, None, secrets=True) for line in batch]
    shuffled = random.Random(1).sample(lines[1:], len(lines) - 1)
    given = {"as exported": lines, "older": in_the_older_order(lines), "any": [lines[0], *shuffled]}[order]
    monkeypatch.setattr(history_files, "_MOST_LINES", 1)  # a piece at a time
    store = open_store(tmp_path)
    made = (await store.keys.create("acme", "api")).org_id
    breaking, taken = Breaking(store.database), 0

    for left in range(200):
        breaking.left = 1 + left // 4
        try:
            found = await take_in_file(breaking, lambda: store.keys.org_of("acme"), BytesIO("\n".join(given).encode()))
        except Killed:
            assert findings(tmp_path / "parley.db") == []
            continue
        taken = found.imported + found.skipped
        break

    assert taken == len(lines) - 1
    assert findings(tmp_path / "parley.db") == []
    assert [line async for batch in breaking.export(made, None, secrets=True) for line in batch] == lines
    store.close()


class Killed(Exception):
    """The process ends here."""


class Breaking(History):
    """Is killed after some writes."""

    left = 0

    async def take_in(self, org_id: str, lines: list[Line]) -> Taken:
        taken = await super().take_in(org_id, lines)
        if taken.imported:
            self.left -= 1
            if not self.left:
                raise Killed
        return taken


# --- what is refused ------------------------------------------------------------------------------------------------------

ODD = [None, "", "x", "NaN", 0, -1, 3, 2**53, 1.5, 1e308, True, [], {}, [{}], {"a": 1}, [None], "0" * 36, "x" * 41]


def mutants(line: str) -> Iterator[tuple[str, str]]:
    """The line with each of its members, one at a time, gone or something else; and which."""
    row = orjson.loads(line)
    kind = row.pop("kind")
    for path, holder, name in list(places(row, kind)):
        kept = holder[name]
        for value in ODD:
            holder[name] = value
            yield f"{path} = {value!r}", orjson.dumps({"kind": kind, **row}).decode()
        holder[name] = kept
        if isinstance(holder, dict):
            del holder[name]
            yield f"{path} is gone", orjson.dumps({"kind": kind, **row}).decode()
            holder[name] = kept


def places(value: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for name, member in list(members):
        yield f"{path}.{name}", value, name
        if isinstance(member, dict | list):
            yield from places(member, f"{path}.{name}")
