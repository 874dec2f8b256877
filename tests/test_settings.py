"""The table in docs/settings.md is that of `Settings`: every variable in order, its default, and its option
of `serve`."""

import re

from server.cli.main import serve
from server.core.config import Settings
from tests.documents import text_of

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


def test_options_are_those_of_the_command() -> None:
    options = {parameter.name: parameter.opts[0] for parameter in serve.params}
    options["dev"] = options.pop("no_dev")

    assert {name: option for option, name, _, _ in ROWS if option} == options
