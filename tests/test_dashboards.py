"""The dashboard and the alerts in deploy/ ask for metrics and labels that a real server shows."""

import json
from pathlib import Path

import promql_parser
import pytest
import yaml

from tests.test_metrics import scraped, scraping
from tests.test_serve import chat_body, client_of

DEPLOY = Path(__file__).parents[1] / "deploy"
_OF_GRAFANA = {"$__rate_interval": "5m"}
_OF_SCRAPES = {"job", "instance", "worker", "le"}


def dashboard():
    return json.loads((DEPLOY / "grafana" / "parley.json").read_text())


def alerts():
    [group] = yaml.safe_load((DEPLOY / "prometheus" / "parley.yaml").read_text())["groups"]
    return group["rules"]


EXPRESSIONS = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", ())] + [
    rule["expr"] for rule in alerts()
]


def parsed(expression):
    for name, value in _OF_GRAFANA.items():
        expression = expression.replace(name, value)
    return promql_parser.parse(expression)


def asked(expression):
    """The metrics of an expression, and the labels that it selects and groups by."""
    names, labels = set(), set()

    def visit(node):
        if isinstance(node, promql_parser.VectorSelector):
            names.add(node.name)
            labels.update(matcher.name for matcher in node.matchers.matchers)
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier:
            labels.update(node.modifier.labels)
        return True

    promql_parser.walk(parsed(expression), visit)
    return names, labels


@pytest.fixture(scope="module")
async def shown(tmp_path_factory):
    """The names of the metrics that a server shows, and their labels, after one chat."""
    async with scraping(tmp_path_factory.mktemp("parley"), "--workers", "2") as (parley, address):
        async with client_of(parley) as client:
            await client.post("/chat", json=chat_body(parley, "Hello", stream=True))
        found = await scraped(address)
    names = set()
    for family in found.families:
        endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [""])
        if family.type == "counter" and family.name.startswith("envoy_"):
            endings = [""]  # Envoy's counters have no _total, which the parser adds
        names |= {family.name + ending for ending in endings}
    return names, {label for sample in found.samples for label in sample.labels}


@pytest.mark.parametrize("expression", EXPRESSIONS)
async def test_expression_asks_for_what_there_is(shown, expression):
    names, labels = asked(expression)

    assert names and names <= shown[0]
    assert labels <= shown[1] | _OF_SCRAPES | {"outcome"}  # of deliveries, of which there were none


def test_mistyped_name_would_be_found():
    assert asked('sum by (a) (rate(parley_x_total{b="1"}[5m])) / parley_y > 1') == (
        {"parley_x_total", "parley_y"},
        {"a", "b"},
    )
    with pytest.raises(ValueError):
        parsed("sum by (a (parley_x)")


def test_panels_do_not_overlap_and_have_ids_of_their_own():
    panels = dashboard()["panels"]
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) == 23
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_every_alert_says_what_is_wrong():
    assert all(rule["annotations"]["summary"] and rule["labels"]["severity"] for rule in alerts())
    assert len({rule["alert"] for rule in alerts()}) == len(alerts())
