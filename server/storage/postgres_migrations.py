"""The schema on PostgreSQL: the tables and columns of `migrations.py`, in migrations that are only ever appended to.

Keys are led by the org's id wherever a row has one, so that a sharded PostgreSQL can keep an org together.
"""

from server.storage.database import Connection, DatabaseError

MOVING = "parley_moving"
"""The table that is there while a store is moved into the database."""
_LOCK = "parley migrations"


def migrate(connection: Connection) -> None:
    """Bring the schema up to date, inside the caller's transaction. Raises DatabaseError when it is of a newer version."""
    connection.lock(_LOCK)
    connection.execute("CREATE TABLE IF NOT EXISTS parley_migrations (number bigint PRIMARY KEY, name text NOT NULL, "
                       "applied_at timestamptz NOT NULL DEFAULT now())")
    done = connection.execute("SELECT coalesce(max(number), 0) FROM parley_migrations").fetchone()[0]
    if done > len(MIGRATIONS):
        raise DatabaseError("the database was brought up to date by a newer version of parley; run that one")
    for number, (name, statements) in enumerate(MIGRATIONS[done:], done + 1):
        for statement in statements.split(";"):
            if statement.strip():
                connection.execute(statement)
        connection.execute("INSERT INTO parley_migrations (number, name) VALUES (?, ?)", [number, name])


def is_moving(connection: Connection) -> bool:
    return connection.execute("SELECT to_regclass(?) IS NOT NULL", [MOVING]).fetchone()[0]


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

_BY_BYTES = 'text COLLATE "C"'
"""Text is ordered as SQLite orders it, whatever the database's locale is."""
MIGRATIONS = [("first schema", _FIRST.replace("TEXT", _BY_BYTES))]
