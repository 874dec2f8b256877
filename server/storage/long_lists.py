"""Indexes and counts that make a page of a long list, and its total, as cheap as those of a short one: a step
of both engines' migrations.

An index begins with the columns of the filter and ends with those of the order: without the id at the end
SQLite would rather scan all rows of an org, in order.
"""

INDEXES = """
DROP INDEX sessions_by_org;
CREATE INDEX sessions_by_org ON sessions (org_id, created_at, id);
CREATE INDEX sessions_by_assistant ON sessions (org_id, assistant_id, created_at, id) WHERE assistant_id IS NOT NULL;
CREATE INDEX sessions_by_squad ON sessions (org_id, squad_id, created_at, id) WHERE squad_id IS NOT NULL;
CREATE INDEX sessions_by_user ON sessions (org_id, user_id, created_at, id) WHERE user_id IS NOT NULL;
CREATE INDEX sessions_by_agent_type ON sessions (org_id, agent_type, created_at, id) WHERE agent_type IS NOT NULL;
CREATE INDEX sessions_by_name ON sessions (org_id, name, created_at, id) WHERE name IS NOT NULL;
CREATE INDEX sessions_by_phone_number ON sessions (org_id, phone_number_id, created_at, id)
    WHERE phone_number_id IS NOT NULL;
CREATE INDEX sessions_by_customer ON sessions (org_id, customer_number, created_at, id) WHERE customer_number IS NOT NULL;
CREATE INDEX chats_by_assistant ON chats (org_id, assistant_id, created_at, id) WHERE assistant_id IS NOT NULL;
CREATE INDEX chats_by_squad ON chats (org_id, squad_id, created_at, id) WHERE squad_id IS NOT NULL
"""
STORED_COMPLETIONS = """
ALTER TABLE chats ADD COLUMN completion TEXT;
CREATE INDEX chats_by_completion ON chats (org_id, created_at, id) WHERE completion IS NOT NULL
"""
BY_UPDATE = "CREATE INDEX chats_by_update ON chats (org_id, updated_at, created_at, id)"
"""A later step of both. Measured: a commit of an exchange writes 13.5 pages instead of 12.5 on SQLite, and 7 % more
of PostgreSQL's log. Sessions have none: each exchange changes the time of its session, and on PostgreSQL a
row whose indexed column changes is entered into all indexes of its table again."""
SQLITE_INDEXES = """
DROP INDEX chats_usage;
CREATE INDEX chats_usage ON chats (org_id, created_at, id, key_id, assistant_id, prompt_tokens, completion_tokens, cost,
    estimated, status);
DROP INDEX chats_by_session;
CREATE INDEX chats_by_session ON chats (session_id, org_id, created_at, id) WHERE session_id IS NOT NULL;
DROP INDEX chats_by_previous;
CREATE INDEX chats_by_previous ON chats (previous_chat_id, org_id, created_at, id) WHERE previous_chat_id IS NOT NULL
"""
POSTGRES_INDEXES = """
DROP INDEX chats_usage;
CREATE INDEX chats_usage ON chats (org_id, created_at, id) INCLUDE (key_id, assistant_id, prompt_tokens, completion_tokens,
    cost, estimated, status);
DROP INDEX chats_by_session;
CREATE INDEX chats_by_session ON chats (org_id, session_id, created_at, id) WHERE session_id IS NOT NULL;
DROP INDEX chats_by_previous;
CREATE INDEX chats_by_previous ON chats (org_id, previous_chat_id, created_at, id) WHERE previous_chat_id IS NOT NULL
"""

TOTALS = [
    "CREATE TABLE totals (org_id TEXT NOT NULL, noun TEXT NOT NULL, total INTEGER NOT NULL, PRIMARY KEY (org_id, noun)) "
    "WITHOUT ROWID",
    *(
        statement
        for table in ("chats", "sessions")
        for statement in (
            f"INSERT INTO totals SELECT org_id, '{table}', count(*) FROM {table} GROUP BY org_id",
            f"CREATE TRIGGER {table}_counted AFTER INSERT ON {table} BEGIN INSERT INTO totals "
            f"VALUES (new.org_id, '{table}', 1) ON CONFLICT (org_id, noun) DO UPDATE SET total = total + 1; END",
            f"CREATE TRIGGER {table}_uncounted AFTER DELETE ON {table} BEGIN UPDATE totals SET total = total - 1 "
            f"WHERE org_id = old.org_id AND noun = '{table}'; END",
        )
    ),
]
"""Triggers maintain the totals on SQLite. A migration that recreates one of these tables must recreate its
triggers, too."""
TOTALS_VIEW = """
CREATE VIEW totals AS SELECT org_id, 'chats' AS noun, count(*) AS total FROM chats GROUP BY org_id
    UNION ALL SELECT org_id, 'sessions', count(*) FROM sessions GROUP BY org_id
"""
"""PostgreSQL counts, by an index alone: a row that every exchange of an org writes would have them wait for
one another."""
