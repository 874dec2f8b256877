"""What is shipped: both wheels, built from a copy of this checkout and installed where there is none."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipFile

import httpx
import pytest

from tests.documents import blocks_of
from tests.environments import empty_environment, lend, packages_of
from tests.processes import Serving, run

ROOT = Path(__file__).resolve().parent.parent
OFFLINE = ("--quiet", "--no-index", "--no-deps")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The server's."""
    return built(
        tmp_path_factory.mktemp("server"),
        ".",
        ["pyproject.toml", "README.md", "LICENSE", "envoy.yaml", "server", "gateway", "generated", "proto"],
    )


@pytest.fixture(scope="session")
def client_wheel(tmp_path_factory):
    return built(
        tmp_path_factory.mktemp("client"), "clients/python", ["LICENSE", "clients/python", "generated"]
    )


@pytest.fixture(scope="session")
def commands(wheel, tmp_path_factory):
    """Of an environment that has the server's wheel, and of other projects what this one has.

    A path in a .pth file is searched without its own .pth files: this checkout, installed by one, is not
    found there.
    """
    commands = environment_with(tmp_path_factory.mktemp("server") / "environment", wheel)
    (packages_of(commands) / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return commands


@pytest.fixture(scope="session")
def python_of_a_caller(client_wheel, tmp_path_factory):
    """An interpreter that has the client's wheel and what it requires, and nothing else."""
    commands = environment_with(tmp_path_factory.mktemp("caller") / "environment", client_wheel)
    for required in tomllib.loads((ROOT / "clients" / "python" / "pyproject.toml").read_text())["project"][
        "dependencies"
    ]:
        lend(required, packages_of(commands))
    pip("--python", commands / "python", "check")
    return str(commands / "python")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """No checkout in the working directory, and nothing on the path but what is installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)


def built(folder, project, names):
    """The wheel of `project` in a copy of the named files of this checkout, which thereby gains no folder
    `build`."""
    for name in names:
        source, copy = ROOT / name, folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(
                source,
                copy,
                symlinks=True,
                ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"),
            )
        else:
            shutil.copy(source, copy)
    pip("wheel", *OFFLINE, "--no-build-isolation", "--wheel-dir", folder / "dist", folder / project)
    [made] = (folder / "dist").iterdir()
    return made


def environment_with(folder, wheel):
    """The commands of a new virtual environment that has this wheel alone."""
    commands = empty_environment(folder)
    pip("--python", commands / "python", "install", *OFFLINE, wheel)
    return commands


def pip(*arguments):
    subprocess.run([sys.executable, "-m", "pip", *map(str, arguments)], check=True)


EVERY_SERVICE = re.compile(r"@cached_property\n    def (\w+)")


def client_services():
    return (ROOT / "clients" / "python" / "src" / "parley_client" / "_services.py").read_text()


def names_in(wheel):
    return {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}


def test_wheel_holds_all_that_serving_needs_and_no_test(wheel):
    names = names_in(wheel)

    assert wheel.name.startswith("parley_server-")
    assert {
        "gateway/envoy.yaml",
        "gateway/http_errors.lua",
        "gateway/needs_key.lua",
        "gateway/error_bodies.lua",
        "gateway/pages/index.html",
        "gateway/pages/playground.js",
        "gateway/pages/scalar.js.gz",
        "generated/parley.binpb",
        "generated/error_shapes.lua",
        "generated/openapi.json",
        "server/app.py",
        "server/cli/proto/buf.yaml",
        "server/cli/proto/buf.gen.go.yaml",
    } <= names
    assert {name.removeprefix("server/cli/") for name in names if name.startswith("server/cli/proto/")} == {
        str(path.relative_to(ROOT)) for path in (ROOT / "proto").rglob("*") if path.is_file()
    }
    assert {name.partition("/")[0] for name in names} == {"server", "gateway", "generated"}


def test_nothing_of_the_checkout_is_found_beside_the_wheel(commands, tmp_path):
    found = subprocess.run(
        [commands / "python", "-c", "import server, gateway; print(server.__file__, gateway.__file__)"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert all(Path(file).is_relative_to(commands.parent) for file in found.stdout.split())


async def test_installed_server_streams_through_envoy(commands, tmp_path):
    async with Serving(Path("data"), command=str(commands / "parley")) as parley, httpx.AsyncClient() as http:
        answer = await http.post(
            f"{parley.url}/chat",
            headers={"authorization": f"Bearer {parley.keys['api']}"},
            json={"assistantId": parley.keys["assistantId"], "input": "Hello!", "stream": True},
        )
        document = await http.get(f"{parley.url}/openapi.json")
        playground = await http.get(parley.url)

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.count("data: ") > 2
    assert '"delta":"Hello!"' in answer.text.replace(" ", "")
    assert document.json()["info"]["title"] == "Parley"
    assert "<title>Parley playground</title>" in playground.text
    assert (tmp_path / "data" / "parley.db").exists()


async def test_installed_server_starts_its_worker_processes(commands):
    async with Serving(Path("data"), "--workers", "2", command=str(commands / "parley")) as parley:
        ended = await parley.stop()

    assert ended.code == 0


[EXAMPLE] = blocks_of("clients/python/README.md", "python")
"""What the client's README shows."""
IMPORTS = """
import importlib, sys
first, second = map(importlib.import_module, sys.argv[1:])
assert first.CreateChatRequest is second.CreateChatRequest
"""
MODULES = ("parley.v1.chat_service_pb2", "generated.parley.v1.chat_service_pb2")


def test_client_is_typed_stubs_without_a_server(client_wheel):
    names = names_in(client_wheel)

    assert client_wheel.name.startswith("parley_client-")
    assert {name.partition("/")[0] for name in names} == {"parley", "parley_client"}
    assert {
        "parley/py.typed",
        "parley_client/py.typed",
        "parley_client/_aio_services.py",
        "parley/v1/chat_service_pb2.pyi",
        "parley/v1/chat_service_pb2_grpc.py",
    } <= names
    assert {Path(name).name for name in names if name.startswith("parley/v1/")} == {
        stub.name for stub in (ROOT / "generated" / "parley" / "v1").glob("*.py*")
    }


async def test_caller_needs_the_client_alone(python_of_a_caller, service, org):
    example = EXAMPLE.replace("127.0.0.1:50051", service.grpc_address).replace(
        '"01234567-…", "api_…"', f'"{org.assistant_id}", "{org.api}"'
    )
    ended = await run(python_of_a_caller, "-W", "error", "-c", example)

    assert (ended.err, ended.out) == ("", "You said: Hello!\n")


async def test_examples_of_every_service_print_what_the_page_says(python_of_a_caller, service, org, tmp_path):
    example = "\n".join(blocks_of("docs/clients.md", "python"))
    (tmp_path / "data").mkdir()
    keys = {"api": org.api, "assistantId": org.assistant_id}
    (tmp_path / "data" / "dev-keys.json").write_text(json.dumps(keys))
    ended = await run(
        python_of_a_caller, "-W", "error", "-c", example.replace("127.0.0.1:50051", service.grpc_address)
    )

    promised = re.findall(r"^# → (.*)$", example, re.MULTILINE)
    assert ended.err == ""
    assert promised
    for text in promised:
        assert text in ended.out
    assert {
        one for one in EVERY_SERVICE.findall(client_services()) if f"client.{one}." not in example
    } == set()


@pytest.mark.parametrize("modules", [MODULES, MODULES[::-1]], ids=["client first", "server first"])
async def test_stubs_of_both_names_are_the_same_in_one_process(python_of_a_caller, modules):
    ended = await run(python_of_a_caller, "-W", "error", "-c", IMPORTS, *modules, PYTHONPATH=ROOT)

    assert ended.err == ""


async def test_client_takes_the_rules_that_its_caller_has(python_of_a_caller, tmp_path):
    """Of another version, which no process could hold beside ours."""
    ours = (ROOT / "generated" / "buf" / "validate" / "validate_pb2.py").read_text()
    theirs = tmp_path / "buf" / "validate" / "validate_pb2.py"
    theirs.parent.mkdir(parents=True)
    theirs.write_text(ours.replace("Buf::Validate'", "Buf::Revised_'"))
    ended = await run(
        python_of_a_caller,
        "-W",
        "error",
        "-c",
        "import parley.v1.chat_pb2, buf.validate.validate_pb2",
        PYTHONPATH=tmp_path,
    )

    assert ended.err == ""


def test_both_distributions_are_of_one_version():
    assert {
        tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]["version"]
        for folder in ("", "clients/python")
    } == {distribution("parley-server").version}
