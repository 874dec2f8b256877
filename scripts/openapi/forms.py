"""What the protos leave to the code, as JSON Schema: free JSON that is checked, rules written in CEL, and
HTTP's own forms.

Each table is keyed by what it speaks of, and the generator refuses a key that is nowhere in the protos. Says
nothing that a proto says.
"""

from typing import Any

from server.core import accepted

Schema = dict[str, Any]

ID: Schema = {
    "type": "string",
    "pattern": f"^{accepted.ID}$",
    "description": "An id: a UUID, bare or with the prefix that the OpenAI forms show, as in resp_<hex>.",
}
_STRING: Schema = {"type": "string"}
_SOME_STRING: Schema = {"type": "string", "minLength": 1}
_NULL: Schema = {"type": "null"}
_NULLABLE: Schema = {"type": ["string", "null"]}
_FUNCTION: dict[str, Schema] = {
    "name": {"type": "string", "pattern": f"^{accepted.FUNCTION_NAME}$"},
    "description": {"type": ["string", "null"]},
    "parameters": {"type": ["object", "null"], "description": "A JSON schema."},
    "strict": {"type": ["boolean", "null"]},
}
_GRAMMAR: dict[str, Schema] = {"syntax": {"enum": ["lark", "regex"]}, "definition": _STRING}
_CUSTOM: dict[str, Schema] = {
    "name": _FUNCTION["name"],
    "description": {"type": ["string", "null"]},
    "format": {
        "anyOf": [
            _NULL,
            {"type": "object", "required": ["type"], "properties": {"type": {"const": "text"}}},
            {
                "type": "object",
                "required": ["type", "syntax", "definition"],
                "properties": {"type": {"const": "grammar"}, **_GRAMMAR},
                "not": {"required": ["grammar"]},
            },
            {
                "type": "object",
                "required": ["type", "grammar"],
                "properties": {
                    "type": {"const": "grammar"},
                    "grammar": {"type": "object", "required": [*_GRAMMAR], "properties": _GRAMMAR},
                },
            },
        ]
    },
}
_SHELL_CALLS = [name for name in accepted.CALLS if name != "custom_tool_call"]
_TOOL_OUTPUTS = sorted(accepted.CALL_OUTPUTS)
_IGNORED = sorted(accepted.IGNORED)
_ITEM_TYPES = [
    "function_call",
    "function_call_output",
    "mcp_call",
    *accepted.COMPACTIONS,
    *accepted.CALLS,
    *_TOOL_OUTPUTS,
    *_IGNORED,
]
_TEXT_TYPES = sorted(accepted.TEXT_PARTS)
_SPEAKERS = [role for role in accepted.ROLES if role != "tool"]


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: str, /, **properties: Schema) -> Schema:
    return {"type": "object", "required": required.split(), "properties": properties}


def _type(*names: str) -> Schema:
    return {"const": names[0]} if len(names) == 1 else {"enum": list(names)}


def _given(*names: str, without: tuple[str, ...] = (), kind: str = "") -> Schema:
    """That some members are there, and others are not; null is absent."""
    members = {**{name: {"not": _NULL} for name in names}, **dict.fromkeys(without, _NULL)}
    return {
        **({"type": kind} if kind else {}),
        **({"required": list(names)} if names else {}),
        "properties": members,
    }


def _only(name: str, *values: str) -> Schema:
    """An object that has nothing but one member, if that; or null."""
    return {
        "type": ["object", "null"],
        "properties": {name: {"enum": list(values)}},
        "additionalProperties": False,
    }


# --- free JSON that is checked ------------------------------------------------------------------------------

_MESSAGE_MEMBERS: dict[str, Schema] = {
    "tool_call_id": _NULLABLE,
    "name": _NULLABLE,
    "refusal": _NULLABLE,
    "metadata": {"type": ["object", "null"]},
    "tool_calls": {"anyOf": [{"type": "array", "items": ref("ToolCall")}, _NULL]},
}
_ALLOWED: dict[str, Schema] = {
    "mode": {"enum": ["auto", "required"]},
    "tools": {
        "type": "array",
        "maxItems": accepted.MOST_TOOLS,
        "items": _object("", type=_STRING, name=_STRING),
    },
}
_NO_ITEM: Schema = {"not": {"enum": _ITEM_TYPES}}

