"""What schemathesis finds and we stand by, each with its reason."""

import json
from typing import Any

from google.protobuf.descriptor_pool import Default
from jsonschema import Draft202012Validator

UNKNOWN_METHOD = "Envoy's parser refuses a method that is in no RFC, such as QUERY; its setting to take any is experimental"
UNDERSCORE = "the edge refuses headers with an underscore in their names, which other proxies take for a dash"
OTHER_DOOR = (
    "/chat without a key is the assistants door's, and what is wrong with the request there is told first"
)
COMPACTION = (
    "a compaction item must be one that the compact method made; no schema says which texts those are"
)
MERGED = "a patch that fits by itself is refused where the document that comes of it would not be whole"
NOBODY = "model is an assistant's id or name, and no schema says which there are"
INSTRUCTED = "the completions door takes system messages only where the assistant allows them"
PROVIDER = "a provider that is not known needs a model.url; assistants are open documents, whose schema cannot list them"
URL = "what is no http URL is no model's: what hosts it may have is for the operator to say, and in no schema"
MASKED = "a secret that looks like a masked one is only taken where the stored one looks so"
INPUT = (
    "input may be left out where something is continued: beside the other rules of a response, a rule for that leaves "
    "schemathesis no bodies to make"
)
STORED = "background needs the response to be stored, and store may be false without it"
NOT_EXACT = "an integer that no double is would be another one here, and no schema says which those are"
LENIENT = (
    'proto3 JSON takes "true" for true, "0.7" for 0.7 and one value for an array of one (see docs/clients.md)'
)

_REFUSED_AS_HTTP = b"the request is not HTTP as this service takes it"


def reason_for(check: str, failure: Any, case: Any, response: Any) -> str | None:
    """Why a failed check is none of ours; None when it is."""
    body = response.content if response is not None else b""
    if check == "unsupported_method" and case.method == "QUERY" and _REFUSED_AS_HTTP in body:
        return UNKNOWN_METHOD
    if _REFUSED_AS_HTTP in body and any("_" in name for name in case.headers or {}):
        return UNDERSCORE
    if check == "positive_data_acceptance":
        return _of_a_refusal(case, body)
    if check == "ignored_auth" and response.status_code == 400 and case.path.startswith("/chat"):
        return OTHER_DOOR
    if check == "negative_data_rejection" and response.status_code < 300 and _is_lenient(case):
        return LENIENT
    return None


def _of_a_refusal(case: Any, body: bytes) -> str | None:
    """Why a request is refused that fits its schema."""
    if b"must be as the compact method answered it" in body:
        return COMPACTION
    if case.method == "PATCH" and (b"of type function must" in body or b"of type apiRequest must" in body):
        return MERGED
    if b"model.provider must be one of" in body:
        return PROVIDER
    if b"model.url must be an http or https URL" in body:
        return URL
    if b"is masked and matches no stored secret" in body:
        return MASKED
    if (
        case.path.endswith("/responses")
        and b"input is required" in body
        and not (case.body or {}).get("input")
    ):
        return INPUT
    if b"background needs the response to be stored" in body:
        return STORED
    if b"model is not an assistant's id or name" in body or b"must name who answers" in body:  # model: ""
        return NOBODY
    if b"is an integer that a double does not hold exactly" in body:
        return NOT_EXACT
    if b"chatSystemInstructionMode" in body:
        return INSTRUCTED
    return None


# --- proto3 JSON --------------------------------------------------------------------------------------------

_TRUE, _FALSE = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")


def _is_lenient(case: Any) -> bool:
    """Whether the body, as proto3 JSON reads it, is what the schema takes, and was not before."""
    document = case.operation.schema.raw_schema
    schema = _body_schema(document, case)
    if schema is None:
        return False
    validator = Draft202012Validator({**schema, "components": document["components"]})
    return not validator.is_valid(case.body) and validator.is_valid(_as_read(case.body, schema, document))


def _body_schema(document: dict[str, Any], case: Any) -> dict[str, Any] | None:
    operation = document["paths"][case.operation.path][case.operation.method]
    content = operation.get("requestBody", {}).get("content", {})
    return content.get("application/json", {}).get("schema")


def _as_read(value: Any, schema: dict[str, Any], document: dict[str, Any]) -> Any:
    """The value as proto3 JSON reads it: messages of the protos only, for what is free JSON is read as it
    is."""
    for branch in (*schema.get("anyOf", ()), *schema.get("allOf", ())):
        read = _as_read(value, branch, document)
        if read != value:
            return read
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return (
            _as_read(value, document["components"]["schemas"][name], document) if _is_message(name) else value
        )
    types = schema.get("type", ())
    types = (types,) if isinstance(types, str) else types
    if "array" in types:
        return (
            [_as_read(item, schema.get("items", {}), document) for item in _flat(value)]
            if value is not None
            else None
        )
    if isinstance(value, dict):
        members = schema.get("properties", {})
        return {name: _as_read(inner, members.get(name, {}), document) for name, inner in value.items()}
    return _scalar(value, types) if isinstance(value, str) else value


def _flat(value: Any) -> list[Any]:
    """One value is an array of one, an array in an array is its items, and null is nothing."""
    if not isinstance(value, list):
        return [] if value is None else [value]
    return [inner for item in value for inner in _flat(item)]


def _scalar(text: str, types: Any) -> Any:
    if "boolean" in types and text.lower() in (*_TRUE, *_FALSE):
        return text.lower() in _TRUE
    if "number" in types or "integer" in types:
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _is_message(name: str) -> bool:
    try:
        Default().FindMessageTypeByName(f"parley.v1.{name}")
    except KeyError:
        return False
    return name not in ("Assistant", "Squad", "Tool")
