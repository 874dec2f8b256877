"""What people build on OpenAI-compatible services with, unchanged, through the real Envoy: each framework runs its
examples in `tests/frameworks`, in an environment of its own, against an assistant whose model holds the dialogues.

Does not test the frameworks, and not what the service's answers look like in full.
"""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conftest import Service
from tests.documents import text_of
from tests.frameworks.expected import EXPECTED
from tests.frameworks.forecaster import Forecaster
from tests.frameworks.installed import FOLDER, node_with_packages, python_with

pytestmark = pytest.mark.timeout(900)  # of which the first installation takes most


class Framework(NamedTuple):
    """A script with its examples, and what makes the command that runs it."""

    script: str
    command: Callable[[], list[str]]


def _of_python(script: str, requirements: str = "python.txt") -> Framework:
    return Framework(script, lambda: [*python_with(requirements), str(FOLDER / script)])


FRAMEWORKS = {
    "ai-sdk": Framework("with_ai_sdk.mjs", lambda: node_with_packages("with_ai_sdk.mjs")),
    "langchain": _of_python("with_langchain.py"),
    "openai-agents": _of_python("with_openai_agents.py"),
    "pydantic-ai": _of_python("with_pydantic_ai.py"),
    "instructor": _of_python("with_instructor.py", "instructor.txt"),
    "litellm": _of_python("with_litellm.py", "litellm.txt"),
}
Examples = Callable[[str], Awaitable[dict[str, Any]]]


@pytest.fixture(scope="module")
async def forecaster() -> AsyncIterator[Forecaster]:
    async with Forecaster() as upstream:
        yield upstream


@pytest.fixture(scope="module")
async def examples(service: Service, forecaster: Forecaster) -> Examples:
    """What came of all examples of a framework, which run once."""
    org = await service.new_org()
    for name in ("weather-bot", "gpt-weather-bot"):  # the second one for the SDK that takes no other name
        await service.store.assistants.create(org.id, {"name": name, "model": forecaster.model_document})
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
        "PARLEY_BASE_URL": f"{service.http_url}/v1",
        "PARLEY_API_KEY": org.api,
        "PARLEY_ASSISTANT": "weather-bot",
    }
    printed: dict[str, dict[str, Any]] = {}
    failed: dict[str, BaseException] = {}

    async def run(name: str) -> dict[str, Any]:
        if name in failed:
            raise failed[name]
        if name not in printed:
            try:
                command = await asyncio.to_thread(FRAMEWORKS[name].command)
                printed[name] = await _printed_by(command, environment)
            except (pytest.skip.Exception, pytest.fail.Exception, AssertionError) as error:
                failed[name] = error  # an installation that fails takes too long to be tried by every test
                raise
        return printed[name]

    return run


async def _printed_by(command: list[str], environment: dict[str, str]) -> dict[str, Any]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=pipe)
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    printed: dict[str, Any] = json.loads(out.splitlines()[-1])
    return printed


@pytest.mark.parametrize(
    ("framework", "example"), [(framework, name) for framework, all_of in EXPECTED.items() for name in all_of]
)
async def test_example_of_a_framework_does_what_it_does_elsewhere(
    framework: str, example: str, examples: Examples, forecaster: Forecaster
) -> None:
    assert (await examples(framework))[example] == EXPECTED[framework][example]
    assert forecaster.flaws == []


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_every_example_of_a_framework_is_compared(framework: str, examples: Examples) -> None:
    assert [*await examples(framework)] == [*EXPECTED[framework]]


def test_examples_are_connected_as_the_page_shows() -> None:
    [table] = re.findall(
        r"^\| framework \|.*\n\|[-|]+\n((?:\|.*\n)+)", text_of("docs/clients.md"), re.MULTILINE
    )
    shown = re.findall(r"`(.+?)`", table)
    used = "".join(_on_one_line(FOLDER / framework.script) for framework in FRAMEWORKS.values())

    assert len(table.splitlines()) == len(FRAMEWORKS) + 1
    assert [code for code in shown if "".join(code.split()) not in used] == []


def _on_one_line(script: Path) -> str:
    """Its text without white space, and without the comma behind the last argument of a call on several lines."""
    return re.sub(r",(?=[)}])", "", "".join(script.read_text().split()))
