"""The schema on PostgreSQL: the tables and columns of `migrations.py`, in migrations that are only ever
appended to.

What an org has is keyed by the org first, and nothing of it is unique without the org, so that a sharded
PostgreSQL can keep it together; `orgs` and `keys`, which are read before the org is known, are to be on every
shard.
"""

from collections.abc import Callable

from server.storage.database import Connection, DatabaseError
from server.storage.hiding import hide_stored_secrets
from server.storage.long_lists import BY_UPDATE, INDEXES, POSTGRES_INDEXES, STORED_COMPLETIONS, TOTALS_VIEW
from server.storage.sqlite.migrations import OWNERS
from server.storage.threads import CALLS_KEY_INDEX

MOVING = "parley_moving"
"""The table that is there while a store is moved into the database."""
_LOCK = "parley migrations"


def migrate(connection: Connection) -> None:
    """Bring the schema up to date, inside the caller's transaction. Raises DatabaseError when it is of a
    newer version."""
    connection.lock(_LOCK)
    connection.execute(
        "CREATE TABLE IF NOT EXISTS parley_migrations (number bigint PRIMARY KEY, name text NOT NULL, "
        "applied_at timestamptz NOT NULL DEFAULT now())"
    )
    before = done(connection)
    if before > len(MIGRATIONS):
        raise DatabaseError("the database was brought up to date by a newer version of parley; run that one")
    for number, (name, change) in enumerate(MIGRATIONS[before:], before + 1):
        if callable(change):
            change(connection)
        else:
            _run(connection, change)
        connection.execute("INSERT INTO parley_migrations (number, name) VALUES (?, ?)", [number, name])


def _run(connection: Connection, statements: str) -> None:
    for statement in statements.split(";"):
        if statement.strip():
            connection.execute(statement)


def done(connection: Connection) -> int:
    """Return how many migrations the database has had."""
    number: int = connection.execute("SELECT coalesce(max(number), 0) FROM parley_migrations").fetchone()[0]
    return number


def has_tables(connection: Connection) -> bool:
    """Whether a server has used the database."""
    found: bool = connection.execute("SELECT to_regclass('parley_migrations') IS NOT NULL").fetchone()[0]
    return found


def is_moving(connection: Connection) -> bool:
    """Whether a database is being moved into this one."""
    found: bool = connection.execute("SELECT to_regclass(?) IS NOT NULL", [MOVING]).fetchone()[0]
    return found


