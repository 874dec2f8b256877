"""Parses input of callers: strings, arrays of messages and Responses input items become Messages.

Checks shape, names the place of an error, and preserves content as it was sent. Runs nothing and stores
nothing.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.struct_pb2 import Struct, Value

from generated.parley.v1.message_pb2 import Message, ProviderState
from server.content.budget import MOST_MESSAGE_BYTES
from server.content.compaction import text_of_compaction
from server.content.custom_tools import is_custom, name_of, parse_custom_tool, sent_call
from server.content.json_values import MAX_DEPTH, from_python, to_python
from server.content.messages import mark_run, tool_calls_of
from server.content.parts import check_part
from server.content.repeated_answers import RepeatedAnswers
from server.content.sealing import Opened
from server.content.well_formed import is_object
from server.core.accepted import (
    CALL_OUTPUTS,
    CALLS,
    COMPACTIONS,
    FUNCTION_NAME,
    IGNORED,
    MOST_MESSAGES,
    MOST_TOOLS,
    ROLES,
    TEXT_PARTS,
)
from server.core.errors import InvalidArgument
from server.core.ids import parse_id

INSTRUCTING = ("system", "developer")
"""The roles whose messages instruct the model."""
_ITEM_TYPES = (
    "message",
    "function_call",
    "function_call_output",
    "mcp_call",
    *CALLS,
    *sorted(CALL_OUTPUTS),
    *COMPACTIONS,
    "item_reference",
    *sorted(IGNORED),
)
_FUNCTION_NAME = re.compile(FUNCTION_NAME)
_FUNCTION_MEMBERS = ("name", "description", "parameters", "strict")


_NOTHING: Mapping[int, Opened] = {}


def parse_input(
    value: Value, field: str = "input", *, may_be_empty: bool = False, opened: Mapping[int, Opened] = _NOTHING
) -> list[Message]:
    """Return the messages in `value`: a string is a user's message, an array contains messages or Responses
    input items.

    `opened` has, by the place of reasoning items, what their provider wants back with the items that follow.
    Raises InvalidArgument naming the place, such as `input[0].role`.
    """
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        message = Message(role="user", content=Value(string_value=checked_text(value.string_value, field)))
        _check_size(message, field)
        return [message]
    if kind != "list_value":
        raise InvalidArgument.of(field, "must be a string or an array of messages")
    _check_count(len(value.list_value.values), field)
    return parse_messages(to_python(value), field, may_be_empty=may_be_empty, opened=opened)


def parse_messages(
    items: list[Any], field: str, *, may_be_empty: bool = False, opened: Mapping[int, Opened] = _NOTHING
) -> list[Message]:
    """Return the messages in an array; items that models here cannot use are ignored. `opened`: as in
    `parse_input`.

    Raises InvalidArgument naming the place.
    """
    if not items and not may_be_empty:
        raise InvalidArgument.of(field, "must hold at least one message")
    _check_count(len(items), field)
    messages: list[Message] = []
    repeated = RepeatedAnswers(opened)
    calling = False
    for index, item in enumerate(items):
        if _type_of(item) == "reasoning":
            repeated.begin(index, item, messages)
        if _type_of(item) in IGNORED:
            continue
        found = _messages(item, f"{field}[{index}]")
        for message in found:
            _check_size(message, f"{field}[{index}]")
        if (taken := repeated.take(found)) is not None:
            messages += taken
            calling = False
            continue
        calls = _type_of(item) == "function_call" or _type_of(item) in CALLS
        if calls and calling:  # items of one answer; providers want every call of it in one message
            messages[-1].tool_calls.list_value.values.extend(found[0].tool_calls.list_value.values)
        else:
            messages += found
        calling = calls
    _mark_custom(messages)
    for message in messages:
        if message.HasField("provider_state"):  # made of several items
            _check_size(message, field)
    if not messages and not may_be_empty:
        raise InvalidArgument.of(field, "must contain a message: items of the types it has are ignored")
    return messages


def _mark_custom(messages: Sequence[Message]) -> None:
    """Mark the results of custom tools, which completions send as they send those of functions."""
    custom = {call["id"] for message in messages for call in tool_calls_of(message) if "input" in call}
    for message in messages if custom else ():
        if message.role == "tool" and message.tool_call_id in custom:
            message.custom_tool = True


def _check_count(count: int, field: str) -> None:
    if count > MOST_MESSAGES:
        raise InvalidArgument.of(field, f"must hold at most {MOST_MESSAGES} messages, this one has {count}")


def _check_size(message: Message, field: str) -> None:
    if (size := message.ByteSize()) > MOST_MESSAGE_BYTES:
        raise InvalidArgument.of(
            field,
            f"has {size} bytes; one message may have at most {MOST_MESSAGE_BYTES}, so that it "
            "can be read again: split it into several",
        )


def check_message(message: Message, field: str) -> None:
    """Raise InvalidArgument, naming the place, for a message without valid content."""
    item: dict[str, Any] = {
        name: to_python(value) if isinstance(value, Value | Struct) else value
        for descriptor, value in message.ListFields()
        if (name := descriptor.json_name)
    }
    if item.get("content") is None and message.role == "assistant":
        item["content"] = ""  # a model's message may be empty
    _message(item, field)
    _check_places(message, f"{field}.textBeforeCalls")
    _check_state(message.provider_state, f"{field}.providerState")


def _check_places(message: Message, field: str) -> None:
    at = 0.0
    for index, value in enumerate(message.text_before_calls.values):
        place = value.number_value
        if (
            value.WhichOneof("kind") != "number_value"
            or not at <= place <= MOST_MESSAGE_BYTES
            or not place.is_integer()
        ):
            raise InvalidArgument.of(
                f"{field}[{index}]", "must be how many characters of the text came before the call"
            )
        at = place


def _check_state(state: ProviderState, field: str) -> None:
    texts = {f"extraContent[{index}].json": extra.json for index, extra in enumerate(state.extra_content)}
    texts |= {f"reasoningDetails[{index}]": text for index, text in enumerate(state.reasoning_details)}
    for name, text in texts.items():
        if not (text.strip() and is_object(text)):
            raise InvalidArgument.of(f"{field}.{name}", "must be a JSON object, as text")


def parse_tools(tools: Sequence[Struct], field: str) -> list[dict[str, Any]]:
    """Return a request's function and custom tools, flat (Responses) or nested (completions), in the nested form.

    Raises InvalidArgument, also for tools of MCP servers and for hosted tools, which OpenAI's own servers run: a
    caller would wait for them in vain.
    """
    found = []
    for index, tool in enumerate(tools):
        if (given := to_python(tool)).get("type", "function") == "function":
            found.append(_function_tool(given, f"{field}[{index}]"))
        elif given["type"] == "custom":
            found.append(parse_custom_tool(given, f"{field}[{index}]"))
        else:
            raise InvalidArgument.of(f"{field}[{index}].type", _not_run(str(given["type"])[:40]))
    return found


def _not_run(kind: str) -> str:
    if kind == "mcp":
        return (
            "must be function or custom, not mcp: MCP servers are not called from here; list the server's tools in your own "
            "program, send each as a function, and answer its calls"
        )
    return (
        f"must be function or custom, not {kind}: nothing here runs hosted tools; send a "
        "function of your own, or give the assistant an apiRequest tool"
    )


def parse_tool_choice(choice: Any, field: str = "tool_choice") -> Any:
    """Return `choice` in the form of chat completions. Raises InvalidArgument, also for a hosted tool, which
    is never offered.

    A restriction to some tools is returned as {type: allowed_tools, mode, names}.
    """
    if choice is None or choice in ("none", "auto", "required"):
        return choice
    if not isinstance(choice, dict):
        raise InvalidArgument.of(field, "must be none, auto, required, or an object that names a function")
    if choice.get("type") == "allowed_tools":
        return _allowed_tools(choice, field)
    kind = choice.get("type")
    if kind not in ("function", "custom"):
        raise InvalidArgument.of(
            field, "must name a function or a custom tool: no other tools are offered here"
        )
    name = choice[kind].get("name") if isinstance(choice.get(kind), dict) else choice.get("name")
    if not isinstance(name, str):
        raise InvalidArgument.of(field, "must name a function or a custom tool")
    return {"type": kind, kind: {"name": name}}


def _allowed_tools(choice: dict[str, Any], field: str) -> dict[str, Any]:
    """Return the allowed tools of either interface: completions have one more object around mode and tools."""
    given = choice["allowed_tools"] if isinstance(choice.get("allowed_tools"), dict) else choice
    mode, tools = given.get("mode", "auto"), given.get("tools")
    if mode not in ("auto", "required"):
        raise InvalidArgument.of(f"{field}.mode", "must be auto or required")
    if not isinstance(tools, list):
        raise InvalidArgument.of(
            f"{field}.tools", "must be an array of tools, each with its type and its name"
        )
    if len(tools) > MOST_TOOLS:
        raise InvalidArgument.of(
            f"{field}.tools", f"must name at most {MOST_TOOLS} tools, this one names {len(tools)}"
        )
    names = {
        name_of(parse_tool_choice(tool, f"{field}.tools[{index}]"))
        for index, tool in enumerate(tools)
        if isinstance(tool, dict) and tool.get("type") in ("function", "custom")
    }
    return {"type": "allowed_tools", "mode": mode, "names": names}


def parse_response_format(form: Any, field: str, schema_field: str) -> dict[str, Any] | None:
    """Return `form` in the form of chat completions; None for text. Raises InvalidArgument naming
    `schema_field`."""
    if form is None:
        return None
    if not isinstance(form, dict):
        raise InvalidArgument.of(field, "must be an object with a type")
    kind = "text" if form.get("type") is None else form["type"]
    if kind not in ("text", "json_object", "json_schema"):
        raise InvalidArgument.of(f"{field}.type", "must be text, json_object or json_schema")
    if kind != "json_schema":
        return None if kind == "text" else {"type": kind}
    given = form.get("json_schema")
    if not isinstance(given, dict):
        raise InvalidArgument.of(schema_field, "must be an object with a name and a schema")
    if not isinstance(given.get("schema"), dict | None):
        raise InvalidArgument.of(f"{schema_field}.schema", "must be an object: a JSON Schema")
    return {
        "type": kind,
        "json_schema": {name: member for name, member in given.items() if member is not None},
    }


def checked_text(text: str, field: str) -> str:
    """Return `text`. Raises InvalidArgument when it cannot be stored."""
    if "\0" in text:
        raise InvalidArgument.of(field, "must not contain the character NUL (U+0000); leave it out")
    return text


def checked_value(content: Any, field: str) -> Value:
    """Return `content` as a Value. Raises InvalidArgument when it is nested too deeply."""
    try:
        return from_python(content)
    except ValueError:
        raise InvalidArgument.of(field, f"must not be nested deeper than {MAX_DEPTH} levels") from None


def body_id(text: str, field: str) -> str:
    """Return the id in a member of a body, bare or prefixed. Raises InvalidArgument; in a path it would be
    NOT_FOUND."""
    identifier = parse_id(text)
    if identifier is None:
        raise InvalidArgument.of(field, "must be an id: a UUID, bare or prefixed as in resp_<hex>")
    return identifier


def _messages(item: Any, field: str) -> list[Message]:
    """Return the message of an item; for a call that the server ran (an item of an earlier answer), the call
    and its result."""
    if _type_of(item) == "mcp_call":
        call = {**item, "call_id": item.get("id")}
        output = item["output"] if isinstance(item.get("output"), str) else ""
        messages = [_function_call(call, field), _function_call_output({**call, "output": output}, field)]
        messages[1].name = call["name"]
        mark_run(messages)
        return messages
    return [_message(item, field)]


def _message(item: Any, field: str) -> Message:
    if not isinstance(item, dict):
        raise InvalidArgument.of(field, "must be a message: an object with role and content")
    if item.get("type") == "function_call":
        return _function_call(item, field)
    if item.get("type") == "function_call_output":
        return _function_call_output(item, field)
    kind = _type_of(item)
    if kind == "custom_tool_call":
        return _custom_call(item, field)
    if kind in COMPACTIONS:
        return _compaction(item, field)
    if kind in CALLS:
        return _function_call(_as_function_call(item, kind), field)
    if kind in CALL_OUTPUTS:
        message = _function_call_output(_as_function_output(item), field)
        if kind == "custom_tool_call_output":
            message.custom_tool = True
        return message
    role = item.get("role")
    if role not in ROLES:
        _check_type(item, field)
        raise InvalidArgument.of(f"{field}.role", f"must be one of {', '.join(ROLES)}")
    message = Message(role=role)
    content = item.get("content", item.get("message"))
    if content is not None:
        message.content.CopyFrom(checked_value(_content(content, f"{field}.content"), f"{field}.content"))
    elif not (role == "assistant" and (item.get("tool_calls") or item.get("refusal"))):
        raise InvalidArgument.of(f"{field}.content", "must be a string or an array of parts")
    _copy_extras(item, message, field)
    return message


def _type_of(item: Any) -> str | None:
    kind = item.get("type") if isinstance(item, dict) else None
    return kind if isinstance(kind, str) else None


def _check_type(item: dict[str, Any], field: str) -> None:
    """Raise InvalidArgument, naming the type, for an item that is neither a message nor a readable item."""
    kind = item.get("type")
    if kind == "item_reference":
        raise InvalidArgument.of(
            f"{field}.type",
            "'item_reference' names an item of an earlier answer, which is not "
            "looked up here: send the item itself",
        )
    if kind is not None and kind != "message":
        raise InvalidArgument.of(
            f"{field}.type",
            f"'{str(kind)[:40]}' is no type of an item that can be sent: use one of "
            f"{', '.join(_ITEM_TYPES)}, or leave the item out",
        )


def _as_function_call(item: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return a call of one of OpenAI's own tools as the call of a function of that name."""
    member = CALLS[kind]
    return {
        "call_id": item.get("call_id"),
        "name": kind[: -len("_call")],
        "arguments": json.dumps({member: item.get(member)}, ensure_ascii=False),
    }


