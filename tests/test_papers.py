"""What readers are given: each file, command, setting and link in it is there, the README and the glossary
stay short."""

import re
import subprocess
import tomllib

import click
import pytest

from server.cli.main import main as parley
from server.core.config import Settings
from tests.documents import PAGES, PAPERS, ROOT, anchors_of, blocks_of, links_of, text_of
from tests.processes import COMMANDS

LONG_RUNS = {"fault": "tests/fault/suite.py", "bench": "tests/bench/__main__.py", "fuzz": "scripts/fuzz.py"}
MOST_WORDS = 25
MOST_BYTES = 8192


@pytest.mark.parametrize("paper", PAPERS)
def test_everything_that_is_named_is_there(paper: str) -> None:
    text = text_of(paper)
    files = re.findall(r"`((?:scripts|tests|server|proto|gateway|clients|docs)/[\w./-]*)", text)
    named = {name.lower() for name in re.findall(r"PARLEY_([A-Z_]*[A-Z])\b", text)}
    settings = {name.removesuffix("_file") for name in named if name != "config"}

    assert [file for file in files if not (ROOT / file).exists()] == []
    assert [
        name for name in settings if not any(field.startswith(name) for field in Settings.model_fields)
    ] == []


@pytest.mark.parametrize("paper", PAPERS)
def test_no_link_is_dead(paper: str) -> None:
    dead = [
        (path, anchor)
        for path, anchor in links_of(paper)
        if not (ROOT / path).exists() or (anchor and anchor not in anchors_of(path))
    ]

    assert dead == []


@pytest.mark.parametrize("paper", PAPERS)
def test_every_command_has_the_words_and_options_that_are_named(paper: str) -> None:
    named = re.findall(
        r"`(?:\.venv/bin/)?parley ([^`]+)`|^(?:\.venv/bin/)?parley (.+)$", text_of(paper), re.MULTILINE
    )

    assert [words for words in map("".join, named) if not is_command(words.split())] == []


@pytest.mark.parametrize("paper", PAPERS)
def test_every_script_is_there_and_can_be_run(paper: str) -> None:
    named = set(re.findall(r"\bscripts/([\w-]+)(?![\w./-])", text_of(paper)))

    assert [
        name for name in named if not (ROOT / "scripts" / name).stat().st_mode & 0o100 and name != "openapi"
    ] == []


@pytest.mark.parametrize("paper", PAPERS)
def test_every_program_of_the_virtual_environment_is_one_that_is_installed(paper: str) -> None:
    named = set(re.findall(r"\.venv/bin/(\w+)", text_of(paper)))

    assert [name for name in named if not (COMMANDS / name).exists()] == []


@pytest.mark.parametrize(("script", "source"), LONG_RUNS.items())
def test_options_of_the_long_runs_are_those_that_they_take(script: str, source: str) -> None:
    named = {
        option
        for paper in PAPERS
        for words in re.findall(rf"`scripts/{script}([^`]*)`", text_of(paper))
        for option in re.findall(r"--[\w-]+|(?<= )[a-z]+$", words)
    }

    assert [option for option in named if option not in (ROOT / source).read_text()] == []


def test_readme_is_short_and_leads_to_every_page() -> None:
    assert len(text_of("README.md").encode()) <= MOST_BYTES
    assert set(PAGES) <= {path for path, _ in links_of("README.md")}
    assert len(PAGES) >= 9


def test_floors_are_those_that_imports_are_checked_by() -> None:
    layers = tomllib.loads(text_of("pyproject.toml"))["tool"]["importlinter"]["contracts"][0]["layers"]
    floors = {name for layer in layers for name in layer.split(" | ")}
    drawn = next(block for block in blocks_of("docs/architecture.md", "") if block.startswith("cli"))
    rule = re.search(r"imports go down only\*\*:(.*?)\n2\.", text_of("README.md"), re.DOTALL)

    assert rule
    assert [line.split()[0] for line in drawn.splitlines()] == [layer.split(" | ")[0] for layer in layers]
    assert all(re.search(rf"\b{floor}\b", drawn) for floor in floors)
    assert set(re.findall(r"`(\w+)`", rule.group(1))) == floors - {"worker"}


def test_both_commands_of_a_newcomer_are_in_the_readme() -> None:
    assert {"scripts/serve", "scripts/test"} <= set(
        re.findall(r"^scripts/\w+", text_of("README.md"), re.MULTILINE)
    )


def test_no_text_cites_a_document_that_readers_do_not_have() -> None:
    """`seed` is a parameter of models; a number behind it is a document's."""
    cited = subprocess.run(
        ["git", "grep", "-nIE", r"\b[Ss]eeds? 0|\b[Tt]he seeds\b|§"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.splitlines()

    assert [line for line in cited if not line.startswith("tests/test_papers.py:")] == []


def test_glossary_is_short_and_defines_each_word_once() -> None:
    glossary = text_of("CONTRIBUTING.md").partition("## Glossary")[2]
    words = re.findall(r"^\| ([a-z ]+) \|", glossary, re.MULTILINE)[1:]  # without the head of the table

    assert 0 < len(words) <= MOST_WORDS
    assert len(words) == len(set(words))


def is_command(words: list[str]) -> bool:
    """Whether `parley` takes these words: its groups and commands, then options of the one that was found."""
    command: click.Command = parley
    rest = list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(click.Context(command), rest.pop(0))
        if found is None:
            return False
        command = found
    options = {name for parameter in command.params for name in parameter.opts} | {"--version", "--help"}
    return {word.strip("[],.;:") for word in rest if word.startswith(("-", "[-"))} <= options
