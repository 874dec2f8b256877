"""Answers that would pass the 4 MiB which every gRPC client takes by default: what they leave out, and how to
read it.

Over gRPC by a client as it comes, and over REST.
"""

import grpc
import httpx
import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct, Value

from generated.parley.v1.agent_chat_service_pb2 import GetAgentChatRequest, ListMessagesRequest
from generated.parley.v1.agent_chat_service_pb2_grpc import AgentChatServiceStub
from generated.parley.v1.assistant_service_pb2 import CreateAssistantRequest, ListAssistantsRequest
from generated.parley.v1.assistant_service_pb2_grpc import AssistantServiceStub
from generated.parley.v1.chat_service_pb2 import CreateChatRequest, GetChatRequest, ListChatsRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from generated.parley.v1.conversation_service_pb2 import ListItemsRequest
from generated.parley.v1.conversation_service_pb2_grpc import ConversationServiceStub
from generated.parley.v1.session_service_pb2 import GetSessionRequest
from generated.parley.v1.session_service_pb2_grpc import SessionServiceStub
from server.content.budget import MOST_BYTES, MOST_MESSAGE_BYTES, MOST_OUTPUT_BYTES
from server.core.ids import hex_of
from tests.conftest import Org
from tests.upstream import OpenAIUpstream, chunk, openai_stream

TEXT = "word " * 120_000
"""600,000 bytes."""


async def long_conversation(http: httpx.AsyncClient, org: Org, count: int = 12) -> tuple[str, list[str]]:
    """The id of a conversation of that many such texts, and what they begin with."""
    made = await http.post("/v1/conversations", headers=org.bearer, json={})
    beginnings = [f"{number:02} " for number in range(count)]
    for beginning in beginnings:
        added = await http.post(
            f"/v1/conversations/{made.json()['id']}/items",
            headers=org.bearer,
            json={"items": [{"role": "user", "content": beginning + TEXT}]},
        )
        assert added.status_code == 200
    return made.json()["id"], beginnings


async def session_of(http: httpx.AsyncClient, org: Org, count: int = 12) -> str:
    """The id of a session in which as much was said, and which the demo assistant answers."""
    texts = [{"role": "user", "content": f"{number:02} {TEXT}"} for number in range(6)]
    made = await http.post(
        "/session", headers=org.bearer, json={"assistantId": org.assistant_id, "messages": texts}
    )
    identifier = made.json()["id"]
    for number in range(6, count):
        added = await http.post(
            f"/v1/conversations/conv_{hex_of(identifier)}/items",
            headers=org.bearer,
            json={"items": [{"role": "user", "content": f"{number:02} {TEXT}"}]},
        )
        assert added.status_code == 200
    found: str = identifier
    return found


# --- items --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 5, 100])
async def test_pages_of_items_hold_what_fits_and_neither_skip_nor_repeat(
    http: httpx.AsyncClient, channel: grpc.aio.Channel, org: Org, order: str, limit: int
) -> None:
    conversation, beginnings = await long_conversation(http, org)
    found: list[str] = []
    after: str | None
    stub, after, more = ConversationServiceStub(channel), None, True
    while more:
        page = await stub.ListItems(
            ListItemsRequest(conversation_id=conversation, order=order, limit=limit, after=after),
            metadata=org.metadata,
        )
        over_http = (
            await http.get(
                f"/v1/conversations/{conversation}/items",
                headers=org.bearer,
                params={"order": order, "limit": limit, **({"after": after} if after else {})},
            )
        ).json()
        assert [item["id"] for item in over_http["data"]] == [item["id"] for item in page.data]
        assert page.ByteSize() <= MOST_BYTES + 64 * 1024
        found += [MessageToDict(item)["content"][0]["text"][:3] for item in page.data]
        after, more = page.last_id, page.has_more

    assert found == (beginnings if order == "asc" else beginnings[::-1])


