"""The timeout that a method has when its caller gives none."""

from enum import Enum
from typing import Final


class Default(Enum):
    """A type of its own, because None is a timeout: no deadline."""

    TIMEOUT = 0


DEFAULT: Final = Default.TIMEOUT


def chosen(timeout: float | Default | None, otherwise: float | None) -> float | None:
    """The caller's timeout, or the one of the client."""
    if isinstance(timeout, Default):
        return otherwise
    if timeout is not None and timeout <= 0:
        raise ValueError(f"timeout is {timeout} and must be more than 0; None sets no deadline")
    return timeout
