"""What an application on Instructor does, in each of its modes for OpenAI's clients: a model, a list of models, and
both while they are streamed. Prints what came of each, by name, as one JSON object.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import instructor
from instructor.v2.core.errors import InstructorRetryException
from openai import AsyncOpenAI
from pydantic import BaseModel, field_validator
from run_examples import API_KEY, ASSISTANT, BASE_URL, run

INPUT: Any = [{"role": "system", "content": "Extract."}, {"role": "user", "content": "Rome has 24 °C"}]


class Report(BaseModel):
    """The weather of a city."""

    city: str
    celsius: int


class Doubted(BaseModel):
    city: str

    @field_validator("city")
    @classmethod
    def never(cls, city: str) -> str:
        raise ValueError(f"{city} is no city")


async def whole(made: Any) -> Any:
    return (await made.create(response_model=Report, messages=INPUT, model=ASSISTANT)).model_dump()


async def with_completion(made: Any) -> Any:
    report, answer = await made.create_with_completion(response_model=Report, messages=INPUT, model=ASSISTANT)
    return [report.celsius, answer.usage.total_tokens]


async def partial(made: Any) -> Any:
    parts = [
        part async for part in made.create_partial(response_model=Report, messages=INPUT, model=ASSISTANT)
    ]
    return parts[-1].model_dump()


async def iterable(made: Any) -> Any:
    return [
        one.model_dump()
        async for one in made.create_iterable(response_model=Report, messages=INPUT, model=ASSISTANT)
    ]


async def retried(made: Any) -> Any:
    try:
        await made.create(response_model=Doubted, messages=INPUT, model=ASSISTANT, max_retries=2)
    except InstructorRetryException as error:
        return {"attempts": error.n_attempts, "reason": "is no city" in str(error)}


MODES = {
    "tools": instructor.Mode.TOOLS,
    "json_schema": instructor.Mode.JSON_SCHEMA,
    "responses": instructor.Mode.RESPONSES_TOOLS,
}
EXAMPLES: list[Callable[[Any], Awaitable[Any]]] = [whole, with_completion, partial, iterable, retried]

run(
    {
        f"{name} {example.__name__}": (
            example,
            instructor.from_openai(AsyncOpenAI(base_url=BASE_URL, api_key=API_KEY), mode=mode),
        )
        for name, mode in MODES.items()
        for example in EXAMPLES
    }
)
