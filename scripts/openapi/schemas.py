"""Messages as JSON Schema: what HTTP takes of a request, prints of an answer, and keeps of a document.

Types, names, comments and limits come from the proto, what it leaves open from `forms.py`. Knows no path.
"""

import re
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto

from server.agents.checked_members import ASSISTANT, SQUAD, TOOL, Members

from . import forms
from .forms import Schema, ref
from .source import Source, simple

_TYPES = FieldDescriptorProto
_SCALARS: dict[int, Schema] = {
    _TYPES.TYPE_STRING: {"type": "string"},
    _TYPES.TYPE_BOOL: {"type": "boolean"},
    _TYPES.TYPE_DOUBLE: {"type": "number"},
    _TYPES.TYPE_INT32: {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
    _TYPES.TYPE_INT64: {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1},
    _TYPES.TYPE_UINT32: {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
}
_WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Value": {},
    "google.protobuf.Struct": {"type": "object"},
    "google.protobuf.ListValue": forms.WARNINGS,
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
}
_KEYWORDS = {
    "min_len": "minLength",
    "max_len": "maxLength",
    "min_items": "minItems",
    "max_items": "maxItems",
    "const": "const",
    "gte": "minimum",
    "lte": "maximum",
    "gt": "exclusiveMinimum",
    "lt": "exclusiveMaximum",
}
_TIME: Schema = {"type": "string", "format": "date-time"}
_AS_SENT: Schema = {"description": "Anything else is kept as it was sent."}
_TIMES = re.compile("(created|updated)_at_(gt|lt|ge|le)")
"""The filters of lists that are times; Timestamp cannot be in a query."""
_ROLE = re.compile(r"^(Output only|Required|Optional)\. ")
_ACTED_ON: dict[str, Members] = {
    "Assistant": ASSISTANT,
    "AssistantModel": ASSISTANT["model"],
    "AssistantTool": TOOL,
    "Squad": SQUAD,
    "Tool": TOOL,
}


class Schemas:
    """The schemas of messages, made on request; `components` has all that were made, and those that they
    refer to."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._check_tables()
        self._made: dict[str, Schema] = {}
        self._kinds: dict[str, str] = {}

    @property
    def components(self) -> dict[str, Schema]:
        for name in forms.DOCUMENTS:
            self.document(name)
        return dict(sorted({**forms.COMPONENTS, **forms.FRAMES, **self._made, **self._patches()}.items()))

    def request(self, name: str, *, without: tuple[str, ...] = ()) -> Schema:
        """Return a reference to the HTTP form of a request; `without` are the fields that are elsewhere in
        the request."""
        return self._component(name, "request", without)

    def answer(self, name: str) -> Schema:
        """Return the schema of the HTTP form of an answer."""
        if name in _WELL_KNOWN:
            return _WELL_KNOWN[name]
        return self.document(name) if name in forms.DOCUMENTS else self._component(name, "answer")

    def document(self, name: str) -> Schema:
        """Return a reference to a document that is stored as it was sent."""
        return self._component(name, "document")

    def parameter(self, message: str, field: FieldDescriptorProto) -> Schema:
        """A field of a request as it stands in a path or a query."""
        return self._member(message, field, "parameter")

    def description(self, message: str, field: FieldDescriptorProto) -> str:
        return _ROLE.sub("", self._source.comments.get(f"{message}.{field.name}", ""))

    def needs_members(self, name: str) -> bool:
        """Whether an empty object is refused, of a document or a request that was asked for."""
        if name in forms.DOCUMENTS:
            self.document(name)
        made = self._made.get(name, {})
        return "required" in made or any("anyOf" in rule for rule in made.get("allOf", ()))

    def is_required(self, message: str, field: FieldDescriptorProto) -> bool:
        """Whether a request must have it."""
        rules = self._source.rules(field)
        least = rules.string.min_len or rules.repeated.min_items
        return (
            rules.required
            or bool(least and not field.proto3_optional)
            or self._source.comments.get(f"{message}.{field.name}", "").startswith("Required.")
        )

    def _component(self, name: str, kind: str, without: tuple[str, ...] = ()) -> Schema:
        if name not in self._made:
            # before it is made: a message may be within itself
            self._made[name], self._kinds[name] = {}, kind
            self._made[name] = self._message(name, kind, without)
        if self._kinds[name] != kind:
            raise ValueError(
                f"{name} is a {self._kinds[name]} and a {kind}: give one of them a message of its own"
            )
        return ref(name)

    def _message(self, name: str, kind: str, without: tuple[str, ...]) -> Schema:
        message = self._source.messages[name]
        fields = [
            field
            for field in message.field
            if f"{name}.{field.name}" not in forms.NOT_SHOWN and field.name not in without
        ]
        self._check_rules(message)
        schema: Schema = {
            "type": "object",
            **_described(self._source.comments.get(name, "")),
            "properties": {field.json_name: self._member(name, field, kind) for field in fields},
        }
        schema["properties"] |= forms.ADDED.get(name, {})
        added = [member for member in forms.ADDED.get(name, {}) if f"{name}.{member}" not in forms.OPTIONAL]
        if required := [*self._required(name, fields, kind), *added]:
            schema["required"] = required
        if kind != "answer" and name in forms.RULES:
            schema["allOf"] = forms.RULES[name]
        return schema

    def _required(self, name: str, fields: list[FieldDescriptorProto], kind: str) -> list[str]:
        if kind != "answer":
            return [field.json_name for field in fields if self.is_required(name, field)]
        if name in forms.NULLS:
            always = [field for field in fields if field.name not in forms.NULLS[name]]
        else:
            always = [field for field in fields if not _has_presence(field)]
        return [field.json_name for field in always if f"{name}.{field.name}" not in forms.OPTIONAL]

    def _member(self, message: str, field: FieldDescriptorProto, kind: str) -> Schema:
        comment = self._source.comments.get(f"{message}.{field.name}", "")
        schema = self._typed(message, field, kind)
        if kind == "document" and field.json_name not in _ACTED_ON.get(message, (field.json_name,)):
            schema = {"anyOf": [schema, _AS_SENT]} if not comment.startswith("Output only.") else schema
        elif self._may_be_null(message, field, kind):
            schema = _or_null(schema)
        described = {"description": _ROLE.sub("", comment)} if comment and kind != "parameter" else {}
        read_only = {"readOnly": True} if kind == "document" and comment.startswith("Output only.") else {}
        return {**schema, **described, **read_only}

    def _may_be_null(self, message: str, field: FieldDescriptorProto, kind: str) -> bool:
        if kind in ("request", "document"):  # null counts as absent
            return (
                not self.is_required(message, field)
                and not _is_any(field)
                and not self._source.comments.get(f"{message}.{field.name}", "").startswith("Output only.")
            )
        if kind == "answer" and f"{message}.{field.name}" in forms.NULLABLE:
            return True
        return (
            kind == "answer"
            and message in forms.NULLS
            and field.name not in forms.NULLS[message]
            and _has_presence(field)
        )

    def _typed(self, message: str, field: FieldDescriptorProto, kind: str) -> Schema:
        item = forms.VALUES.get(f"{message}.{field.name}") if kind != "answer" else None
        item = item or (_TIME if _TIMES.fullmatch(field.name) else self._item(field, kind))
        limits = self._limits(field) if kind != "answer" else {}
        if field.label != _TYPES.LABEL_REPEATED:
            return {**item, **limits}
        return {"type": "array", "items": item, **limits}

    def _item(self, field: FieldDescriptorProto, kind: str) -> Schema:
        if field.type != _TYPES.TYPE_MESSAGE:
            return _SCALARS[field.type]
        name = simple(field.type_name)
        return _WELL_KNOWN[name] if name in _WELL_KNOWN else self._component(name, kind)

    def _limits(self, field: FieldDescriptorProto) -> Schema:
        """The keywords for the rules of a field. Raises for a rule that none is known for."""
        limits: Schema = {}
        for rule, value in self._source.rules(field).ListFields():
            if rule.name == "cel":
                limits |= {key: part for one in value for key, part in (forms.CEL[one.id] or {}).items()}
            elif rule.name not in ("required", "ignore"):
                for limit, amount in value.ListFields():
                    limits |= _keyword(limit.name, amount)
        return limits

    def _check_rules(self, message: DescriptorProto) -> None:
        for rule in self._source.rules(message).cel:
            if rule.id not in forms.CEL:
                raise ValueError(f"{rule.id}: say in scripts/openapi/forms.py what it means for JSON")

    def _check_tables(self) -> None:
        fields = {
            f"{name}.{field.name}"
            for name, message in self._source.messages.items()
            for field in message.field
        }
        fields |= {f"{name}.{member}" for name, members in forms.ADDED.items() for member in members}
        if unknown := {*forms.VALUES, *forms.NOT_SHOWN, *forms.OPTIONAL, *forms.NULLABLE} - fields:
            raise ValueError(f"scripts/openapi/forms.py speaks of members that are in no proto: {unknown}")
        if unknown := {*forms.RULES, *forms.NULLS, *forms.ADDED} - self._source.messages.keys():
            raise ValueError(f"scripts/openapi/forms.py speaks of messages that are in no proto: {unknown}")

    def _patches(self) -> dict[str, Schema]:
        """A merge patch of a document has its members, none of which it must have, and null removes one."""
        patches = {}
        for name in forms.DOCUMENTS:
            made = self._made[name]
            members = {
                member: given if member in made.get("required", ()) else _or_null(given)
                for member, schema in made["properties"].items()
                if "readOnly" not in schema
                for given in [ref(f"{name}/properties/{member}")]
            }
            patches[f"{name}Patch"] = {
                "type": "object",
                "properties": members,
                "description": "The members to replace, each as a whole, and as null those to remove. The document that "
                f"comes of it must be a whole {name}.",
            }
        return patches


def _described(text: str) -> Schema:
    return {"description": text} if text else {}


def _is_any(field: FieldDescriptorProto) -> bool:
    """Whether it may be any JSON, null as such among it."""
    return field.type_name.endswith("protobuf.Value") and field.label != _TYPES.LABEL_REPEATED


def _has_presence(field: FieldDescriptorProto) -> bool:
    return field.proto3_optional or (
        field.type == _TYPES.TYPE_MESSAGE and field.label != _TYPES.LABEL_REPEATED
    )


def _or_null(schema: Schema) -> Schema:
    if not schema:  # any JSON, null among it
        return schema
    if isinstance(schema.get("type"), str) and "enum" not in schema and "const" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def _keyword(rule: str, value: Any) -> Schema:
    if rule == "uuid":
        return {"format": "uuid", "pattern": "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"}
    if rule == "in":
        return {"enum": list(value)}
    return {_KEYWORDS[rule]: int(value) if isinstance(value, float) and value.is_integer() else value}