async def test_page_of_items_begins_behind_any_item_of_a_message(http: httpx.AsyncClient, org: Org) -> None:
    calls = [
        {"id": f"c{at}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for at in range(3)
    ]
    made = (
        await http.post(
            "/session",
            headers=org.bearer,
            json={
                "assistantId": org.assistant_id,
                "messages": [
                    {"role": "user", "content": "Hi"},
                    {"role": "assistant", "tool_calls": calls},
                    *({"role": "tool", "tool_call_id": f"c{at}", "content": "x"} for at in range(3)),
                ],
            },
        )
    ).json()
    path = f"/v1/conversations/conv_{hex_of(made['id'])}/items"
    everything = (await http.get(path, headers=org.bearer, params={"order": "asc"})).json()["data"]

    for order, items in (("asc", everything), ("desc", everything[::-1])):
        for place, item in enumerate(items):
            page = (
                await http.get(
                    path, headers=org.bearer, params={"order": order, "after": item["id"], "limit": 2}
                )
            ).json()
            assert page["data"] == items[place + 1 : place + 3]
            assert page["has_more"] == (place + 3 < len(items))


async def test_item_that_is_not_in_the_list_is_not_found(http: httpx.AsyncClient, org: Org) -> None:
    conversation, _ = await long_conversation(http, org, 1)
    for after in ("msg_" + "0" * 32, "nothing"):
        answer = await http.get(
            f"/v1/conversations/{conversation}/items", headers=org.bearer, params={"after": after}
        )
        assert answer.status_code == 404


# --- sessions and chats -------------------------------------------------------------------------------------


async def test_exchange_in_a_long_session_is_answered_with_as_much_context_as_fits(
    http: httpx.AsyncClient, channel: grpc.aio.Channel, org: Org
) -> None:
    session_id = await session_of(http, org)
    stub = ChatServiceStub(channel)

    chat = await stub.CreateChat(
        CreateChatRequest(session_id=session_id, input=Value(string_value="Hello")), metadata=org.metadata
    )
    events = [
        event
        async for event in stub.StreamChat(
            CreateChatRequest(session_id=session_id, input=Value(string_value="Hello")), metadata=org.metadata
        )
    ]
    again = await stub.GetChat(GetChatRequest(id=chat.id), metadata=org.metadata)
    over_http = (await http.get(f"/chat/{chat.id}", headers=org.bearer)).json()

    for answer in (chat, again, events[0].started, events[-1].completed):
        assert "messages" in answer.omitted.members
        assert answer.messages[0].content.string_value[:3] > "00 "
        assert [message.content.string_value for message in answer.messages][-1] == "Hello"
    assert chat.output[0].content.string_value
    assert [message["id"] for message in over_http["messages"]] == [message.id for message in again.messages]
    assert over_http["omitted"]["members"] == list(again.omitted.members)


async def test_session_shows_what_was_said_last_and_says_so(
    http: httpx.AsyncClient, channel: grpc.aio.Channel, org: Org
) -> None:
    session_id = await session_of(http, org)

    session = await SessionServiceStub(channel).GetSession(
        GetSessionRequest(id=session_id), metadata=org.metadata
    )
    over_http = (await http.get(f"/session/{session_id}", headers=org.bearer)).json()

    assert "messages" in session.omitted.members
    assert session.messages[-1].content.string_value.startswith("11 ")
    assert [message["id"] for message in over_http["messages"]] == [
        message.id for message in session.messages
    ]


async def test_short_session_and_chat_leave_nothing_out(http: httpx.AsyncClient, org: Org) -> None:
    session = (await http.post("/session", headers=org.bearer, json={"assistantId": org.assistant_id})).json()
    chat = (
        await http.post("/chat", headers=org.bearer, json={"sessionId": session["id"], "input": "Hi"})
    ).json()

    assert "omitted" not in session
    assert "omitted" not in chat


async def test_messages_of_the_agents_door_are_read_page_by_page(
    http: httpx.AsyncClient, channel: grpc.aio.Channel, org: Org
) -> None:
    session_id = await session_of(http, org)
    found: list[str] = []
    stub, before = AgentChatServiceStub(channel), None
    metadata = (("authorization", f"Bearer {org.secret}"),)
    whole = await stub.GetAgentChat(GetAgentChatRequest(chat_id=session_id), metadata=metadata)
    while True:
        page = await stub.ListMessages(
            ListMessagesRequest(chat_id=session_id, before=before), metadata=metadata
        )
        over_http = (
            await http.get(
                f"/chat/{session_id}/message",
                headers={"authorization": f"Bearer {org.secret}"},
                params={"before": before} if before else {},
            )
        ).json()
        assert [message["id"] for message in over_http["messages"]] == [
            message.id for message in page.messages
        ]
        assert over_http.get("hasMore", False) == page.has_more
        found = [message.content[:3] for message in page.messages] + found
        if not page.has_more:
            break
        before = page.messages[0].id

    assert found == [f"{number:02} " for number in range(12)]
    assert whole.has_more
    assert [message.content[:3] for message in whole.messages] == found[-len(whole.messages) :]


# --- lists --------------------------------------------------------------------------------------------------


async def test_list_has_every_chat_and_shortens_what_does_not_fit(
    http: httpx.AsyncClient, channel: grpc.aio.Channel, org: Org
) -> None:
    stub = ChatServiceStub(channel)
    made = [
        (
            await stub.CreateChat(
                CreateChatRequest(assistant_id=org.assistant_id, input=Value(string_value=TEXT)),
                metadata=org.metadata,
            )
        ).id
        for _ in range(4)
    ]

    page = await stub.ListChats(ListChatsRequest(), metadata=org.metadata)
    over_http = (await http.get("/chat", headers=org.bearer)).json()
    one = await stub.ListChats(ListChatsRequest(limit=1), metadata=org.metadata)

    assert [chat.id for chat in page.results] == made[::-1] == [chat["id"] for chat in over_http["results"]]
    shortened = [chat for chat in page.results if "output" in chat.omitted.members]
    assert [chat.id for chat in shortened] == made[:2][::-1]
    assert [chat["omitted"]["members"] for chat in over_http["results"]] == [
        list(chat.omitted.members) for chat in page.results
    ]
    for chat in shortened:
        whole = await stub.GetChat(GetChatRequest(id=chat.id), metadata=org.metadata)
        for name in ("org_id", "created_at", "updated_at", "assistant_id", "status", "cost"):
            assert getattr(chat, name) == getattr(whole, name)
    assert one.results[0].output[0].content.string_value.endswith(TEXT)
    assert (one.metadata.has_next_page, one.metadata.total_items) == (True, 4)


async def test_list_of_documents_ends_where_it_is_full_and_says_so(
    http: httpx.AsyncClient, channel: grpc.aio.Channel, org: Org
) -> None:
    stub, long = AssistantServiceStub(channel), "word " * 150_000
    for number in range(8):
        document = Struct()
        document.update(
            {
                "name": f"a{number}",
                "model": {
                    "provider": "offline",
                    "model": "offline-1",
                    "messages": [{"role": "system", "content": long}],
                },
            }
        )
        await stub.CreateAssistant(CreateAssistantRequest(document=document), metadata=org.metadata)
    found, until, pages = [], None, 0
    while True:
        page = await stub.ListAssistants(ListAssistantsRequest(created_at_lt=until), metadata=org.metadata)
        over_http = await http.get(
            "/assistant", headers=org.bearer, params={"createdAtLt": until} if until else {}
        )
        assert [document["id"] for document in over_http.json()] == [
            assistant.id for assistant in page.assistants
        ]
        assert over_http.headers.get("x-has-more") == ("true" if page.has_more else None)
        found += [assistant.name for assistant in page.assistants]
        pages += 1
        if not page.has_more:
            break
        until = page.assistants[-1].created_at.ToJsonString()

    assert found[:8] == [f"a{number}" for number in range(8)][::-1]
    assert len(found) == 9
    assert pages > 1


async def test_list_takes_at_most_a_thousand_ids(http: httpx.AsyncClient, org: Org) -> None:
    answer = await http.get(
        "/chat", headers=org.bearer, params={"idAny": ",".join(str(number) for number in range(1001))}
    )

    assert answer.status_code == 400
    assert "idAny has 1001 ids; at most 1000" in answer.text


# --- what one exchange and one message may have -------------------------------------------------------------


async def test_message_too_large_to_be_read_again_is_refused(http: httpx.AsyncClient, org: Org) -> None:
    text = "x" * MOST_MESSAGE_BYTES
    answers = [
        await http.post("/chat", headers=org.bearer, json={"assistantId": org.assistant_id, "input": text}),
        await http.post(
            "/v1/conversations", headers=org.bearer, json={"items": [{"role": "user", "content": text}]}
        ),
    ]

    assert [answer.status_code for answer in answers] == [400, 400]
    assert f"at most {MOST_MESSAGE_BYTES}" in answers[0].text
    assert "items[0]" in answers[1].text


async def test_output_ends_where_an_answer_is_full(
    http: httpx.AsyncClient, channel: grpc.aio.Channel, org: Org
) -> None:
    piece = "word " * 100_000
    async with OpenAIUpstream(openai_stream(*(chunk({"content": piece}) for _ in range(10)))) as llm:
        model = {"provider": "custom-llm", "model": "m", "url": llm.base_url}
        made = (await http.post("/assistant", headers=org.bearer, json={"model": model})).json()
        chat = await ChatServiceStub(channel).CreateChat(
            CreateChatRequest(assistant_id=made["id"], input=Value(string_value="Hi")), metadata=org.metadata
        )

    assert (chat.status, chat.error.code) == ("incomplete", "max_output_bytes")
    assert chat.output[0].content.string_value == (piece * 10)[:MOST_OUTPUT_BYTES]


async def test_many_choices_share_what_an_answer_may_have(http: httpx.AsyncClient, org: Org) -> None:
    completion = await http.post(
        "/chat/completions",
        headers=org.bearer,
        json={"model": org.assistant_id, "n": 16, "messages": [{"role": "user", "content": TEXT}]},
    )

    assert completion.status_code == 200
    choices = completion.json()["choices"]
    assert len(choices) == 16
    assert sum(len(choice["message"]["content"] or "") for choice in choices) <= MOST_OUTPUT_BYTES
    assert choices[-1]["finish_reason"] == "length"


async def test_what_answers_repeat_leaves_room_for_the_output(http: httpx.AsyncClient, org: Org) -> None:
    answer = await http.post(
        "/v1/responses",
        headers=org.bearer,
        json={"model": org.assistant_id, "input": "Hi", "instructions": "x" * 600_000},
    )

    assert answer.status_code == 400
    assert "at most 491520 are allowed" in answer.text
