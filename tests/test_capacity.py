"""How much a conversation may hold: at every door, and however it goes on."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Org, Service, running

PAGE, ANY, STORED = 4_000, 20_000, 30_000
FULL = "the conversation holds"


@pytest.fixture(scope="module")
async def small(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """A service whose conversations hold little."""
    async with running(
        tmp_path_factory.mktemp("small"),
        publishable_exchange_bytes=PAGE,
        exchange_bytes=ANY,
        conversation_bytes=STORED,
        publishable_request_bytes=3_000,
    ) as service:
        yield service


@pytest.fixture
async def org(small: Service) -> Org:
    return await small.new_org()


@pytest.fixture
async def http(small: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=small.http_url, timeout=20) as http:
        yield http


class Talk:
    """A conversation that goes on with one key."""

    def __init__(self, http: httpx.AsyncClient, org: Org, key: str) -> None:
        self._http, self._org, self._headers = http, org, {"authorization": f"Bearer {key}"}
        self.id = self.last = ""

    async def begin(self) -> None:
        self.id = (await self.post("/session", {"assistantId": self._org.assistant_id})).json()["id"]

    async def post(self, path: str, body: dict[str, Any]) -> httpx.Response:
        return await self._http.post(path, headers=self._headers, json=body)

    async def items(self, text: str) -> httpx.Response:
        return await self.post(
            f"/v1/conversations/{self.id}/items", {"items": [{"role": "user", "content": text}]}
        )

    async def small_items(self, text: str) -> httpx.Response:
        return await self.post(
            f"/v1/conversations/{self.id}/items", {"items": [{"role": "user", "content": "x"}] * 20}
        )

    async def response(self, text: str) -> httpx.Response:
        return await self.post("/v1/responses", {"conversation": self.id, "input": text})

    async def streamed(self, text: str) -> httpx.Response:
        return await self.post("/v1/responses", {"conversation": self.id, "input": text, "stream": True})

    async def completion(self, text: str) -> httpx.Response:
        return await self.post(
            "/v1/chat/completions",
            {
                "model": self._org.assistant_id,
                "store_in_session": self.id,
                "messages": [{"role": "user", "content": text}],
            },
        )

    async def chain(self, text: str) -> httpx.Response:
        goes_on = {"previous_response_id": self.last} if self.last else {}
        answer = await self.post("/v1/responses", {"model": self._org.assistant_id, "input": text, **goes_on})
        self.last = answer.json().get("id") or self.last
        return answer


STORING = ["items", "small_items"]
WAYS = ["response", "streamed", "completion", "chain"]


@pytest.mark.parametrize(
    ("way", "kind", "most"),
    [
        *((way, kind, most) for way in WAYS for kind, most in (("publishable", PAGE), ("api", ANY))),
        *((way, kind, STORED) for way in STORING for kind in ("publishable", "api")),
    ],
)
async def test_conversation_without_end_ends_with_an_error_that_says_which_bound(http, org, way, kind, most):
    talk = Talk(http, org, getattr(org, kind))
    await talk.begin()

    answers = [await getattr(talk, way)("x" * 500) for _ in range(most // 400)]

    statuses = [answer.status_code for answer in answers]
    assert statuses[0] == 200
    assert set(statuses) == {200, 400}
    assert statuses == sorted(statuses)
    assert FULL in answers[-1].text
    assert f"may hold {most} with" in answers[-1].text
    assert "begin a new one" in answers[-1].text


async def test_message_of_the_agents_door_finds_no_room_either(http, org):
    page = {"authorization": f"Bearer {org.publishable}"}
    chat = (await http.post("/chat", headers=page, json={"agentId": org.assistant_id})).json()["id"]

    answers = [
        await http.post(f"/chat/{chat}/message", headers=page, json={"content": "x" * 500, "role": "user"})
        for _ in range(10)
    ]

    assert {answer.status_code for answer in answers} == {200, 400}


async def test_full_chain_goes_on_from_its_summary(http, org):
    talk = Talk(http, org, org.publishable)
    while (await talk.chain("x" * 500)).status_code == 200:
        pass

    compacted = await talk.post(
        "/v1/responses/compact", {"model": org.assistant_id, "previous_response_id": talk.last}
    )
    talk.last = compacted.json()["id"]

    assert compacted.status_code == 200


@pytest.mark.parametrize(
    ("path", "body", "shown"),
    [
        (
            "/v1/responses",
            {"input": "x" * 3_000},
            lambda answer: (answer["error"]["type"], answer["error"]["code"]),
        ),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "x" * 3_000}]},
            lambda answer: (answer["error"]["type"], answer["error"]["code"]),
        ),
        ("/chat", {"agentId": "x" * 3_000}, lambda answer: answer["error"]),
    ],
)
async def test_request_too_large_for_a_publishable_key_is_413_in_the_shape_of_the_door(
    http, org, path, body, shown
):
    refused = await http.post(path, headers={"authorization": f"Bearer {org.publishable}"}, json=body)

    assert refused.status_code == 413
    assert "may have 3000 with a publishable key; send less at once" in refused.text
    assert shown(refused.json()) in (("invalid_request_error", "request_too_large"), "Payload Too Large")


# --- what a key holds ---------------------------------------------------------------------------------------


@pytest.fixture
async def tight(tmp_path: Path) -> AsyncIterator[Service]:
    """A service whose publishable keys hold little."""
    async with running(tmp_path, publishable_key_bytes=20_000) as service:
        yield service


async def test_publishable_key_holds_so_much_until_something_of_it_is_deleted(tight):
    org = await tight.new_org()
    page, own = {"authorization": f"Bearer {org.publishable}"}, {"authorization": f"Bearer {org.api}"}
    body = {"model": org.assistant_id, "input": "x" * 2_000}
    async with httpx.AsyncClient(base_url=tight.http_url, timeout=20) as http:
        made = []
        while (answer := await http.post("/v1/responses", headers=page, json=body)).status_code == 200:
            made.append(answer.json()["id"])
            await tight.app.capacity.settle()
            assert len(made) < 20

        for path, sent in (
            ("/session", {"assistantId": org.assistant_id}),
            ("/chat", {"agentId": org.assistant_id}),
            ("/v1/conversations", {}),
            ("/v1/responses", body | {"stream": True}),
        ):
            refused = await http.post(path, headers=page, json=sent)
            assert refused.status_code == 429
            assert "bytes, of at most 20000; delete sessions and chats" in refused.text
        assert (await http.get(f"/v1/responses/{made[0]}", headers=page)).status_code == 200
        assert (await http.post("/v1/responses", headers=own, json=body)).status_code == 200

        for response_id in made:
            assert (await http.delete(f"/v1/responses/{response_id}", headers=own)).status_code == 200
        await http.post("/v1/responses", headers=page, json=body)
        await tight.app.capacity.settle()
        assert (await http.post("/v1/responses", headers=page, json=body)).status_code == 200


async def test_keys_are_measured_by_all_that_they_made_and_nothing_else(service):
    org = await service.new_org()
    page, own = {"authorization": f"Bearer {org.publishable}"}, {"authorization": f"Bearer {org.api}"}
    key = await service.store.keys.caller(org.publishable)

    async def bytes_used() -> int:
        return await service.store.usage.bytes_of_key(org.id, key.key_id)

    async with httpx.AsyncClient(base_url=service.http_url, timeout=20) as http:
        assert await bytes_used() == 0
        for headers in (own, page):
            before = await bytes_used()
            session = (
                await http.post("/session", headers=headers, json={"assistantId": org.assistant_id})
            ).json()["id"]
            await http.post(
                f"/v1/conversations/{session}/items",
                headers=headers,
                json={"items": [{"role": "user", "content": "x" * 1_000}]},
            )
            await http.post(
                "/v1/responses", headers=headers, json={"model": org.assistant_id, "input": "x" * 1_000}
            )
            grown = await bytes_used() - before
            assert grown > 3_000 if headers is page else grown == 0
