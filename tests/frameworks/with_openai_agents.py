"""What an application on the OpenAI Agents SDK does: tools, structured output, handoffs, agents as tools, streams, and
sessions that the service stores. Prints what came of each, by name, as one JSON object.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from agents import (
    Agent,
    Model,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIConversationsSession,
    OpenAIResponsesCompactionSession,
    OpenAIResponsesModel,
    Runner,
    SQLiteSession,
    function_tool,
    set_tracing_disabled,
)
from agents.exceptions import AgentsException
from openai import APIError, AsyncOpenAI, BadRequestError
from pydantic import BaseModel
from run_examples import API_KEY, ASSISTANT, BASE_URL, run

set_tracing_disabled(True)
client = AsyncOpenAI(base_url=BASE_URL, api_key=API_KEY)
WEATHER = "What is the weather in Rome and in Oslo?"


class Report(BaseModel):
    city: str
    celsius: int


@function_tool
def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return f"24 °C in {city}"


async def text(model: Model) -> Any:
    agent = Agent(name="Assistant", instructions="Be brief.", model=model)
    result = await Runner.run(agent, "Hello there")
    return {"text": result.final_output, "tokens": result.context_wrapper.usage.total_tokens}


async def tools(model: Model) -> Any:
    agent = Agent(name="Weather", model=model, tools=[get_weather])
    result = await Runner.run(agent, WEATHER)
    return {"text": result.final_output, "items": [item.type for item in result.new_items]}


async def required_tool(model: Model) -> Any:
    settings = ModelSettings(tool_choice="required", parallel_tool_calls=False, metadata={"from": "agents"})
    agent = Agent(name="Weather", model=model, tools=[get_weather], model_settings=settings)
    return (await Runner.run(agent, "What is the weather in Rome?")).final_output


async def streamed_tools(model: Model) -> Any:
    agent = Agent(name="Weather", model=model, tools=[get_weather])
    result = Runner.run_streamed(agent, WEATHER)
    deltas, names = "", []
    async for event in result.stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            deltas += event.data.delta
        elif event.type == "run_item_stream_event":
            names.append(event.name)
    return {"deltas": deltas, "text": result.final_output, "names": names}


async def output_type(model: Model) -> Any:
    agent = Agent(name="Reporter", model=model, output_type=Report)
    return (await Runner.run(agent, "Rome")).final_output.model_dump()


async def tools_then_output_type(model: Model) -> Any:
    agent = Agent(name="Reporter", model=model, tools=[get_weather], output_type=list[Report])
    result = await Runner.run(agent, "What is the weather in Rome?")
    return [report.model_dump() for report in result.final_output]


async def handoff(model: Model) -> Any:
    billing = Agent(name="Billing", handoff_description="Answers about invoices", model=model)
    triage = Agent(name="Triage", instructions="Hand over.", model=model, handoffs=[billing])
    result = Runner.run_streamed(triage, "A question to billing")
    agents = [
        event.new_agent.name
        async for event in result.stream_events()
        if event.type == "agent_updated_stream_event"
    ]
    again = await Runner.run(
        result.last_agent, [*result.to_input_list(), {"role": "user", "content": "Thanks"}]
    )
    return {"agents": agents, "last": result.last_agent.name, "again": again.final_output}


async def agent_as_tool(model: Model) -> Any:
    oslo = Agent(name="Oslo expert", model=model)
    tool = oslo.as_tool(tool_name="ask_oslo_expert", tool_description="Ask about Oslo")
    agent = Agent(name="Guide", model=model, tools=[tool])
    return (await Runner.run(agent, "Please consult the oslo expert")).final_output


async def local_session(model: Model) -> Any:
    agent, session = Agent(name="Assistant", model=model, tools=[get_weather]), SQLiteSession("one")
    await Runner.run(agent, "My name is Ada", session=session)
    await Runner.run(agent, WEATHER, session=session)
    return (await Runner.run(agent, "What is my name?", session=session)).final_output


async def broken_off(model: Model) -> Any:
    result = Runner.run_streamed(Agent(name="Assistant", model=model), "Please break off")
    try:
        async for _ in result.stream_events():
            pass
    except (APIError, AgentsException) as error:
        return "ended before it was complete" in str(error)


async def refused(model: Model) -> Any:
    agent = Agent(name="Assistant", model=model, model_settings=ModelSettings(temperature=3))
    try:
        await Runner.run(agent, "Hello")
    except (BadRequestError, AgentsException) as error:
        return [type(error).__name__, getattr(error, "param", None)]


async def conversations_session(model: Model) -> Any:
    session = OpenAIConversationsSession(openai_client=client)
    agent = Agent(name="Assistant", model=model, tools=[get_weather])
    await Runner.run(agent, "My name is Ada", session=session)
    await Runner.run(agent, WEATHER, session=session)
    result = await Runner.run(agent, "What is my name?", session=session)
    kinds = [item.get("type", item.get("role")) for item in await session.get_items()]
    popped = await session.pop_item()
    left = len(await session.get_items(limit=100))
    await session.clear_session()
    return {"text": result.final_output, "kinds": kinds, "popped": popped["content"][0]["text"], "left": left}


async def compaction_session(model: Model) -> Any:
    session = OpenAIResponsesCompactionSession(
        session_id="two",
        underlying_session=SQLiteSession("two"),
        client=client,
        model=f"gpt-{ASSISTANT}",  # the SDK takes no other name here
        should_trigger_compaction=lambda _: True,
    )
    agent = Agent(name="Weather", model=model, tools=[get_weather])
    await Runner.run(agent, "My name is Ada", session=session)
    await Runner.run(agent, WEATHER, session=session)
    kinds = [item.get("type", item.get("role")) for item in await session.get_items()]
    return {
        "kinds": kinds,
        "text": (await Runner.run(agent, "What is my name?", session=session)).final_output,
    }


async def conversation_id(model: Model) -> Any:
    conversation = await client.conversations.create()
    agent = Agent(name="Weather", model=model, tools=[get_weather])
    await Runner.run(agent, "My name is Ada", conversation_id=conversation.id)
    await Runner.run(agent, WEATHER, conversation_id=conversation.id)
    return (await Runner.run(agent, "What is my name?", conversation_id=conversation.id)).final_output


async def previous_response_id(model: Model) -> Any:
    agent = Agent(name="Weather", model=model, tools=[get_weather])
    first = await Runner.run(agent, "My name is Ada", auto_previous_response_id=True)
    second = Runner.run_streamed(agent, WEATHER, previous_response_id=first.last_response_id)
    async for _ in second.stream_events():
        pass
    third = await Runner.run(agent, "What is my name?", previous_response_id=second.last_response_id)
    return [second.final_output, third.final_output]


async def conversation_handoff(model: Model) -> Any:
    conversation = await client.conversations.create()
    billing = Agent(name="Billing", model=model, tools=[get_weather])
    triage = Agent(name="Triage", model=model, handoffs=[billing])
    result = await Runner.run(triage, "A question to billing", conversation_id=conversation.id)
    again = await Runner.run(
        result.last_agent, "What is the weather in Oslo?", conversation_id=conversation.id
    )
    return [result.last_agent.name, again.final_output]


Example = Callable[[Model], Awaitable[Any]]
BOTH: list[Example] = [
    text,
    tools,
    required_tool,
    streamed_tools,
    output_type,
    tools_then_output_type,
    handoff,
    agent_as_tool,
    local_session,
    broken_off,
    refused,
]
OF_RESPONSES: list[Example] = [
    conversations_session,
    compaction_session,
    conversation_id,
    previous_response_id,
    conversation_handoff,
]
RESPONSES = OpenAIResponsesModel(ASSISTANT, openai_client=client)
CHAT = OpenAIChatCompletionsModel(ASSISTANT, openai_client=client)

run(
    {
        **{f"responses {example.__name__}": (example, RESPONSES) for example in BOTH + OF_RESPONSES},
        **{f"chat {example.__name__}": (example, CHAT) for example in BOTH},
    }
)
