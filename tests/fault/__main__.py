"""`scripts/fault`: see `suite.py`."""

# Forked writers import this module under another name: what it imports for itself would cost each of them a
# second.
if __name__ == "__main__":
    import sys

    from tests.fault.suite import main

    sys.exit(main())
