"""The README's examples, run as they stand against a real `parley serve`: every `# → text` must be in what is printed."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from tests.conftest import Org, Service

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", README.partition("## Talk to it")[2], re.MULTILINE | re.DOTALL)
SET_UP = BLOCKS[0][1]
EXAMPLES = BLOCKS[1:]


@pytest.fixture
def dev_keys(org: Org, tmp_path: Path) -> Path:
    keys = {"org": org.id, "api": org.api, "secret": org.secret, "publishable": org.publishable,
            "assistantId": org.assistant_id}
    path = tmp_path / "dev-keys.json"
    path.write_bytes(orjson.dumps(keys))
    return path


@pytest.mark.parametrize(("language", "example"), EXAMPLES, ids=[str(index) for index in range(len(EXAMPLES))])
async def test_example_prints_what_the_readme_says(language: str, example: str, service: Service, dev_keys: Path) -> None:
    promised = re.findall(r"^# → (.*)$", example, re.MULTILINE)
    printed = await _run(language, _here(example, service, dev_keys), _here(SET_UP, service, dev_keys))

    assert promised
    for text in promised:
        assert text in printed


def test_everything_that_is_linked_is_there() -> None:
    linked = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)

    assert len(linked) > 30
    assert [path for path in linked if not (ROOT / path).exists()] == []


def _here(text: str, service: Service, dev_keys: Path) -> str:
    """The example with this service's addresses and keys."""
    return (text.replace("http://127.0.0.1:8080", service.http_url).replace("127.0.0.1:50051", service.grpc_address)
            .replace("data/dev-keys.json", str(dev_keys)).replace(".venv/bin/python", sys.executable)
            .replace(".venv/bin/buf", str(Path(sys.executable).parent / "buf")))


async def _run(language: str, example: str, set_up: str) -> str:
    command = ["bash", "-euc", set_up + example] if language == "sh" else [sys.executable, "-W", "error", "-c", example]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()
