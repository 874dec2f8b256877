"""The journal of a process slows down no model: streams whose tokens come faster than its commits."""

import grpc
import pytest
from google.protobuf.struct_pb2 import Value

from generated.parley.v1.chat_service_pb2 import CreateChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from tests.conftest import Org


async def test_fast_model_does_not_wait_for_a_commit_that_is_far_away(
    org: Org, channel: grpc.aio.Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.exchange.journal._Load.period", lambda load: 3600.0)
    words = " ".join(f"word{number}" for number in range(20_000))

    events = [
        event
        async for event in ChatServiceStub(channel).StreamChat(
            CreateChatRequest(assistant_id=org.assistant_id, input=Value(string_value=words)),
            metadata=org.metadata,
        )
    ]

    assert "".join(event.delta.text for event in events) == f"You said: {words}"