def _as_function_output(item: dict[str, Any]) -> dict[str, Any]:
    """Return the output of such a tool; values other than text and message parts become JSON."""
    output = item.get("output")
    if isinstance(output, list) and not all(isinstance(part, dict) and "type" in part for part in output):
        output = json.dumps(output, ensure_ascii=False)
    return {"call_id": item.get("call_id", item.get("id")), "output": "" if output is None else output}


def _copy_extras(item: dict[str, Any], message: Message, field: str) -> None:
    for name in ("tool_call_id", "name", "refusal"):
        if item.get(name) is not None:
            if not isinstance(item[name], str):
                raise InvalidArgument.of(f"{field}.{name}", "must be a string")
            setattr(message, name, checked_text(item[name], f"{field}.{name}"))
    if item.get("tool_calls") is not None and (
        calls := _tool_calls(item["tool_calls"], f"{field}.tool_calls")
    ):
        message.tool_calls.CopyFrom(checked_value(calls, f"{field}.tool_calls"))
    if item.get("metadata") is not None:
        if not isinstance(item["metadata"], dict):
            raise InvalidArgument.of(f"{field}.metadata", "must be an object")
        message.metadata.CopyFrom(checked_value(item["metadata"], f"{field}.metadata").struct_value)
    if message.role == "tool" and not message.tool_call_id:
        raise InvalidArgument.of(f"{field}.tool_call_id", "must name the tool call that the message answers")