COMPONENTS: dict[str, Schema] = {
    "Id": ID,
    "Input": {
        "description": "The input: a string, or an array of at least one message or item.",
        "anyOf": [
            _STRING,
            {"type": "array", "minItems": 1, "maxItems": accepted.MOST_MESSAGES, "items": ref("InputItem")},
        ],
    },
    "InputItem": {
        "description": "A message, or an item of the Responses interface.",
        "anyOf": [
            ref("InputMessage"),
            ref("InputFunctionCall"),
            ref("InputFunctionCallOutput"),
            ref("InputMcpCall"),
            ref("InputCompaction"),
            ref("InputToolCall"),
            ref("InputToolCallOutput"),
            ref("InputPassedOver"),
            ref("InputReference"),
        ],
    },
    "InputMessage": {
        "description": "A message. `content` and `message` are two names for the same value; `content` takes precedence.",
        "anyOf": [
            {
                "description": "A message.",
                **_object(
                    "role content",
                    type=_NO_ITEM,
                    content=ref("Content"),
                    role=_type(*_SPEAKERS),
                    **_MESSAGE_MEMBERS,
                ),
            },
            {
                "description": "The same, under the schema's name for it.",
                "not": {"required": ["content"]},
                **_object(
                    "role message",
                    type=_NO_ITEM,
                    message=ref("Content"),
                    role=_type(*_SPEAKERS),
                    **_MESSAGE_MEMBERS,
                ),
            },
            {
                "description": "What a tool returned.",
                **_object(
                    "role content tool_call_id",
                    type=_NO_ITEM,
                    content=ref("Content"),
                    role=_type("tool"),
                    **(_MESSAGE_MEMBERS | {"tool_call_id": _SOME_STRING}),
                ),
            },
            {
                "description": "An assistant's tool calls.",
                **_object(
                    "role tool_calls",
                    type=_NO_ITEM,
                    role=_type("assistant"),
                    content={"anyOf": [ref("Content"), _NULL]},
                    **(
                        _MESSAGE_MEMBERS
                        | {"tool_calls": {"type": "array", "minItems": 1, "items": ref("ToolCall")}}
                    ),
                ),
            },
        ],
    },
    "ToolCall": {
        "anyOf": [
            _object(
                "id function",
                id=_STRING,
                type={**_NULLABLE, "not": {"const": "custom"}},
                function=_object(
                    "name",
                    name=_STRING,
                    arguments={**_NULLABLE, "description": "JSON, as the model wrote it."},
                ),
            ),
            _object(
                "id type custom",
                id=_STRING,
                type=_type("custom"),
                custom=_object("name input", name=_STRING, input=_STRING),
            ),
        ]
    },
    "InputFunctionCall": _object(
        "type call_id name",
        type=_type("function_call"),
        call_id=_STRING,
        name=_STRING,
        arguments={"type": ["string", "null"], "description": "JSON, as the model wrote it."},
    ),
    "InputFunctionCallOutput": _object(
        "type call_id output", type=_type("function_call_output"), call_id=_STRING, output=ref("Content")
    ),
    "InputMcpCall": {
        "description": "A call that the server ran itself, as an earlier answer had it.",
        **_object(
            "type id name",
            type=_type("mcp_call"),
            id=_STRING,
            name=_STRING,
            arguments={"type": ["string", "null"]},
            output={},
        ),
    },
    "InputToolCall": {
        "description": "A call of a tool that is not a function; of a shell or a patch it is given as that of a function.",
        "anyOf": [
            _object(
                "type call_id name input",
                type=_type("custom_tool_call"),
                call_id=_STRING,
                name=_STRING,
                input=_STRING,
            ),
            _object("type call_id", type=_type(*_SHELL_CALLS), call_id=_STRING),
        ],
    },
    "InputToolCallOutput": {
        "description": "What such a tool returned.",
        "anyOf": [
            _object(
                "type call_id",
                type=_type(*_TOOL_OUTPUTS),
                call_id=_STRING,
                output={"type": ["string", "null"]},
            ),
            _object(
                "type id",
                type=_type("local_shell_call_output"),
                id=_STRING,
                output={"type": ["string", "null"]},
            ),
        ],
    },
    "InputPassedOver": {
        "description": "An item that no model here has a use for; it is passed over.",
        **_object("type", type=_type(*_IGNORED)),
    },
    "InputReference": {
        "description": "The name of an item of an earlier answer, which is read in its place. Responses only.",
        **_object("type id", type=_type("item_reference"), id=_SOME_STRING),
    },
    "InputCompaction": {
        "description": "A summary in place of a context, as the compact method answered it.",
        **_object(
            "type encrypted_content",
            type=_type(*accepted.COMPACTIONS),
            encrypted_content={"type": "string", "contentEncoding": "base64"},
        ),
    },
    "Content": {
        "description": "A string, or an array of parts.",
        "anyOf": [_STRING, {"type": "array", "items": ref("ContentPart")}],
    },
    "ContentPart": {
        "description": "Text, an image, a file, or a part of another type, which is kept as sent.",
        "anyOf": [
            _object("type text", type=_type(*_TEXT_TYPES), text=_STRING),
            _object(
                "type image_url",
                type=_type("image_url", "input_image"),
                image_url={"anyOf": [_SOME_STRING, _object("url", url=_SOME_STRING)]},
            ),
            _object("type file_id", type=_type("input_image"), file_id=_STRING, image_url=_NULL),
            _object(
                "type file",
                type=_type("file"),
                file={
                    "anyOf": [
                        _object(name, **{name: _SOME_STRING}, filename=_STRING)
                        for name in ("file_data", "file_id")
                    ]
                },
            ),
            *(
                _object(f"type {name}", type=_type("input_file"), **{name: _SOME_STRING}, filename=_STRING)
                for name in ("file_data", "file_id", "file_url")
            ),
            _object(
                "type",
                type={
                    "type": "string",
                    "not": {"enum": [*_TEXT_TYPES, "image_url", "input_image", "file", "input_file"]},
                },
            ),
        ],
    },
    "FunctionTool": {
        "description": "A function tool, nested as chat completions have it or flat as the Responses interface has it.",
        "anyOf": [
            {"not": {"required": ["function"]}, **_object("name", type={"const": "function"}, **_FUNCTION)},
            _object("function", type={"const": "function"}, function=_object("name", **_FUNCTION)),
        ],
    },
    "CustomTool": {
        "description": "A tool that the model gives free text, nested as chat completions have it or flat as the "
        "Responses interface has it.",
        "anyOf": [
            {"not": {"required": ["custom"]}, **_object("type name", type=_type("custom"), **_CUSTOM)},
            _object("type custom", type=_type("custom"), custom=_object("name", **_CUSTOM)),
        ],
    },
    "ToolChoice": {
        "anyOf": [
            {"enum": ["none", "auto", "required", None]},
            _object("type function", type=_type("function"), function=_object("name", name=_STRING)),
            {**_object("type name", type=_type("function"), name=_STRING), "not": {"required": ["function"]}},
            _object("type custom", type=_type("custom"), custom=_object("name", name=_STRING)),
            {**_object("type name", type=_type("custom"), name=_STRING), "not": {"required": ["custom"]}},
            _object("type tools", type=_type("allowed_tools"), **_ALLOWED),
            _object(
                "type allowed_tools", type=_type("allowed_tools"), allowed_tools=_object("tools", **_ALLOWED)
            ),
        ]
    },
    "AssistantOverrides": {
        "description": "Replacements for this use; `variableValues` fill the assistant's templates.",
        **_object("", variableValues={"type": ["object", "null"]}),
    },
    "ChatWarning": {
        "description": "Parts that were ignored, or sent in another form than written.",
        **_object(
            "code message",
            code={"type": "string", "description": "A stable, machine-readable word."},
            message={"type": "string", "description": "One sentence for a person."},
            param={
                "type": "string",
                "description": "The member of the request or the assistant that it is about.",
            },
        ),
    },
    "Customer": {
        "description": "The other party. A message can go only to an E.164 `number`.",
        **_object("number", number={"type": "string", "pattern": f"^{accepted.E164}$"}),
    },
}
"""Schemas of ours that have no message."""

