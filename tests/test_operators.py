"""What operators do wrong, or too early: each command as a user runs it, and what it leaves behind."""

import asyncio
import json
import os
import re
import signal
import socket
import sys

import pytest
from pydantic_settings import NoDecode

from server.core.config import Settings
from server.core.ids import new_id
from tests.processes import COMMANDS, Serving, free_address, run

ASSISTANT = {"name": "helper", "model": {"provider": "offline", "model": "offline-1"}}


def refused(ended):
    """The one line that a command which failed said."""
    assert ended.code not in (0, None)
    assert ended.out == ""
    assert ended.err.startswith("Error: ")
    assert ended.err.count("\n") == 1
    return ended.err.removeprefix("Error: ").rstrip()


async def few_at_a_time(commands):
    """What each command came to. All at once, each would wait for all, and longer than `run` does."""
    few = asyncio.Semaphore(4)

    async def one(command):
        async with few:
            return await command

    return await asyncio.gather(*(one(command) for command in commands))


@pytest.fixture
async def store(tmp_path):
    """A data folder in which an org has a key."""
    made = await run(
        "parley", "keys", "create", "--org", "acme", "--kind", "api", "--data", tmp_path / "data"
    )
    assert (made.code, made.err) == (0, "")
    return tmp_path / "data"


@pytest.fixture
def assistant(tmp_path):
    file = tmp_path / "assistant.json"
    file.write_text(json.dumps(ASSISTANT))
    return file


# Commands that only read


def commands_on_a_store(tmp_path, assistant):
    """All that need one which is there."""
    return [
        ("keys", "list"),
        ("keys", "revoke", "key"),
        ("assistants", "apply", assistant, "--org", "acme"),
        ("export", "--org", "acme", tmp_path / "export"),
        ("vacuum",),
        ("check",),
        ("db", "stats"),
        ("backup", tmp_path / "backup"),
        ("restore", tmp_path / "backup"),
    ]


@pytest.mark.timeout(180)
async def test_command_on_a_folder_without_a_database_is_one_line_and_makes_nothing(tmp_path, assistant):
    wrong = tmp_path / "wrong"
    ended = await few_at_a_time(
        run("parley", *words, "--data", wrong) for words in commands_on_a_store(tmp_path, assistant)
    )

    assert ["there is no database" in refused(one) for one in ended] == [True] * len(ended)
    assert os.listdir(tmp_path) == [assistant.name]


async def test_command_on_an_empty_postgresql_database_makes_no_tables(postgres, tmp_path, assistant):
    url = postgres.new_database()
    commands = [
        ("keys", "list"),
        ("assistants", "apply", assistant),
        ("export", "--org", "acme", tmp_path / "export"),
    ]
    ended = await asyncio.gather(*(run("parley", *words, "--database", url) for words in commands))

    assert ["has no tables of parley" in refused(one) for one in ended] == [True] * len(ended)
    assert postgres.run("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", url) == [(0,)]


# A store that is served


async def test_move_of_a_store_that_is_served_is_refused_and_touches_neither_side(postgres, tmp_path):
    url = postgres.new_database()
    async with Serving(tmp_path / "data") as parley:
        printed = refused(await run("parley", "migrate-store", f"sqlite:{parley.data}", url))
        stopped = await parley.stop()
    moved = await run("parley", "migrate-store", f"sqlite:{parley.data}", url, "--json")

    assert printed == f"the database in {parley.data} is in use; stop `parley serve` there first"
    assert stopped == (0, "", "")
    assert json.loads(moved.out)["moved"]["orgs"] == 1


# Folders that are closed to the operator


