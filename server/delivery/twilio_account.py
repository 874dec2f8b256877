"""The operator's Twilio account: its numbers, the orgs that own them, and the signature of its requests. Sends
nothing."""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from server.core.config import Settings, TwilioNumber

SMS = "twilio.sms"
"""The transport, and the kind of its deliveries."""


@dataclass(frozen=True, slots=True)
class TwilioAccount:
    """The operator's Twilio account and its numbers."""

    sid: str
    token: str = field(repr=False)
    url: str
    numbers: Mapping[str, TwilioNumber]
    """By phoneNumberId."""

    @classmethod
    def of(cls, settings: Settings) -> "TwilioAccount | None":
        """The account in the settings, None when Twilio is not configured."""
        if not settings.twilio_account_sid or not settings.twilio_auth_token:
            return None
        return cls(
            settings.twilio_account_sid,
            settings.twilio_auth_token,
            settings.twilio_url.rstrip("/"),
            settings.twilio_numbers,
        )

    def number_of(self, phone_number_id: str, org_id: str) -> str | None:
        """The number of a phoneNumberId, if the org may use it."""
        found = self.numbers.get(phone_number_id)
        return found.number if found and found.org_id in (None, org_id) else None

    def ids_of(self, number: str, org_id: str) -> list[str]:
        """The phoneNumberIds that a number has for an org."""
        return [name for name in self.numbers if self.number_of(name, org_id) == number]

    def signature(self, url: str, parameters: Iterable[tuple[str, str]]) -> str:
        """The X-Twilio-Signature of a form posted to `url`."""
        signed = url + "".join(name + value for name, value in sorted(set(parameters)))
        return base64.b64encode(hmac.digest(self.token.encode(), signed.encode(), hashlib.sha1)).decode()
