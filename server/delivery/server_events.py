"""Server events: the events of chats and sessions for an assistant's own server, written with the change
itself.

Composes them for the outbox, which sends them. Sends nothing, and holds no SQL.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import structlog

from generated.parley.v1.chat_pb2 import Chat
from server.content.fitting import presented
from server.content.proto_json import to_json
from server.core.clock import Clock
from server.core.errors import InvalidArgument
from server.core.ids import parse_id
from server.core.outbound.guard import AllowedHosts
from server.delivery import webhooks
from server.storage.database import Connection, Cursor
from server.storage.documents import content_in, version_in, version_of
from server.storage.outbox import Delivery, Record

TYPES = frozenset({"chat.created", "chat.deleted", "session.created", "session.updated", "session.deleted"})
_CACHED = 1024

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Server:
    """The `server` of an assistant document."""

    target: dict[str, Any] = field(repr=False)
    types: frozenset[str]
    """The events that it gets."""

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> "Server | None":
        """The server of a document, None when the assistant has none."""
        server = document.get("server") or {}
        if not server.get("url"):
            return None
        target = {
            name: server[name]
            for name in ("url", "timeoutSeconds", "headers")
            if server.get(name) is not None
        }
        if secret := server.get("secret") or _secret(document):
            target["secret"] = secret
        if plan := server.get("backoffPlan"):
            target["patience"] = {
                "attempts": int(plan.get("maxRetries") or 0) + 1,
                "base_seconds": float(plan.get("baseDelaySeconds") or 0),
                "fixed": plan.get("type") == "fixed",
            }
        named = TYPES.intersection(
            name for name in document.get("serverMessages") or () if isinstance(name, str)
        )
        return cls(target, named or TYPES)


class ServerEvents:
    """Composes the events. `compose` is called inside write transactions."""

    def __init__(self, allowed: AllowedHosts, clock: Clock) -> None:
        self._allowed = allowed
        self._clock = clock
        self._known: dict[tuple[str, str, int], Server | None] = {}
        """Servers by the org, id and version of their assistants."""

    def compose(
        self,
        connection: Connection,
        kind: str,
        record: Record,
        private: Mapping[str, Any] | None,
        body_of: Callable[[], Record],
    ) -> Callable[[], list[Delivery]]:
        """Look for the server of the assistant of a Chat or Session; return what makes the event for a change
        of it, if that server subscribes to it."""
        masked = private or {}
        version: Cursor | None = None
        if not masked.keys() & {"assistant", "squad"} and _answers_alone(record):
            version = version_of(connection, "assistants", record.org_id, record.assistant_id)

        def composed() -> list[Delivery]:
            try:
                server = self._server_of(connection, record, masked, version)
                return [self._event(kind, body_of(), server)] if server and kind in server.types else []
            except Exception as failure:  # the change is recorded even when its event cannot be composed
                log.error("event cannot be composed", type=kind, exc_info=failure)
                return []

        return composed

    def _event(self, kind: str, record: Record, server: Server) -> Delivery:
        shown = record
        if isinstance(record, Chat):
            shown = Chat()
            shown.CopyFrom(record)
            presented(shown)
        message = {"type": kind, "timestamp": self._clock(), kind.partition(".")[0]: to_json(shown)}
        session_id = (
            record.session_id if isinstance(record, Chat) and record.HasField("session_id") else record.id
        )
        return Delivery(
            org_id=record.org_id,
            kind=webhooks.KIND,
            lane=f"{webhooks.KIND}:{session_id}",
            body=orjson.dumps({"message": message}),
            target=server.target,
        )

    def _server_of(
        self, connection: Connection, record: Record, private: Mapping[str, Any], version: Cursor | None
    ) -> Server | None:
        """The server of the assistant that answers a record; None also when its host may not be called."""
        if "assistant" in private:
            server = Server.of(private["assistant"])
        elif squad := private.get("squad") or self._squad(connection, record):
            member = squad["members"][0]
            own = member.get("assistant")
            server = (
                Server.of(own)
                if isinstance(own, dict)
                else self._first_member(connection, record.org_id, parse_id(str(member.get("assistantId"))))
            )
        elif version is not None:
            server = self._stored(connection, record.org_id, record.assistant_id, version)
        else:
            server = None
        return server if server and self._may_be_called(server) else None

    def _squad(self, connection: Connection, record: Record) -> dict[str, Any] | None:
        if (
            not record.HasField("squad_id")
            or version_in(connection, "squads", record.org_id, record.squad_id) is None
        ):
            return None
        squad: dict[str, Any] = orjson.loads(content_in(connection, "squads", record.org_id, record.squad_id))
        return squad

    def _first_member(self, connection: Connection, org_id: str, assistant_id: str | None) -> Server | None:
        version = version_of(connection, "assistants", org_id, assistant_id)
        return self._stored(connection, org_id, assistant_id, version)

    def _stored(
        self, connection: Connection, org_id: str, assistant_id: str | None, version: Cursor
    ) -> Server | None:
        found = version.fetchone()
        if found is None:
            return None
        key = (org_id, str(assistant_id), found[0])
        if key not in self._known:
            if len(self._known) >= _CACHED:
                self._known.clear()
            self._known[key] = Server.of(
                orjson.loads(content_in(connection, "assistants", org_id, assistant_id))
            )
        return self._known[key]

    def _may_be_called(self, server: Server) -> bool:
        try:
            self._allowed.check_url(server.target["url"], "server.url")
        except InvalidArgument:
            return False
        return True


def _secret(document: Mapping[str, Any]) -> str | None:
    """The apiKey of the credentials of provider `webhook`."""
    for credential in document.get("credentials") or ():
        if credential.get("provider") == "webhook" and isinstance(key := credential.get("apiKey"), str):
            return key
    return None


def _answers_alone(record: Record) -> bool:
    """Whether a stored assistant answers a record, and no squad."""
    return record.HasField("assistant_id") and not record.HasField("squad_id")