WITHOUT_ROOTS_RIGHTS = """
import ctypes, os, sys
for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: root may open what nobody may
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.timeout(180)  # sixteen commands, four at a time
@pytest.mark.skipif(sys.platform != "linux", reason="takes rights away by prctl")
async def test_folder_that_may_not_be_entered_is_one_line_that_names_it(store, tmp_path, assistant):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    commands = [
        *((*words, "--data", closed / "data") for words in commands_on_a_store(tmp_path, assistant)[:-1]),
        ("keys", "create", "--org", "acme", "--kind", "api", "--data", closed / "data"),
        ("serve", "--http", free_address(), "--grpc", free_address(), "--data", closed / "data"),
        ("migrate-store", f"sqlite:{closed / 'data'}", "postgresql://127.0.0.1:1/x"),
        ("backup", closed / "backup", "--data", store),
        ("restore", closed / "backup", "--data", tmp_path / "other"),
        ("export", "--org", "acme", closed / "export", "--data", store),
        ("import", "--org", "acme", closed / "export", "--data", store),
        ("assistants", "apply", closed / "assistant.json", "--org", "acme", "--data", store),
    ]
    ended = await few_at_a_time(
        run("python", "-c", WITHOUT_ROOTS_RIGHTS, COMMANDS / "parley", *words) for words in commands
    )

    for words, one in zip(commands, ended, strict=True):
        assert str(closed) in refused(one), words


async def test_disk_that_is_full_is_one_line_that_names_the_file(store):
    printed = refused(await run("parley", "export", "--org", "acme", "/dev/full", "--data", store))

    assert printed == "/dev/full cannot be written: No space left on device"


# Ctrl-C, before there is anything to stop

SIGNAL_AT_AN_IMPORT = """
import os, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["AT"]:
            os.kill(os.getpid(), int(os.environ["SIGNAL"]))
sys.meta_path.insert(0, Finder())
"""


@pytest.fixture
def signalled(tmp_path):
    """Run a command that gets a signal when it begins to load a module."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SIGNAL_AT_AN_IMPORT)

    async def signalled(number, module, *words):
        return await run(
            "parley",
            *words,
            "--data",
            tmp_path / "data",
            PYTHONPATH=tmp_path / "site",
            AT=module,
            SIGNAL=int(number),
        )

    return signalled


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_server_that_is_stopped_while_it_starts_exits_0_without_a_word(signalled, number):
    serve = ("serve", "--http", free_address(), "--grpc", free_address())
    modules = [
        "server.cli.main",
        "click",
        "uvloop",
        "server.core.config",
        "server.storage.store",
        "server.cli.serve",
        "server.app",
    ]
    ended = await asyncio.gather(*(signalled(number, module, *serve) for module in modules))

    assert {module: (one.code, one.err) for module, one in zip(modules, ended, strict=True)} == dict.fromkeys(
        modules, (0, "")
    )
    assert [one.out for one in ended[:-1]] == [""] * (len(modules) - 1)


async def test_command_that_is_interrupted_fails_without_a_traceback(signalled, store, tmp_path):
    backup = ("backup", tmp_path / "backup")
    modules = ["server.cli.main", "click", "server.core.config"]
    ended = await asyncio.gather(*(signalled(signal.SIGINT, module, *backup) for module in modules))

    assert [(one.code, one.out, one.err) for one in ended] == [(130, "", "")] * len(modules)
    assert not (tmp_path / "backup").exists()


# Development keys


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("occupied", ["http", "grpc"])
async def test_server_whose_port_is_taken_has_made_no_keys_and_makes_them_on_the_next_start(
    tmp_path, occupied, workers
):
    where = {"http": free_address(), "grpc": free_address()}
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(where[occupied].rpartition(":")[2])))
        other.listen()
        printed = refused(
            await run(
                "parley",
                "serve",
                "--data",
                tmp_path,
                "--workers",
                workers,
                "--http",
                where["http"],
                "--grpc",
                where["grpc"],
            )
        )
        keys = await run("parley", "keys", "list", "--data", tmp_path, "--json")
        left = (tmp_path / "dev-keys.json").exists()
    async with Serving(tmp_path, **where, PARLEY_WORKERS=workers) as again:
        shown = json.loads("\n".join(again.lines[1:-1]))

    assert where[occupied] in printed
    assert (keys.out.strip() in ("[]", ""), left) == (True, False)
    assert shown == again.keys


