"""Runs examples one by one in one event loop, and prints what came of each as one JSON object. For scripts of the
environments that `installed.py` makes.
"""

import asyncio
import json
import os
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Example = Callable[..., Awaitable[Any]]

BASE_URL = os.environ["PARLEY_BASE_URL"]
API_KEY = os.environ["PARLEY_API_KEY"]
ASSISTANT = os.environ["PARLEY_ASSISTANT"]
"""Its name, as a `model`."""


def run(examples: Mapping[str, tuple[Any, ...]]) -> None:
    """Each is a coroutine function with its arguments, by its name."""

    async def all_of_them() -> dict[str, Any]:
        return {name: await _printed(*example) for name, example in examples.items()}

    print(json.dumps(asyncio.run(all_of_them())))


async def _printed(example: Example, *arguments: Any) -> Any:
    try:
        return await example(*arguments)
    except Exception as error:
        return {"error": repr(error), "traceback": traceback.format_exc()}
