"""`model: "openai/gpt-4o-mini"` in OpenAI's interfaces: called where the operator allows it, refused by the
setting's name where not."""

import openai
import pytest

from tests.conftest import running
from tests.upstream import OpenAIUpstream, openai_text

NAME = "openai/gpt-4o-mini"


@pytest.fixture(scope="module")
async def allowed(tmp_path_factory):
    """A service that allows it, an org, and its provider."""
    async with (
        OpenAIUpstream(openai_text("Seen")) as upstream,
        running(
            tmp_path_factory.mktemp("parley"),
            provider_urls={"openai": upstream.base_url},
            provider_keys={"openai": "sk-operator"},
            models_without_assistant=True,
        ) as service,
    ):
        yield service, await service.new_org(), upstream


def client(service, key, base="/v1"):
    return openai.AsyncOpenAI(base_url=f"{service.http_url}{base}", api_key=key, max_retries=0)


async def ask(client, kind, model):
    """The text of the answer."""
    messages = [{"role": "system", "content": "Be kind"}, {"role": "user", "content": "Hi"}]
    if kind == "responses":
        return (await client.responses.create(model=model, input=messages)).output_text
    answer = await client.chat.completions.create(model=model, messages=messages)
    return answer.choices[0].message.content


@pytest.mark.parametrize("base", ["/v1", "/chat"])
@pytest.mark.parametrize("kind", ["responses", "completions"])
async def test_model_of_a_provider_is_called_with_the_request_s_instructions_and_the_operator_s_key(
    allowed, kind, base
):
    service, org, upstream = allowed
    async with client(service, org.api, base) as caller:
        assert await ask(caller, kind, NAME) == "Seen"

    request = upstream.requests[-1]
    assert request.headers["authorization"] == "Bearer sk-operator"
    assert request.body["model"] == "gpt-4o-mini"
    assert [message["content"] for message in request.body["messages"]] == ["Be kind", "Hi"]


async def test_conversation_goes_on_with_the_model(allowed):
    service, org, upstream = allowed
    async with client(service, org.api) as caller:
        first = await caller.responses.create(model=NAME, input="One")
        again = await caller.responses.create(model=NAME, input="Two", previous_response_id=first.id)

    assert again.output_text == "Seen"
    assert [message["content"] for message in upstream.requests[-1].body["messages"]] == [
        "One",
        "Seen",
        "Two",
    ]


async def test_assistant_of_that_name_comes_first(allowed):
    service, *_ = allowed
    org = await service.new_org()
    await service.store.assistants.create(
        org.id, {"name": NAME, "model": {"provider": "offline", "model": "offline-1"}}
    )
    async with client(service, org.api) as caller:
        assert await ask(caller, "completions", NAME) == "You said: Hi"


@pytest.mark.parametrize("model", ["nobody/gpt-4o-mini", "openai/", "/gpt-4o-mini", "gpt-4o-mini"])
async def test_model_of_no_known_provider_is_not_found(allowed, model):
    service, org, _ = allowed
    async with client(service, org.api) as caller:
        with pytest.raises(openai.NotFoundError, match="does not exist; send the id or the name"):
            await ask(caller, "completions", model)


@pytest.mark.parametrize("kind", ["responses", "completions"])
async def test_publishable_key_names_an_assistant(allowed, kind):
    service, org, upstream = allowed
    before = len(upstream.requests)
    async with client(service, org.publishable) as caller:
        with pytest.raises(openai.PermissionDeniedError, match="model names a model of a provider"):
            await ask(caller, kind, NAME)

    assert len(upstream.requests) == before


@pytest.mark.parametrize(
    ("base", "kind", "error"),
    [
        ("/v1", "responses", openai.NotFoundError),
        ("/v1", "completions", openai.NotFoundError),
        ("/chat", "completions", openai.NotFoundError),
        ("/chat", "responses", openai.BadRequestError),
    ],
)
async def test_without_the_setting_it_is_refused_by_the_setting_s_name(service, org, base, kind, error):
    async with client(service, org.api, base) as caller:
        with pytest.raises(error, match="let the operator set models_without_assistant") as refused:
            await ask(caller, kind, NAME)

    assert refused.value.body["param"] == "model"
