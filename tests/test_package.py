"""What is shipped: the wheel, built from a copy of this checkout and installed where there is none."""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from zipfile import ZipFile

import httpx
import pytest

from tests.processes import Serving

ROOT = Path(__file__).resolve().parent.parent
OFFLINE = ("--quiet", "--no-index", "--no-deps")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The server's."""
    return built(tmp_path_factory.mktemp("server"), ".", [
        "pyproject.toml", "README.md", "LICENSE", "envoy.yaml", "server", "gateway", "generated"])


@pytest.fixture(scope="session")
def commands(wheel, tmp_path_factory):
    """Of an environment that has the server's wheel."""
    return environment_with(tmp_path_factory.mktemp("installed") / "environment", wheel)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """No checkout in the working directory, and nothing on the path but what is installed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)


def built(folder, project, names):
    """The wheel of `project` in a copy of the named files of this checkout, which thereby gains no folder `build`."""
    for name in names:
        source, copy = ROOT / name, folder / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
        else:
            shutil.copy(source, copy)
    pip("wheel", *OFFLINE, "--no-build-isolation", "--wheel-dir", folder / "dist", folder / project)
    [made] = (folder / "dist").iterdir()
    return made


def environment_with(folder, *wheels):
    """The commands of a new virtual environment that has the wheels, and what this one has only of other projects.

    A path in a .pth file is searched without its own .pth files: this checkout, installed by one, is not found there.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    commands = folder / "bin"
    pip("--python", commands / "python", "install", *OFFLINE, *wheels)
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return commands


def pip(*arguments):
    subprocess.run([sys.executable, "-m", "pip", *map(str, arguments)], check=True)


def names_in(wheel):
    return {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}


def test_wheel_holds_all_that_serving_needs_and_no_test(wheel):
    names = names_in(wheel)

    assert wheel.name.startswith("parley_server-")
    assert {"gateway/envoy.yaml", "gateway/http_errors.lua", "gateway/needs_key.lua", "generated/parley.binpb",
            "generated/openapi.json", "server/app.py"} <= names
    assert {name.partition("/")[0] for name in names} == {"server", "gateway", "generated"}


def test_nothing_of_the_checkout_is_found_beside_the_wheel(commands, tmp_path):
    found = subprocess.run([commands / "python", "-c", "import server, gateway; print(server.__file__, gateway.__file__)"],
                           cwd=tmp_path, capture_output=True, text=True, check=True)

    assert all(Path(file).is_relative_to(commands.parent) for file in found.stdout.split())


async def test_installed_server_streams_through_envoy(commands, tmp_path):
    async with Serving(Path("data"), command=str(commands / "parley")) as parley, httpx.AsyncClient() as http:
        answer = await http.post(
            f"{parley.url}/chat", headers={"authorization": f"Bearer {parley.keys['api']}"},
            json={"assistantId": parley.keys["assistantId"], "input": "Hello!", "stream": True})
        document = await http.get(f"{parley.url}/openapi.json")

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.count("data: ") > 2
    assert '"delta":"Hello!"' in answer.text.replace(" ", "")
    assert document.json()["info"]["title"] == "Parley"
    assert (tmp_path / "data" / "parley.db").exists()


async def test_installed_server_starts_its_worker_processes(commands):
    async with Serving(Path("data"), "--workers", "2", command=str(commands / "parley")) as parley:
        ended = await parley.stop()

    assert ended.code == 0
