"""What an application on Pydantic AI does, on both interfaces: tools, the ways of structured output, streams, message
history, delegation, and a conversation that the service stores. Prints what came of each, by name, as one JSON object.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import BaseModel
from pydantic_ai import (
    Agent,
    BinaryContent,
    ModelHTTPError,
    NativeOutput,
    PromptedOutput,
    RunContext,
    ToolOutput,
)
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel, OpenAIResponsesModelSettings
from pydantic_ai.providers.openai import OpenAIProvider
from run_examples import API_KEY, ASSISTANT, BASE_URL, run

WEATHER = "What is the weather in Rome and in Oslo?"
provider = OpenAIProvider(base_url=BASE_URL, api_key=API_KEY)


class Report(BaseModel):
    city: str
    celsius: int


def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return f"24 °C in {city}"


async def text(model: Model) -> Any:
    result = await Agent(model, instructions="Be brief.", system_prompt="You are kind.").run("Hello there")
    return {"text": result.output, "tokens": result.usage.total_tokens}


async def tools(model: Model) -> Any:
    agent = Agent(model, deps_type=str, tools=[get_weather])
    result = await agent.run(WEATHER)
    return {
        "text": result.output,
        "parts": [part.part_kind for message in result.new_messages() for part in message.parts],
    }


async def tool_with_context(model: Model) -> Any:
    agent = Agent(model, deps_type=dict[str, int])

    @agent.tool(name="get_weather")
    async def degrees(context: RunContext[dict[str, int]], city: str) -> int:
        """Get the degrees of a city."""
        return context.deps[city]

    return (await agent.run("What is the weather in Rome?", deps={"Rome": 24})).output


async def tool_output(model: Model) -> Any:
    agent = Agent(model, tools=[get_weather], output_type=Report)
    return (await agent.run(WEATHER)).output.model_dump()


async def several_tool_outputs(model: Model) -> Any:
    agent = Agent(model, output_type=[ToolOutput(Report, name="a_report"), str])
    return (await agent.run("Make a report")).output.model_dump()


async def native_output(model: Model) -> Any:
    agent = Agent(model, tools=[get_weather], output_type=NativeOutput(Report))
    return (await agent.run(WEATHER)).output.model_dump()


async def prompted_output(model: Model) -> Any:
    return (await Agent(model, output_type=PromptedOutput(Report)).run("Rome")).output.model_dump()


async def stream(model: Model) -> Any:
    async with Agent(model, tools=[get_weather]).run_stream(WEATHER) as result:
        pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
        return {"pieces": pieces, "tokens": result.usage.total_tokens}


async def streamed_output(model: Model) -> Any:
    async with Agent(model, output_type=Report).run_stream("Rome") as result:
        return [part.model_dump() async for part in result.stream_output(debounce_by=None)][-1]


async def events(model: Model) -> Any:
    kinds: list[str] = []
    async with Agent(model, tools=[get_weather]).run_stream_events(WEATHER) as stream:
        async for event in stream:
            if not kinds or kinds[-1] != event.event_kind:
                kinds.append(event.event_kind)
    return kinds


async def history(model: Model) -> Any:
    agent = Agent(model, tools=[get_weather])
    first = await agent.run("My name is Ada")
    second = await agent.run(WEATHER, message_history=first.all_messages())
    return (await agent.run("What is my name?", message_history=second.all_messages())).output


async def delegation(model: Model) -> Any:
    expert, guide = Agent(model), Agent(model)

    @guide.tool
    async def ask_oslo_expert(context: RunContext[None], text: str) -> str:
        """Ask about Oslo."""
        return (await expert.run("Oslo is fine", usage=context.usage)).output

    result = await guide.run("Please consult the oslo expert")
    return {"text": result.output, "requests": result.usage.requests}


async def images(model: Model) -> Any:
    image = BinaryContent(data=b"\x89PNG\r\n\x1a\n", media_type="image/png")
    return (await Agent(model).run(["What is on it?", image])).output


async def broken_off(model: Model) -> Any:
    try:
        async with Agent(model).run_stream("Please break off") as result:
            await result.get_output()
    except ModelHTTPError as error:
        return "ended before it was complete" in str(error)


async def cut_short(model: Model) -> Any:
    result = await Agent(model).run("Talk at length")
    return [result.output, result.response.finish_reason]


async def refused(model: Model) -> Any:
    try:
        await Agent(model, model_settings={"temperature": 3}).run("Hello")
    except ModelHTTPError as error:
        return {"status": error.status_code, "param": error.body["param"]}  # type: ignore[index]


async def previous_response(model: Model) -> Any:
    settings = OpenAIResponsesModelSettings(openai_previous_response_id="auto")
    agent = Agent(model, tools=[get_weather], model_settings=settings)
    first = await agent.run("My name is Ada")
    second = await agent.run(WEATHER, message_history=first.all_messages())
    return [
        second.output,
        (await agent.run("What is my name?", message_history=second.all_messages())).output,
    ]


async def conversation(model: Model) -> Any:
    made = await provider.client.conversations.create()
    settings = OpenAIResponsesModelSettings(openai_conversation_id=made.id)
    agent = Agent(model, tools=[get_weather], model_settings=settings)
    await agent.run("My name is Ada")
    await agent.run(WEATHER)
    return (await agent.run("What is my name?")).output


Example = Callable[[Model], Awaitable[Any]]
BOTH: list[Example] = [
    text,
    tools,
    tool_with_context,
    tool_output,
    several_tool_outputs,
    native_output,
    prompted_output,
    stream,
    streamed_output,
    events,
    history,
    delegation,
    images,
    broken_off,
    cut_short,
    refused,
]
OF_RESPONSES: list[Example] = [previous_response, conversation]
RESPONSES = OpenAIResponsesModel(ASSISTANT, provider=provider)
CHAT = OpenAIChatModel(ASSISTANT, provider=provider)

run(
    {
        **{f"responses {example.__name__}": (example, RESPONSES) for example in BOTH + OF_RESPONSES},
        **{f"chat {example.__name__}": (example, CHAT) for example in BOTH},
    }
)
