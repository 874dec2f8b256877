"""What a provider wants back with the answers that an input repeats: sealed in its reasoning items, or on record
under their ids."""

from collections.abc import Mapping

from google.protobuf.struct_pb2 import Value

from generated.parley.v1.message_pb2 import ProviderState
from server.backends.state import empty_state
from server.content.budget import MOST_BYTES
from server.content.items import message_of_item
from server.content.sealing import Opened, Sealer
from server.core.errors import InvalidArgument
from server.core.offload import by_size
from server.exchange.turn import Turn
from server.storage.chats import Chats
from server.storage.scope import Scope

_OF_STORED = ("reasoning", "item_reference", "")


async def opened(
    chats: Chats, sealer: Sealer, scope: Scope, given_input: Value, field: str = "input"
) -> dict[int, Opened]:
    """Return what the reasoning items of an input have for their providers, by the place of the item.

    Raises InvalidArgument for what was not sealed here for this org. Items without it refer to stored ones;
    unknown ones, such as another service's, have nothing.
    """
    found, named = await by_size(given_input.ByteSize(), _read, sealer, scope.org_id, given_input, field)
    if named:
        stored = await chats.messages_by_id(scope, set(named.values()), MOST_BYTES) or {}
        for index, message_id in named.items():
            if message_id in stored and stored[message_id].HasField("provider_state"):
                found[index] = Opened(stored[message_id].provider_state, is_behind=False)
    return found


def _read(
    sealer: Sealer, org_id: str, given_input: Value, field: str
) -> tuple[dict[int, Opened], dict[int, str]]:
    """What is sealed in the items, and the ids of the messages that the others refer to."""
    found: dict[int, Opened] = {}
    named: dict[int, str] = {}
    for index, item in enumerate(given_input.list_value.values):
        members = item.struct_value.fields
        kind = _text(members, "type")
        if kind == "reasoning" and (sealed := _text(members, "encrypted_content")):
            if (content := sealer.open(org_id, sealed)) is None:
                raise InvalidArgument.of(
                    f"{field}[{index}].encrypted_content",
                    "could not be verified: send reasoning items as this service returned them to your org, or "
                    "leave them out",
                    reason="INVALID_ENCRYPTED_CONTENT",
                )
            found[index] = content
        elif kind in _OF_STORED and (identifier := _text(members, "id")).startswith("rs_"):
            named |= {index: message_id} if (message_id := message_of_item(identifier)) else {}
    return found, named


def made_by(turn: Turn, state: ProviderState) -> bool:
    """Whether a state is of the model that answers a turn, or of nobody: to others it is not sent."""
    settings = turn.agent.settings
    own = empty_state(settings.provider, settings.model, settings.url)
    return not state.provider or all(
        getattr(state, name) == getattr(own, name) for name in ("provider", "model_family", "host")
    )


def _text(members: Mapping[str, Value], name: str) -> str:
    return members[name].string_value if name in members else ""
