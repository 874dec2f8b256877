"""`parley serve` as a command line. What it then does is in `serve.py`, which takes longer to load."""

from pathlib import Path
from typing import Any

import click

from server.cli.console import settings_of
from server.cli.options import SettingsCommand, every_setting


@click.command(cls=SettingsCommand)
@every_setting
def serve(config: Path | None, **flags: Any) -> None:
    """Serve until SIGTERM or Ctrl-C, then drain and exit 0.

    A flag wins over its environment variable (--http over PARLEY_HTTP), and that over parley.toml (http = "…").
    Everyone who can list processes sees a secret in a flag: name a file of it instead (PARLEY_KEY_SECRET_FILE).
    """
    settings = settings_of(config, **flags)
    import uvloop

    from server.cli.serve import serve as serve_until_stopped

    uvloop.run(serve_until_stopped(settings))
