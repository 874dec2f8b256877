"""One load from its first call to its last, with what it shows meanwhile. Judges and writes nothing."""

import asyncio
import signal
import time
from datetime import UTC, datetime

from server.cli.load.calls import Caller
from server.cli.load.live import show_progress
from server.cli.load.measured import Measured
from server.cli.load.plan import Plan
from server.cli.load.preflight import Unusable, try_each
from server.cli.load.report import Ran
from server.cli.load.run import Load

__all__ = ["Unusable", "execute"]


async def execute(plan: Plan, *, shown: bool) -> tuple[Measured, Ran]:
    """Carry a load out, until its end or until SIGINT or SIGTERM. Raises Unusable before it begins."""
    caller, measured = _caller(plan), Measured(plan)
    try:
        await try_each(plan, caller)
        return measured, await _run(Load(plan, caller, measured), measured, shown=shown)
    finally:
        await caller.aclose()


async def _run(load: Load, measured: Measured, *, shown: bool) -> Ran:
    began, clock, processor = datetime.now(UTC), time.perf_counter(), time.process_time()
    task, interrupted = asyncio.create_task(load.run()), False
    progress = asyncio.create_task(show_progress(load, measured)) if shown else None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        interrupted = True
    finally:
        if progress is not None:
            progress.cancel()
            await asyncio.gather(progress, return_exceptions=True)  # a terminal that is gone costs no report
    return Ran(began, time.perf_counter() - clock, time.process_time() - processor, interrupted)


def _caller(plan: Plan) -> Caller:
    if plan.door == "grpc":
        from server.cli.load.stubs import GrpcCaller

        return GrpcCaller(plan)
    from server.cli.load.rest import RestCaller

    return RestCaller(plan)
