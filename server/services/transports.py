"""Receives requests from carriers, authenticated by the carrier's signature instead of a key."""

import hmac
from urllib.parse import parse_qsl

import structlog
from google.api.httpbody_pb2 import HttpBody

from generated.parley.v1.transport_service_pb2 import ReceiveTwilioMessageRequest
from generated.parley.v1.transport_service_pb2_grpc import TransportServiceServicer
from server.core.errors import InvalidArgument, NotFound, PermissionDenied
from server.core.ids import parse_id
from server.delivery.twilio_account import TwilioAccount
from server.exchange.inbound import Received
from server.rpc.call import current_call
from server.storage.outbox import Outbox
from server.storage.sessions import Sessions

_NOTHING = HttpBody(content_type="text/xml", data=b"<Response/>")
_MOST_FIELDS = 500

log = structlog.get_logger()


class TransportService(TransportServiceServicer):
    """Receives requests from carriers."""

    def __init__(
        self, account: TwilioAccount | None, public_url: str | None, sessions: Sessions, outbox: Outbox
    ) -> None:
        self._account = account
        self._public_url = public_url
        self._sessions = sessions
        self._outbox = outbox

    async def ReceiveTwilioMessage(self, request: ReceiveTwilioMessageRequest, context: object) -> HttpBody:
        """Receive a text message that a person sent to one of the operator's Twilio numbers."""
        account = self._account
        if account is None:
            raise NotFound(
                "text messages are not received here: no Twilio account is configured",
                reason="TRANSPORT_NOT_FOUND",
            )
        form = self._checked(account, request)
        org_id = parse_id(request.org_id) or ""
        sid, to, number, text = (form.get(name, "") for name in ("MessageSid", "To", "From", "Body"))
        if not (sid and to and number):
            raise InvalidArgument("the form must have MessageSid, To and From")
        ids = account.ids_of(to, org_id)
        if not await self._sessions.carried(org_id, ids, number):
            log.warning("inbound_message_without_session", org=org_id)
            raise NotFound("there is no session with this number", reason="SESSION_NOT_FOUND")
        if text := text.replace("\0", "").strip():
            await self._outbox.receive(Received(ids, number, text).delivery(org_id), sid)
        return _NOTHING

    def _checked(self, account: TwilioAccount, request: ReceiveTwilioMessageRequest) -> dict[str, str]:
        """Return the form's fields if the signature matches. Raises PermissionDenied. Twilio signs the
        fields, so they are parsed first, up to a limit."""
        given = current_call().metadata.get("x-twilio-signature", "")
        form = _fields(request.body.data) if given else []
        expected = account.signature(self._url(request), form)
        if not hmac.compare_digest(expected.encode(), given.encode()):
            raise PermissionDenied(
                "the request is not signed by Twilio for this URL", reason="WRONG_SIGNATURE"
            )
        return dict(form)

    def _url(self, request: ReceiveTwilioMessageRequest) -> str:
        """Return the requested URL as the sender knows it."""
        call = current_call()
        path = call.http_path or f"/transport/twilio/{request.org_id}"
        if self._public_url:
            return self._public_url.rstrip("/") + path
        metadata = call.metadata
        return f"{metadata.get('x-forwarded-proto', 'http')}://{metadata.get('x-parley-host', '')}{path}"


def _fields(form: bytes) -> list[tuple[str, str]]:
    """Return the form's fields; none for an invalid form."""
    try:
        return parse_qsl(form.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        return []
