"""Where settings come from: which of several places wins, what `parley config show` says of it, and what is
refused."""

import json

import pytest

from server.cli.settings import SECRETS, SettingsError, read_settings
from server.core.config import Settings
from server.core.provider_variables import KEYS
from tests.processes import run

KEY_SECRET = "0123456789abcdef-secret"


def write(folder, text):
    file = folder / "parley.toml"
    file.write_text(text)
    return file


def test_flag_wins_over_variable_and_variable_over_file(tmp_path):
    file = write(tmp_path, "workers = 2\ndelivery_attempts = 3\ngrace_seconds = 4\n")
    environment = {"PARLEY_WORKERS": "5", "PARLEY_DELIVERY_ATTEMPTS": "6"}
    read = read_settings({"workers": "7"}, environment, file)

    assert (read.settings.workers, read.settings.delivery_attempts, read.settings.grace_seconds) == (7, 6, 4)
    assert read.origins == {
        "workers": "--workers",
        "delivery_attempts": "PARLEY_DELIVERY_ATTEMPTS",
        "grace_seconds": f"{file}:3",
    }


def test_file_in_the_working_folder_is_read_unless_another_is_named(tmp_path, monkeypatch):
    write(tmp_path, "workers = 2")
    (tmp_path / "other.toml").write_text("workers = 3")
    monkeypatch.chdir(tmp_path)

    assert read_settings({}, {}).settings.workers == 2
    assert read_settings({}, {"PARLEY_CONFIG": "other.toml"}).settings.workers == 3
    assert read_settings({}, {"PARLEY_CONFIG": "parley.toml"}, tmp_path / "other.toml").settings.workers == 3


def test_file_takes_tables_and_lists(tmp_path):
    file = write(
        tmp_path,
        """
        reflection = false
        tool_allow_hosts = ["tools.example", "localhost:9000"]
        [provider_urls]
        my-vllm = "http://gpu:8000/v1"
        [prices."openai/gpt-4o-mini"]
        input = 1
        output = 2
        """,
    )
    read = read_settings({}, {}, file)

    assert not read.settings.reflection
    assert read.settings.tool_allow_hosts == {"tools.example", "localhost:9000"}
    assert read.settings.provider_urls == {"my-vllm": "http://gpu:8000/v1"}
    assert read.settings.prices["openai/gpt-4o-mini"].output == 2
    assert read.origins["prices"] == f"{file}:6"


REFUSED = {
    "wrokers = 2": "parley.toml:1: parley has no setting 'wrokers'; did you mean workers?",
    "\nkey-secret = 'x'": "parley.toml:2: parley has no setting 'key-secret'; did you mean key_secret?",
    "zzz = 1": "parley.toml:1: parley has no setting 'zzz'; `parley config show` lists all settings",
    "workers_file = 'x'": "parley.toml:1: parley has no setting 'workers_file'; did you mean workers?",
    "workers = 'two'": "parley.toml:1: workers: Input should be a valid integer",
    "workers = 65": "parley.toml:1: workers: Input should be less than or equal to 64",
    "http = 8080": "parley.toml:1: http: must be HOST:PORT, in quotes",
    "tool_allow_hosts = 1": "parley.toml:1: tool_allow_hosts: must be a list of host[:port]",
    "[prices.gpt]\ninput = 1": "parley.toml:1: prices: gpt.output: is required",
    "key_secret = 'short'": "parley.toml:1: key_secret: String should have at least 16 characters",
    "workers = ": "parley.toml: is not TOML: Invalid value (at end of document)",
    "key_secret_file = 5": "parley.toml:1: key_secret_file: must be the path of a file, in quotes",
    "key_secret_file = 'x'\nkey_secret = 'y'": "parley.toml:1: key_secret_file and key_secret exclude each other",
    "key_secret_file = '/no/such'": "parley.toml:1: key_secret_file: /no/such cannot be read: No such file",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_wrong_in_the_file_is_refused_by_place_name_and_remedy(tmp_path, text):
    with pytest.raises(SettingsError) as refused:
        read_settings({}, {}, write(tmp_path, text))

    assert str(refused.value).removeprefix(f"{tmp_path}/").startswith(REFUSED[text])


@pytest.mark.parametrize("environment", [{"PARLEY_CONFIG": "/no/such.toml"}, {}])
def test_named_file_that_is_not_there_is_refused(environment, tmp_path):
    file = None if environment else tmp_path / "gone.toml"
    with pytest.raises(SettingsError, match=r"the file of settings: .* cannot be read: No such file"):
        read_settings({}, environment, file)


# Secrets from files

VALUES = {
    "database": "postgresql://u:secret@h/d",
    "provider_keys": '{"openai": "sk-secret"}',
    "key_secret": KEY_SECRET,
    "twilio_auth_token": "secret",
}


def test_there_is_a_value_for_every_secret():
    assert set(VALUES) == SECRETS


@pytest.mark.parametrize("name", sorted(SECRETS))
@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_secret_is_read_from_the_file_that_its_variable_names(tmp_path, name, ending):
    file = tmp_path / "secret"
    file.write_text(VALUES[name] + ending)
    variable = f"PARLEY_{name.upper()}_FILE"
    read = read_settings({}, {variable: str(file)})

    assert getattr(read.settings, name) == getattr(Settings(**{name: VALUES[name]}), name)
    assert read.origins == {name: f"{variable} ({file})"}
    assert read.unknown == {}


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_secret_and_its_file_exclude_each_other(tmp_path, name):
    variable = f"PARLEY_{name.upper()}"
    with pytest.raises(
        SettingsError, match=f"^{variable}_FILE and {variable} exclude each other; unset one$"
    ):
        read_settings({}, {variable: VALUES[name], f"{variable}_FILE": str(tmp_path / "secret")})


def test_secret_in_the_file_of_settings_may_be_in_a_file_of_its_own(tmp_path):
    (tmp_path / "secret").write_text(f"{KEY_SECRET}\n")
    file = write(tmp_path, f"key_secret_file = '{tmp_path / 'secret'}'")

    assert read_settings({}, {}, file).settings.key_secret == KEY_SECRET


@pytest.mark.parametrize("variable", [name for names in KEYS.values() for name in names])
def test_key_of_a_provider_is_read_from_a_file(tmp_path, variable):
    file = tmp_path / "key"
    file.write_text("sk-secret\n")
    read = read_settings({}, {f"{variable}_FILE": str(file)})

    assert list(read.settings.provider_keys.values()) == ["sk-secret"]
    assert list(read.keys.values()) == [f"{variable}_FILE ({file})"]
    with pytest.raises(SettingsError, match=f"^{variable}_FILE and {variable} exclude each other"):
        read_settings({}, {f"{variable}_FILE": str(file), variable: "sk-other"})


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "cannot be read: No such file or directory"), (b"\n", "is empty"), (b"\xff", "is not UTF-8")],
)
def test_file_of_a_secret_that_cannot_be_read_is_refused_by_variable_and_path(tmp_path, content, reason):
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError) as refused:
        read_settings({}, {"OPENAI_API_KEY_FILE": str(file)})

    assert str(refused.value) == f"OPENAI_API_KEY_FILE: {file} {reason}"


