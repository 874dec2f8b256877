"""Custom tools, whose calls have free text instead of arguments: their definitions and their calls in the form of
chat completions.

Offers nothing to a model (`exchange/context.py` does).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.struct_pb2 import Struct

from server.content.json_values import to_python
from server.core.accepted import FUNCTION_NAME
from server.core.errors import InvalidArgument

_MEMBERS = ("name", "description", "format")
"""Members of a custom tool that chat completions have."""
_NAME = re.compile(FUNCTION_NAME)
_SYNTAXES = ("lark", "regex")
WITHOUT = frozenset(
    {
        "anthropic",
        "cerebras",
        "deep-seek",
        "deepinfra",
        "google",
        "groq",
        "mistral",
        "openrouter",
        "perplexity-ai",
        "together-ai",
        "xai",
    }
)
"""Providers whose tools are functions only: their references of chat completions (`members.py` has the addresses) know
no other type, and such servers answer 400 (github.com/JiuliNuoyi/CodexRosetta/pull/1). A provider not listed is OpenAI,
Azure, the offline model, or a self-hosted server, which gets all."""


def name_of(tool: Mapping[str, Any]) -> str:
    """Return the name of a tool, or of the choice of one, nested or flat."""
    return str(tool.get(tool["type"], tool)["name"])


def is_custom(tool: Mapping[str, Any]) -> bool:
    """Return whether a tool, or the choice of one, is custom."""
    return tool.get("type") == "custom"


def parse_custom_tool(tool: Mapping[str, Any], field: str) -> dict[str, Any]:
    """Return a custom tool, flat (Responses) or nested (completions), in the nested form. Raises InvalidArgument."""
    nested = "custom" in tool
    custom, at = (tool["custom"], f"{field}.custom") if nested else (tool, field)
    if not isinstance(custom, dict):
        raise InvalidArgument.of(at, "must be an object")
    given = {name: custom[name] for name in _MEMBERS if custom.get(name) is not None}
    if not (isinstance(given.get("name"), str) and _NAME.fullmatch(given["name"])):
        raise InvalidArgument.of(f"{at}.name", "must be 1 to 64 letters, digits, underscores and dashes")
    if not isinstance(given.get("description", ""), str):
        raise InvalidArgument.of(f"{at}.description", "must be a string")
    if "format" in given:
        given["format"] = _format_of(given["format"], f"{at}.format")
    return {"type": "custom", "custom": given}


def custom_places(tools: Sequence[Struct], field: str) -> dict[str, str]:
    """Return the members of a request that define custom tools, by name; the tools are those that `inputs.py`
    takes."""
    return {
        name_of(parse_custom_tool(given, place)): place
        for place, given in ((f"{field}[{index}]", to_python(tool)) for index, tool in enumerate(tools))
        if is_custom(given)
    }


def text_of_call(call: Mapping[str, Any]) -> str:
    """Return what the model wrote for a call (as `tool_calls_of` returns it): the input of a custom tool, otherwise
    the arguments."""
    text = call.get("input")
    return str(call["arguments"] if text is None else text)


def sent_call(call: Mapping[str, Any], *, custom: bool = True) -> dict[str, Any]:
    """Return a call in the form of chat completions; without `custom` always that of a function."""
    if custom and call.get("input") is not None:
        return {
            "id": call["id"],
            "type": "custom",
            "custom": {"name": call["name"], "input": call["input"]},
        }
    return {
        "id": call["id"],
        "type": "function",
        "function": {"name": call["name"], "arguments": call["arguments"]},
    }


def check_taken(
    provider: str, tools: Sequence[Mapping[str, Any]], choice: Any, places: Mapping[str, str]
) -> None:
    """Raise InvalidArgument for a custom tool of a request, or the choice of one, whose provider has none. `places`
    are the members of the request that define custom tools, by name."""
    if provider not in WITHOUT:
        return
    text = (
        f"cannot be custom for provider {provider}, which takes functions only; send a function, or choose a model of "
        "openai or azure-openai"
    )
    for tool in tools:
        if is_custom(tool):
            raise InvalidArgument.of(places.get(name_of(tool), "tools"), text, reason="UNSUPPORTED_PARAMETER")
    if isinstance(choice, dict) and is_custom(choice):
        raise InvalidArgument.of("tool_choice", text, reason="UNSUPPORTED_PARAMETER")


def _format_of(given: Any, field: str) -> dict[str, Any]:
    """Return the format of a custom tool's input in the form of chat completions, which have one more object around
    a grammar than the Responses interface. Raises InvalidArgument."""
    if not isinstance(given, dict) or given.get("type") not in ("text", "grammar"):
        raise InvalidArgument.of(f"{field}.type", "must be text or grammar")
    if given["type"] == "text":
        return {"type": "text"}
    nested = "grammar" in given
    grammar, at = (given["grammar"], f"{field}.grammar") if nested else (given, field)
    if not isinstance(grammar, dict):
        raise InvalidArgument.of(at, "must be an object with a syntax and a definition")
    if grammar.get("syntax") not in _SYNTAXES:
        raise InvalidArgument.of(f"{at}.syntax", "must be lark or regex")
    if not isinstance(grammar.get("definition"), str):
        raise InvalidArgument.of(f"{at}.definition", "must be a string: the grammar")
    return {
        "type": "grammar",
        "grammar": {"syntax": grammar["syntax"], "definition": grammar["definition"]},
    }