_MESSAGES: Schema = {
    "anyOf": [{"type": "array", "items": ref("InputItem"), "maxItems": accepted.MOST_MESSAGES}, _NULL]
}
VALUES: dict[str, Schema] = {
    "CreateChatRequest.input": ref("Input"),
    "CreateResponseRequest.input": {"anyOf": [ref("Input"), _NULL]},
    "CompactResponseRequest.input": ref("Input"),
    "CountInputTokensRequest.input": {"anyOf": [ref("Input"), _NULL]},
    "CountInputTokensRequest.instructions": {"anyOf": [ref("Input"), _NULL]},
    "CountInputTokensRequest.tool_choice": ref("ToolChoice"),
    "CountInputTokensRequest.tools": {"anyOf": [ref("FunctionTool"), ref("CustomTool")]},
    "CountInputTokensRequest.conversation": {"anyOf": [ref("Id"), _object("id", id=ref("Id")), _NULL]},
    "CompactResponseRequest.instructions": {"anyOf": [ref("Input"), _NULL]},
    "CreateResponseRequest.instructions": {"anyOf": [ref("Input"), _NULL]},
    "CreateResponseRequest.tool_choice": ref("ToolChoice"),
    "CreateChatCompletionRequest.tool_choice": ref("ToolChoice"),
    "CreateResponseRequest.tools": {"anyOf": [ref("FunctionTool"), ref("CustomTool")]},
    "CreateChatCompletionRequest.tools": {"anyOf": [ref("FunctionTool"), ref("CustomTool")]},
    "CreateResponseRequest.conversation": {"anyOf": [ref("Id"), _object("id", id=ref("Id")), _NULL]},
    "CreateSessionRequest.messages": _MESSAGES,
    "UpdateSessionRequest.messages": _MESSAGES,
    "UpdateSessionRequest.name": {"type": ["string", "null"], "maxLength": accepted.MOST_SESSION_NAME},
    "CreateConversationRequest.items": ref("InputItem"),
    "CreateItemsRequest.items": ref("InputItem"),
    "ChatCompletionInputMessage.role": {"enum": list(accepted.ROLES)},
    "ChatCompletionInputMessage.content": {"anyOf": [ref("Content"), _NULL]},
    "ChatCompletionInputMessage.tool_calls": {"anyOf": [{"type": "array", "items": ref("ToolCall")}, _NULL]},
    "ChatTransport.customer": ref("Customer"),
    **{
        f"{request}.{member}": ref(name)
        for request in ("CreateChatRequest", "CreateResponseRequest", "CreateSessionRequest")
        for member, name in (
            ("assistant", "Assistant"),
            ("squad", "Squad"),
            ("assistant_overrides", "AssistantOverrides"),
        )
    },
    **{f"SquadMember.{member}": ref("Assistant") for member in ("assistant", "assistant_overrides")},
    "Squad.members_overrides": ref("Assistant"),
    **{
        f"{request}.{member}": ref("Id")
        for request, members in {
            "CreateChatRequest": "assistant_id squad_id session_id previous_chat_id",
            "CreateResponseRequest": "assistant_id squad_id session_id previous_chat_id previous_response_id",
            "CreateSessionRequest": "assistant_id squad_id",
            "CompactResponseRequest": "assistant_id previous_response_id",
            "CreateAgentChatRequest": "agent_id",
        }.items()
        for member in members.split()
    },
    "CreateAssistantRequest.document": ref("Assistant"),
    "UpdateAssistantRequest.patch": ref("AssistantPatch"),
    "CreateSquadRequest.document": ref("Squad"),
    "UpdateSquadRequest.patch": ref("SquadPatch"),
    "CreateToolRequest.document": ref("Tool"),
    "UpdateToolRequest.patch": ref("ToolPatch"),
}
"""The types of members of requests and documents for which the proto only has Value, Struct or string."""

