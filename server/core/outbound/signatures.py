"""The headers that prove the sender of a webhook: those of Standard Webhooks, and Parley's own older ones.

Signs a given body. Does not send, and does not choose the secret.
"""

import base64
import binascii
import hashlib
import hmac

import structlog

SIGNATURE = "x-parley-signature"
ID, TIMESTAMP, STANDARD_SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
SIGNED = frozenset({SIGNATURE, ID, TIMESTAMP, STANDARD_SIGNATURE})
"""Header names that only these functions set on a webhook."""
_PREFIX = "whsec_"


log = structlog.get_logger()


def signed_headers(delivery_id: str, seconds: int, body: bytes, secret: str | None) -> dict[str, str]:
    """The headers of one attempt, which begins `seconds` after the epoch; unsigned without a secret.

    Documents whose `whsec_` secret is not base64 are now refused. An older one gets only Parley's own
    signature, as such a secret always did.
    """
    headers = {ID: delivery_id, TIMESTAMP: str(seconds)}
    if not secret:
        return headers
    headers[SIGNATURE] = _own(seconds, body, secret)
    if (key := _key(secret)) is not None:
        headers[STANDARD_SIGNATURE] = _standard(delivery_id, seconds, body, key)
    else:
        log.warning(
            "webhook_secret_unreadable",
            delivery=delivery_id,
            reason=f"the secret begins with {_PREFIX} and base64 does not follow, so {STANDARD_SIGNATURE} is not sent; "
            "write the document with a new secret",
        )
    return headers


def _own(seconds: int, body: bytes, secret: str) -> str:
    """`t=<seconds since the epoch>,v1=<hex HMAC-SHA-256 of "<t>.<body>">`."""
    digest = hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"


def _standard(delivery_id: str, seconds: int, body: bytes, key: bytes) -> str:
    """`v1,<base64 HMAC-SHA-256 of "<id>.<seconds>.<body>">`."""
    content = f"{delivery_id}.{seconds}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()


def _key(secret: str) -> bytes | None:
    """The bytes that a `whsec_` secret encodes, None if it is not base64; the characters of any other secret."""
    if not secret.startswith(_PREFIX):
        return secret.encode()
    encoded = secret.removeprefix(_PREFIX).rstrip("=")
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True) or None
    except (binascii.Error, ValueError):
        return None
