"""`parley chats`: list, show and follow the chats of an org. Following them is in `tail.py`."""

from pathlib import Path

import click

from generated.parley.v1.chat_pb2 import Chat
from generated.parley.v1.chat_service_pb2 import ListChatsRequest
from server.cli.commands import Commands
from server.cli.console import data_option, json_option, show, where
from server.cli.records import ending, found_or_fail, limit_option, org_option, pages, parsed
from server.cli.stored import with_store
from server.cli.tables import moment, one_line, pairs, table
from server.cli.transcript import input_line, lines_of, models_of, outcome, tokens_of
from server.content.fitting import presented
from server.content.proto_json import to_json
from server.core.clock import ms_of
from server.core.config import Settings
from server.storage.scope import Scope
from server.storage.store import Store


@click.group(cls=Commands)
def chats() -> None:
    """List, show and follow chats, the records of single exchanges."""


@chats.command("list")
@where
@org_option
@click.option("--assistant", metavar="ID", help="Only chats with this assistant.")
@click.option("--session", metavar="ID", help="Only chats of this session.")
@limit_option
@json_option
def list_chats(
    settings: Settings, org: str, assistant: str | None, session: str | None, limit: int, as_json: bool
) -> None:
    """List the chats of an org, the newest first."""
    request = ListChatsRequest(
        assistant_id=parsed("--assistant", assistant), session_id=parsed("--session", session)
    )

    async def run(store: Store) -> tuple[list[Chat], int]:
        scope = Scope((await store.orgs.get(org)).id)
        return await pages(lambda page: store.chats.list(scope, page), request, limit)

    found, total = with_store(settings, run)
    rows = [(one.id, moment(ms_of(one.created_at)), one.status, _first_words(one)) for one in found]
    text = table(("id", "began", "status", "input"), rows)
    listed = [to_json(presented(one)) for one in found] if as_json else []
    show(listed, as_json, ending(text, found, total, f"no chats of org {org}"))


_MOST_WORDS = 200


def _first_words(chat: Chat) -> str:
    return one_line(input_line(chat)[:_MOST_WORDS])


@chats.command("show")
@where
@org_option
@click.argument("chat_id", metavar="ID")
@json_option
def show_chat(settings: Settings, org: str, chat_id: str, as_json: bool) -> None:
    """Show a chat with its context, its answer, tokens and cost."""

    async def run(store: Store) -> Chat:
        scope = Scope((await store.orgs.get(org)).id)
        with found_or_fail("chat", chat_id, org):
            return await store.chats.get(scope, parsed("ID", chat_id))

    chat = presented(with_store(settings, run))
    messages = [*chat.messages, *chat.output]
    show(to_json(chat), as_json, "\n\n".join([_head(chat), *lines_of(messages)]))


def _head(chat: Chat) -> str:
    return pairs(
        [
            ("chat", chat.id),
            ("name", chat.name or None),
            ("session", chat.session_id or None),
            ("after chat", chat.previous_chat_id or None),
            ("began", moment(ms_of(chat.created_at))),
            ("status", outcome(chat)),
            ("assistant", chat.assistant_id or ("sent with it" if chat.HasField("assistant") else None)),
            ("squad", chat.squad_id or None),
            ("model", models_of(chat.costs)),
            ("tokens", tokens_of(chat.costs)),
            ("cost USD", f"{chat.cost:.6f}"),
        ]
    )


@chats.command("tail")
@data_option
@click.option(
    "--url", metavar="URL", help="Where the server answers HTTP. [http://, and --http of `parley serve`]"
)
@click.option("--key", help="A key of the org, not a publishable one. [of DIR/dev-keys.json]")
@click.option(
    "--key-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="A file with the key, which other users of the machine do not see in the list of processes.",
)
@click.argument("chat_id", metavar="[ID]", required=False)
@json_option
def tail(
    data: Path | None,
    url: str | None,
    key: str | None,
    key_file: Path | None,
    chat_id: str | None,
    as_json: bool,
) -> None:
    """Follow the chats of an org as they are answered, or one chat until it ends; Ctrl-C stops.

    Needs a running server, whose connection may break and come back. With --json each event is a line of
    JSON. At a time one chat is shown; others are shown after it, or as soon as it is silent for 3 s.
    """
    # with gRPC, which the other commands need not load
    from server.cli.tail import follow, server_of

    server = server_of(data, url, key, key_file)
    follow(server, parsed("ID", chat_id), as_json)
