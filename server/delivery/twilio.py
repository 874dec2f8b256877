"""Text messages by Twilio's REST interface. Chooses neither text nor receiver."""

import base64
from urllib.parse import urlencode

import orjson

from server.delivery.loop import NotDelivered
from server.delivery.post import Poster, Refused
from server.delivery.twilio_account import TwilioAccount
from server.storage.outbox import Waiting

_SECONDS = 20.0


class TwilioMessages:
    """The sink. A delivery's body is {phoneNumberId, to, text}.

    Every attempt has the row's id as I-Twilio-Idempotency-Token. Where the carrier ignores it, a message
    can arrive twice: after a crash or a lost answer between its acceptance and our record of it.
    """

    def __init__(self, poster: Poster, account: TwilioAccount | None) -> None:
        self._poster = poster
        self._account = account

    async def send(self, waiting: Waiting) -> None:
        """Send a message of the outbox. Raises NotDelivered, with Twilio's error code in its reason."""
        message, account = orjson.loads(waiting.body), self._account
        number = account and account.number_of(message["phoneNumberId"], waiting.org_id)
        if account is None or number is None:
            raise NotDelivered("Twilio is not configured for this phoneNumberId any more", again=True)
        form = urlencode({"From": number, "To": message["to"], "Body": message["text"]}).encode()
        credentials = base64.b64encode(f"{account.sid}:{account.token}".encode()).decode()
        headers = {
            "authorization": f"Basic {credentials}",
            "content-type": "application/x-www-form-urlencoded",
            "accept": "application/json",
            "i-twilio-idempotency-token": waiting.id,
        }
        try:
            await self._poster.post(
                "Twilio",
                f"{account.url}/2010-04-01/Accounts/{account.sid}/Messages.json",
                form,
                headers,
                _SECONDS,
            )
        except Refused as refused:
            refused.reason += _code(refused.body)
            raise


def _code(body: bytes) -> str:
    """Twilio's error number, which is more specific than the status; none of its text."""
    try:
        code = orjson.loads(body)["code"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""
    return f" (error {code})" if isinstance(code, int) else ""
