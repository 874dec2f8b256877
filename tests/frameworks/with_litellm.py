"""What an application on LiteLLM's client does: completions and responses, streams, tools and structured output, and
reading and deleting what was stored. Prints what came of each, by name, as one JSON object.
"""

import json
import os
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # otherwise it looks for prices on the network

import litellm
from pydantic import BaseModel
from run_examples import API_KEY, ASSISTANT, BASE_URL, run

litellm.suppress_debug_info = True
TO: dict[str, Any] = dict(model=f"openai/{ASSISTANT}", api_base=BASE_URL, api_key=API_KEY)
WEATHER = "What is the weather in Rome and in Oslo?"
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "get_weather", "description": "Get the weather of a city", "parameters": PARAMETERS}
TOOLS = [{"type": "function", "function": FUNCTION}]


class Report(BaseModel):
    city: str
    celsius: int


async def completion() -> Any:
    answer = await litellm.acompletion(**TO, messages=[{"role": "user", "content": "Hello there"}])
    return {"text": answer.choices[0].message.content, "tokens": answer.usage.total_tokens}


async def stream() -> Any:
    chunks = await litellm.acompletion(
        **TO,
        messages=[{"role": "user", "content": "Hello there"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    gathered = [chunk async for chunk in chunks]
    whole = litellm.stream_chunk_builder(gathered)
    return {"text": whole.choices[0].message.content, "tokens": whole.usage.total_tokens}


async def tools() -> Any:
    messages: list[Any] = [{"role": "user", "content": WEATHER}]
    asked = (await litellm.acompletion(**TO, messages=messages, tools=TOOLS)).choices[0].message
    messages += [asked, *[_result(call) for call in asked.tool_calls]]
    answer = await litellm.acompletion(**TO, messages=messages, tools=TOOLS)
    return answer.choices[0].message.content


async def streamed_tools() -> Any:
    messages = [{"role": "user", "content": WEATHER}]
    chunks = await litellm.acompletion(**TO, messages=messages, tools=TOOLS, tool_choice="auto", stream=True)
    whole = litellm.stream_chunk_builder([chunk async for chunk in chunks], messages=messages)
    return [json.loads(call.function.arguments) for call in whole.choices[0].message.tool_calls]


async def structured() -> Any:
    answer = await litellm.acompletion(
        **TO, messages=[{"role": "user", "content": "Rome"}], response_format=Report
    )
    return Report.model_validate_json(answer.choices[0].message.content).model_dump()


async def responses() -> Any:
    first = await litellm.aresponses(**TO, input="My name is Ada")
    second = await litellm.aresponses(**TO, input="What is my name?", previous_response_id=first.id)
    read = await litellm.aget_responses(response_id=second.id, **_unnamed())
    deleted = await litellm.adelete_responses(response_id=second.id, **_unnamed())
    return {
        "text": second.output[0].content[0].text,
        "read": read.output[0].content[0].text,
        "deleted": deleted.deleted,
    }


async def streamed_responses() -> Any:
    events = await litellm.aresponses(**TO, input="Hello there", stream=True)
    kinds = [event.type async for event in events]
    return [kind for index, kind in enumerate(kinds) if index == 0 or kinds[index - 1] != kind]


async def responses_tools() -> Any:
    flat = [{"type": "function", **FUNCTION}]
    asked = await litellm.aresponses(**TO, input=WEATHER, tools=flat)
    results = [
        {
            "type": "function_call_output",
            "call_id": item.call_id,
            "output": f"24 °C in {json.loads(item.arguments)['city']}",
        }
        for item in asked.output
    ]
    answer = await litellm.aresponses(**TO, input=results, tools=flat, previous_response_id=asked.id)
    return answer.output[0].content[0].text


async def bridged() -> Any:
    """Chat completions that LiteLLM carries over to the Responses interface."""
    to = {**TO, "model": f"openai/responses/{ASSISTANT}"}
    messages: list[Any] = [{"role": "user", "content": WEATHER}]
    asked = (await litellm.acompletion(**to, messages=messages, tools=TOOLS)).choices[0].message
    messages += [asked, *[_result(call) for call in asked.tool_calls]]
    chunks = await litellm.acompletion(**to, messages=messages, tools=TOOLS, stream=True)
    return "".join([chunk.choices[0].delta.content or "" async for chunk in chunks])


async def broken_off() -> Any:
    messages = [{"role": "user", "content": "Please break off"}]
    try:
        async for _ in await litellm.acompletion(**TO, messages=messages, stream=True):
            pass
    except Exception as error:  # it has many classes for this
        return "ended before it was complete" in str(error)


async def refused() -> Any:
    try:
        await litellm.acompletion(**TO, messages=[{"role": "user", "content": "Hello"}], temperature=3)
    except litellm.BadRequestError as error:
        return error.status_code


async def unknown_model() -> Any:
    try:
        await litellm.acompletion(
            **{**TO, "model": "openai/nobody"}, messages=[{"role": "user", "content": "Hello"}]
        )
    except litellm.NotFoundError as error:
        return error.status_code


def _result(call: Any) -> dict[str, str]:
    city = json.loads(call.function.arguments)["city"]
    return {"role": "tool", "tool_call_id": call.id, "content": f"24 °C in {city}"}


def _unnamed() -> dict[str, Any]:
    return {"custom_llm_provider": "openai", "api_base": BASE_URL, "api_key": API_KEY}


EXAMPLES = [
    completion,
    stream,
    tools,
    streamed_tools,
    structured,
    responses,
    streamed_responses,
    responses_tools,
    bridged,
    broken_off,
    refused,
    unknown_model,
]
run({example.__name__: (example,) for example in EXAMPLES})