# What is shown


async def test_every_setting_is_shown_with_its_origin_and_no_secret(tmp_path):
    secret = tmp_path / "key"
    secret.write_text("sk-secret-groq")
    file = write(tmp_path, f"key_secret = '{KEY_SECRET}'\nworkers = 2\n")
    ended = await run(
        "parley", "config", "show", "--json", "--config", file, "--no-dev", "--http", "127.0.0.1:1",
        PARLEY_DATABASE="postgresql://u:pass-secret@h/d?sslpassword=secret-too",
        PARLEY_PROVIDER_URLS='{"mine": "https://u:url-secret@h/v1?api-key=secret"}',
        OPENAI_API_KEY="sk-secret-openai", GROQ_API_KEY_FILE=secret,
    )  # fmt: skip
    rows = {row["name"]: (row["value"], row["origin"]) for row in json.loads(ended.out)}

    assert list(rows) == list(Settings.model_fields)
    assert rows["http"] == ("127.0.0.1:1", "--http")
    assert rows["dev"] == (False, "--no-dev")
    assert rows["workers"] == (2, f"{file}:2")
    assert rows["key_secret"] == ("****", f"{file}:1")
    assert rows["database"] == ("postgresql://u:****@h/d?sslpassword=****", "PARLEY_DATABASE")
    assert rows["provider_urls"] == ({"mine": "https://u:****@h/v1?api-key=****"}, "PARLEY_PROVIDER_URLS")
    assert rows["provider_keys"] == (
        {"groq": "****", "openai": "****"},
        f"GROQ_API_KEY_FILE ({secret}), OPENAI_API_KEY",
    )
    assert rows["drain_seconds"] == (2, "default")
    assert "secret" not in ended.out.replace("key_secret", "")


async def test_what_is_shown_is_what_the_settings_take(tmp_path):
    ended = await run("parley", "config", "show", "--json")
    shown = {row["name"]: row["value"] for row in json.loads(ended.out)}

    assert Settings(**shown) == Settings()


async def test_addresses_are_shown_as_flags_take_them():
    ended = await run("parley", "config", "show", "--metrics", "127.0.0.1:9")

    shown = {name: value for name, value, *_ in map(str.split, ended.out.splitlines())}
    assert shown["metrics"] == "127.0.0.1:9" and shown["websocket"] == "127.0.0.1:0"


async def test_settings_are_shown_a_line_each():
    ended = await run("parley", "config", "show", "--retention-days", "7")
    lines = [line.split("  ") for line in ended.out.splitlines()]

    assert [line[0].strip() for line in lines] == list(Settings.model_fields)
    assert next(line for line in ended.out.splitlines() if line.startswith("retention_days")).endswith(
        " 7.0  (--retention-days)"
    )


async def test_server_is_not_started_with_a_file_that_is_wrong(tmp_path):
    ended = await run(
        "parley", "serve", "--data", tmp_path / "data", "--config", write(tmp_path, "wrokers = 2")
    )

    assert (ended.code, ended.out) == (1, "")
    assert ended.err == (
        f"Error: {tmp_path}/parley.toml:1: parley has no setting 'wrokers'; did you mean workers?\n"
    )
    assert not (tmp_path / "data").exists()