@pytest.mark.parametrize(("options", "environment"), [(["--no-dev"], {}), ([], {"PARLEY_DEV": "false"})])
async def test_server_that_is_to_make_no_development_keys_makes_none_and_says_how_others_are_made(
    tmp_path, options, environment
):
    async with Serving(tmp_path, *options, **environment) as parley:
        keys = await run("parley", "keys", "list", "--data", tmp_path, "--json")
        stopped = await parley.stop()

    assert (parley.lines, keys.out) == ([parley.ready_line], "[]\n")
    assert "parley keys create --org NAME --kind api" in json.loads(stopped.err)["reason"]
    assert not (tmp_path / "dev-keys.json").exists()


async def test_server_on_a_store_that_has_keys_makes_none(store):
    async with Serving(store) as parley:
        keys = json.loads((await run("parley", "keys", "list", "--data", store, "--json")).out)
        stopped = await parley.stop()

    assert parley.lines == [parley.ready_line]
    assert [key["orgName"] for key in keys] == ["acme"]
    assert stopped == (0, "", "")


# Settings

WRONG_SETTINGS = {
    (
        "PRICES",
        "nonsense",
    ): 'PARLEY_PRICES: must be a JSON object, such as {"openai/gpt-4o-mini": {"input": 0.15, '
    '"output": 0.6}}; it cannot be read from character 1 on',
    ("PRICES", "[1]"): "PARLEY_PRICES: must be a JSON object, such as {",
    ("PRICES", '{"gpt": 5}'): "PARLEY_PRICES: gpt: must be a JSON object",
    ("PRICES", '{"gpt": {"input": 1}}'): "PARLEY_PRICES: gpt.output: is required",
    (
        "PRICES",
        '{"gpt": {"input": 1, "output": "much"}}',
    ): "PARLEY_PRICES: gpt.output: Input should be a valid number",
    (
        "PRICES",
        '{"gpt": {"input": 1, "output": 1, "cached": 1}}',
    ): "PARLEY_PRICES: gpt.cached: is not a known member",
    (
        "PROVIDER_KEYS",
        '{"openai": "sk-secret"',
    ): 'PARLEY_PROVIDER_KEYS: must be a JSON object, such as {"openai": "KEY"}; ',
    (
        "PROVIDER_KEYS",
        '{"openai": ["sk-secret"]}',
    ): "PARLEY_PROVIDER_KEYS: openai: Input should be a valid string",
    ("PROVIDER_URLS", "https://x.example"): "PARLEY_PROVIDER_URLS: must be a JSON object, such as {",
    ("TWILIO_NUMBERS", '"+14155550100"'): "PARLEY_TWILIO_NUMBERS: must be a JSON object, such as {",
    (
        "TWILIO_NUMBERS",
        '{"main": {"number": "+14155550100", "org_id": "x"}}',
    ): "PARLEY_TWILIO_NUMBERS: main.org_id: is not a known member",
    ("HTTP", "nonsense"): "PARLEY_HTTP: 'nonsense' is not HOST:PORT",
    ("OFFLINE_DELAY_MS", "slow"): "PARLEY_OFFLINE_DELAY_MS: Input should be a valid number",
}


@pytest.mark.timeout(180)
async def test_setting_that_is_wrong_is_one_line_in_the_operators_words(tmp_path):
    all_printed = await few_at_a_time(
        run("parley", "serve", "--data", tmp_path, **{f"PARLEY_{name}": value})
        for name, value in WRONG_SETTINGS
    )

    for printed, ended in zip(WRONG_SETTINGS.values(), all_printed, strict=True):
        line = refused(ended)
        assert line.startswith(printed)
        assert not re.search(r"Source|dictionary|instance|Price|TwilioNumber|sk-secret", line)
    assert os.listdir(tmp_path) == []


def test_every_setting_that_is_json_is_read_by_the_same_rule():
    """Pydantic's own reading would name its classes."""
    decoded = {
        name
        for name, field in Settings.model_fields.items()
        if (NoDecode not in field.metadata)
        and re.search(r"dict|list|set\[|tuple|config\.", str(field.annotation))
    }

    assert decoded == set()


