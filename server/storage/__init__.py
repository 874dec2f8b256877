"""Persistence, one file per noun; `database.py` defines connections and transactions."""