def _content(content: Any, field: str) -> Any:
    if isinstance(content, str):
        return checked_text(content, field)
    if not isinstance(content, list):
        raise InvalidArgument.of(field, "must be a string or an array of parts")
    for index, part in enumerate(content):
        check_part(part, f"{field}[{index}]")
        _check_text(part, f"{field}[{index}]")
    return content


def _check_text(part: dict[str, Any], field: str) -> None:
    if part["type"] in TEXT_PARTS:
        checked_text(part["text"], f"{field}.text")


def _tool_calls(calls: Any, field: str) -> list[Any]:
    if not isinstance(calls, list):
        raise InvalidArgument.of(field, "must be an array of tool calls")
    for index, call in enumerate(calls):
        if isinstance(call, dict) and is_custom(call):
            _check_custom(call, f"{field}[{index}]")
            continue
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise InvalidArgument.of(f"{field}[{index}].function.name", "must be a string")
        if not isinstance(call.get("id"), str):
            raise InvalidArgument.of(f"{field}[{index}].id", "must be a string")
        if not isinstance(call.get("type"), str | None):
            raise InvalidArgument.of(f"{field}[{index}].type", "must be a string: function or custom")
        if not isinstance(function.get("arguments"), str | None):
            raise InvalidArgument.of(
                f"{field}[{index}].function.arguments", "must be a string: the arguments as JSON"
            )
    return calls


