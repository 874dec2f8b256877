"""The schema, as migrations that are only ever appended to. Recorded and run by sqlite-utils; holds no data.

A table has the columns that SQL filters or orders by; the rest of a record is its serialized message in
`body`.
"""

import sqlite3
from contextlib import closing

from sqlite_utils import Database, Migrations

from server.storage.hiding import hide_stored_secrets
from server.storage.long_lists import BY_UPDATE, INDEXES, SQLITE_INDEXES, STORED_COMPLETIONS, TOTALS
from server.storage.threads import CALLS_KEY_INDEX

migrations = Migrations("parley")


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up to date."""
    migrations.apply(Database(connection))


def applied(connection: sqlite3.Connection) -> list[str]:
    """Return the migrations that a database has had, including unknown ones; none for an empty database."""
    return [migration.name for migration in migrations.applied(Database(connection))]


def pending(connection: sqlite3.Connection) -> list[str]:
    """Return the migrations that a database still needs."""
    return [migration.name for migration in migrations.pending(Database(connection))]


def unknown(connection: sqlite3.Connection) -> list[str]:
    """Return the migrations of a database that are from a newer program."""
    with closing(sqlite3.connect(":memory:")) as empty:
        known = pending(empty)
    return [name for name in applied(connection) if name not in known]


@migrations()
def first_schema(db: Database) -> None:
    for statement in _FIRST.split(";"):
        if statement.strip():
            db.execute(statement)


@migrations()
def streams(db: Database) -> None:
    """The data for replays: a record with every chat, and the events of those that are not over."""
    db.execute("ALTER TABLE chats ADD COLUMN record BLOB NOT NULL DEFAULT x''")
    db.execute("CREATE INDEX chats_unfinished ON chats (id) WHERE status = 'in_progress'")
    db.execute(
        "CREATE TABLE chat_events (chat_id TEXT NOT NULL, sequence INTEGER NOT NULL, body BLOB NOT NULL, "
        "PRIMARY KEY (chat_id, sequence)) WITHOUT ROWID"
    )


@migrations()
def tools(db: Database) -> None:
    """Standalone tools, which assistants name by `model.toolIds`."""
    db.execute(
        "CREATE TABLE tools (id TEXT PRIMARY KEY, org_id TEXT NOT NULL REFERENCES orgs(id), name TEXT, "
        "created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, version INTEGER NOT NULL, document BLOB NOT NULL)"
    )
    db.execute("CREATE INDEX tools_by_org ON tools (org_id, created_at)")


@migrations()
def session_state(db: Database) -> None:
    """The state, beside the messages, from which a session continues: a serialized ConversationState."""
    db.execute("ALTER TABLE sessions ADD COLUMN state BLOB")


@migrations()
def idempotency(db: Database) -> None:
    """The call for which each Idempotency-Key was used. `key_id` is empty where the whole org shares the
    keys."""
    db.execute(
        "CREATE TABLE idempotency_keys (org_id TEXT NOT NULL REFERENCES orgs(id), key_id TEXT NOT NULL, "
        "key TEXT NOT NULL, claim_id TEXT NOT NULL UNIQUE, boot_id TEXT NOT NULL, fingerprint BLOB NOT NULL, "
        "record TEXT, created_at INTEGER NOT NULL, answer BLOB, UNIQUE (org_id, key_id, key))"
    )
    db.execute("CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at)")
    db.execute(
        "CREATE INDEX idempotency_keys_by_record ON idempotency_keys (record) WHERE record IS NOT NULL"
    )


@migrations()
def usage(db: Database) -> None:
    """Mark estimated token counts, and store only the numbers of exchanges that are deleted."""
    db.execute("ALTER TABLE chats ADD COLUMN estimated INTEGER NOT NULL DEFAULT 0")
    db.execute(
        "CREATE TABLE deleted_usage (org_id TEXT NOT NULL REFERENCES orgs(id), key_id TEXT NOT NULL, "
        "assistant_id TEXT, created_at INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, "
        "completion_tokens INTEGER NOT NULL, cost REAL NOT NULL, estimated INTEGER NOT NULL)"
    )
    db.execute("CREATE INDEX deleted_usage_by_org ON deleted_usage (org_id, created_at)")
    # Begins like chats_by_org, which it replaces, and has all columns of the sums: a year's usage reads no
    # chat.
    db.execute("DROP INDEX chats_by_org")
    db.execute(
        "CREATE INDEX chats_usage ON chats (org_id, created_at, key_id, assistant_id, prompt_tokens, "
        "completion_tokens, cost, estimated, status)"
    )


# Times are milliseconds since the epoch. `private` is the transient assistant or squad with the secrets that
# `body`, which callers see, has masked. A thread is a run of messages: a session's, or a chain's (which has
# the id of its first chat). A fork begins a new thread that continues `parent_id` up to and including
# `parent_seq`; other threads need no row in `forks`.
_FIRST = """
CREATE TABLE orgs (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE keys (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES orgs(id),
    kind TEXT NOT NULL,
    digest BLOB NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER
) WITHOUT ROWID;

CREATE TABLE assistants (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES orgs(id),
    name TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    document BLOB NOT NULL
);
CREATE INDEX assistants_by_org ON assistants (org_id, created_at);
CREATE INDEX assistants_by_name ON assistants (org_id, name);

CREATE TABLE squads (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES orgs(id),
    name TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    version INTEGER NOT NULL,
    document BLOB NOT NULL
);
CREATE INDEX squads_by_org ON squads (org_id, created_at);

CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES orgs(id),
    key_id TEXT NOT NULL,
    assistant_id TEXT,
    squad_id TEXT,
    user_id TEXT,
    agent_type TEXT,
    name TEXT,
    phone_number_id TEXT,
    customer_number TEXT,
    status TEXT NOT NULL,
    expiration_seconds INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    thread_id TEXT NOT NULL,
    variables BLOB NOT NULL,
    private BLOB,
    body BLOB NOT NULL
);
CREATE INDEX sessions_by_org ON sessions (org_id, created_at);
CREATE INDEX sessions_by_thread ON sessions (thread_id);

