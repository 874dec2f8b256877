"""Text for a terminal: nothing of strangers steers it, and tables fit it where they can."""

import os

import pytest

from server.cli import tables

ROWS = [("1", "Hello world"), ("22", "日本語のテキスト")]


@pytest.fixture
def terminal(monkeypatch):
    """A terminal of 16 columns."""
    monkeypatch.setattr(tables.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(tables.shutil, "get_terminal_size", lambda: os.terminal_size((16, 24)))


def test_nothing_is_cut_in_a_pipe():
    assert tables.table(("n", "text"), ROWS, right=frozenset({0})).splitlines() == [
        " n  text",
        " 1  Hello world",
        "22  日本語のテキスト",
    ]


def test_last_column_is_cut_to_the_terminal(terminal):
    lines = tables.table(("n", "text"), [("1", "Hello again world"), ROWS[1]]).splitlines()

    assert lines[1:] == ["1   Hello again…", "22  日本語のテ…"]
    assert max(map(tables.width_of, lines)) <= 16


def test_numbers_are_never_cut(terminal):
    assert "1234567890" in tables.table(("a long name", "n"), [("x", "1234567890")], right=frozenset({1}))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\n", "plain\ttext\n"),
        ("\x1b]0;title\x07", "\N{REPLACEMENT CHARACTER}]0;title\N{REPLACEMENT CHARACTER}"),
        ("\x9b31m", "\N{REPLACEMENT CHARACTER}31m"),
        ("naïve 日本 👍", "naïve 日本 👍"),
    ],
)
def test_text_cannot_steer_the_terminal(text, shown):
    assert tables.printable(text) == shown


def test_text_in_a_table_is_one_line():
    assert tables.one_line("one\n\ttwo  three\r\n") == "one two three"
