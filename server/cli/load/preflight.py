"""One call of each kind before a load: what is wrong with the command is found before it is measured."""

import asyncio

from server.cli.load.calls import ANSWER, CONNECTION, SHED, TIMEOUT, Caller, Failed
from server.cli.load.plan import Plan

_ATTEMPTS = 5
_BUSY = frozenset({"408", "409", "425"})
_MISTAKES = frozenset(
    {"INVALID_ARGUMENT", "UNAUTHENTICATED", "PERMISSION_DENIED", "NOT_FOUND", "UNIMPLEMENTED"}
)


class Unusable(Exception):
    """The service cannot be called like that; says why in one line."""


async def try_each(plan: Plan, caller: Caller) -> None:
    """Make a call of each kind. Raises Unusable for what no load would mend; a server that is merely busy
    is what a load is there to measure."""
    if "read" in plan.mix:
        await _make_chat(plan, caller)
    tries = (_failure(plan, caller, kind) for kind in plan.mix)
    for kind, failure in zip(plan.mix, await asyncio.gather(*tries), strict=True):
        _raise_final(plan, kind, failure)


async def _make_chat(plan: Plan, caller: Caller) -> None:
    """Make what `read` reads."""
    for left in reversed(range(_ATTEMPTS)):
        failure = await _failure(plan, caller, "chat")
        if failure is None:
            return
        _raise_final(plan, "chat", failure)
        if not left:
            raise Unusable(f"`read` needs a chat, and none could be made: {_text(plan, 'chat', failure)}")


def _raise_final(plan: Plan, kind: str, failure: Failed | None) -> None:
    if failure is not None and _is_final(failure):
        raise Unusable(_text(plan, kind, failure))


async def _failure(plan: Plan, caller: Caller, kind: str) -> Failed | None:
    try:
        async with asyncio.timeout(plan.timeout):
            await caller.call(kind, plan.inputs[0])
    except Failed as error:
        return error
    except TimeoutError:
        return Failed(TIMEOUT, "", f"not answered within {plan.timeout:g} s")
    return None


def _is_final(failure: Failed) -> bool:
    if failure.kind == "http":
        return failure.code.startswith(("3", "4")) and failure.code not in _BUSY
    return failure.kind in (CONNECTION, TIMEOUT, ANSWER) or failure.code in _MISTAKES


def _text(plan: Plan, kind: str, failure: Failed) -> str:
    message = " ".join(failure.message.split())
    if failure.kind == CONNECTION:
        return f"{plan.url} cannot be reached: {message or failure.code}"
    if failure.kind in ("http", "grpc", SHED):
        return f"{plan.url} answers `{kind}` with {failure.code}: {message}"
    return f"{plan.url} does not answer `{kind}`: {message or failure.kind}"
