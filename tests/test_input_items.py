"""Every type of item that the OpenAI SDK can send: it is read, passed over, or refused by its type. Also
references."""

import typing
from typing import Any

import pytest
from openai.types.responses.response_input_item_param import ResponseInputItemParam

from server.core.accepted import IGNORED

REFUSED = {"configuration_update", "compaction_trigger"}
"""What asks for something that this service does not do."""
OURS = {"compaction"}
"""What only this service can have made."""
USER = {"role": "user", "content": "Hello"}


def smallest(annotation: Any, name: str = "") -> Any:
    """A value that the SDK's types allow, with the members that are required alone."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Required, typing.NotRequired, typing.Annotated):
        return smallest(arguments[0], name)
    if origin is typing.Literal:
        return arguments[0]
    if origin is typing.Union or type(annotation).__name__ == "UnionType":
        return smallest(str if str in arguments else arguments[0], name)
    if hasattr(annotation, "__required_keys__"):  # a TypedDict, of typing or typing_extensions
        hints = typing.get_type_hints(annotation, include_extras=True)
        return {
            key: smallest(hint, key)
            for key, hint in hints.items()
            if typing.get_origin(hint) is typing.Required
        }
    if annotation is str:
        return f"some {name}"
    if annotation in (int, float, bool):
        return annotation(0)
    return {} if origin is dict else []


ITEMS = {item.__name__: smallest(item) for item in typing.get_args(ResponseInputItemParam)}
ITEMS["FunctionCallOutput"]["call_id"] = "some call"  # may be left out of the types, but then answers no call


def kinds() -> dict[str, dict[str, Any]]:
    return {name: item for name, item in ITEMS.items() if name != "ItemReference"}


@pytest.mark.parametrize("name", kinds())
@pytest.mark.parametrize(
    ("path", "member"),
    [
        ("/v1/responses", "input"),
        ("/chat/responses", "input"),
        ("/chat", "input"),
        ("/v1/conversations", "items"),
    ],
)
async def test_item_of_every_type_is_read_or_refused_by_its_type(http, org, name, path, member):
    item = ITEMS[name]
    kind = item.get("type", "message")
    body = {"assistantId": org.assistant_id, "stream": False} if member == "input" else {}
    answer = await http.post(path, headers=org.bearer, json={**body, member: [item, USER]})
    answered = answer.json()

    if kind in REFUSED:
        assert answer.status_code == 400
        assert f"{member}[0].type '{kind}' is no type of an item that can be sent" in str(answered)
    elif kind in OURS:
        assert answer.status_code == 400
        assert f"{member}[0].encrypted_content must be as the compact method answered it" in str(answered)
    else:
        assert answer.status_code in (200, 201), answered
        if member == "input":
            chat = (await http.get(f"/chat/{answered['id']}", headers=org.bearer)).json()
            assert len(chat["messages"]) == (1 if kind in IGNORED else 3 if kind == "mcp_call" else 2)


def test_every_type_of_the_sdk_has_an_item():
    assert {item.get("type", "message") for item in kinds().values()} >= REFUSED | OURS | {
        "function_call",
        "mcp_call",
    }
    assert len(ITEMS) > 30


# --- references ---------------------------------------------------------------------------------------------


async def referred(http, org) -> dict[str, str]:
    first = (
        await http.post(
            "/v1/responses",
            headers=org.bearer,
            json={"assistantId": org.assistant_id, "input": "My name is Ada"},
        )
    ).json()
    return {"type": "item_reference", "id": first["output"][0]["id"]}


async def test_chat_reads_the_item_that_it_is_given_by_name(http, org):
    request_body = {"assistantId": org.assistant_id, "input": [await referred(http, org), USER]}
    chat = (await http.post("/chat", headers=org.bearer, json=request_body)).json()

    assert [one["message"] for one in chat["messages"]] == ["You said: My name is Ada", "Hello"]
    assert chat["input"] == request_body["input"]


async def test_conversation_takes_the_item_that_it_is_given_by_name(http, org):
    reference = await referred(http, org)
    made = (await http.post("/v1/conversations", headers=org.bearer, json={"items": [reference]})).json()
    added = (
        await http.post(
            f"/v1/conversations/{made['id']}/items", headers=org.bearer, json={"items": [USER, reference]}
        )
    ).json()
    stored = (await http.get(f"/v1/conversations/{made['id']}/items?order=asc", headers=org.bearer)).json()

    assert [item["content"][0]["text"] for item in stored["data"]] == [
        "You said: My name is Ada",
        "Hello",
        "You said: My name is Ada",
    ]
    assert stored["data"][1:] == added["data"]


@pytest.mark.parametrize("path", ["/v1/conversations", "/v1/conversations/{id}/items"])
async def test_item_of_another_org_is_not_there(http, org, other_org, path):
    reference = await referred(http, other_org)
    made = (await http.post("/v1/conversations", headers=org.bearer, json={})).json()
    answer = await http.post(
        path.format(id=made["id"]), headers=org.bearer, json={"items": [USER, reference]}
    )

    assert answer.status_code == 404
    assert (
        answer.json()["error"]["message"] == "items[1].id names no item that is there: send the item itself"
    )


@pytest.mark.parametrize(
    ("path", "body"), [("/session", {"messages": []}), ("/v1/responses", {"input": "x", "instructions": []})]
)
async def test_where_nobody_looks_it_up_its_type_is_refused(http, org, path, body):
    member = list(body)[-1]
    answer = await http.post(
        path,
        headers=org.bearer,
        json={**body, "assistantId": org.assistant_id, member: [await referred(http, org)]},
    )

    assert answer.status_code == 400
    assert (
        f"{member}[0].type 'item_reference' names an item of an earlier answer, which is not looked up here"
        in answer.text
    )
