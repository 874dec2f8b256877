"""Provider state in the hands of callers who have nothing stored: encrypted, and authenticated with who may send
it back.

AES-SIV, so that the same state of the same org has the same text in a stream, in its answer and on a server
that shares the secret. Stores nothing.
"""

import base64
import binascii
import hashlib
import hmac
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from google.protobuf.message import DecodeError

from generated.parley.v1.message_pb2 import ProviderState

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESSIV

_PURPOSE = b"parley reasoning.encrypted_content 1"
_BEHIND = {False: b"\0", True: b"\1"}


class Opened(NamedTuple):
    """What such a text has."""

    state: ProviderState
    is_behind: bool
    """Whether the text came behind the items of its message; otherwise it came before them."""


class Sealer:
    """Seals provider state for an org, and opens what it has sealed."""

    def __init__(self, secret: bytes) -> None:
        """`secret`: the one of the key digests, which all servers of a database share."""
        self._key = hmac.digest(secret, _PURPOSE, hashlib.sha512)

    @cached_property
    def _cipher(self) -> "AESSIV":
        # loaded when it is needed: most callers store what they ask
        from cryptography.hazmat.primitives.ciphers.aead import AESSIV

        return AESSIV(self._key)

    def seal(self, org_id: str, state: ProviderState, is_behind: bool) -> str:
        """Return the state as text that only a caller of this org can send back."""
        content = _BEHIND[is_behind] + state.SerializeToString(deterministic=True)
        return base64.b64encode(self._cipher.encrypt(content, [_PURPOSE, org_id.encode()])).decode()

    def open(self, org_id: str, text: str) -> Opened | None:
        """Return what such a text has; None when it was not sealed for this org, or was changed."""
        from cryptography.exceptions import InvalidTag

        try:
            sealed = base64.b64decode(text, validate=True)
            content = self._cipher.decrypt(sealed, [_PURPOSE, org_id.encode()])
            return Opened(ProviderState.FromString(content[1:]), content[:1] == _BEHIND[True])
        except (binascii.Error, ValueError, InvalidTag, DecodeError):
            return None
