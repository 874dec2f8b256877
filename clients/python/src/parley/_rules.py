"""The file of rules (buf.validate) that the protos import: the one that the caller has, else a copy.

A process takes only one file of that name, and callers that validate messages of their own have theirs.
"""

try:
    from buf.validate import validate_pb2
except ImportError:
    from parley import _validate_pb2 as validate_pb2

__all__ = ["validate_pb2"]
