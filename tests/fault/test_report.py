"""The table of faults in docs/operations.md says what `scripts/fault` reported, and the report is of the
whole suite."""

from pathlib import Path

import orjson

from tests.fault.suite import ROWS, markdown

ROOT = Path(__file__).parents[2]
REPORT = orjson.loads((ROOT / "tests" / "fault" / "report.json").read_bytes())


def test_page_has_the_figures_of_the_report():
    assert markdown(REPORT) in (ROOT / "docs" / "operations.md").read_text()


def test_report_is_of_every_row_as_often_as_the_suite_says():
    reported = {result["row"]: result for result in REPORT["rows"]}

    assert list(reported) == [row.name for row in ROWS]
    assert [row.name for row in ROWS if reported[row.name]["tried"] < row.count] == []


def test_nothing_was_lost_or_left_hanging():
    assert [
        (result["row"], result["lost"], result["hanging"])
        for result in REPORT["rows"]
        if not result["held"] or result["lost"] or result["hanging"]
    ] == []
