"""NUL is refused wherever text is: SQLite would keep it, PostgreSQL cannot."""

import pytest

PLACES = {
    "name of a chat": ("/chat", {"input": "hi", "name": "a\0b"}, "name"),
    "metadata of a session": ("/session", {"metadata": {"a": [{"b": "\0"}]}}, "metadata.a[0].b"),
    "key in metadata": ("/session", {"metadata": {"a\0": 1}}, "metadata.a\0"),
    "customer of a session": ("/session", {"customer": {"number": "\0"}}, "customer.number"),
    "document": ("/assistant", {"name": "x", "odd": ["\0"]}, "odd[0]"),
}


@pytest.mark.parametrize(("path", "body", "field"), PLACES.values(), ids=PLACES)
async def test_nul_is_refused_and_its_place_named(http, org, path, body, field):
    if path == "/chat":
        body = {"assistantId": org.assistant_id, **body}
    answer = await http.post(path, json=body, headers=org.bearer)

    assert (answer.status_code, answer.json()["message"]) == (
        400,
        [f"{field} must not contain the character NUL (U+0000); leave it out"],
    )