WARNINGS: Schema = {"type": "array", "items": ref("ChatWarning")}
"""The type of a ListValue: all of them are in members of this name."""

DOCUMENTS = ("Assistant", "Squad", "Tool")
"""Messages that are the typed view of a document, which HTTP returns as it was sent."""

NOT_SHOWN = {
    "CreateAgentChatRequest.input",
    "CreateChatCompletionRequest.agent_id",
    "Message.provider_state",
    "Message.run_by_server",
    "Message.calls_key",
    *(f"{name}.document" for name in DOCUMENTS),
}
"""Members that HTTP does not have."""

_ANSWERERS = ("assistantId", "assistant", "squadId", "squad")


def _one_names_who_answers(previous: tuple[str, ...], others: tuple[str, ...] = ()) -> Schema:
    """Return the rule that a request names who answers, or that a session or a continued exchange
    (`previous`) determines it."""
    return {
        "anyOf": [
            *(
                _given(name, without=(*(one for one in _ANSWERERS if one != name), "sessionId"))
                for name in _ANSWERERS
            ),
            _given("sessionId", without=(*_ANSWERERS, *previous)),
            *(_given(name, without=(*_ANSWERERS, "sessionId")) for name in (*previous, *others)),
        ]
    }


def _transport(previous: tuple[str, ...]) -> Schema:
    """Return the rule that a message has a recipient: from the session, or a customer, for whom a session is
    made."""
    return {
        "anyOf": [
            _given(without=("transport",)),
            {
                "required": ["transport"],
                "properties": {
                    "transport": _given("phoneNumberId", "customer", kind="object"),
                    **dict.fromkeys(("sessionId", *previous), _NULL),
                },
            },
            {
                "required": ["transport", "sessionId"],
                "properties": {
                    "transport": _given(without=("phoneNumberId", "customer"), kind="object"),
                    "sessionId": {"not": _NULL},
                },
            },
        ]
    }


