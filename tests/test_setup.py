"""What a newcomer runs before there is a server: `scripts/setup` with a Python that does not fit, and the SQL
for Citus."""

import re
import shutil
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path

import psycopg
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from server.storage.store import connect_store
from tests.documents import blocks_of

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
INSTALLED = ("pyproject.toml", "requirements.lock")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIRED = [
    Requirement(one) for one in [*PROJECT["dependencies"], *chain(*PROJECT["optional-dependencies"].values())]
]


@pytest.fixture
def checkout(tmp_path):
    """A fresh one, as far as `scripts/setup` needs it."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "setup", tmp_path / "scripts")
    for name in INSTALLED:
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def python(path, first):
    """An interpreter that does something first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"#!{sys.executable}\nimport sys\n{first}\nassert sys.argv[1] == '-c', sys.argv\nexec(sys.argv[2])\n"
    )
    path.chmod(0o755)
    return path


def set_up(checkout, python):
    return subprocess.run(
        [checkout / "scripts" / "setup"],
        env={"PATH": "/usr/bin:/bin", "PYTHON": str(python)},
        capture_output=True,
        text=True,
        check=False,
    )


def mark_as_installed(checkout):
    """So that nothing is to be fetched."""
    (checkout / ".venv" / "installed").write_text(
        "".join((checkout / name).read_text() for name in INSTALLED)
    )


OLD = "sys.version_info = (3, 10, 13, 'final', 0)"
UNFIT = {
    "old": (OLD, "is older than Python 3.11; install a newer one and name it, such as PYTHON=python3.12"),
    "without venv": ("sys.modules['ensurepip'] = None", "install the package python3-venv"),
}


@pytest.mark.parametrize(("first", "expected"), UNFIT.values(), ids=UNFIT)
def test_python_that_does_not_fit_is_one_line_and_leaves_nothing(checkout, first, expected):
    ended = set_up(checkout, python(checkout / "python", first))

    assert ended.returncode == 1
    assert expected in ended.stderr
    assert (ended.stderr.count("\n"), ended.stdout) == (1, "")
    assert not (checkout / ".venv").exists()


def test_python_that_is_not_there_is_one_line(checkout):
    ended = set_up(checkout, "python3.99")

    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: there is no python3.99; install Python 3.11 or newer")
    assert ended.stderr.count("\n") == 1


def test_virtual_environment_of_an_old_python_is_one_line_that_says_what_to_do(checkout):
    python(checkout / ".venv" / "bin" / "python", OLD)
    ended = set_up(checkout, sys.executable)

    assert ended.returncode == 1
    assert "remove .venv" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_virtual_environment_that_was_not_made_to_its_end_is_completed(checkout):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", checkout / ".venv"], check=True)
    mark_as_installed(checkout)
    ended = set_up(checkout, sys.executable)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert (checkout / ".venv" / "bin" / "pip").exists()


@pytest.mark.parametrize("changed", INSTALLED)
def test_installs_the_locked_versions_again_when_what_they_are_changes(checkout, changed):
    """By a pip that only notes what it is asked for."""
    recorded = checkout / "asked"
    note = f"if sys.argv[1] == '-m': open({str(recorded)!r}, 'a').write(' '.join(sys.argv[3:]) + chr(10)); sys.exit()"
    python(checkout / ".venv" / "bin" / "python", note)
    python(checkout / ".venv" / "bin" / "pip", "")
    first, second = set_up(checkout, sys.executable), set_up(checkout, sys.executable)
    with (checkout / changed).open("a") as file:
        file.write("# more\n")
    third = set_up(checkout, sys.executable)

    assert [ended.returncode for ended in (first, second, third)] == [0, 0, 0]
    assert [bool(ended.stderr) for ended in (first, second, third)] == [True, False, True]
    assert len(recorded.read_text().splitlines()) == 2
    assert all(
        "--constraint requirements.lock --editable ." in line for line in recorded.read_text().splitlines()
    )


def test_lock_has_one_version_of_everything_that_the_project_asks_for():
    lines = [
        line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")
    ]
    pins = {canonicalize_name(pin.name): pin.specifier for pin in map(Requirement, lines)}
    recorded = [one for one in REQUIRED if one.name != PROJECT["name"]]

    assert len(pins) == len(lines)
    assert all(str(specifier).startswith("==") for specifier in pins.values())
    assert [str(one) for one in recorded if canonicalize_name(one.name) not in pins] == [], "run scripts/lock"
    assert [
        str(one) for one in recorded if not one.specifier.contains(str(pins[canonicalize_name(one.name)])[2:])
    ] == [], "run scripts/lock"
    assert "://" not in (ROOT / "requirements.lock").read_text()


def test_setup_asks_for_the_version_that_the_project_does():
    major, minor = re.search(
        r'requires-python = ">=(\d+)\.(\d+)"', (ROOT / "pyproject.toml").read_text()
    ).groups()

    assert f"sys.version_info < ({major}, {minor})" in (ROOT / "scripts" / "setup").read_text()
    assert f"Python {major}.{minor} or newer" in README


async def test_sql_for_citus_makes_every_table_an_orgs_or_one_for_all_in_a_statement_of_its_own(postgres):
    """Citus itself is not here: its functions are stood for by some that note what they are given, once a
    statement."""
    url = postgres.new_database()
    await (await connect_store(url)).aclose()
    [block] = blocks_of("docs/postgres.md", "sql")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE made (what regclass, org_column text, statement bigint UNIQUE)")
        for head in (
            "create_reference_table(what regclass)",
            "create_distributed_table(what regclass, org_column text)",
        ):
            column = "org_column" if "org_column" in head else "NULL"
            connection.execute(
                f"CREATE FUNCTION {head} RETURNS void LANGUAGE sql AS "
                f"'INSERT INTO made VALUES (what, {column}, txid_current())'"
            )
        for statement in filter(str.strip, block.split(";")):
            connection.execute(statement)
        made = dict(connection.execute("SELECT what::text, org_column FROM made").fetchall())
        tables = {
            name
            for (name,) in connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'made'"
            ).fetchall()
        }
        columns = connection.execute(
            "SELECT table_name FROM information_schema.columns WHERE column_name = 'org_id'"
        ).fetchall()

    assert tables - set(made) == {"key_secret", "parley_migrations"}
    assert {name for name, column in made.items() if column is None} == {"orgs", "keys"}
    assert {name for name, column in made.items() if column == "org_id"} <= {name for (name,) in columns}
