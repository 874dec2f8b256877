"""Files of assistants, as `parley assistants` exports, compares and applies them. Writes nothing."""

import contextlib
import difflib
import json
from collections.abc import Sequence
from typing import Any, BinaryIO, NamedTuple

import orjson

from server.agents.documents import check_assistant, without_server_members
from server.agents.names import MOST_OF_ONE_NAME, listed
from server.cli.console import fail
from server.content.secrets import mask_secrets, restore_secrets
from server.core.config import Settings
from server.core.errors import InvalidArgument, NotFound, ServiceError
from server.core.ids import parse_id
from server.storage.documents import Document
from server.storage.store import Store

_CONTEXT_LINES = 2


class Change(NamedTuple):
    """What a file makes of one assistant."""

    stored: Document | None
    """The one that is replaced; None for a new one."""
    content: dict[str, Any]
    """With its secrets."""

    @property
    def lines(self) -> list[str]:
        """The difference as lines, with masked secrets; empty when there is none."""
        old = self.stored.content if self.stored else {}
        if old == self.content:
            return []
        shown_old, shown = mask_secrets(old), mask_secrets(self.content)
        before = _lines(shown_old) if self.stored else []
        after = _lines(_marked(shown, shown_old, self.content, old))
        names = (f"stored {self.stored.id}" if self.stored else "nothing", self.content.get("name") or "file")
        return list(difflib.unified_diff(before, after, *names, n=_CONTEXT_LINES, lineterm=""))


def read_file(file: BinaryIO, settings: Settings) -> tuple[list[Any], bool]:
    """Return the assistants in a file, and whether they are an array. Ends the command when one is wrong."""
    try:
        read = orjson.loads(file.read())
    except orjson.JSONDecodeError:
        fail(f"{file.name} is not JSON")
    is_list = isinstance(read, list) and bool(read)
    documents = read if is_list else [read]
    try:
        for number, document in enumerate(documents):
            check_assistant(document, f"[{number}]" if is_list else "")
            try:
                _check_provider(document.get("model") or {}, settings)
            except InvalidArgument as error:
                raise _at(number if is_list else None, error) from None
    except ServiceError as error:
        fail(str(error))
    return documents, is_list


async def changes(store: Store, org_id: str, documents: Sequence[dict[str, Any]]) -> list[Change]:
    """Return what the documents of a file make of an org's assistants. Raises InvalidArgument."""
    found: list[Change] = []
    for number, document in enumerate(documents):
        try:
            stored = await _replaced(store, org_id, document)
            content = restore_secrets(without_server_members(document), stored.content if stored else {})
            _refuse_twice(found, stored, content)
        except InvalidArgument as error:
            raise _at(number if len(documents) > 1 else None, error) from None
        found.append(Change(stored, content))
    return found


def exported(document: Document) -> dict[str, Any]:
    """Return an assistant as a file has it: masked, and with its id, which tells it from others of its name."""
    return {"id": document.id, **mask_secrets(document.content)}


def _refuse_twice(before: Sequence[Change], stored: Document | None, content: dict[str, Any]) -> None:
    name = content.get("name")
    for other in before:
        is_same = other.stored.id == stored.id if other.stored and stored else other.stored is stored is None
        if is_same and (stored or (name is not None and other.content.get("name") == name)):
            raise InvalidArgument.of(
                "name", f"{name!r} names an assistant for the second time; leave one of them out"
            )


async def _replaced(store: Store, org_id: str, document: dict[str, Any]) -> Document | None:
    """The stored assistant that a document is applied to; None when it is a new one. Raises InvalidArgument
    for several."""
    name = document.get("name")
    if not name:  # nothing but the id can say which one
        with contextlib.suppress(NotFound):
            return await store.assistants.get(org_id, parse_id(str(document.get("id"))))
        return None
    ids = await store.assistants.ids_of(org_id, name, MOST_OF_ONE_NAME + 1)
    if len(ids) > 1:
        return await _of_one_name(store, org_id, document, ids)
    return await store.assistants.get(org_id, ids[0]) if ids else None


async def _of_one_name(store: Store, org_id: str, document: dict[str, Any], ids: list[str]) -> Document:
    with contextlib.suppress(NotFound):
        named = await store.assistants.get(org_id, parse_id(str(document.get("id"))))
        if named.content.get("name") == document["name"]:
            return named
    raise InvalidArgument.of(
        "name",
        f"'{document['name']}' is the name of several assistants; put the id of the one to be "
        f'replaced into the file, as "id": {listed(ids)}',
    )


def _check_provider(model: dict[str, Any], settings: Settings) -> None:
    # with what calls models, which other commands need not load
    from server.backends.providers import check_callable

    if provider := model.get("provider"):
        check_callable(provider, model.get("url"), settings.provider_urls)


def _at(number: int | None, error: InvalidArgument) -> InvalidArgument:
    """Return the error of an assistant in a file; in an array it has a number."""
    return error if number is None else InvalidArgument(f"[{number}].{error.message}")


def _lines(document: Any) -> list[str]:
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False).splitlines()


def _marked(shown: Any, shown_old: Any, new: Any, old: Any) -> Any:
    """Return the masked document with a mark on secrets that differ and look the same."""
    if isinstance(shown, dict) and isinstance(shown_old, dict):
        return {
            name: _marked(value, shown_old[name], new[name], old[name]) if name in shown_old else value
            for name, value in shown.items()
        }
    if isinstance(shown, list) and isinstance(shown_old, list):
        both = [_marked(*four) for four in zip(shown, shown_old, new, old, strict=False)]
        return [*both, *shown[len(both) :]]
    return f"{shown} (another secret)" if shown == shown_old and new != old else shown