def _check_custom(call: dict[str, Any], field: str) -> None:
    custom = call.get("custom")
    if not isinstance(custom, dict) or not isinstance(custom.get("name"), str):
        raise InvalidArgument.of(f"{field}.custom.name", "must be a string")
    if not isinstance(call.get("id"), str):
        raise InvalidArgument.of(f"{field}.id", "must be a string")
    if not isinstance(custom.get("input"), str):
        raise InvalidArgument.of(f"{field}.custom.input", "must be a string: what the model wrote")
    checked_text(custom["input"], f"{field}.custom.input")


def _custom_call(item: dict[str, Any], field: str) -> Message:
    for name in ("call_id", "name", "input"):
        if not isinstance(item.get(name), str):
            raise InvalidArgument.of(f"{field}.{name}", "must be a string")
    checked_text(item["input"], f"{field}.input")
    call = sent_call({"id": item["call_id"], "name": item["name"], "input": item["input"]})
    return Message(role="assistant", tool_calls=checked_value([call], field))


def _function_call(item: dict[str, Any], field: str) -> Message:
    for name in ("call_id", "name"):
        if not isinstance(item.get(name), str):
            raise InvalidArgument.of(f"{field}.{name}", "must be a string")
    if not isinstance(item.get("arguments"), str | None):
        raise InvalidArgument.of(f"{field}.arguments", "must be a string: the arguments as JSON")
    function = {"name": item["name"], "arguments": item.get("arguments") or "{}"}
    message = Message(role="assistant")
    message.tool_calls.CopyFrom(
        checked_value([{"id": item["call_id"], "type": "function", "function": function}], field)
    )
    return message


