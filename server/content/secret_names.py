"""Recognises the names of members, headers and parameters that contain secrets. Reads only names, no values.

Only the end of a long name decides.
"""

import re
from enum import Enum, auto
from functools import lru_cache

_MOST = 64
"""Characters, from the end of a name."""

FREE = frozenset({"metadata", "variableValues"})
"""Members that hold whatever the caller put there."""
_HARMLESS_HEADERS = frozenset(
    {
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "cache-control",
        "content-encoding",
        "content-language",
        "content-type",
        "user-agent",
    }
)
_CREDENTIALS = re.compile(r"credentials?$", re.IGNORECASE)
_HEADERS = re.compile(r"headers$", re.IGNORECASE)
# In credentials every such name is secret; elsewhere a `key` may be any name, and `maxTokens` a number.
_IN_CREDENTIALS = re.compile(
    r"(key|token|secret|password|passphrase|authorization|credential)s?$", re.IGNORECASE
)
_SECRET = re.compile(
    r"(?:secret|password|passphrase|passcode|authorization|cookie)s?$|(?:passwd|pwd|bearer|jwt|connection_?string)$|token$|"
    r"(?:access|api|auth|bearer|refresh|session)[_-]?tokens$|[_ -]keys?$|(?-i:[a-z0-9]Keys?$)|"
    r"(?:access|account|api|auth|client|encryption|license|private|secret|service|shared|signing|subscription)keys?$",
    re.IGNORECASE,
)
_INNOCENT = re.compile(
    r"(?:cache|foreign|hot|idempotency|partition|primary|public|sort)[_-]?keys?$|"
    r"(?:bos|end|eos|pad|start|stop|wake)[_-]?token$",
    re.IGNORECASE,
)
_IN_QUERY = re.compile(r"^(?:auth|jwt|key|pass|sas|sig)$|signature$", re.IGNORECASE)


class Kind(Enum):
    """What a member's name implies about its value."""

    PLAIN = auto()
    SECRET = auto()
    CREDENTIALS = auto()
    """An object, or an array of them, each with secrets and their purpose."""
    HEADERS = auto()


def kind_of(name: str) -> Kind:
    """Return the kind of a member's name."""
    return _kind_of(name[-_MOST:])


def is_secret(name: str) -> bool:
    """Return whether a member, a property or a header of this name is secret."""
    return kind_of(name) in (Kind.SECRET, Kind.CREDENTIALS)


def is_secret_in_credentials(name: str) -> bool:
    """Return whether a member of credentials with this name is secret."""
    return bool(_IN_CREDENTIALS.search(name[-_MOST:]))


def is_secret_header(name: str) -> bool:
    """Return whether a header is secret: all are, except the few that describe a body."""
    return len(name) > _MOST or name.lower() not in _HARMLESS_HEADERS


def is_secret_parameter(name: str) -> bool:
    """Return whether a parameter of a URL is secret."""
    return is_secret(name) or bool(_IN_QUERY.search(name[-_MOST:]))


@lru_cache(4096)
def _kind_of(name: str) -> Kind:
    if _CREDENTIALS.search(name):
        return Kind.CREDENTIALS
    if _HEADERS.search(name):
        return Kind.HEADERS
    return Kind.SECRET if _SECRET.search(name) and not _INNOCENT.search(name) else Kind.PLAIN