_CHAT, _RESPONSE = ("previousChatId",), ("previousChatId", "previous_response_id")
RULES: dict[str, list[Schema]] = {
    "CreateChatRequest": [_one_names_who_answers(_CHAT), _transport(_CHAT)],
    "CreateResponseRequest": [
        _one_names_who_answers(_RESPONSE, ("conversation", "model")),
        _transport(_RESPONSE),
        {"anyOf": [_given(without=(name,)) for name in _RESPONSE]},
        {"anyOf": [_given(without=("conversation",)), _given(without=("sessionId", *_RESPONSE))]},
    ],
    "CountInputTokensRequest": [
        {"anyOf": [_given(name) for name in ("input", "previous_response_id", "conversation")]},
    ],
    "CompactResponseRequest": [
        {"anyOf": [_given(name) for name in ("model", "assistantId", "previous_response_id")]},
        {"anyOf": [_given(name) for name in ("input", "previous_response_id")]},
    ],
    "CreateSessionRequest": [
        {"anyOf": [_given(without=tuple(one for one in _ANSWERERS if one != name)) for name in _ANSWERERS]}
    ],
    "CreateChatCompletionRequest": [
        {
            "anyOf": [
                _given(without=("store_in_session",)),
                {"properties": {"create_session": {"enum": [False, None]}}},
            ]
        }
    ],
    "ChatCompletionInputMessage": [
        {
            "anyOf": [
                {**_given("content"), "not": {"properties": {"role": {"const": "tool"}}}},
                {
                    "required": ["content", "tool_call_id"],
                    "properties": {"content": {"not": _NULL}, "tool_call_id": _SOME_STRING},
                },
                {
                    "required": ["tool_calls"],
                    "properties": {
                        "role": {"const": "assistant"},
                        "content": {},
                        "tool_calls": {"type": "array", "minItems": 1, "items": {}},
                    },
                },
            ]
        }
    ],
    "SquadMember": [
        {
            "anyOf": [
                _given("assistantId", without=("assistant",)),
                _given("assistant", without=("assistantId",)),
            ]
        }
    ],
    "Tool": [
        {
            "anyOf": [
                {"properties": {"type": {"not": {"enum": ["function", "apiRequest"]}}}},
                {
                    "required": ["function"],
                    "properties": {"type": {"const": "function"}, "function": {"not": _NULL}},
                },
                {"required": ["url"], "properties": {"type": {"const": "apiRequest"}, "url": {"not": _NULL}}},
            ]
        }
    ],
}
"""The rules between the members of a message."""

