"""Methods as operations: parameters, body, answers of each path, and the paths that two doors share. Their names
and examples are naming.py's.

A path of two doors is one operation, which marks what belongs to one door only with `x-parley-door`. The
routes of envoy.yaml determine the door of a path.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from . import errors, forms
from .forms import Schema
from .naming import EVENTS, FORM, JSON, Naming
from .schemas import Schemas
from .source import Method, Path, Source, paths_of, simple

Operation = dict[str, Any]
DOOR = "x-parley-door"
DOORS = "x-parley-doors"
"""The doors that have a path; parts of one door only are marked with it."""
_VARIABLE = re.compile(r"\{[^}]*\}")
_HTTP_BODY = "google.api.HttpBody"
_EMPTY = "google.protobuf.Empty"
_RUN = {"PostChat", "PostResponse", "PostChatCompletion", "CompactResponse", "CreateMessage"}
"""The methods that call a model."""
_FORM: Schema = {
    "type": "object",
    "required": ["MessageSid", "To", "From"],
    "properties": {name: {"type": "string"} for name in ("MessageSid", "To", "From", "Body")},
}
_IDEMPOTENCY = {"$ref": "#/components/parameters/IdempotencyKey"}


class Binding(NamedTuple):
    """One path of a method, at one door."""

    method: Method
    path: Path
    door: str

    @property
    def keyed(self) -> bool:
        return self.method.access != "ACCESS_NO_KEY"


class Operations:
    """Makes the operations of the paths from the HTTP rules of the protos."""

    def __init__(self, source: Source, schemas: Schemas, naming: Naming) -> None:
        self._source = source
        self._schemas = schemas
        self._naming = naming
        self._used: set[tuple[tuple[str, ...], int]] = set()

    @property
    def responses(self) -> dict[str, Any]:
        """Return the shared responses that operations refer to."""
        return dict(errors.responses(self._used))

    def paths(self, door_of: Callable[[str, str, str], str]) -> dict[str, Any]:
        """Return the paths object. `door_of` returns the door of a service at a verb and a path."""
        shared: dict[tuple[str, str], list[Binding]] = {}
        for method in self._source.methods:
            for path in paths_of(method):
                binding = Binding(method, path, door_of(method.service, path.verb, path.template))
                shared.setdefault((_VARIABLE.sub("x", path.template), path.verb), []).append(binding)
        paths: dict[str, Any] = {}
        for bindings in shared.values():
            bindings.sort(key=lambda one: one.door != "assistants")  # the door of most keys is first
            first = bindings[0].path
            paths.setdefault(self._template(bindings[0]), {})[first.verb.lower()] = self._operation(bindings)
        return dict(sorted(paths.items()))

    def _operation(self, bindings: list[Binding]) -> Operation:
        first = bindings[0]
        named = self._naming.of(first.path.verb, self._template(first))
        operation: Operation = {
            "operationId": named.id,
            "tags": named.tags,
            DOORS: [one.door for one in bindings],
            "summary": named.title,
            "description": "\n\n".join(self._description(one, shared=len(bindings) > 1) for one in bindings),
            "parameters": self._parameters(bindings),
        }
        if first.path.body:
            operation["requestBody"] = self._body(bindings)
        operation["responses"] = self._responses(bindings)
        if not first.keyed:
            operation["security"] = []
        return operation

    def _template(self, binding: Binding) -> str:
        """Return the path with the JSON names of its variables."""
        fields = {field.name: field.json_name for field in self._fields(binding)}
        return _VARIABLE.sub(lambda found: "{" + fields[found[0][1:-1]] + "}", binding.path.template)

    def _fields(self, binding: Binding) -> list[FieldDescriptorProto]:
        return list(self._source.messages[binding.method.request].field)

    # --- texts ----------------------------------------------------------------------------------------------

    def _text(self, binding: Binding) -> str:
        """Return a method's description from its comments; for an HttpBody it includes the difference from
        the typed method."""
        twin = self._twin(binding.method)
        own = (
            binding.method.comment
            if twin is binding.method
            else f"{twin.comment}\n\n{binding.method.comment}"
        )
        return "\n\n".join(
            paragraph for paragraph in own.split("\n\n") if paragraph and not paragraph.startswith("Errors")
        )

    def _description(self, binding: Binding, *, shared: bool) -> str:
        text = self._text(binding)
        if shared:
            text = f"**At the {binding.door} door**: {text}"
        if not binding.keyed:
            return f"{text}\n\nTakes no key."
        publishable = binding.method.access == "ACCESS_ANY_KEY"
        return text + (
            "\n\nPublishable keys may call it."
            if publishable
            else "\n\nNeeds an `api` or a `secret` key; a publishable one is answered 403."
        )

    # --- requests -------------------------------------------------------------------------------------------

    def _parameters(self, bindings: list[Binding]) -> list[Schema]:
        first = bindings[0]
        found = [
            self._parameter(first, field, "path")
            for field in self._fields(first)
            if field.name in first.path.variables
        ]
        for binding in bindings:
            if not binding.path.body:
                mark = {DOOR: binding.door} if len(bindings) > 1 else {}
                known = {one["name"]: one for one in found}
                for field in self._fields(binding):
                    if field.name in binding.path.variables:
                        continue
                    if one := known.get(field.json_name):  # both doors have it
                        one.pop(DOOR, None)
                    else:
                        found.append({**self._parameter(binding, field, "query"), **mark})
        if first.path.verb == "POST" and first.keyed:
            found.append(_IDEMPOTENCY)
        return found

    def _parameter(self, binding: Binding, field: FieldDescriptorProto, place: str) -> Schema:
        schema = self._schemas.parameter(binding.method.request, field)
        if place == "path":
            schema = {**schema, "minLength": 1}
        return {
            "name": field.json_name,
            "in": place,
            "required": place == "path",
            "description": self._schemas.description(binding.method.request, field),
            "schema": schema,
            **({"style": "deepObject"} if schema.get("type") == "object" else {}),
            **self._value(binding, field, place),
        }

    def _value(self, binding: Binding, field: FieldDescriptorProto, place: str) -> Schema:
        """Return an example of a path variable; filters of a list have no value that suits every caller."""
        if place != "path":
            return {}
        return {"example": self._naming.path_value(self._template(binding), field.json_name)}

    def _body(self, bindings: list[Binding]) -> Schema:
        if bindings[0].method.name == "ReceiveTwilioMessage":
            return {"required": True, "content": {FORM: {"schema": _FORM, **self._requests(bindings[0])}}}
        schemas = _marked([(one.door, self._sent(one)) for one in bindings])
        return {
            "required": any(map(self._needs_body, bindings)),
            "content": {JSON: {"schema": schemas, **self._requests(bindings[0])}},
        }

    def _requests(self, binding: Binding) -> Schema:
        return _examples(self._naming.requests(binding.path.verb, self._template(binding)))

    def _answers(self, binding: Binding, content_type: str) -> Schema:
        return _examples(self._naming.answers(binding.path.verb, self._template(binding), content_type))

    def _needs_body(self, binding: Binding) -> bool:
        """Return whether an empty body is refused."""
        sent = self._sent(binding)
        named = [one["$ref"].rpartition("/")[2] for one in sent.get("allOf", [sent]) if "$ref" in one]
        return any(map(self._schemas.needs_members, named))

    def _sent(self, binding: Binding) -> Schema:
        request, body = binding.method.request, binding.path.body
        if body != "*":
            return forms.VALUES[f"{request}.{body}"]
        sent = self._schemas.request(request, without=tuple(binding.path.variables))
        if request == "CreateChatCompletionRequest" and not binding.path.variables:
            return {
                "allOf": [
                    sent,
                    {"required": ["model"], "properties": {"model": {"type": "string", "minLength": 1}}},
                ]
            }
        return sent

    # --- answers --------------------------------------------------------------------------------------------

    def _responses(self, bindings: list[Binding]) -> dict[str, Any]:
        answers: dict[str, Any] = {}
        by_status: dict[str, list[Binding]] = {}
        for one in bindings:
            by_status.setdefault(_status(one.method), []).append(one)
        for success, those in by_status.items():
            answers[success] = self._success(those)
            if len(those) < len(bindings):
                answers[success][DOOR] = those[0].door
        doors = sorted({one.door for one in bindings}, reverse=True)
        for status in sorted({status for one in bindings for status in self._statuses(one)}):
            self._used.add((tuple(doors), status))
            answers[str(status)] = {"$ref": f"#/components/responses/{errors.response(doors, status)[0]}"}
        return answers

    def _statuses(self, binding: Binding) -> list[int]:
        path = binding.path
        return errors.statuses(
            keyed=binding.keyed,
            verb=path.verb,
            door=binding.door,
            names=bool(path.variables) or path.verb == "POST" or self._is_of_an_agent(binding),
            runs=binding.method.name in _RUN,
        )

    def _is_of_an_agent(self, binding: Binding) -> bool:
        """Return whether a list is of one agent, which must exist."""
        return any(field.name == "agent_id" for field in self._fields(binding))

    def _success(self, bindings: list[Binding]) -> Schema:
        headers = {"x-request-id": {"$ref": "#/components/headers/RequestId"}}
        if bindings[0].path.verb == "POST" and bindings[0].keyed:
            headers["idempotent-replayed"] = {"$ref": "#/components/headers/IdempotentReplayed"}
        if bindings[0].keyed:
            headers |= errors.standing()
        found: Schema = {"description": _SUCCESS[_status(bindings[0].method)], "headers": headers}
        content: Schema = {}
        shown = [(one.door, shape) for one in bindings if (shape := self._shown(one.method)) is not None]
        if shown:
            content[JSON] = {"schema": _marked(shown), **self._answers(bindings[0], JSON)}
        for one in bindings:
            if one.method.name in forms.STREAMED:
                content[EVENTS] = {**self._stream(one.method), **self._answers(one, EVENTS)}
            if (other := forms.OTHER_TYPES.get(one.method.name)) is not None:
                content[other] = {"schema": {"type": "string"}, **self._answers(one, other)}
        return {**found, "content": content} if content else found

    def _shown(self, method: Method) -> Schema | None:
        """Return the schema of a method's JSON answer; None when it has none."""
        twin = self._twin(method)
        if twin.answer == _EMPTY or method.name in forms.OTHER_TYPES:
            return None
        if method.answer == _HTTP_BODY and twin.name.startswith("List"):
            fields = self._source.messages[twin.answer].field
            if not any(field.name == "object" for field in fields):  # a bare array
                listed = next(field for field in fields if field.label == field.LABEL_REPEATED)
                return {"type": "array", "items": self._schemas.answer(simple(listed.type_name))}
        return self._schemas.answer(twin.answer)

    def _stream(self, method: Method) -> Schema:
        event, framing = forms.STREAMED[method.name]
        if (name := event["$ref"].rpartition("/")[2]) in self._source.messages:
            self._schemas.answer(name)
        data: Schema = {"type": "string", "contentMediaType": "application/json", "contentSchema": event}
        if "[DONE]" in framing:
            data = {"anyOf": [{"const": "[DONE]"}, data]}
        return {
            "schema": {
                "type": "object",
                "description": f"One server-sent event of the stream. {framing}",
                "required": ["data"],
                "properties": {"event": {"type": "string"}, "data": data},
            }
        }

    def _twin(self, method: Method) -> Method:
        """Return the typed counterpart of a method for HTTP; the method itself when it is typed."""
        if method.answer != _HTTP_BODY:
            return method
        return next(
            (
                one
                for one in self._source.methods
                if one.service == method.service
                and one.request == method.request
                and one.answer != _HTTP_BODY
                and not one.proto.server_streaming
            ),
            method,
        )


_SUCCESS = {"200": "Success.", "201": "Created.", "204": "Success; there is no body."}


def _status(method: Method) -> str:
    return "204" if method.answer == _EMPTY else "201" if method.name in forms.CREATED else "200"


def _marked(schemas: list[tuple[str, Schema]]) -> Schema:
    """Return one of several doors' schemas, each marked with its door."""
    if len(schemas) == 1:
        return schemas[0][1]
    return {"anyOf": [{**schema, DOOR: door} for door, schema in schemas]}


def _examples(examples: dict[str, Any]) -> Schema:
    return {"examples": examples} if examples else {}
