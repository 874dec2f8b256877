"""Model providers, one file per kind, behind the one contract in `backend.py`."""
