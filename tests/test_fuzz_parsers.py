"""Our own parsers on random bytes, always the same ones: the short form of `scripts/fuzz parsers`."""

import random

import pytest

from scripts.fuzz import PARTS
from tests.fuzz.parsers import TARGETS, run

RUNS = 300
FOUND = {
    "requests": [b"\x2b\x60\x40\x00\x60\x2c"],
}
"""What the long runs have found, by target."""


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_but_an_answer_comes_of_any_bytes(target):
    chance = random.Random(target)
    tried = [chance.randbytes(chance.randrange(300)) for _ in range(RUNS)]

    for data in (*FOUND.get(target, ()), *tried):
        run(target, data)


def test_long_run_tries_every_target():
    assert PARTS.keys() == TARGETS.keys()
