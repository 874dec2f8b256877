"""Who may import whom: the layers of the server, as one table over its imports."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
OURS = ("server", "gateway", "generated")

PLAIN = {f"server.{name}" for name in (
    "access", "acted_on", "arrivals", "budget", "clock", "config", "documents", "errors", "fitting", "ids", "inputs",
    "items", "json_values", "liquid_filters", "messages", "nearest", "offload", "parts", "record_secrets",
    "secret_names", "secrets", "sound", "summaries", "template_marks", "templates", "tool_urls", "traffic", "twilio",
    "validation", "walk")}
"""One idea each, above nothing but the generated messages and one another."""
EXCHANGE = {f"server.{name}" for name in (
    "agents", "answers", "backlog", "completion_chunks", "context", "costs", "engine", "exchange", "instructing",
    "knowledge", "reading", "recorded", "recovery", "references", "replay", "response_events", "room", "rounds",
    "session_turns", "squads", "stream", "streams", "tools", "transports", "turns", "watching")}
"""The engine and what it needs. Of the backends it knows the contract alone."""

ENGINES = {f"server.storage.{name}" for name in ("database", "migrations", "postgres", "sqlite", "sqlite_writer")}

MAY_IMPORT = {
    "generated": set(),
    **{name: {"generated", *PLAIN} for name in PLAIN},
    "server.storage.hiding": {"generated", "server.record_secrets"},
    "server.storage": {"generated", "server.budget", "server.clock", "server.errors", "server.ids"},
    "server.backends": {"generated", "server.errors", "server.json_values", "server.messages", "server.nearest"},
    # Before the table's line for its kind: what calls tools shares the guarded HTTP client with what calls models.
    "server.tools": {"generated", *PLAIN, "server.backends.guard", "server.backends.limits", "server.backends.outside",
                     "server.backends.transport"},
    **{name: {"generated", *PLAIN, *EXCHANGE, "server.storage", "server.backends.backend", "server.backends.outside"}
       for name in EXCHANGE - {"server.tools", "server.knowledge"}},
    "server.knowledge": {"generated", *PLAIN, "server.backends.outside", "server.backends.posting"},
    "server.deliveries": {*PLAIN, "server.storage.outbox", "server.storage.peers"},
    "server.events": {"generated", *PLAIN, "server.backends.guard", "server.replay", "server.sinks.webhooks",
                      "server.storage", "server.wire.proto_json"},
    "server.inbound": {*PLAIN, *EXCHANGE, "server.deliveries", "server.storage.outbox"},
    "server.sinks": {*PLAIN, "server.backends.guard", "server.backends.limits", "server.backends.outside",
                     "server.deliveries", "server.storage.outbox"},
    "server.history": {"generated", *PLAIN, "server.history_checks", "server.storage.database", "server.storage.history",
                       "server.storage.history_order", "server.storage.scope", "server.wire.proto_json"},
    "server.history_checks": {"generated", *PLAIN},
    "server.history_files": {"server.history", "server.storage.history", "server.storage.history_order"},
    "server.retention": {*PLAIN, "server.storage.scope", "server.storage.store"},
    "server.call": {"server.storage.keys"},
    "server.idempotency": {"generated", *PLAIN, *EXCHANGE, "server.call", "server.storage"},
    "server.wire": {"generated", "server.call", "server.clock", "server.errors", "server.json_values", "server.offload",
                    "server.secrets", "server.storage.documents"},
    "server.services": {"generated", *PLAIN, *EXCHANGE, "server.call", "server.history", "server.idempotency",
                        "server.inbound", "server.storage", "server.wire"},
    "server.limits": {*PLAIN, "server.storage.keys"},
    "server.health": set(),
    "server.open_methods": {*PLAIN, "server.limits"},
    "server.key_ends": {*PLAIN, "server.storage.keys", "server.storage.peers"},
    "server.refusals": {*PLAIN, "server.call", "server.wire.errors"},
    "server.announcing": {*PLAIN, "server.call", "server.refusals"},
    "server.interceptors": {"generated", *PLAIN, "server.announcing", "server.call", "server.idempotency", "server.key_ends",
                            "server.limits", "server.open_methods", "server.storage.keys"},
    "server.dev": {"server.storage.modes", "server.storage.store"},
    "server.app": {"generated", "server"},
    "server.console": {*PLAIN, "server.storage.store"},
    "server.operations": {*PLAIN, "server.console", "server.storage"},
    "server.worker": {"server.app", "server.config", "server.console", "server.storage.database"},
    "server.workers": {"server.config", "gateway.launcher"},
    "server.serving": {"server", "gateway"},
    "server.watchdog": set(),
    "server.cli": {"server"},
    "server.command": {"server.cli"},
    "gateway": {"generated"},
}
"""What each layer may import beside itself."""
MUST_NOT_IMPORT = {
    "server.services": {*ENGINES, "server.storage.store"},
    "server.app": {"server.cli", "server.dev", "server.serving", "server.worker"},
    **{name: ENGINES for name in EXCHANGE},
}
"""Exceptions to what the table allows."""

ONLY_IN = {
    "sqlite3": "server.storage", "sqlite_utils": "server.storage",
    "psycopg": "server.storage", "psycopg_pool": "server.storage", "greenlet": "server.storage",
    "openai": "server.backends", "anthropic": "server.backends", "httpcore2": "server.backends",
    "httpx": "gateway", "envoy": "gateway", "yaml": "gateway",
    "click": ("server.cli", "server.console", "server.operations", "server.serving"),
    "liquid": ("server.liquid_filters", "server.templates"), "protovalidate": "server.validation",
    "uuid_utils": "server.ids",
    "rich": "server.operations", "uvloop": ("server.cli", "server.worker"),
    "grpc_health": ("server.app", "server.health"), "grpc_reflection": "server.app",
}
"""Packages that one layer has to itself, or a few."""
CATCH_ALL = {
    "server.interceptors": "the one place that turns every exception into a status",
    "server.storage.postgres": "rolls back, and raises again",
    "server.storage.postgres_connection": "hands it to whoever waits in a greenlet",
    "server.storage.sqlite": "lets the folder go, and raises again",
    "server.storage.sqlite_writer": "one write must not take the writer thread with it",
    "server.storage.store": "closes, and raises again",
    "server.storage.idempotency": "lets the claim go, and raises again",
    "server.deliveries": "a task of its own, whose row must not be tried without end",
    "server.events": "what happened is recorded even when it cannot be told",
    "server.room": "a task of its own: the key is measured again",
    "server.stream": "an exchange in a task of its own: nobody else would hear of it",
}
MOST_LINES = 400


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
    tree.body = [node for node in tree.body if not (
        isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING")]
    return tree


def name_of(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): module_of(path) for folder in OURS for path in sorted((ROOT / folder).rglob("*.py"))}
WRITTEN = {name: module for name, module in MODULES.items() if not name.startswith("generated")}


def within(name, layer):
    return name == layer or name.startswith(f"{layer}.")


def users_of(package):
    """The layers that may import a package."""
    return (ONLY_IN[package],) if isinstance(ONLY_IN[package], str) else ONLY_IN[package]


def layer_of(name):
    """The layer in the table that a module is in."""
    return next((layer for layer in MAY_IMPORT if within(name, layer)), None)


def test_every_module_is_in_a_layer():
    assert [name for name in MODULES if layer_of(name) is None and name != "server"] == []


def test_every_layer_of_the_table_exists():
    known = {*MAY_IMPORT, *MUST_NOT_IMPORT, *CATCH_ALL, *(one for package in ONLY_IN for one in users_of(package))}.union(
        *MAY_IMPORT.values(), *MUST_NOT_IMPORT.values())

    assert {name for name in known if not any(within(module, name) for module in MODULES)} == set()


@pytest.mark.parametrize("name", MODULES)
def test_module_imports_only_what_its_layer_may(name):
    layer = layer_of(name) or name
    allowed = MAY_IMPORT.get(layer, set()) | {layer}
    ours = {other for other in MODULES[name].imports if other.partition(".")[0] in OURS}

    assert {other for other in ours if not any(within(other, one) for one in allowed)} == set()
    assert {other for other in ours if any(within(other, one) for one in MUST_NOT_IMPORT.get(layer, ()))} == set()


@pytest.mark.parametrize("package", ONLY_IN)
def test_package_is_used_by_one_layer(package):
    users = {name for name, module in MODULES.items() if any(within(one, package) for one in module.imports)}

    assert users
    assert {name for name in users if not any(within(name, layer) for layer in users_of(package))} == set()


def test_nobody_imports_in_a_circle():
    graph = {name: {other for other in module.loads if other in WRITTEN} for name, module in WRITTEN.items()}

    TopologicalSorter(graph).prepare()


def test_nobody_but_the_command_imports_the_wiring():
    for wiring, users in {"server.app": {"server.serving", "server.worker"}, "server.worker": set(),
                          "server.serving": {"server.cli"}, "server.cli": {"server.command"}, "server.command": set(),
                          "server.dev": {"server.serving"}}.items():
        assert {name for name, module in MODULES.items() if wiring in module.imports} == users


@pytest.mark.parametrize("name", WRITTEN)
def test_module_says_what_it_is_for(name):
    assert ast.get_docstring(WRITTEN[name].tree)


@pytest.mark.parametrize("name", WRITTEN)
def test_module_can_be_read_at_one_sitting(name):
    assert len(WRITTEN[name].path.read_text().splitlines()) <= MOST_LINES


def test_exceptions_are_caught_by_name():
    found = {name for name, module in WRITTEN.items() for node in ast.walk(module.tree)
             if isinstance(node, ast.ExceptHandler) and (node.type is None or (
                 isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")))}

    assert found == set(CATCH_ALL)


def test_every_service_of_the_protos_is_a_class_in_services():
    declared = {node.name for name, module in MODULES.items() if name.endswith("_service_pb2_grpc")
                for node in module.tree.body if isinstance(node, ast.ClassDef) and node.name.endswith("Servicer")}
    written = {node.name for name, module in MODULES.items() if within(name, "server.services")
               for node in module.tree.body if isinstance(node, ast.ClassDef)}

    assert {name.removesuffix("Servicer") for name in declared} <= written


def test_nothing_is_read_from_outside_the_project():
    outside = ("/" + "work/", "/" + "shared/")
    sources = [path for folder in ("server", "gateway", "scripts", "tests", "proto") for path in (ROOT / folder).rglob("*")
               if path.is_file() and path.suffix in ("", ".py", ".proto", ".lua", ".yaml", ".toml")]

    assert [str(path) for path in sources if any(one in path.read_text() for one in outside)] == []
