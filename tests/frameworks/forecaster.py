"""A model that holds the dialogues of the examples, behind a provider that refuses what a real one refuses.

It asks the tools it is offered about every city of the user's last text, hands over where a tool says so, and then
answers in the form that is wanted. "Please break off" and "at length" make it do so. Tests nothing.
"""

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.upstream import CUT, Answer, CustomUpstream, Request, chunk, openai_stream, usage_chunk

CITIES = ("Rome", "Oslo")
ANSWER = {"city": "Rome", "celsius": 24}
"""What it fills schemas with, by the names of their properties."""


class Forecaster(CustomUpstream):
    """Answers by what it is sent; `flaws` has why it refused a request."""

    def __init__(self) -> None:
        super().__init__([])

    def answer_to(self, request: Request) -> Answer:
        """The next step of the dialogue."""
        body = request.body
        tools = {tool["function"]["name"]: tool["function"] for tool in body.get("tools", ())}
        messages = body["messages"]
        if calls := list(_calls(messages, tools, body.get("tool_choice"))):
            return _called(calls, 1 + sum(len(message.get("tool_calls") or ()) for message in messages))
        text = _text(messages, body.get("response_format"))
        if "break off" in _asked(messages):
            return Answer([*_said(text).pieces[:2], CUT])
        return _said(text, finish="length" if "at length" in _asked(messages) else "stop")


def _calls(
    messages: list[dict[str, Any]], tools: dict[str, dict[str, Any]], choice: Any
) -> Iterator[tuple[str, dict[str, Any]]]:
    asked = _asked(messages)
    done = _since_asked(messages)
    if choice == "none":
        return
    if isinstance(choice, dict):
        name = choice["function"]["name"]
        yield name, _filled(tools[name]["parameters"])
        return
    if not any(message["role"] == "tool" for message in done):
        if "get_weather" in tools and "weather" in asked:
            yield from (("get_weather", {"city": city}) for city in _cities(asked))
            return
        for name in tools:
            if (found := re.fullmatch(r"(?:transfer_to_|ask_)(\w+)", name)) and found[1].split("_")[
                0
            ] in asked:
                yield name, _filled(tools[name].get("parameters") or {}, asked)
                return
    outputs = [
        name
        for name in tools
        if name not in ("get_weather",) and not name.startswith(("transfer_to_", "ask_"))
    ]
    if outputs and (choice == "required" or "report" in asked):
        yield outputs[0], _filled(tools[outputs[0]]["parameters"])


def _text(messages: list[dict[str, Any]], form: dict[str, Any] | None) -> str:
    if form and form["type"] == "json_schema":
        return json.dumps(_filled(form["json_schema"]["schema"]))
    if form and form["type"] == "json_object":
        return json.dumps(ANSWER)
    results = [_plain(message) for message in _since_asked(messages) if message["role"] == "tool"]
    if results:
        return "It is " + " and ".join(results) + "."
    asked = _asked(messages)
    if "name?" not in asked:
        return f"You wrote: {asked}"
    names = [name for message in messages for name in re.findall(r"[Mm]y name is (\w+)", _plain(message))]
    return f"Your name is {names[-1]}." if names else "I do not know."


def _filled(schema: dict[str, Any], text: str = "", root: dict[str, Any] | None = None) -> Any:
    root = root or schema
    if "$ref" in schema:
        found = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        return _filled(found, text, root)
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        return {
            name: ANSWER.get(name, _filled(inner, text, root))
            for name, inner in schema.get("properties", {}).items()
        }
    if kind == "array":
        return [_filled(schema["items"], text, root)]
    return {"integer": 24, "number": 24.5, "boolean": True}.get(str(kind), text)


def _asked(messages: list[dict[str, Any]]) -> str:
    return next((_plain(message) for message in reversed(messages) if message["role"] == "user"), "")


def _since_asked(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    last = max((index for index, message in enumerate(messages) if message["role"] == "user"), default=-1)
    return messages[last + 1 :]


def _plain(message: dict[str, Any]) -> str:
    content = message["content"] or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _cities(text: str) -> list[str]:
    return [city for city in CITIES if city in text]


def _called(calls: list[tuple[str, dict[str, Any]]], first: int) -> Answer:
    """Streamed as a provider does: a call's name before its arguments, which come in two pieces."""
    deltas: list[dict[str, Any]] = []
    for index, (name, arguments) in enumerate(calls):
        text = json.dumps(arguments)
        begun = {"index": index, "id": f"call_{first + index}", "type": "function"}
        deltas.append({**begun, "function": {"name": name, "arguments": ""}})
        deltas += [
            {"index": index, "function": {"arguments": piece}} for piece in (text[:5], text[5:]) if piece
        ]
    return openai_stream(
        chunk({"role": "assistant", "content": None}),
        *(chunk({"tool_calls": [delta]}) for delta in deltas),
        chunk(finish="tool_calls"),
        usage_chunk(3, 2),
    )


def _said(text: str, finish: str = "stop") -> Answer:
    return openai_stream(
        chunk({"role": "assistant", "content": ""}),
        *(chunk({"content": word}) for word in re.findall(r"\s*\S+", text)),
        chunk(finish=finish),
        usage_chunk(3, 2),
    )
