"""What a load is made of, as the options say it, and when its calls are to begin. Calls nothing."""

import math
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click

KINDS: Mapping[str, str] = {
    "chat": "POST /chat, answered whole",
    "stream": "POST /chat, streamed",
    "responses": "POST /v1/responses, answered whole",
    "responses-stream": "POST /v1/responses, streamed",
    "completions": "POST /v1/chat/completions, answered whole",
    "completions-stream": "POST /v1/chat/completions, streamed",
    "session": "a turn of a session, by POST /chat; each tenth also begins a session",
    "read": "GET /chat/{id} of a chat that this load has made",
    "list": "GET /chat, the latest 20",
}
"""The kinds of calls, and what each is at the REST door; over gRPC it is the method of the same name."""
STREAMS = frozenset({"stream", "responses-stream", "completions-stream"})
TURNS_OF_A_SESSION = 10

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_MOST_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Plan:
    """One load. `rate` is None in a closed loop, `users` in an open one."""

    door: Literal["rest", "grpc"]
    url: str
    key: str
    assistant: str
    mix: Mapping[str, int]
    inputs: tuple[str, ...]
    seconds: float
    rate: float | None = None
    users: int | None = None
    arrivals: Literal["poisson", "constant"] = "poisson"
    ramp: float = 0.0
    warm_up: float = 0.0
    think: float = 0.0
    timeout: float = 30.0
    most_in_flight: int = 4000
    seed: int | None = None
    ca: Path | None = None

    @property
    def uncounted(self) -> float:
        """The seconds at the beginning whose calls are in no percentile."""
        return self.ramp + self.warm_up

    @property
    def whole(self) -> float:
        """The seconds from the first call to the last."""
        return self.uncounted + self.seconds

    def begins(self, draw: random.Random) -> Iterator[float]:
        """Yield when the calls of an open loop are to begin, in seconds from the start of the load.

        During the ramp the rate grows evenly from nothing.
        """
        assert self.rate is not None
        # The mean number of calls up to a moment, inverted: quadratic during the ramp, linear after it.
        in_ramp, number = self.rate * self.ramp / 2, 0.0
        while True:
            at = (
                math.sqrt(2 * number * self.ramp / self.rate)
                if number < in_ramp
                else self.ramp + (number - in_ramp) / self.rate
            )
            if at >= self.whole:
                return
            yield at
            number += draw.expovariate(1) if self.arrivals == "poisson" else 1.0

    def kinds(self, draw: random.Random) -> Iterator[str]:
        """Yield the kind of each call, in the proportions of the mix."""
        names, weights = [*self.mix], [*self.mix.values()]
        while True:
            yield from draw.choices(names, weights, k=64)


class Duration(click.ParamType):  # type: ignore[type-arg]  # click 8.3 has no generic one
    """60s, 5m, 1m30s, 500ms, or a number of seconds."""

    name = "duration"

    def __init__(self, least: float = 0.0) -> None:
        self._least = least

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds."""
        if isinstance(value, float):
            return value
        parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", str(value))
        if "".join(map("".join, parts)) == value:
            seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
        elif re.fullmatch(r"\d+(?:\.\d+)?", str(value)):
            seconds = float(str(value))
        else:
            self.fail(f"{value!r} is not a duration; write it as 60s, 5m, 1m30s or 500ms", param, ctx)
        if not self._least <= seconds <= _MOST_SECONDS:
            self.fail(f"{value!r} is not between {self._least:g} s and 24 h", param, ctx)
        return seconds


class Mix(click.ParamType):  # type: ignore[type-arg]  # click 8.3 has no generic one
    """Kinds of calls with their weights: chat=3,stream=1."""

    name = "mix"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, int]:
        """Return the weight of each kind."""
        if isinstance(value, dict):
            return value
        found: dict[str, int] = {}
        for part in str(value).split(","):
            name, equals, weight = (piece.strip() for piece in part.partition("="))
            if name not in KINDS:
                self.fail(f"{name!r} is none of {', '.join(KINDS)}", param, ctx)
            if name in found:
                self.fail(f"{name!r} is named twice", param, ctx)
            if equals and not (weight.isdecimal() and 1 <= int(weight) <= 1_000_000):
                self.fail(f"{part.strip()!r} has no weight of 1 to 1000000 behind its =", param, ctx)
            found[name] = int(weight) if equals else 1
        return found


class Share(click.ParamType):  # type: ignore[type-arg]  # click 8.3 has no generic one
    """A share of the calls: 1%, or 0.01."""

    name = "share"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return it as a number from 0 to 1."""
        if isinstance(value, float):
            return value
        text = str(value)
        number = text.removesuffix("%").strip()
        share = float(number) / (100 if text.endswith("%") else 1) if _is_number(number) else -1.0
        if not 0 <= share <= 1:
            self.fail(f"{value!r} is not a share; write it as 1% or 0.01", param, ctx)
        return share


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\d+(?:\.\d+)?", text) is not None
