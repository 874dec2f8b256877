"""The HTTP paths under schemathesis, with all its checks, as our own document describes them to the holder of
a key.

`explained.py` lists what it finds and we stand by. Starts no service.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import from_schema
from schemathesis.engine.events import FatalError, NonFatalError, ScenarioFinished

from tests.fuzz.explained import reason_for

DOOR = "x-parley-door"
IDEMPOTENCY = "Idempotency-Key"
PHASES = ("examples", "coverage", "fuzzing", "stateful")


@dataclass
class Report:
    """What some cases came to."""

    cases: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    explained: Counter[str] = field(default_factory=Counter)
    """How often each reason of `explained.py` was one."""
    unexplained: list[str] = field(default_factory=list)
    """What the reasons do not explain, a text each with how to do it again."""

    def add(self, other: "Report") -> None:
        self.cases += other.cases
        self.statuses += other.statuses
        self.explained += other.explained
        self.unexplained += other.unexplained


def at_door(document: Any, door: str) -> Any:
    """The document as it is at a door, where two share a path: without the marks, and what they mark as
    another's."""
    if isinstance(document, list):
        return [at_door(item, door) for item in document if not _is_anothers(item, door)]
    if isinstance(document, dict):
        return {
            name: at_door(value, door)
            for name, value in document.items()
            if name != DOOR and not _is_anothers(value, door)
        }
    return document


def fuzz(
    url: str,
    key: str,
    door: str,
    *,
    seed: int,
    examples: int,
    phases: Sequence[str] = PHASES,
    progress: Callable[[Report], None] = lambda report: None,
) -> Report:
    """Try every operation: the limits of its schema, `examples` random requests of it, and chains of
    requests.

    At the agents door only its own operations: the others are the same at both.
    """
    document = at_door(httpx.get(f"{url}/openapi.json").json(), door)
    if door == "agents":
        document["paths"] = {
            path: verbs
            for path, verbs in document["paths"].items()
            if any(door in operation["x-parley-doors"] for operation in verbs.values())
        }
    config = _config(url, key, door, seed, examples, phases)
    schema = schemathesis.openapi.from_dict(document, config=config)
    report = Report()
    for event in from_schema(schema).execute():
        if isinstance(event, ScenarioFinished):
            _note(event.recorder, report)
            progress(report)
        elif isinstance(event, NonFatalError | FatalError):
            report.unexplained.append(
                f"schemathesis could not go on: {getattr(event, 'label', '')} {event!r} "
                f"{getattr(event, 'info', getattr(event, 'exception', ''))!r}"
            )
    return report


def _note(recorder: Any, report: Report) -> None:
    for case_id, node in recorder.cases.items():
        interaction = recorder.interactions.get(case_id)
        if interaction is None:
            continue
        report.cases += 1
        response = interaction.response
        report.statuses[response.status_code if response else 0] += 1
        for name, failure in _failed(recorder.checks.get(case_id, ())):
            if reason := reason_for(name, failure, node.value, response):
                report.explained[reason] += 1
            else:
                report.unexplained.append(_described(name, failure, node.value, response))


def _failed(checks: Any) -> Iterator[tuple[str, Any]]:
    for check in checks:
        if check.failure_info is not None:
            yield check.name, check.failure_info.failure


def _described(name: str, failure: Any, case: Any, response: Any) -> str:
    answer = f"{response.status_code} {response.content[:600]!r}" if response else "no answer"
    return f"{name}: {failure.title}: {failure.message[:600]}\n  {case.as_curl_command()[:2000]}\n  {answer}"


@schemathesis.hook("before_call")
def _made_worth_trying(context: Any, case: Any, kwargs: Any) -> None:
    """No two cases are one request: schemathesis likes `0` as Idempotency-Key, which can be only one
    request's. None has a member of no name, which it likes, too: Envoy's parser refuses those, and the server
    would see little of the rest."""
    sent = (case.headers or {}).get(IDEMPOTENCY)
    if isinstance(sent, str) and re.fullmatch("[!-~]{1,255}", sent):
        case.headers[IDEMPOTENCY] = sent[:200] + uuid4().hex
    if isinstance(case.body, dict | list):
        case.body = _named(case.body)


def _named(value: Any) -> Any:
    """The value without members whose name is empty."""
    if isinstance(value, dict):
        return {name: _named(inner) for name, inner in value.items() if name != ""}
    return [_named(item) for item in value] if isinstance(value, list) else value


def _config(
    url: str, key: str, door: str, seed: int, examples: int, phases: Sequence[str]
) -> SchemathesisConfig:
    auth = {"apiKey": {"api_key": key}} if door == "agents" else {"bearer": {"bearer": key}}
    return SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "base-url": url,
            "auth": {"openapi": auth},
            "continue-on-failure": True,
            "request-timeout": 30,
            "suppress-health-check": ["all"],
            "generation": {
                "max-examples": examples,
                "database": "none",
                "no-shrink": True,
                "allow-x00": False,
            },
            "phases": {phase: {"enabled": phase in phases} for phase in PHASES},
        }
    )


def _is_anothers(value: Any, door: str) -> bool:
    return isinstance(value, dict) and value.get(DOOR, door) != door
