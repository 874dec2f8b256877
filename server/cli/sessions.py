"""`parley sessions`: list and show the sessions of an org."""

import click

from generated.parley.v1.session_pb2 import Session
from generated.parley.v1.session_service_pb2 import ListSessionsRequest
from server.cli.commands import Commands
from server.cli.console import json_option, show, where
from server.cli.records import ending, found_or_fail, limit_option, org_option, pages, parsed
from server.cli.stored import with_store
from server.cli.tables import moment, pairs, table
from server.cli.transcript import lines_of, models_of, tokens_of
from server.content.fitting import present
from server.content.proto_json import to_json
from server.core.clock import ms_of
from server.core.config import Settings
from server.storage.scope import Scope
from server.storage.store import Store


@click.group(cls=Commands)
def sessions() -> None:
    """List and show sessions, the containers of chats that share a context."""


@sessions.command("list")
@where
@org_option
@click.option("--assistant", metavar="ID", help="Only sessions with this assistant.")
@limit_option
@json_option
def list_sessions(settings: Settings, org: str, assistant: str | None, limit: int, as_json: bool) -> None:
    """List the sessions of an org, the newest first."""
    request = ListSessionsRequest(assistant_id=parsed("--assistant", assistant))

    async def run(store: Store) -> tuple[list[Session], int]:
        scope = Scope((await store.orgs.get(org)).id)
        return await pages(lambda page: store.sessions.list(scope, page), request, limit)

    found, total = with_store(settings, run)
    rows = [(one.id, moment(ms_of(one.updated_at)), one.status, one.name) for one in found]
    text = table(("id", "changed", "status", "name"), rows)
    show([to_json(one) for one in found], as_json, ending(text, found, total, f"no sessions of org {org}"))


@sessions.command("show")
@where
@org_option
@click.argument("session_id", metavar="ID")
@json_option
def show_session(settings: Settings, org: str, session_id: str, as_json: bool) -> None:
    """Show a session with its messages, tokens and cost."""

    async def run(store: Store) -> Session:
        scope = Scope((await store.orgs.get(org)).id)
        with found_or_fail("session", session_id, org):
            return await store.sessions.get(scope, parsed("ID", session_id))

    session = with_store(settings, run)
    for message in session.messages:
        present(message)
    show(to_json(session), as_json, "\n\n".join([_head(session), *lines_of(session.messages)]))


def _head(session: Session) -> str:
    return pairs(
        [
            ("session", session.id),
            ("name", session.name or None),
            ("created", moment(ms_of(session.created_at))),
            ("changed", moment(ms_of(session.updated_at))),
            ("status", session.status),
            (
                "assistant",
                session.assistant_id or ("sent with it" if session.HasField("assistant") else None),
            ),
            ("squad", session.squad_id or None),
            ("model", models_of(session.costs)),
            ("tokens", tokens_of(session.costs)),
            ("cost USD", f"{session.cost:.6f}"),
            ("messages", str(len(session.messages))),
        ]
    )
