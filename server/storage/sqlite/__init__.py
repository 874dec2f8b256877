"""The store in a SQLite file: connections, schema, copies, checks, and the folder it is in."""