_METADATA: Schema = {
    "maxProperties": 16,
    "propertyNames": {"maxLength": 64},
    "additionalProperties": {"type": "string", "maxLength": 512},
}

CEL: dict[str, Schema | None] = {
    # A pattern for "not after whsec_" has a lookahead, which generators for Go refuse; the description has the rule.
    "assistant.webhook_secret": None,
    "assistant.webhook_api_key": None,
    "assistant.message_content": {"type": ["string", "array", "null"], "items": {}},
    "completion.logit_bias": {
        "maxProperties": 1024,
        "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100},
    },
    "completion.modalities": {"items": {"enum": ["text"]}},
    **dict.fromkeys(
        (
            "completion.audio",
            "completion.web_search_options",
            "completion.moderation",
            "response.prompt",
            "response.personality",
            "response.moderation",
        ),
        _NULL,
    ),
    **{
        rule: {"type": ["array", "null"], "maxItems": 0, "items": {}}
        for rule in ("completion.functions", "response.context_management")
    },
    "completion.function_call": {"enum": ["none", "auto", None]},
    "response.reasoning_mode": {
        "properties": {"mode": {"enum": ["standard", None]}, "context": {"enum": ["auto", None]}}
    },
    "response.prompt_cache_options": {
        "properties": {"prewarm": {"enum": [False, None]}, "comparison_response_id": _NULL}
    },
    "response.verbosity": {"properties": {"verbosity": {"enum": ["low", "medium", "high", None]}}},
    "response.include": {
        "items": {
            "enum": [
                "file_search_call.results",
                "web_search_call.results",
                "web_search_call.action.sources",
                "message.input_image.image_url",
                "computer_call_output.output.image_url",
                "code_interpreter_call.outputs",
                "reasoning.encrypted_content",
                "message.output_text.logprobs",
            ]
        }
    },
    "response.access_programs": _only("cyber", "standard"),
    "response.background_options": _only("completion_window", "soonest"),
    "response.image": _only("context_compression", "auto", "disabled"),
    "completion.metadata": _METADATA,
    "response.metadata": _METADATA,
    "conversation.metadata": _METADATA,
    "completion.metadata_filter": {"maxProperties": 16, "additionalProperties": _STRING},
    "completion.stop": {
        "anyOf": [_STRING, {"type": "array", "minItems": 1, "maxItems": 4, "items": _STRING}, _NULL]
    },
    **dict.fromkeys(
        (
            "assistant.typed_or_document",
            "tool.typed_or_document",
            "squad.typed_or_document",
            "tool.function",
            "tool.api_request",
            "session.one_assistant",
            "chat.session_or_previous",
            "chat.session_or_assistant",
            "chat.one_assistant",
            "chat.session_or_transport",
            "squad_member.one_assistant",
            "response.one_previous",
            "response.session_or_previous",
            "response.session_or_assistant",
            "response.one_assistant",
            "response.session_or_transport",
            "response.conversation_alone",
            "response.reasoning_context",
            "completion.top_logprobs",
        )
    ),
}
"""The rules written in CEL, by id: those of a field as its schema; those of a message are in RULES, or HTTP
satisfies them."""