async def test_numbers_and_prices_are_read_from_json(tmp_path):
    values = {
        "PARLEY_TWILIO_NUMBERS": '{"a": "+14155550100", "b": {"number": "+14155550101", "orgId": "o"}}',
        "PARLEY_PRICES": '{"gpt": {"input": 1, "output": 2}}',
    }
    show = "from server.core.config import Settings; print(Settings().model_dump_json(by_alias=True))"
    read = await run("python", "-c", show, **values)
    settings = json.loads(read.out)

    assert settings["twilio_numbers"] == {
        "a": {"number": "+14155550100", "orgId": None},
        "b": {"number": "+14155550101", "orgId": "o"},
    }
    assert settings["prices"] == {"gpt": {"input": 1, "output": 2, "cached_input": None}}


async def test_variable_that_is_no_setting_is_warned_of_with_the_nearest_name(store):
    ended = await run(
        "parley",
        "keys",
        "list",
        "--data",
        store,
        PARLEY_WORKRES="2-secret",
        PARLEY_ZZZ="3-secret",
        parley_http="127.0.0.1:1",
        PARLEY="x",
    )
    warnings = [json.loads(line) for line in ended.err.splitlines()]

    assert ended.code == 0
    assert "acme" in ended.out
    assert [(one["level"], one["event"], one["name"], one["reason"]) for one in warnings] == [
        (
            "warning",
            "unknown_setting",
            "PARLEY_WORKRES",
            "parley has no such setting, so it does nothing; did you mean PARLEY_WORKERS?",
        ),
        ("warning", "unknown_setting", "PARLEY_ZZZ", "parley has no such setting, so it does nothing"),
    ]
    assert "secret" not in ended.err


# Providers

PROVIDERS = {
    "did you mean openai?": ({"provider": "openia", "model": "gpt-4o"}, {}),
    "model.provider must be one of offline, ": ({"provider": "OpenAI", "model": "gpt-4o"}, {}),
    "did you mean my-vllm?": ({"provider": "my_vllm", "model": "m"}, {"my-vllm": "https://x.example/v1"}),
    "an OpenAI-compatible model.url\n": ({"provider": "zzz", "model": "m"}, {}),
    "model.url is required for provider azure-openai": ({"provider": "azure-openai", "model": "m"}, {}),
}
CALLABLE = [
    ({"provider": "openai", "model": "gpt-4o"}, {}),
    ({"provider": "openia", "model": "m", "url": "https://x.example/v1"}, {}),
    ({"provider": "my-vllm", "model": "m"}, {"my-vllm": "https://x.example/v1"}),
    (None, {}),
]


@pytest.fixture
def applied(store, tmp_path):
    async def applied(model, urls):
        file = tmp_path / f"{new_id()}.json"
        file.write_text(json.dumps({"name": "helper", "model": model} if model else {"name": "helper"}))
        return await run(
            "parley",
            "assistants",
            "apply",
            file,
            "--org",
            "acme",
            "--data",
            store,
            PARLEY_PROVIDER_URLS=json.dumps(urls),
        )

    return applied


async def test_assistant_whose_provider_cannot_be_called_is_not_applied(applied):
    ended = await asyncio.gather(*(applied(*given) for given in PROVIDERS.values()))

    for printed, one in zip(PROVIDERS, ended, strict=True):
        assert printed in refused(one) + "\n"


async def test_assistant_whose_provider_can_be_called_is_applied(applied):
    ended = [await applied(*given) for given in CALLABLE]  # one after the other: they have one name

    assert [(one.code, one.err) for one in ended] == [(0, "")] * len(CALLABLE)


async def test_operators_key_for_no_provider_is_warned_of(tmp_path):
    keys = {"openia": "sk-secret", "openai": "sk-secret", "my-vllm": "sk-secret"}
    async with Serving(
        tmp_path,
        PARLEY_PROVIDER_KEYS=json.dumps(keys),
        PARLEY_PROVIDER_URLS='{"my-vllm": "https://x.example/v1"}',
    ) as parley:
        stopped = await parley.stop()
    logged = {line["event"]: line for line in map(json.loads, stopped.err.splitlines())}
    warning = logged["key_without_use"]

    assert warning["provider"] == "openia"
    assert warning["reason"].endswith("; did you mean openai?")
    assert "secret" not in stopped.err
