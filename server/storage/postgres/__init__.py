"""The store in PostgreSQL: connections, schema, errors."""
