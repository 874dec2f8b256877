"""What `parley` says of itself: every command with its whole sentence, without loading any."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from server.cli.commands import Commands, summary_of
from server.cli.main import main

assert isinstance(main, Commands)
HEAVY = {
    "grpc",
    "pydantic",
    "pydantic_settings",
    "google.protobuf",
    "structlog",
    "sqlite3",
    "orjson",
    "asyncio",
}


@pytest.mark.parametrize("name", main.lazy)
def test_summary_in_the_list_is_that_of_the_command(name):
    command = main.get_command(click.Context(main), name)

    assert command is not None and summary_of(command) == main.lazy[name].summary


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_names_every_command_by_a_whole_sentence(option):
    printed = " ".join(CliRunner().invoke(main, [option]).output.split())

    for name in main.list_commands(click.Context(main)):
        command = main.get_command(click.Context(main), name)
        assert command is not None and f"{name} {summary_of(command)}" in printed


SETTINGS = {"pydantic", "pydantic_settings", "structlog", "orjson", "asyncio"}
"""Modules that the flags of `parley serve` are made with."""


@pytest.mark.parametrize("name", main.lazy)
def test_help_of_a_group_names_its_commands_by_whole_sentences(name):
    command = main.get_command(click.Context(main), name)
    printed = " ".join(CliRunner().invoke(main, [name, "-h"]).output.split())

    assert printed.startswith(f"Usage: main {name} ")
    for one in getattr(command, "commands", {}).values():
        assert f"{one.name} {summary_of(one)}" in printed


@pytest.mark.parametrize(
    ("words", "needed"), [(["--help"], set()), (["serve", "--help"], SETTINGS), (["load", "--help"], set())]
)
def test_help_loads_nothing_that_it_does_not_need(words, needed):
    program = f"""
import sys
sys.argv = ["parley", *{words!r}]
from server.cli.command import main
try:
    main()
except SystemExit as ended:
    assert not ended.code
print(*sys.modules, file=sys.stderr)
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert ended.stdout.startswith("Usage: parley")
    assert HEAVY & set(ended.stderr.split()) <= needed
