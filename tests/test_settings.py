"""The table in docs/settings.md is that of `Settings`: every variable in order, its default, and its flag of
`serve`."""

import re

from click.testing import CliRunner

from server.cli.options import GROUPS, SettingOption, docstrings
from server.cli.settings import read_settings
from server.cli.start import serve
from server.core.config import Price, Settings
from tests.documents import blocks_of, text_of

SWITCHED_ON = {name for name, field in Settings.model_fields.items() if field.default is True}

ROWS = [
    (
        cells[0].strip("` "),
        cells[1].strip("` ").removeprefix("PARLEY_").lower(),
        cells[2].strip(),
        cells[3].strip(),
    )
    for cells in re.findall(
        r"^\| ([^|]*)\| (`PARLEY_[^|]*)\| ([^|]*)\| ([^|]*)\|$", text_of("docs/settings.md"), re.M
    )
]


def test_every_setting_is_there_once_and_says_what_it_means() -> None:
    assert [name for _, name, _, _ in ROWS] == list(Settings.model_fields)
    assert all(meaning for *_, meaning in ROWS)


def test_defaults_are_those_of_the_server() -> None:
    """A code span is a value as the variable takes it."""
    shown = {name: default for _, name, default, _ in ROWS}
    spans = {
        name: span.group(1) for name, default in shown.items() if (span := re.match(r"`([^`]+)`", default))
    }
    read = Settings.model_validate(spans)

    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        if name in spans:
            assert getattr(read, name) == default, name
        elif shown[name] == "not set":
            assert default is None, name
        else:
            assert (shown[name], len(default)) == ("none", 0), name


def test_sizes_in_words_are_those_in_figures() -> None:
    units = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
    sizes = re.findall(r"`(\d+)` \((\d+) (\w+)\)", text_of("docs/settings.md"))

    assert len(sizes) == sum(name.endswith("_bytes") for name in Settings.model_fields)
    assert [size for size, number, unit in sizes if int(size) != int(number) * units[unit]] == []


def test_every_setting_has_the_flag_of_the_command() -> None:
    """Of a switch the page has the flag that changes it."""
    shown = {
        one.name: one.secondary_opts[0] if one.name in SWITCHED_ON else one.opts[0]
        for one in serve.params
        if isinstance(one, SettingOption)
    }

    assert {name: flag for flag, name, _, _ in ROWS} == shown


def test_help_explains_every_setting_in_a_group() -> None:
    printed = CliRunner().invoke(serve, ["--help"]).output

    assert set(docstrings()) == set(Settings.model_fields)
    assert [group for group in GROUPS.values() if f"\n{group}:\n" not in printed] == []
    for one in serve.params:
        assert re.search(rf"^  {one.opts[0]}\b", printed, re.M), one.name


def test_example_of_the_file_is_read(tmp_path) -> None:
    [example] = blocks_of("docs/settings.md", "toml")
    (tmp_path / "secret").write_text("postgresql://u@h/d\n")
    file = tmp_path / "parley.toml"
    file.write_text(example.replace("/run/secrets/database", str(tmp_path / "secret")))
    settings = read_settings({}, {}, file).settings

    assert (str(settings.http), settings.workers) == ("0.0.0.0:8080", 2)
    assert settings.database == "postgresql://u@h/d"
    assert settings.model_allow_hosts == {"llm.internal:8000+private"}
    assert settings.prices == {"openai/gpt-4o-mini": Price(input=0.15, output=0.6)}