_FIRST = """
CREATE TABLE orgs (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at bigint NOT NULL
);

CREATE TABLE keys (
    id TEXT NOT NULL UNIQUE,
    org_id TEXT NOT NULL REFERENCES orgs (id),
    kind TEXT NOT NULL,
    digest bytea NOT NULL UNIQUE,
    created_at bigint NOT NULL,
    revoked_at bigint,
    expires_at bigint,
    PRIMARY KEY (org_id, id)
);

CREATE TABLE assistants (
    id TEXT NOT NULL,
    org_id TEXT NOT NULL REFERENCES orgs (id),
    name TEXT,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    version bigint NOT NULL,
    document bytea NOT NULL,
    PRIMARY KEY (org_id, id)
);
CREATE UNIQUE INDEX assistants_by_id ON assistants (id);
CREATE INDEX assistants_by_org ON assistants (org_id, created_at);
CREATE INDEX assistants_by_name ON assistants (org_id, name);

CREATE TABLE squads (
    id TEXT NOT NULL,
    org_id TEXT NOT NULL REFERENCES orgs (id),
    name TEXT,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    version bigint NOT NULL,
    document bytea NOT NULL,
    PRIMARY KEY (org_id, id)
);
CREATE UNIQUE INDEX squads_by_id ON squads (id);
CREATE INDEX squads_by_org ON squads (org_id, created_at);

CREATE TABLE tools (
    id TEXT NOT NULL,
    org_id TEXT NOT NULL REFERENCES orgs (id),
    name TEXT,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    version bigint NOT NULL,
    document bytea NOT NULL,
    PRIMARY KEY (org_id, id)
);
CREATE UNIQUE INDEX tools_by_id ON tools (id);
CREATE INDEX tools_by_org ON tools (org_id, created_at);

CREATE TABLE sessions (
    id TEXT NOT NULL,
    org_id TEXT NOT NULL REFERENCES orgs (id),
    key_id TEXT NOT NULL,
    assistant_id TEXT,
    squad_id TEXT,
    user_id TEXT,
    agent_type TEXT,
    name TEXT,
    phone_number_id TEXT,
    customer_number TEXT,
    status TEXT NOT NULL,
    expiration_seconds bigint NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    thread_id TEXT NOT NULL,
    variables bytea NOT NULL,
    private bytea,
    body bytea NOT NULL,
    state bytea,
    PRIMARY KEY (org_id, id)
);
CREATE UNIQUE INDEX sessions_by_id ON sessions (id);
CREATE INDEX sessions_by_org ON sessions (org_id, created_at);
CREATE INDEX sessions_by_thread ON sessions (thread_id);
CREATE INDEX sessions_by_number ON sessions (org_id, phone_number_id, customer_number, created_at)
    WHERE phone_number_id IS NOT NULL;

CREATE TABLE chats (
    id TEXT NOT NULL,
    org_id TEXT NOT NULL REFERENCES orgs (id),
    key_id TEXT NOT NULL,
    session_id TEXT,
    previous_chat_id TEXT,
    assistant_id TEXT,
    squad_id TEXT,
    status TEXT NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    thread_id TEXT NOT NULL,
    first_seq bigint NOT NULL,
    output_seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cost double precision NOT NULL,
    private bytea,
    body bytea NOT NULL,
    record bytea NOT NULL DEFAULT '',
    estimated bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (org_id, id)
);
CREATE UNIQUE INDEX chats_by_id ON chats (id);
CREATE INDEX chats_by_session ON chats (session_id, created_at) WHERE session_id IS NOT NULL;
CREATE INDEX chats_by_thread ON chats (thread_id, first_seq);
CREATE INDEX chats_by_previous ON chats (previous_chat_id) WHERE previous_chat_id IS NOT NULL;
CREATE INDEX chats_unfinished ON chats (id) WHERE status = 'in_progress';
CREATE INDEX chats_usage ON chats (org_id, created_at) INCLUDE (key_id, assistant_id, prompt_tokens, completion_tokens,
    cost, estimated, status);

CREATE TABLE chat_events (
    chat_id TEXT NOT NULL,
    sequence bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (chat_id, sequence)
);

CREATE TABLE forks (
    thread_id TEXT PRIMARY KEY,
    parent_id TEXT NOT NULL,
    parent_seq bigint NOT NULL
);
CREATE INDEX forks_by_parent ON forks (parent_id);

CREATE TABLE messages (
    thread_id TEXT NOT NULL,
    seq bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (thread_id, seq)
);

CREATE TABLE idempotency_keys (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    key_id TEXT NOT NULL,
    key TEXT NOT NULL,
    claim_id TEXT NOT NULL UNIQUE,
    boot_id TEXT NOT NULL,
    fingerprint bytea NOT NULL,
    record TEXT,
    created_at bigint NOT NULL,
    answer bytea,
    PRIMARY KEY (org_id, key_id, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
CREATE INDEX idempotency_keys_by_record ON idempotency_keys (record) WHERE record IS NOT NULL;

CREATE TABLE deleted_usage (
    org_id TEXT NOT NULL REFERENCES orgs (id),
    key_id TEXT NOT NULL,
    assistant_id TEXT,
    created_at bigint NOT NULL,
    prompt_tokens bigint NOT NULL,
    completion_tokens bigint NOT NULL,
    cost double precision NOT NULL,
    estimated bigint NOT NULL
);
CREATE INDEX deleted_usage_by_org ON deleted_usage (org_id, created_at);

CREATE TABLE outbox (
    seq bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    org_id TEXT NOT NULL REFERENCES orgs (id),
    kind TEXT NOT NULL,
    lane TEXT NOT NULL,
    chat_id TEXT,
    state TEXT NOT NULL,
    attempts bigint NOT NULL,
    due_at bigint,
    reason TEXT,
    created_at bigint NOT NULL,
    body bytea NOT NULL,
    target bytea NOT NULL
);
CREATE INDEX outbox_due ON outbox (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX outbox_lanes ON outbox (lane, seq) WHERE state = 'waiting';
CREATE INDEX outbox_by_chat ON outbox (chat_id) WHERE chat_id IS NOT NULL;

CREATE TABLE receipts (
    org_id TEXT NOT NULL,
    receipt TEXT NOT NULL,
    received_at bigint NOT NULL,
    PRIMARY KEY (org_id, receipt)
);
CREATE INDEX receipts_by_time ON receipts (received_at);

CREATE TABLE key_secret (
    secret bytea NOT NULL
)
"""

