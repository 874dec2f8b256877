"""Renames records in NotFound errors: the Responses interface has conversations and responses instead of
sessions and chats; the agents interface has chats and agents instead of sessions and assistants."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from server.core.errors import NotFound

Method = Callable[..., Awaitable[Any]]


def calls(stored: str, noun: str) -> Callable[[Method], Method]:
    """Return a decorator for methods whose callers know the stored record `stored` as `noun`."""

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
