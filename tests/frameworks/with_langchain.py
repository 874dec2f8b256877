"""What an application on LangChain and LangGraph does, with `ChatOpenAI` on both interfaces: messages, streams, tools,
structured output, an agent with memory, and a conversation that the service stores. Prints what came of each, by
name, as one JSON object.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.messages import AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.memory import InMemorySaver
from openai import APIError, BadRequestError
from pydantic import BaseModel
from run_examples import API_KEY, ASSISTANT, BASE_URL, run

WEATHER = "What is the weather in Rome and in Oslo?"


class Report(BaseModel):
    """The weather of a city."""

    city: str
    celsius: int


@tool
def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return f"24 °C in {city}"


def model_of(**options: Any) -> ChatOpenAI:
    return ChatOpenAI(model=ASSISTANT, base_url=BASE_URL, api_key=API_KEY, **options)


async def messages(model: ChatOpenAI) -> Any:
    answer = await model.ainvoke([SystemMessage("Be brief."), HumanMessage("Hello there")])
    return {"text": answer.text, "tokens": answer.usage_metadata["total_tokens"]}


async def chain(model: ChatOpenAI) -> Any:
    prompt = ChatPromptTemplate.from_messages([("system", "Be {how}."), ("user", "{text}")])
    return await (prompt | model | StrOutputParser()).ainvoke({"how": "brief", "text": "Hello there"})


async def stream(model: ChatOpenAI) -> Any:
    chunks = [chunk async for chunk in model.astream("Hello there")]
    whole = sum(chunks[1:], chunks[0])
    return {
        "pieces": [chunk.text for chunk in chunks if chunk.text],
        "text": whole.text,
        "tokens": whole.usage_metadata["total_tokens"],
    }


async def batch(model: ChatOpenAI) -> Any:
    return [answer.text for answer in await model.abatch(["One", "Two"])]


async def bound_tools(model: ChatOpenAI) -> Any:
    bound = model.bind_tools([get_weather])
    dialogue: list[Any] = [HumanMessage(WEATHER)]
    asked = await bound.ainvoke(dialogue)
    dialogue += [asked, *[await get_weather.ainvoke(call) for call in asked.tool_calls]]
    assert all(isinstance(message, ToolMessage) for message in dialogue[2:])
    return {
        "calls": [call["args"] for call in asked.tool_calls],
        "text": (await bound.ainvoke(dialogue)).text,
    }


async def streamed_tools(model: ChatOpenAI) -> Any:
    bound = model.bind_tools([get_weather], strict=True, parallel_tool_calls=True)
    whole: AIMessageChunk | None = None
    async for chunk in bound.astream(WEATHER):
        whole = chunk if whole is None else whole + chunk
    assert whole
    return [[call["name"], call["args"]] for call in whole.tool_calls]


async def chosen_tool(model: ChatOpenAI) -> Any:
    answer = await model.bind_tools([get_weather], tool_choice="get_weather").ainvoke("Rome")
    return [call["name"] for call in answer.tool_calls]


async def json_schema(model: ChatOpenAI) -> Any:
    return (await model.with_structured_output(Report).ainvoke("Rome")).model_dump()


async def function_calling(model: ChatOpenAI) -> Any:
    structured = model.with_structured_output(Report, method="function_calling", include_raw=True)
    return (await structured.ainvoke("Rome"))["parsed"].model_dump()


async def json_mode(model: ChatOpenAI) -> Any:
    return (
        await model.with_structured_output(Report, method="json_mode").ainvoke("Rome, as JSON")
    ).model_dump()


async def streamed_object(model: ChatOpenAI) -> Any:
    parts = [part async for part in model.with_structured_output(Report).astream("Rome")]
    return parts[-1].model_dump()


async def agent(model: ChatOpenAI) -> Any:
    made = create_agent(
        model, tools=[get_weather], system_prompt="Use the tools.", checkpointer=InMemorySaver()
    )
    thread: Any = {"configurable": {"thread_id": "one"}}
    texts = []
    for text in ("My name is Ada", WEATHER, "What is my name?"):
        state = await made.ainvoke({"messages": [HumanMessage(text)]}, thread)
        texts.append(state["messages"][-1].text)
    return texts


async def streamed_agent(model: ChatOpenAI) -> Any:
    made = create_agent(model, tools=[get_weather])
    pieces, nodes = [], []
    async for mode, part in made.astream(
        {"messages": [HumanMessage(WEATHER)]}, stream_mode=["messages", "updates"]
    ):
        if mode == "updates":
            nodes += [*part]
        elif part[1]["langgraph_node"] == "model" and part[0].text:
            pieces.append(part[0].text)
    return {"nodes": nodes, "text": "".join(pieces)}


async def agent_with_provider_strategy(model: ChatOpenAI) -> Any:
    made = create_agent(model, tools=[get_weather], response_format=ProviderStrategy(Report))
    return (await made.ainvoke({"messages": [HumanMessage(WEATHER)]}))["structured_response"].model_dump()


async def agent_with_tool_strategy(model: ChatOpenAI) -> Any:
    made = create_agent(model, tools=[get_weather], response_format=ToolStrategy(Report))
    return (await made.ainvoke({"messages": [HumanMessage(WEATHER)]}))["structured_response"].model_dump()


async def images(model: ChatOpenAI) -> Any:
    content = [
        {"type": "text", "text": "What is on it?"},
        {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"},
    ]
    return (await model.ainvoke([HumanMessage(content=content)])).text


async def broken_off(model: ChatOpenAI) -> Any:
    try:
        async for _ in model.astream("Please break off"):
            pass
    except (APIError, ValueError) as error:
        return "ended before it was complete" in str(error)


async def cut_short(model: ChatOpenAI) -> Any:
    answer = await model.ainvoke("Talk at length")
    how = answer.response_metadata
    return [answer.text, how.get("finish_reason") or how["incomplete_details"]["reason"]]


async def refused(model: ChatOpenAI) -> Any:
    try:
        await model.bind(temperature=3).ainvoke("Hello")
    except BadRequestError as error:
        return error.param


async def previous_response(_: ChatOpenAI) -> Any:
    model = model_of(use_responses_api=True, use_previous_response_id=True, output_version="responses/v1")
    bound = model.bind_tools([get_weather])
    dialogue: list[Any] = [HumanMessage("My name is Ada")]
    dialogue += [await bound.ainvoke(dialogue), HumanMessage(WEATHER)]
    dialogue.append(asked := await bound.ainvoke(dialogue))
    dialogue += [await get_weather.ainvoke(call) for call in asked.tool_calls]
    dialogue += [await bound.ainvoke(dialogue), HumanMessage("What is my name?")]
    return [dialogue[-2].text, (await bound.ainvoke(dialogue)).text]


async def unstored(_: ChatOpenAI) -> Any:
    made = create_agent(model_of(use_responses_api=True, store=False, truncation="auto"), tools=[get_weather])
    return (await made.ainvoke({"messages": [HumanMessage(WEATHER)]}))["messages"][-1].text


Example = Callable[[ChatOpenAI], Awaitable[Any]]
BOTH: list[Example] = [
    messages,
    chain,
    stream,
    batch,
    bound_tools,
    streamed_tools,
    chosen_tool,
    json_schema,
    function_calling,
    json_mode,
    streamed_object,
    agent,
    streamed_agent,
    agent_with_provider_strategy,
    agent_with_tool_strategy,
    images,
    broken_off,
    cut_short,
    refused,
]
OF_RESPONSES: list[Example] = [previous_response, unstored]
RESPONSES, CHAT = model_of(use_responses_api=True), model_of(use_responses_api=False, stream_usage=True)

run(
    {
        **{f"responses {example.__name__}": (example, RESPONSES) for example in BOTH + OF_RESPONSES},
        **{f"chat {example.__name__}": (example, CHAT) for example in BOTH},
    }
)
