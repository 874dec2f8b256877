"""What operations are called and the examples they have, from titles.yaml and examples.yaml.

Refuses an operation that has no name, and names and examples that are of no operation. Knows no schema.
"""

from pathlib import Path
from typing import Any, NamedTuple

import yaml

FOLDER = Path(__file__).resolve().parent
MOST_WORDS = 5
"""Per title, so that the list of operations shows it in one line."""
JSON, EVENTS, FORM = "application/json", "text/event-stream", "application/x-www-form-urlencoded"

Examples = dict[str, Any]


class Named(NamedTuple):
    """The id, the title and the tags of an operation, a tag for each door."""

    id: str
    title: str
    tags: list[str]


class Naming:
    """The names and examples of the operations; `check` once all were asked for."""

    def __init__(self) -> None:
        titles = yaml.safe_load((FOLDER / "titles.yaml").read_text())
        examples = yaml.safe_load((FOLDER / "examples.yaml").read_text())
        self.tags = [{"name": name, "description": text} for name, text in titles["tags"].items()]
        self.groups = [{"name": name, "tags": tags} for name, tags in titles["groups"].items()]
        self._named: dict[str, Any] = titles["operations"]
        self._paths: dict[str, str] = examples["paths"]
        self._examples: dict[str, Any] = examples["operations"]
        self._asked: set[str] = set()

    def of(self, verb: str, path: str) -> Named:
        self._asked.add(f"{verb} {path}")
        if (found := self._named.get(f"{verb} {path}")) is None:
            raise ValueError(f"{verb} {path}: name it in scripts/openapi/titles.yaml")
        named = Named(found["id"], found["title"], found["tags"])
        if len(named.title.split()) > MOST_WORDS:
            raise ValueError(f"{verb} {path}: its title has more than {MOST_WORDS} words")
        return named

    def path_value(self, path: str, name: str) -> str:
        """An example of a variable in a path."""
        return self._paths[path.partition("{" + name + "}")[0] + "{" + name + "}"]

    def requests(self, verb: str, path: str) -> Examples:
        own = self._own(verb, path)
        return _shown({**own.get("requests", {}), **own.get("agents", {}), **own.get("form", {})})

    def answers(self, verb: str, path: str, content_type: str) -> Examples:
        return _shown(self._own(verb, path).get("events" if content_type == EVENTS else "answers", {}))

    def check(self) -> None:
        if unknown := {*self._named, *self._examples} - self._asked:
            raise ValueError(f"scripts/openapi names operations that are in no proto: {sorted(unknown)}")

    def _own(self, verb: str, path: str) -> dict[str, Any]:
        found: dict[str, Any] = self._examples.get(f"{verb} {path}", {})
        return found


def _shown(examples: Examples) -> Examples:
    """Names of examples are keys in the document, and their summaries as they are written."""
    return {
        "".join(word.capitalize() if at else word for at, word in enumerate(name.split())): {
            "summary": name[0].upper() + name[1:],
            "value": value,
        }
        for name, value in examples.items()
    }
