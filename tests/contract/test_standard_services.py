"""gRPC's own services, which take no key: health by name, and reflection in both versions, as clients of generated
code ask them.

What grpcurl makes of it is tested in `tests/test_grpcurl.py`.
"""

from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from generated.parley.v1.access_pb2 import access
from tests.conftest import Service
from tests.descriptors import METHODS

SERVING = health_pb2.HealthCheckResponse.SERVING
SERVICES = tuple(f"parley.v1.{service}" for service in sorted({method.service for method in METHODS}))


def health_of(channel: grpc.aio.Channel) -> Any:
    """Whose types name no method."""
    return health_pb2_grpc.HealthStub(channel)


@pytest.mark.parametrize("name", ["", *SERVICES])
async def test_health_of_every_service_is_serving_without_a_key(channel: grpc.aio.Channel, name: str) -> None:
    request_body = health_pb2.HealthCheckRequest(service=name)
    answer = await health_of(channel).Check(request_body)
    watch = health_of(channel).Watch(request_body)
    first = await watch.read()
    watch.cancel()

    assert answer.status == first.status == SERVING


@pytest.mark.parametrize("name", ["parley.v1.NoService", "parley.v1.ChatService/CreateChat", "chat"])
async def test_health_of_an_unknown_name_is_not_found(channel: grpc.aio.Channel, name: str) -> None:
    """Watch waits for a service of that name, as the protocol wants it."""
    request_body = health_pb2.HealthCheckRequest(service=name)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await health_of(channel).Check(request_body)
    watch = health_of(channel).Watch(request_body)
    first = await watch.read()
    watch.cancel()

    assert error.value.code() is grpc.StatusCode.NOT_FOUND
    assert "List has the names" in (error.value.details() or "")
    assert first.status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


async def test_health_lists_every_name(channel: grpc.aio.Channel) -> None:
    lists: Any = health_pb2  # whose types do not know List
    answer = await health_of(channel).List(lists.HealthListRequest())

    assert {name: one.status for name, one in answer.statuses.items()} == dict.fromkeys(
        ("", "parley.edge", *SERVICES), SERVING
    )


async def test_health_of_every_service_says_that_writes_fail(service: Service) -> None:
    """Envoy goes on sending calls: what is on record can still be read."""
    lists: Any = health_pb2
    writes_work = service.store.database.watch
    async with grpc.aio.insecure_channel(service.grpc_address) as channel:
        watch = health_of(channel).Watch(health_pb2.HealthCheckRequest(service=SERVICES[0]))
        seen = [(await watch.read()).status]
        try:
            writes_work(False)
            seen.append((await watch.read()).status)
            answer = await health_of(channel).List(lists.HealthListRequest())
        finally:
            writes_work(True)
        seen.append((await watch.read()).status)
        watch.cancel()

    assert seen == [SERVING, health_pb2.HealthCheckResponse.NOT_SERVING, SERVING]
    assert [name for name, one in answer.statuses.items() if one.status == SERVING] == ["parley.edge"]


REFLECTIONS = ("grpc.reflection.v1", "grpc.reflection.v1alpha")
Asked = reflection_pb2.ServerReflectionRequest


async def reflected(channel: grpc.aio.Channel, version: str, *request_body: Asked) -> list[Any]:
    """What reflection of this version answers, call by call."""
    call: Any = channel.stream_stream(
        f"/{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=Asked.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )(iter(request_body))
    return [answer async for answer in call]


def files_of(answer: Any) -> set[str]:
    found = answer.file_descriptor_response.file_descriptor_proto
    return {FileDescriptorProto.FromString(file).name for file in found}


@pytest.mark.parametrize("version", REFLECTIONS)
async def test_reflection_lists_every_service(channel: grpc.aio.Channel, version: str) -> None:
    [answer] = await reflected(channel, version, Asked(list_services=""))

    assert [one.name for one in answer.list_services_response.service] == [
        "grpc.health.v1.Health",
        *(f"{each}.ServerReflection" for each in REFLECTIONS),
        *SERVICES,
    ]


@pytest.mark.parametrize("version", REFLECTIONS)
@pytest.mark.parametrize(
    ("symbol", "file"),
    [
        ("parley.v1.ChatService", "parley/v1/chat_service.proto"),
        ("parley.v1.ChatService.CreateChat", "parley/v1/chat_service.proto"),
        ("parley.v1.Chat", "parley/v1/chat.proto"),
        ("parley.v1.Chat.id", "parley/v1/chat.proto"),
        ("parley.v1.ChatEvent.event", "parley/v1/chat.proto"),
        ("parley.v1.Access", "parley/v1/access.proto"),
        ("parley.v1.ACCESS_ANY_KEY", "parley/v1/access.proto"),
        ("parley.v1.access", "parley/v1/access.proto"),
        ("google.protobuf.Struct.FieldsEntry", "google/protobuf/struct.proto"),
        ("grpc.health.v1.Health.Check", "grpc_health/v1/health.proto"),
        *(
            (f"{each}.{what}", f"grpc_{each[5:].replace('.', '/')}/reflection.proto")
            for each in REFLECTIONS
            for what in ("ServerReflection", "ServerReflection.ServerReflectionInfo", "ErrorResponse")
        ),
    ],
)
async def test_reflection_finds_the_file_of_what_is_declared(
    channel: grpc.aio.Channel, version: str, symbol: str, file: str
) -> None:
    """With all that it imports, since the client has nothing."""
    [answer] = await reflected(channel, version, Asked(file_containing_symbol=symbol))
    [named] = await reflected(channel, version, Asked(file_by_filename=file))

    assert file in files_of(answer)
    assert files_of(named) == files_of(answer)


@pytest.mark.parametrize("version", REFLECTIONS)
async def test_reflection_finds_extensions(channel: grpc.aio.Channel, version: str) -> None:
    options, number = "google.protobuf.MethodOptions", access.number
    by_number, numbers = await reflected(
        channel,
        version,
        Asked(file_containing_extension={"containing_type": options, "extension_number": number}),
        Asked(all_extension_numbers_of_type=options),
    )

    assert "parley/v1/access.proto" in files_of(by_number)
    assert number in numbers.all_extension_numbers_response.extension_number


@pytest.mark.parametrize("version", REFLECTIONS)
@pytest.mark.parametrize(
    "request_body",
    [
        Asked(file_containing_symbol="parley.v1.ChatService.DropChats"),
        Asked(file_containing_symbol="parley.v1.Chat.id.x"),
        Asked(file_containing_symbol="parley.v1"),
        Asked(file_containing_symbol=""),
        Asked(file_containing_symbol="a\0b"),
        Asked(file_by_filename="parley/v1/nothing.proto"),
        Asked(file_containing_extension={"containing_type": "parley.v1.Chat", "extension_number": -1}),
        Asked(all_extension_numbers_of_type="parley.v1.Nothing"),
    ],
    ids=str,
)
async def test_reflection_says_what_it_does_not_find(
    channel: grpc.aio.Channel, version: str, request_body: Asked
) -> None:
    """And answers on: one wrong question does not end the call."""
    answer, listed = await reflected(channel, version, request_body, Asked(list_services=""))

    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]
    assert answer.original_request == request_body
    assert listed.list_services_response.service
