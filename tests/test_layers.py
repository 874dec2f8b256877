"""What the import contracts in pyproject.toml do not say: whose a package is, and what every module keeps."""

import ast
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("server", "gateway", "generated")

ONLY_IN = {
    "sqlite3": "server.storage",
    "sqlite_utils": "server.storage",
    "psycopg": "server.storage",
    "psycopg_pool": "server.storage",
    "greenlet": "server.storage",
    "aiohttp": ("server.backends", "server.core.outbound", "server.cli.load.rest"),
    "envoy": "gateway",
    "yaml": "gateway",
    "click": "server.cli",
    "liquid": ("server.agents.bounded_liquid", "server.agents.liquid_filters", "server.agents.templates"),
    "protovalidate": "server.content.validation",
    "cryptography": "server.content.sealing",
    "uuid_utils": "server.core.ids",
    "rich": ("server.cli.database", "server.cli.panel", "server.cli.load"),
    "websockets": "server.rpc.websocket",
    "uvloop": ("server.cli.start", "server.cli.worker", "server.cli.load.command"),
    "grpc_channelz": "server.rpc.admin",
    "grpc_health": ("server.app", "server.rpc.admin", "server.rpc.health"),
    "grpc_reflection": "server.rpc.reflection",
    "opentelemetry": "server.core.telemetry.open_telemetry",
    "prometheus_client": ("server.core.telemetry.exposition", "server.core.telemetry.prometheus"),
}
"""Packages that one layer has to itself, or a few."""
CATCH_ALL = {
    "server.rpc.interceptor": "the one place that turns every exception into a status",
    "server.storage.postgres.database": "rolls back, and raises again",
    "server.storage.postgres.locks": "closes a connection without its locks, and raises again",
    "server.storage.postgres.connection": "hands it to whoever waits in a greenlet",
    "server.storage.sqlite.database": "lets the folder go, and raises again",
    "server.storage.sqlite.writer": "one write must not take the writer thread with it",
    "server.storage.store": "closes, and raises again",
    "server.storage.idempotency": "lets the claim go, and raises again",
    "server.delivery.loop": "a task of its own, whose row must not be tried without end",
    "server.delivery.server_events": "what happened is recorded even when it cannot be told",
    "server.exchange.capacity": "a task of its own: the key is measured again",
    "server.exchange.journal": "what one stream has wrong must not end the journal of all",
    "server.exchange.live": "an exchange in a task of its own: nobody else would hear of it",
}
MOST_LINES = 520


class Module(NamedTuple):
    """A module and what it imports: at all, and as it is loaded."""

    path: Path
    tree: ast.Module
    imports: set[str]
    loads: set[str]


def module_of(path):
    tree = _without_types(ast.parse(path.read_text()))
    return Module(path, tree, imported(ast.walk(tree)), imported(tree.body))


def imported(nodes):
    """The modules that are imported, each by its whole name."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                is_module = (ROOT / node.module.replace(".", "/") / f"{alias.name}.py").exists()
                found.add(f"{node.module}.{alias.name}" if is_module else node.module)
    return found


def _without_types(tree):
    """The tree without what is there for the type checker only."""
    tree.body = [
        node
        for node in tree.body
        if not (
            isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        )
    ]
    return tree


def name_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {
    name_of(path): module_of(path) for folder in OURS for path in sorted((ROOT / folder).rglob("*.py"))
}
WRITTEN = {name: module for name, module in MODULES.items() if not name.startswith("generated")}


def within(name, layer):
    return name == layer or name.startswith(f"{layer}.")


def users_of(package):
    """The layers that may import a package."""
    return (ONLY_IN[package],) if isinstance(ONLY_IN[package], str) else ONLY_IN[package]


def test_every_module_of_the_tables_exists():
    known = {*CATCH_ALL, *(one for package in ONLY_IN for one in users_of(package))}

    assert {name for name in known if not any(within(module, name) for module in MODULES)} == set()


@pytest.mark.parametrize("package", ONLY_IN)
def test_package_is_used_by_one_layer(package):
    users = {name for name, module in MODULES.items() if any(within(one, package) for one in module.imports)}

    assert users
    assert {name for name in users if not any(within(name, layer) for layer in users_of(package))} == set()


def test_nobody_but_the_command_imports_the_wiring():
    for wiring, users in {
        "server.app": {"server.cli.serve", "server.cli.worker"},
        "server.cli.worker": set(),
        "server.cli.serve": {"server.cli.start"},
        "server.cli.main": {"server.cli.command"},
        "server.cli.command": set(),
        "server.cli.first_start": {"server.cli.serve"},
    }.items():
        assert {name for name, module in MODULES.items() if wiring in module.imports} == users


@pytest.mark.parametrize("name", WRITTEN)
def test_module_says_what_it_is_for(name):
    assert ast.get_docstring(WRITTEN[name].tree)


@pytest.mark.parametrize("name", WRITTEN)
def test_module_can_be_read_at_one_sitting(name):
    assert len(WRITTEN[name].path.read_text().splitlines()) <= MOST_LINES


def test_exceptions_are_caught_by_name():
    found = {
        name
        for name, module in WRITTEN.items()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler)
        and (
            node.type is None
            or (isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException"))
        )
    }

    assert found == set(CATCH_ALL)


def test_every_service_of_the_protos_is_a_class_in_services():
    declared = {
        node.name
        for name, module in MODULES.items()
        if name.endswith("_service_pb2_grpc")
        for node in module.tree.body
        if isinstance(node, ast.ClassDef) and node.name.endswith("Servicer")
    }
    written = {
        node.name
        for name, module in MODULES.items()
        if within(name, "server.services")
        for node in module.tree.body
        if isinstance(node, ast.ClassDef)
    }

    assert {name.removesuffix("Servicer") for name in declared} <= written


def test_nothing_is_read_from_outside_the_project():
    outside = ("/" + "work/", "/" + "shared/")
    sources = [
        path
        for folder in ("server", "gateway", "scripts", "tests", "proto", "clients")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix in ("", ".py", ".proto", ".lua", ".yaml", ".toml")
    ]

    assert [str(path) for path in sources if any(one in path.read_text() for one in outside)] == []
