"""json_schema and json_object: honoured by the offline model, passed to providers, read by the SDK's parse
helpers."""

from typing import Literal

import grpc
import openai
import orjson
import pytest
from pydantic import BaseModel

from generated.parley.v1.completion_service_pb2 import CreateChatCompletionRequest
from generated.parley.v1.completion_service_pb2_grpc import CompletionServiceStub
from generated.parley.v1.response_service_pb2 import CreateResponseRequest
from generated.parley.v1.response_service_pb2_grpc import ResponseServiceStub
from server.content.json_values import from_python, struct_from
from tests.conftest import Org, Service
from tests.upstream import OpenAIUpstream, openai_text


class Person(BaseModel):
    name: str
    age: int
    mood: Literal["glad", "sad"]
    tags: list[str]


FILLED = Person(name="", age=0, mood="glad", tags=[])


@pytest.fixture
def base(service: Service, org: Org) -> str:
    return f"{service.http_url}/api/v1/compatibility/openai/v1/assistants/{org.assistant_id}"


async def test_completions_parse_helper_reads_the_schema_filled(base: str, org: Org) -> None:
    async with openai.AsyncOpenAI(base_url=base, api_key=org.api, max_retries=0) as client:
        answer = await client.chat.completions.parse(
            model="", response_format=Person, messages=[{"role": "user", "content": "Who?"}]
        )

    assert answer.choices[0].message.parsed == FILLED


async def test_completions_stream_helper_reads_the_schema_filled(base: str, org: Org) -> None:
    async with openai.AsyncOpenAI(base_url=base, api_key=org.api, max_retries=0) as client:
        async with client.chat.completions.stream(
            model="", response_format=Person, messages=[{"role": "user", "content": "Who?"}]
        ) as stream:
            answer = await stream.get_final_completion()

    assert answer.choices[0].message.parsed == FILLED


@pytest.mark.parametrize("path", ["/chat", "/v1"])
async def test_responses_parse_helper_reads_the_schema_filled(path: str, service: Service, org: Org) -> None:
    async with openai.AsyncOpenAI(base_url=service.http_url + path, api_key=org.api, max_retries=0) as client:
        answer = await client.responses.parse(model="demo", input="Who?", text_format=Person)
        async with client.responses.stream(model="demo", input="Who?", text_format=Person) as stream:
            streamed = await stream.get_final_response()

    assert answer.output_parsed == streamed.output_parsed == FILLED


async def test_json_object_is_an_object(base: str, org: Org) -> None:
    async with openai.AsyncOpenAI(base_url=base, api_key=org.api, max_retries=0) as client:
        answer = await client.chat.completions.create(
            model="",
            response_format={"type": "json_object"},
            messages=[{"role": "user", "content": "Any JSON."}],
        )

    assert isinstance(orjson.loads(answer.choices[0].message.content), dict)


async def test_schema_is_filled_over_grpc(channel: grpc.aio.Channel, org: Org) -> None:
    schema = {"name": "person", "schema": Person.model_json_schema()}
    completion = await CompletionServiceStub(channel).CreateChatCompletion(
        CreateChatCompletionRequest(
            agent_id=org.assistant_id,
            messages=[{"role": "user", "content": from_python("Who?")}],
            response_format=struct_from({"type": "json_schema", "json_schema": schema}),
        ),
        metadata=org.metadata,
    )
    response = await ResponseServiceStub(channel).CreateResponse(
        CreateResponseRequest(
            assistant_id=org.assistant_id,
            input=from_python("Who?"),
            text=struct_from({"format": {"type": "json_schema", **schema}}),
        ),
        metadata=org.metadata,
    )

    assert Person.model_validate_json(completion.choices[0].message.content) == FILLED
    assert Person.model_validate_json(response.output[0].content[0].text) == FILLED


async def test_schema_reaches_the_provider(service: Service, org: Org) -> None:
    async with OpenAIUpstream([openai_text("{}")]) as upstream:
        assistant = {"model": {"provider": "custom-llm", "model": "m", "url": upstream.base_url}}
        async with openai.AsyncOpenAI(
            base_url=f"{service.http_url}/chat", api_key=org.api, max_retries=0
        ) as client:
            await client.responses.create(
                model="m",
                input="Who?",
                extra_body={"assistant": assistant},
                text={
                    "format": {
                        "type": "json_schema",
                        "name": "person",
                        "strict": True,
                        "schema": {"type": "object"},
                    }
                },
            )

    assert upstream.requests[0].body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "person", "strict": True, "schema": {"type": "object"}},
    }


FORMS = {
    "no object": ("text.format", 5, "must be an object with a type"),
    "unknown type": ("{}.type", {"type": "xml"}, "must be text, json_object or json_schema"),
    "type that is no text": ("{}.type", {"type": 5}, "must be text, json_object or json_schema"),
    "no schema": (
        "response_format.json_schema",
        {"type": "json_schema"},
        "must be an object with a name and a schema",
    ),
    "schema is null": (
        "response_format.json_schema",
        {"type": "json_schema", "json_schema": None},
        "must be an object with a name and a schema",
    ),
    "schema is no object": (
        "response_format.json_schema.schema",
        {"type": "json_schema", "json_schema": {"schema": [1]}},
        "must be an object: a JSON Schema",
    ),
    "schema of a response is no object": (
        "text.format.schema",
        {"type": "json_schema", "name": "a", "schema": "b"},
        "must be an object: a JSON Schema",
    ),
}


@pytest.mark.parametrize(("named", "form", "why"), FORMS.values(), ids=FORMS)
async def test_form_that_is_none_is_an_error_that_names_it(
    service: Service, org: Org, named: str, form: object, why: str
) -> None:
    async with openai.AsyncOpenAI(
        base_url=f"{service.http_url}/v1", api_key=org.api, max_retries=0
    ) as client:
        for door, send in {
            "response_format": lambda: client.chat.completions.create(
                model="demo", messages=[{"role": "user", "content": "Who?"}], response_format=form
            ),
            "text.format": lambda: client.responses.create(model="demo", input="Who?", text={"format": form}),
        }.items():
            field = named.format(door)
            if field.startswith(door):
                with pytest.raises(openai.BadRequestError, match=why) as caught:
                    await send()
                assert caught.value.param == field
