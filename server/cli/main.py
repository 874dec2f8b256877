"""The command `parley`: its commands. Each one's module is loaded when it is used."""

import os

import click

from server.cli.commands import Commands, Lazy

# Envoy is a child process made without preexec hooks; gRPC would warn that it cannot prepare for the fork.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# An address that gRPC cannot use is reported in a line of our own; gRPC would log another one beside it.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="parley-server", prog_name="parley")
def main() -> None:
    """One conversation service, spoken over gRPC and over documented REST paths."""
    os.umask(0o077)  # whatever a command, or a process that it starts, writes is its owner's alone


assert isinstance(main, Commands)
main.lazy = {
    "assistants": Lazy("server.cli.assistants", "assistants", "Manage assistants without HTTP."),
    "backup": Lazy(
        "server.cli.database",
        "back_up",
        "Write a backup to FILE, also while serving: one file of one moment, checked, for its owner only.",
    ),
    "chats": Lazy(
        "server.cli.chats", "chats", "List, show and follow chats, the records of single exchanges."
    ),
    "check": Lazy(
        "server.cli.database",
        "check",
        "Look whether the database is sound; the exit code is not 0 when it is not.",
    ),
    "config": Lazy("server.cli.config", "config", "Look at the settings."),
    "completion": Lazy(
        "server.cli.completion",
        "completion",
        "Print the completion of commands and options for bash, zsh or fish.",
    ),
    "db": Lazy("server.cli.database", "db", "Look into the database."),
    "doctor": Lazy(
        "server.cli.doctor",
        "doctor",
        "Check what a server needs: machine, ports, folder, database, clock, keys, limits.",
    ),
    "export": Lazy(
        "server.cli.history",
        "export_history",
        "Write the history of an org, and its assistants with their secrets, to FILE (or the standard output) as "
        "JSON Lines.",
    ),
    "import": Lazy("server.cli.history", "import_history", "Import the history in FILE into an org."),
    "keys": Lazy("server.cli.keys", "keys", "Make, list and revoke the keys of orgs."),
    "load": Lazy(
        "server.cli.load.command",
        "load",
        "Call a running service at a rate, or as so many users, and report what its callers see.",
    ),
    "migrate-store": Lazy(
        "server.cli.database",
        "migrate_store",
        "Move everything from SOURCE, sqlite:FOLDER, to TARGET, postgresql://…, an empty database.",
    ),
    "orgs": Lazy(
        "server.cli.orgs", "orgs", "List, create and show orgs, the tenants that own keys and records."
    ),
    "protos": Lazy(
        "server.cli.protos", "protos", "Write the protos and all that they import, for stubs in any language."
    ),
    "providers": Lazy("server.cli.providers", "providers", "List and test the model providers."),
    "restore": Lazy(
        "server.cli.database",
        "restore",
        "Replace the database by the backup FILE, while nothing serves it.",
    ),
    "serve": Lazy("server.cli.start", "serve", "Serve until SIGTERM or Ctrl-C, then drain and exit 0."),
    "sessions": Lazy(
        "server.cli.sessions",
        "sessions",
        "List and show sessions, the containers of chats that share a context.",
    ),
    "usage": Lazy(
        "server.cli.usage", "usage", "Sum chats, tokens and cost by day, assistant, model, key or org."
    ),
    "vacuum": Lazy(
        "server.cli.stored",
        "vacuum",
        "Write the database file anew, so that no trace of what was deleted is left in it.",
    ),
}


if __name__ == "__main__":
    main()
