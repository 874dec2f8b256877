"""`parley protos`: the protos with their vendored imports and buf's files, as this version serves them. Makes no
stubs: that is done by buf or protoc, of the caller's choice."""

import shutil
from pathlib import Path

import click

from server.cli.console import fail

_PROTOS = Path(__file__).parent / "proto"  # in a checkout a link, in a wheel the files


@click.command()
@click.option(
    "--out",
    metavar="DIR",
    required=True,
    type=click.Path(path_type=Path),
    help="Where to write them: a new or an empty folder.",
)
def protos(out: Path) -> None:
    """Write the protos and all that they import, for stubs in any language."""
    try:
        if out.is_dir() and any(out.iterdir()):
            fail(f"--out {out} is not empty; name a new or an empty folder")
        shutil.copytree(_PROTOS, out, dirs_exist_ok=True)
    except (OSError, shutil.Error) as error:
        reason = getattr(error, "strerror", None) or "not every file could be copied"
        fail(f"--out {out} cannot be written: {reason}")
    files = sum(1 for _ in out.rglob("*.proto"))
    click.echo(
        f"{files} protos in {out}; next: protoc -I {out} -I {out / 'third_party'} …, "
        f"or there: buf generate --template buf.gen.LANGUAGE.yaml (go, java, python, typescript)"
    )