CREATE TABLE chats (
    id TEXT PRIMARY KEY,
    org_id TEXT NOT NULL REFERENCES orgs(id),
    key_id TEXT NOT NULL,
    session_id TEXT,
    previous_chat_id TEXT,
    assistant_id TEXT,
    squad_id TEXT,
    status TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    thread_id TEXT NOT NULL,
    first_seq INTEGER NOT NULL,
    output_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    cost REAL NOT NULL,
    private BLOB,
    body BLOB NOT NULL
);
CREATE INDEX chats_by_org ON chats (org_id, created_at);
CREATE INDEX chats_by_session ON chats (session_id, created_at) WHERE session_id IS NOT NULL;
CREATE INDEX chats_by_thread ON chats (thread_id, first_seq);
CREATE INDEX chats_by_previous ON chats (previous_chat_id) WHERE previous_chat_id IS NOT NULL;

CREATE TABLE forks (
    thread_id TEXT PRIMARY KEY,
    parent_id TEXT NOT NULL,
    parent_seq INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX forks_by_parent ON forks (parent_id);

CREATE TABLE messages (
    thread_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (thread_id, seq)
) WITHOUT ROWID
"""


@migrations()
def outbox(db: Database) -> None:
    """Outgoing deliveries, and the deliveries that were received."""
    for statement in _OUTBOX.split(";"):
        db.execute(statement)


# `state` is waiting, recorded or dead. `due_at` is set only for the first row that waits in a lane.
_OUTBOX = """
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    org_id TEXT NOT NULL REFERENCES orgs(id),
    kind TEXT NOT NULL,
    lane TEXT NOT NULL,
    chat_id TEXT,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    due_at INTEGER,
    reason TEXT,
    created_at INTEGER NOT NULL,
    body BLOB NOT NULL,
    target BLOB NOT NULL
);
CREATE INDEX outbox_due ON outbox (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX outbox_lanes ON outbox (lane, seq) WHERE state = 'waiting';
CREATE INDEX outbox_by_chat ON outbox (chat_id) WHERE chat_id IS NOT NULL;

CREATE TABLE receipts (
    org_id TEXT NOT NULL,
    receipt TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (org_id, receipt)
) WITHOUT ROWID;
CREATE INDEX receipts_by_time ON receipts (received_at);

CREATE INDEX sessions_by_number ON sessions (org_id, phone_number_id, customer_number, created_at)
    WHERE phone_number_id IS NOT NULL
"""


@migrations()
def key_expiry(db: Database) -> None:
    """The time when a key expires."""
    db.execute("ALTER TABLE keys ADD COLUMN expires_at INTEGER")


@migrations()
def keys_with_org(db: Database) -> None:
    """Add the org to the keys of messages, forks and the events of streams, as everywhere else.

    Threads of two orgs with one id are then two threads, as on PostgreSQL. The org does not come first here:
    a file is one shard, and ids are in the order of time, so that new rows are at the end. Measured with 20
    orgs against keys without the org: appending took 29 % longer with the org first, 4 to 6 % with it second,
    as with it outside of the key; a file of messages of 250 bytes is 8 % larger in each case. The other
    indexes find the same rows by their ids alone.
    """
    for statement in (OWNERS + _WITH_ORG).split(";"):
        db.execute(statement)


@migrations()
def secrets_hidden(db: Database) -> None:
    """Move the secrets out of records that are returned and exported into a column of their own."""
    hide_stored_secrets(db.conn)


# The org of each thread: that of its chats and sessions, or of a thread that continues it. Threads without
# one are garbage, as `checking.py` defines it.
OWNERS = """
CREATE TABLE owners (thread_id TEXT PRIMARY KEY, org_id TEXT NOT NULL);
INSERT INTO owners (thread_id, org_id)
    WITH RECURSIVE owner (thread_id, org_id) AS (
        SELECT thread_id, org_id FROM chats UNION SELECT thread_id, org_id FROM sessions
        UNION SELECT parent_id, org_id FROM forks JOIN owner ON owner.thread_id = forks.thread_id)
    SELECT thread_id, min(org_id) FROM owner GROUP BY thread_id;
"""
_WITH_ORG = """
CREATE TABLE messages_of_orgs (
    org_id TEXT NOT NULL,
    thread_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (thread_id, org_id, seq)
) WITHOUT ROWID;
INSERT INTO messages_of_orgs SELECT org_id, thread_id, seq, body FROM messages CROSS JOIN owners USING (thread_id);
DROP TABLE messages;
ALTER TABLE messages_of_orgs RENAME TO messages;

CREATE TABLE forks_of_orgs (
    org_id TEXT NOT NULL,
    thread_id TEXT NOT NULL,
    parent_id TEXT NOT NULL,
    parent_seq INTEGER NOT NULL,
    PRIMARY KEY (thread_id, org_id)
) WITHOUT ROWID;
INSERT INTO forks_of_orgs SELECT org_id, thread_id, parent_id, parent_seq FROM owners JOIN forks USING (thread_id);
DROP TABLE forks;
ALTER TABLE forks_of_orgs RENAME TO forks;
CREATE INDEX forks_by_parent ON forks (parent_id);

CREATE TABLE chat_events_of_orgs (
    org_id TEXT NOT NULL,
    chat_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (chat_id, org_id, sequence)
) WITHOUT ROWID;
INSERT INTO chat_events_of_orgs SELECT chats.org_id, chat_id, sequence, chat_events.body
    FROM chat_events JOIN chats ON chats.id = chat_id;
DROP TABLE chat_events;
ALTER TABLE chat_events_of_orgs RENAME TO chat_events;

DROP TABLE owners;
-- A lane that several orgs had is now one of each.
UPDATE outbox SET due_at = created_at WHERE state = 'waiting' AND due_at IS NULL AND seq IN (
    SELECT min(seq) FROM outbox WHERE state = 'waiting' GROUP BY org_id, lane)
"""


@migrations()
def ids_of_orgs(db: Database) -> None:
    """Make ids unique per org: the same id in another org is another record, and neither org learns of the
    other's.

    So an import accepts any id unchanged. The org is second in keys for the reason that `keys_with_org`
    gives, and in the other indexes, so that a search by id reads no rows of other orgs.
    """
    for table in ("assistants", "squads", "tools", "sessions", "chats"):
        _key_by_org(db, table)
    for statement in _INDEXED_BY_ORG.split(";"):
        db.execute(statement)


@migrations()
def messages_by_id(db: Database) -> None:
    """Find a message that an input names by its id with one index search. A message's bytes begin with its
    id."""
    db.execute("CREATE INDEX messages_by_id ON messages (substr(body, 1, 38), org_id)")


def _key_by_org(db: Database, table: str) -> None:
    """Recreate a table, with its columns and indexes, under the key (id, org_id) instead of (id)."""
    made = db[table].schema.replace("id TEXT PRIMARY KEY", "id TEXT NOT NULL", 1)
    indexes = [
        sql
        for (sql,) in db.execute(
            "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql IS NOT NULL", [table]
        )
    ]
    columns = ", ".join(column.name for column in db[table].columns)
    db.execute(
        made.replace(table, f"{table}_of_orgs", 1).rstrip().removesuffix(")") + ", PRIMARY KEY (id, org_id))"
    )
    db.execute(f"INSERT INTO {table}_of_orgs ({columns}) SELECT {columns} FROM {table} ORDER BY rowid")
    db.execute(f"DROP TABLE {table}")
    db.execute(f"ALTER TABLE {table}_of_orgs RENAME TO {table}")
    for sql in indexes:
        db.execute(sql)


_INDEXED_BY_ORG = """
DROP INDEX sessions_by_thread;
CREATE INDEX sessions_by_thread ON sessions (thread_id, org_id);
DROP INDEX chats_by_session;
CREATE INDEX chats_by_session ON chats (session_id, org_id, created_at) WHERE session_id IS NOT NULL;
DROP INDEX chats_by_thread;
CREATE INDEX chats_by_thread ON chats (thread_id, org_id, first_seq);
DROP INDEX chats_by_previous;
CREATE INDEX chats_by_previous ON chats (previous_chat_id, org_id) WHERE previous_chat_id IS NOT NULL;
DROP INDEX forks_by_parent;
CREATE INDEX forks_by_parent ON forks (parent_id, org_id);
DROP INDEX outbox_lanes;
CREATE INDEX outbox_lanes ON outbox (lane, org_id, seq) WHERE state = 'waiting'
"""


@migrations()
def long_lists(db: Database) -> None:
    """The columns by which lists are filtered and ordered, and the numbers of chats and sessions of each
    org."""
    for statement in (*INDEXES.split(";"), *SQLITE_INDEXES.split(";"), *TOTALS):
        db.execute(statement)


@migrations()
def messages_by_calls(db: Database) -> None:
    """Find an answer by its calls, when a caller repeats them. Messages from before this migration have no
    such key."""
    db.execute("CREATE INDEX {} ON messages ({}, org_id) WHERE {}".format(*CALLS_KEY_INDEX))


@migrations()
def stored_completions(db: Database) -> None:
    """Which chats are stored completions, with their metadata to be found by. None made before is one."""
    for statement in STORED_COMPLETIONS.split(";"):
        db.execute(statement)


@migrations()
def chats_by_update(db: Database) -> None:
    """Find the chats that were updated before or after a time: a caller that asks for news reads no others."""
    db.execute(BY_UPDATE)