# --- HTTP answers that differ from the proto ----------------------------------------------------------------

_EMPTY_ARRAY: Schema = {"type": "array", "items": {}}

NULLS: dict[str, set[str]] = {
    "Response": {"transport", "prompt_cache_options", "warnings"},
    "ChatCompletion": {"session_id", "metadata", "warnings"},
    "ChatCompletionChoice": set(),
    "ChatCompletionList": set(),
    "ChatCompletionMessage": {"reasoning_content"},
    "ChatCompletionChunk": {"session_id", "usage", "warnings"},
    "ChatCompletionChunkChoice": set(),
}
"""Messages whose members are all there, as null when unset; but for these members."""

NULLABLE = {"ChatCompletionChunk.usage", "ChatCompletionChunkDelta.content"}
"""Other members that may be null."""

OPTIONAL = {
    "ResponseItem.content",
    "ResponseItem.summary",
    "ResponseContentPart.annotations",
    "ResponseContentPart.logprobs",
    "ResponseStreamEvent.logprobs",
    "ResponseStreamEvent.param",
    "ResponseStreamEvent.obfuscation",
    "ChatCompletionMessage.tool_calls",
    "ChatCompletionChunkDelta.tool_calls",
    "ChatCompletionChunk.obfuscation",
}
"""Members that are printed only where there is something in them, although their message has no presence for
them."""

ADDED: dict[str, dict[str, Schema]] = {
    "ChatCompletionMessage": {"annotations": _EMPTY_ARRAY},
    "ChatCompletionChunk": {"obfuscation": _STRING},
    "ResponseContentPart": {"annotations": _EMPTY_ARRAY},
    "ResponseStreamEvent": {"param": _NULL, "obfuscation": _STRING},
    "PromptTokensDetails": {"audio_tokens": {"const": 0}},
    "CompletionTokensDetails": {
        "audio_tokens": {"const": 0},
        "accepted_prediction_tokens": {"const": 0},
        "rejected_prediction_tokens": {"const": 0},
    },
}
"""Members that the OpenAI forms have and our messages lack."""

FRAMES: dict[str, Schema] = {
    "ChatFrame": {
        "description": "One `data:` line of a streamed chat: more text, the tool calls to answer, an error, or warnings. "
        "There is no `event:` and no `[DONE]`.",
        "type": "object",
        "required": ["id"],
        "properties": {
            "id": {"type": "string", "description": "Id of the chat."},
            "sessionId": {"type": "string"},
            "path": {
                "type": "string",
                "description": "Where it belongs in the chat, such as `chat.output[0].content`.",
            },
            "delta": {"type": "string", "description": "Text to append."},
            "tool_calls": {"type": "array", "items": ref("ToolCall")},
            "error": {"type": "object", "properties": {"message": _STRING, "code": _STRING}},
            "warnings": WARNINGS,
        },
    },
}

STREAMED = {
    "PostChat": (ref("ChatFrame"), "There are lines of `data:` alone."),
    "PostResponse": (ref("ResponseStreamEvent"), "Each has an `event`; then comes `data: [DONE]`."),
    "FetchResponse": (ref("ResponseStreamEvent"), "Each has an `event`; then comes `data: [DONE]`."),
    "PostChatCompletion": (
        ref("ChatCompletionChunk"),
        "There are lines of `data:` alone; the last is `data: [DONE]`.",
    ),
}
"""The methods that also answer in server-sent events: what an event's data is, and how they are framed."""

OTHER_TYPES = {"ReceiveTwilioMessage": "text/xml"}
"""The methods that answer in another type than JSON."""

CREATED = {"CreateSession", "PostAssistant", "PostSquad", "PostTool"}
"""The methods that answer 201."""
