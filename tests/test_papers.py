"""What contributors read: every file, command and setting that it names is there, and the glossary stays short."""

import re
from pathlib import Path

import pytest

from server.core.config import Settings

ROOT = Path(__file__).resolve().parent.parent
PAPERS = ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "clients/python/README.md")
MOST_WORDS = 25


@pytest.mark.parametrize("paper", PAPERS)
def test_everything_that_is_named_is_there(paper):
    text = (ROOT / paper).read_text()
    files = re.findall(r"`((?:scripts|tests|server|proto|gateway|clients)/[\w./]*)", text)
    settings = {name.removeprefix("PARLEY_").lower() for name in re.findall(r"PARLEY_[A-Z_]+", text)}

    assert [file for file in files if not (ROOT / file).exists()] == []
    assert settings <= set(Settings.model_fields)


def test_glossary_is_short_and_defines_each_word_once():
    glossary = (ROOT / "CONTRIBUTING.md").read_text().partition("## Glossary")[2]
    words = re.findall(r"^\| ([a-z ]+) \|", glossary, re.MULTILINE)[1:]  # without the head of the table

    assert 0 < len(words) <= MOST_WORDS
    assert len(words) == len(set(words))
