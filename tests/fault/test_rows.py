"""The fault suite in short: each row a few times. `scripts/fault` runs it as often as it takes to be sure."""

from pathlib import Path

import pytest

from tests.fault.suite import ROWS
from tests.fault.trial import Row, Trial

SHORT = [row for row in ROWS if row.short]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("row", SHORT, ids=[row.name for row in SHORT])
async def test_nothing_is_lost_or_left_hanging(row: Row, tmp_path: Path) -> None:
    if lacks := row.lacks():
        pytest.skip(f"needs {lacks}")
    trial = Trial(tmp_path, row.short)

    await row.work(trial)

    assert trial.wrong == []
    assert (trial.tried, trial.survived, trial.lost, trial.hanging) == (row.short, row.short, 0, 0)
