"""The Markdown that readers get: README, pages of `docs/`, contributor's papers. Checks nothing by itself."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = tuple(sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")))
PAPERS = ("README.md", *PAGES, "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "clients/python/README.md")

_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def text_of(paper: str) -> str:
    return (ROOT / paper).read_text()


def blocks_of(paper: str, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return [block for label, block in _FENCE.findall(text_of(paper)) if label == language]


def prose_of(paper: str) -> str:
    """The text without its fenced blocks."""
    return _FENCE.sub("", text_of(paper))


def links_of(paper: str) -> list[tuple[str, str]]:
    """The file and the anchor of each link that stays in the project; the file is relative to ROOT."""
    here = (ROOT / paper).parent
    targets = re.findall(r"\]\((?!https?:)([^)\s]+)\)", prose_of(paper))
    return [
        (str((here / path).resolve().relative_to(ROOT)) if path else paper, anchor)
        for path, _, anchor in (target.partition("#") for target in targets)
    ]


def anchors_of(paper: str) -> set[str]:
    """Its headings, as a link names them."""
    headings = re.findall(r"^#+ (.*)$", prose_of(paper), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