_LED_BY_ORG = """
ALTER TABLE messages ADD COLUMN org_id TEXT;
UPDATE messages SET org_id = owners.org_id FROM owners WHERE owners.thread_id = messages.thread_id;
DELETE FROM messages WHERE org_id IS NULL;
ALTER TABLE messages ALTER COLUMN org_id SET NOT NULL, DROP CONSTRAINT messages_pkey,
    ADD PRIMARY KEY (org_id, thread_id, seq);

ALTER TABLE forks ADD COLUMN org_id TEXT;
UPDATE forks SET org_id = owners.org_id FROM owners WHERE owners.thread_id = forks.thread_id;
DELETE FROM forks WHERE org_id IS NULL;
ALTER TABLE forks ALTER COLUMN org_id SET NOT NULL, DROP CONSTRAINT forks_pkey, ADD PRIMARY KEY (org_id, thread_id);
DROP INDEX forks_by_parent;
CREATE INDEX forks_by_parent ON forks (org_id, parent_id);

ALTER TABLE chat_events ADD COLUMN org_id TEXT;
UPDATE chat_events SET org_id = chats.org_id FROM chats WHERE chats.id = chat_id;
DELETE FROM chat_events WHERE org_id IS NULL;
ALTER TABLE chat_events ALTER COLUMN org_id SET NOT NULL, DROP CONSTRAINT chat_events_pkey,
    ADD PRIMARY KEY (org_id, chat_id, sequence);

DROP TABLE owners;

DROP INDEX assistants_by_id;
CREATE INDEX assistants_by_id ON assistants (id);
DROP INDEX squads_by_id;
CREATE INDEX squads_by_id ON squads (id);
DROP INDEX tools_by_id;
CREATE INDEX tools_by_id ON tools (id);
DROP INDEX sessions_by_id;
CREATE INDEX sessions_by_id ON sessions (id);
DROP INDEX chats_by_id;
CREATE INDEX chats_by_id ON chats (id);

DROP INDEX sessions_by_thread;
CREATE INDEX sessions_by_thread ON sessions (org_id, thread_id);
DROP INDEX chats_by_session;
CREATE INDEX chats_by_session ON chats (org_id, session_id, created_at) WHERE session_id IS NOT NULL;
DROP INDEX chats_by_thread;
CREATE INDEX chats_by_thread ON chats (org_id, thread_id, first_seq);
DROP INDEX chats_by_previous;
CREATE INDEX chats_by_previous ON chats (org_id, previous_chat_id) WHERE previous_chat_id IS NOT NULL;
DROP INDEX chats_unfinished;
CREATE INDEX chats_unfinished ON chats (org_id, id) WHERE status = 'in_progress';

ALTER TABLE idempotency_keys DROP CONSTRAINT idempotency_keys_claim_id_key;
CREATE UNIQUE INDEX idempotency_keys_by_claim ON idempotency_keys (org_id, claim_id);
DROP INDEX idempotency_keys_by_record;
CREATE INDEX idempotency_keys_by_record ON idempotency_keys (org_id, record) WHERE record IS NOT NULL;

ALTER TABLE outbox DROP CONSTRAINT outbox_pkey, ADD PRIMARY KEY (org_id, seq), DROP CONSTRAINT outbox_id_key;
CREATE UNIQUE INDEX outbox_by_id ON outbox (org_id, id);
ALTER TABLE outbox ALTER COLUMN seq DROP IDENTITY;
CREATE SEQUENCE outbox_seq OWNED BY outbox.seq;
SELECT setval('outbox_seq', coalesce(max(seq), 0) + 1, FALSE) FROM outbox;
ALTER TABLE outbox ALTER COLUMN seq SET DEFAULT nextval('outbox_seq');
DROP INDEX outbox_lanes;
CREATE INDEX outbox_lanes ON outbox (org_id, lane, seq) WHERE state = 'waiting';
DROP INDEX outbox_by_chat;
CREATE INDEX outbox_by_chat ON outbox (org_id, chat_id) WHERE chat_id IS NOT NULL;
UPDATE outbox SET due_at = created_at WHERE state = 'waiting' AND due_at IS NULL AND seq IN (
    SELECT min(seq) FROM outbox WHERE state = 'waiting' GROUP BY org_id, lane)
"""
"""Citus distributes no table with an IDENTITY column and a key of a reference table: the outbox's seq is a
default."""

_IDS_OF_ORGS = """
DROP INDEX assistants_by_id;
DROP INDEX squads_by_id;
DROP INDEX tools_by_id;
DROP INDEX sessions_by_id;
DROP INDEX chats_by_id
"""
"""Drops the indexes for searches in all orgs. Ids are unique per org: another org may have a record under the
same id."""

_BY_BYTES = 'text COLLATE "C"'
"""Text is ordered as SQLite orders it, whatever the database's locale is."""
MIGRATIONS: list[tuple[str, str | Callable[[Connection], None]]] = [
    ("first schema", _FIRST.replace("TEXT", _BY_BYTES)),
    ("keys led by org", (OWNERS + _LED_BY_ORG).replace("TEXT", _BY_BYTES)),
    ("secrets hidden", hide_stored_secrets),
    ("ids of orgs", _IDS_OF_ORGS),
    ("messages by id", "CREATE INDEX messages_by_id ON messages (org_id, substr(body, 1, 38))"),
    ("long lists", f"{INDEXES};{POSTGRES_INDEXES};{TOTALS_VIEW}"),
    ("messages by calls", "CREATE INDEX {} ON messages (org_id, ({})) WHERE {}".format(*CALLS_KEY_INDEX)),
    ("stored completions", STORED_COMPLETIONS.replace("TEXT", _BY_BYTES)),
    ("chats by update", BY_UPDATE),
]
