"""What an interface calls a record that is not there: the Responses interface has conversations and
responses, not sessions and chats; the agents' has chats and agents, not sessions and assistants."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from server.core.errors import NotFound

Method = Callable[..., Awaitable[Any]]


def calls(stored: str, noun: str) -> Callable[[Method], Method]:
    """A method whose callers know the record that is stored as `stored` by another noun."""

    def decorate(method: Method) -> Method:
        @wraps(method)
        async def renamed(*args: Any) -> Any:
            try:
                return await method(*args)
            except NotFound as error:
                if error.reason != f"{stored.upper()}_NOT_FOUND":
                    raise
                raise NotFound.of(noun) from None

        return renamed

    return decorate
