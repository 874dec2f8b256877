"""The secrets in assistants, squads, tools and requests: which values they are, how they are shown, how they
come back.

A value is a secret by where it stands: in `credentials`, in `headers` (but for a few harmless ones), under
the name of a secret such as `apiKey`, beside such a name as in `{"name", "value"}`, and in a URL as its user
or as a parameter of such a name. The properties of a JSON schema are names that it describes, not members.
Members that are free (`metadata`, `variableValues`) hold what the caller put there. Does not store;
`secret_names.py` says which names are those of secrets.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import unquote

from server.content.secret_names import (
    FREE,
    Kind,
    is_secret,
    is_secret_header,
    is_secret_in_credentials,
    is_secret_parameter,
    kind_of,
)
from server.content.validation import MOST_VIOLATIONS, join, refuse, shown
from server.core.errors import Violation

Document = dict[str, Any]

_PROPERTIES = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})
_VALUES = frozenset({"const", "default", "enum", "example", "examples", "value"})
_SENT = frozenset({"value"})
"""Members that an `apiRequest` sends as they are. The rest of a schema is for the model to read."""
_SUBSCHEMAS = frozenset(
    {"additionalProperties", "allOf", "anyOf", "else", "if", "items", "not", "oneOf", "prefixItems", "then"}
)
_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_DESCRIBES = frozenset(
    {
        "$id",
        "$schema",
        "additionalProperties",
        "description",
        "format",
        "items",
        "pattern",
        "required",
        "title",
    }
)
_OF_SCHEMAS = frozenset({"$ref", "const", "default", "enum", *_DESCRIBES, *_PROPERTIES, *_SUBSCHEMAS})

_MASKED = re.compile(r"\*{4}(.{4})?", re.DOTALL)
# Only names of variables: their values are not in the document. A literal would be in quotes.
_EXPRESSION = re.compile(r"""(?:(?:basic|bearer|token) )?(?:\{\{[^{}'"]*\}\})+""", re.IGNORECASE)
_URL = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*://")
_USER = re.compile(r"[^/?#\s]*@")
_PARAMETER = re.compile(r"([?&#])([^=&#?\s]+)=((?:\{\{[^{}]*\}\}|[^&#\s])+)")

_MOST_SCHEME = 64


def mask_secrets(document: Document) -> Document:
    """Return a copy to show: secrets keep at most their last four characters. Masked values stay unchanged."""
    return _Walk(lambda secret: _mask(secret.value)).object(document, _TOP)


def without_secrets(document: Document) -> Document:
    """Return a copy without secrets, not even masked ones: members are left out, and otherwise an empty text
    remains."""
    return _Walk(lambda secret: _NOTHING).object(document, _TOP)


def restore_secrets(new: Document, old: Document) -> Document:
    """Return a copy of `new` in which each masked secret is replaced by its value in `old`.

    The value is the one at the same place, otherwise the only one with that provider, name and mask. Raises
    InvalidArgument for a masked secret without such a value: the stored one would be lost. An empty `old`
    refuses every masked secret.
    """
    stored = _Stored()
    _Walk(stored.add).object(old, _TOP)
    violations: list[Violation] = []

    def restored(secret: _Secret) -> Any:
        if not isinstance(secret.value, str) or not _MASKED.fullmatch(secret.value):
            return secret.value
        found = stored.behind(secret)
        if found is None and len(violations) <= MOST_VIOLATIONS:
            violations.append(
                Violation(secret.place.path, "is masked and matches no stored secret: send the secret itself")
            )
        return found

    whole = _Walk(restored).object(new, _TOP)
    refuse(violations)
    return whole


class _Place:
    """The place of a value. Its path is built on demand: all paths together grow faster than a document."""

    __slots__ = ("_above", "_name", "_number")

    def __init__(self, above: "_Place | None", name: str | int) -> None:
        self._above = above
        self._name = name
        self._number: int | None = None

    @property
    def path(self) -> str:
        """Return the path, such as `server.headers.x-api-key`; for a part of a URL, that of the URL."""
        if self._above is None:
            return ""
        above = self._above.path
        if isinstance(self._name, int):
            return f"{above}[{self._name}]"
        return above if self._name[:1] in ("?", "@") else join(above, shown(self._name))

    def number(self, numbers: dict[tuple[int, str | int], int]) -> int:
        """Return a number that is the same for the same place in two documents."""
        if self._above is None:
            return 0
        if self._number is None:
            self._number = numbers.setdefault((self._above.number(numbers), self._name), len(numbers) + 1)
        return self._number


_TOP = _Place(None, "")


class _Secret(NamedTuple):
    """One secret: a text or a number."""

    place: _Place
    provider: Any
    """The provider of the credentials that contain it."""
    name: str | int
    value: Any

    @property
    def likeness(self) -> tuple[Any, ...]:
        """Return the properties that a masked secret shares with its value."""
        return self.provider if isinstance(self.provider, str) else None, self.name, _mask(self.value)


class _Stored:
    """The secrets of a stored document, indexed by their visible properties."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, str | int], int] = {}
        self._at: dict[tuple[Any, ...], Any] = {}
        self._alike: dict[tuple[Any, ...], list[Any]] = {}
        """At most two of each: two are too many."""

    def add(self, secret: _Secret) -> Any:
        self._at[secret.place.number(self._numbers), secret.likeness] = secret.value
        alike = self._alike.setdefault(secret.likeness, [])
        if len(alike) < 2 and secret.value not in alike:
            alike.append(secret.value)
        return secret.value

    def behind(self, masked: _Secret) -> Any:
        """Return the stored secret of a masked one; None when there is none or more than one."""
        found = self._at.get((masked.place.number(self._numbers), masked.likeness))
        if found is not None:
            return found
        alike = self._alike.get(masked.likeness, ())
        return alike[0] if len(alike) == 1 else None


_NOTHING = object()
"""Stands for a secret that is to be left out."""


def _mask(secret: Any) -> str:
    if not isinstance(secret, str):
        return "****"
    if _MASKED.fullmatch(secret):
        return secret
    return "****" + (secret[-4:] if len(secret) > 12 else "")


class _Walk:
    """Copies a document and replaces each secret by the result of `replace`. Linear in the size of the
    document."""

    def __init__(self, replace: Callable[["_Secret"], Any]) -> None:
        self._replace = replace

    def object(self, given: Document, at: _Place) -> Document:
        """Copy an object of any kind."""
        label = _label(given)
        copy = {}
        for name, value in given.items():
            if name in _PROPERTIES and isinstance(value, dict):
                copied: Any = self._properties(value, _Place(at, name))
            elif name == "value" and label is not None:
                copied = self._hidden(label, value, _Place(at, name))
            else:
                copied = self._member(name, value, at)
            if copied is not _NOTHING:
                copy[name] = copied
        return copy

    def _member(self, name: str, value: Any, at: _Place) -> Any:
        if name in FREE or value is None or isinstance(value, bool):
            return value
        kind = kind_of(name)
        if kind is Kind.PLAIN:
            return self._plain(value, at, name)
        return self._of_kind(kind, name, value, _Place(at, name))

    def _of_kind(self, kind: Kind, name: str, value: Any, at: _Place) -> Any:
        if kind is Kind.CREDENTIALS:
            return self._credentials(name, value, at)
        return self._headers(name, value, at) if kind is Kind.HEADERS else self._hidden(name, value, at)

    def _plain(self, value: Any, at: _Place, name: str | int) -> Any:
        if isinstance(value, str):
            return self._url(value, at, name) if "://" in value[:_MOST_SCHEME] else value
        if isinstance(value, dict):
            return self.object(value, _Place(at, name))
        if isinstance(value, list):
            here = _Place(at, name)
            return [self._plain(item, here, index) for index, item in enumerate(value)]
        return value

    # --- secret by name ---

    def _hidden(self, name: str | int, value: Any, at: _Place, provider: Any = None) -> Any:
        """Treat everything in it as secret. An item that is left out of a list keeps its position there."""
        if isinstance(value, dict):
            inner = ((key, self._hidden(key, one, _Place(at, key), provider)) for key, one in value.items())
            return {key: one for key, one in inner if one is not _NOTHING}
        if isinstance(value, list):
            return [
                _or_empty(self._hidden(index, one, _Place(at, index), provider))
                for index, one in enumerate(value)
            ]
        if value is None or value == "" or isinstance(value, bool):
            return value
        if isinstance(value, str) and _EXPRESSION.fullmatch(value):
            return value
        return self._replace(_Secret(at, provider, name, value))

    def _credentials(self, name: str | int, value: Any, at: _Place, provider: Any = None) -> Any:
        """Treat members with secrets' names as secret; an object of such a name (`gcpKey`) is secret
        throughout."""
        if isinstance(value, list):
            return [
                _or_empty(self._credentials(index, one, _Place(at, index), provider))
                for index, one in enumerate(value)
            ]
        if not isinstance(value, dict):
            return self._hidden(name, value, at, provider)
        provider = value.get("provider", provider)
        copy = {}
        for key, one in value.items():
            copied = self._credential(key, one, _Place(at, key), at, provider)
            if copied is not _NOTHING:
                copy[key] = copied
        return copy

    def _credential(self, name: str, value: Any, at: _Place, above: _Place, provider: Any) -> Any:
        if is_secret_in_credentials(name):
            return self._hidden(name, value, at, provider)
        kind = kind_of(name)
        if kind is not Kind.PLAIN:
            return self._of_kind(kind, name, value, at)
        if isinstance(value, dict):
            return self._credentials(name, value, at, provider)
        if isinstance(value, list):
            return [
                self._credential(name, one, _Place(at, index), at, provider)
                if isinstance(one, dict | list)
                else self._plain(one, at, index)
                for index, one in enumerate(value)
            ]
        return self._plain(value, above, name)

    # --- headers ---

    def _headers(self, name: str | int, value: Any, at: _Place) -> Any:
        """Copy names and values, a schema of them, or a list of pairs."""
        if isinstance(value, list):
            return [
                _or_empty(self._header_of_list(index, one, _Place(at, index)))
                for index, one in enumerate(value)
            ]
        if not isinstance(value, dict):
            return self._hidden(name, value, at)
        is_schema = isinstance(value.get("properties"), dict)
        copy = {}
        for key, one in value.items():
            place = _Place(at, key)
            if is_schema and key in _PROPERTIES and isinstance(one, dict):
                copied: Any = self._properties(one, place, of_headers=True)
            elif is_schema and key in _VALUES:
                copied = self._examples(one, place)
            elif _is_of_schema(key, one, is_schema):
                copied = self._plain(one, at, key)
            else:
                copied = self._header(key, one, place, at)
            if copied is not _NOTHING:
                copy[key] = copied
        return copy

    def _header(self, name: str, value: Any, at: _Place, above: _Place) -> Any:
        return self._hidden(name, value, at) if is_secret_header(name) else self._plain(value, above, name)

    def _header_of_list(self, index: int, value: Any, at: _Place) -> Any:
        """Copy {"name", "value"}, ["name", "value"], an object of names and values, or a line of text."""
        if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str):
            return [value[0], _or_empty(self._header(value[0], value[1], _Place(at, 1), at))]
        if isinstance(value, dict) and "value" in value:
            name = next((value[key] for key in ("name", "key") if isinstance(value.get(key), str)), "")
            copy = {
                key: self._header(name, one, _Place(at, key), at)
                if key == "value"
                else self._plain(one, at, key)
                for key, one in value.items()
            }
            return {key: one for key, one in copy.items() if one is not _NOTHING}
        return self._headers(index, value, at)

    def _examples(self, value: Any, at: _Place) -> Any:
        """Copy whole sets of headers in a schema's default or examples; a text is none."""
        if isinstance(value, list):
            return [self._examples(one, _Place(at, index)) for index, one in enumerate(value)]
        return self._headers("", value, at) if isinstance(value, dict) else value

    # --- JSON schemas ---

    def _properties(self, given: Document, at: _Place, *, of_headers: bool = False) -> Document:
        """Copy the schemas of properties. A value that is no schema is a member, or a header."""
        copy = {}
        for name, schema in given.items():
            if not _is_schema(schema):
                copied = (
                    self._header(name, schema, _Place(at, name), at)
                    if of_headers
                    else self._member(name, schema, at)
                )
            elif of_headers and is_secret_header(name):
                copied = self._fixed(name, schema, _Place(at, name), _VALUES)
            elif not of_headers and is_secret(name):
                copied = self._fixed(name, schema, _Place(at, name), _SENT)
            else:
                copied = self.object(schema, _Place(at, name))
            if copied is not _NOTHING:
                copy[name] = copied
        return copy

    def _fixed(self, name: str, schema: Any, at: _Place, values: frozenset[str]) -> Any:
        """Copy the schema of a secret: its `values` are secret at any depth, its description is not."""
        if isinstance(schema, list):
            return [self._fixed(name, one, _Place(at, index), values) for index, one in enumerate(schema)]
        if not isinstance(schema, dict):
            return schema
        copy = {}
        for key, one in schema.items():
            if key in values:
                copied: Any = self._hidden(name, one, _Place(at, key))
            elif key in _SUBSCHEMAS:
                copied = self._fixed(name, one, _Place(at, key), values)
            elif key in _PROPERTIES and isinstance(one, dict):
                copied = {
                    inner: self._fixed(inner, given, _Place(at, inner), values)
                    for inner, given in one.items()
                }
            else:
                copied = self._member(key, one, at)
            if copied is not _NOTHING:
                copy[key] = copied
        return copy

    # --- URLs ---

    def _url(self, text: str, at: _Place, name: str | int) -> str:
        """Copy a URL: its user and the parameters with secrets' names are secret."""
        begins = _URL.match(text)
        if begins is None:
            return text
        here, seen = _Place(at, name), dict[str, int]()
        head, rest = begins[0], text[begins.end() :]
        if user := _USER.match(rest):
            head += f"{_or_empty(self._hidden('@', user[0][:-1], _Place(here, '@')))}@"
            rest = rest[user.end() :]

        def parameter(found: re.Match[str]) -> str:
            key = unquote(found[2])
            if not is_secret_parameter(key):
                return found[0]
            seen[key] = seen.get(key, -1) + 1
            value = self._hidden(f"?{key}", found[3], _Place(here, f"?{key}#{seen[key]}"))
            return f"{found[1]}{found[2]}={_or_empty(value)}"

        return head + _PARAMETER.sub(parameter, rest)


def _is_of_schema(name: str, value: Any, is_schema: bool) -> bool:
    """Return whether a member of `headers` describes headers and is none itself."""
    if name == "type":
        return isinstance(value, str) and value in _TYPES
    return is_schema and name in _DESCRIBES


def _is_schema(value: Any) -> bool:
    """Return whether an object looks like a JSON schema."""
    if not isinstance(value, dict):
        return False
    kind = value.get("type")
    return (
        not value
        or isinstance(kind, list)
        or (isinstance(kind, str) and kind in _TYPES)
        or not _OF_SCHEMAS.isdisjoint(value)
    )


def _label(given: Document) -> str | None:
    """Return the secret's name in an object that has it beside its value, such as {"key": "api_key", "value":
    "…"}."""
    if "value" not in given or given.get("type") in ("exact", "regex"):  # those say how a word is pronounced
        return None
    return next(
        (given[key] for key in ("name", "key") if isinstance(given.get(key), str) and is_secret(given[key])),
        None,
    )


def _or_empty(value: Any) -> Any:
    return "" if value is _NOTHING else value