def _function_call_output(item: dict[str, Any], field: str) -> Message:
    if not isinstance(item.get("call_id"), str):
        raise InvalidArgument.of(f"{field}.call_id", "must name the function call it answers")
    output = _content(item.get("output"), f"{field}.output")
    return Message(
        role="tool", tool_call_id=item["call_id"], content=checked_value(output, f"{field}.output")
    )


def _compaction(item: dict[str, Any], field: str) -> Message:
    text = text_of_compaction(item.get("encrypted_content"))
    if text is None:
        raise InvalidArgument.of(f"{field}.encrypted_content", "must be as the compact method answered it")
    return Message(role="system", content=Value(string_value=checked_text(text, field)))


def _function_tool(tool: dict[str, Any], field: str) -> dict[str, Any]:
    nested = "function" in tool
    function, at = (tool["function"], f"{field}.function") if nested else (tool, field)
    if not isinstance(function, dict):
        raise InvalidArgument.of(at, "must be an object")
    given = {name: function[name] for name in _FUNCTION_MEMBERS if function.get(name) is not None}
    if not (isinstance(given.get("name"), str) and _FUNCTION_NAME.fullmatch(given["name"])):
        raise InvalidArgument.of(f"{at}.name", "must be 1 to 64 letters, digits, underscores and dashes")
    if not isinstance(given.get("parameters", {}), dict):
        raise InvalidArgument.of(f"{at}.parameters", "must be a JSON schema: an object")
    if not isinstance(given.get("description", ""), str):
        raise InvalidArgument.of(f"{at}.description", "must be a string")
    return {"type": "function", "function": given}
