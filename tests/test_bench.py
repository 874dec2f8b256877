"""`scripts/bench` with the smallest sizes: it runs against real servers, sees what is lost, and makes its report.
What it measures is not looked at."""

import json
from pathlib import Path

import pytest

from tests.bench.client import Answer
from tests.bench.contenders import openai_form, upstream
from tests.bench.paced import Failed, call_of, streams, whole_answers
from tests.bench.upstream import Pace
from tests.documents import ROOT
from tests.processes import run

TINY = Pace(1, 5, 2)


async def test_a_small_run_makes_a_report_that_names_every_contender(tmp_path: Path) -> None:
    sizes = "--tokens 4 --streams 2 --rounds 1 --waves 1 --first-calls 2 --peers fastapi,envoy"
    options = ("tokens", *sizes.split(), "--report", tmp_path)
    ended = await run("python", "-m", "tests.bench", *options, PYTHONPATH=ROOT)

    assert ended.code == 0, ended.err
    report = json.loads((tmp_path / "bench.json").read_bytes())
    assert {goal["id"] for goal in report["goals"]} == {"R1", "R2", "R4"}
    named = ["Parley, POST /chat", "Parley, OpenAI form", "FastAPI + OpenAI SDK", "plain Envoy"]
    assert [list(bars["values"]) for bars in report["figures"]] == [named] * 3
    page = (tmp_path / "bench.html").read_text()
    assert [name for name in named if f">{name}<" not in page] == []
    assert "//" not in page


async def test_the_paced_provider_answers_every_token_as_a_stream_and_whole() -> None:
    async with upstream() as provider:
        load = await streams(provider, TINY, at_once=2, calls=4)
        await whole_answers(provider, TINY, at_once=2, calls=4)

    assert [(call.lost, call.disordered) for call in load.calls] == [(0, 0)] * 4


async def test_a_contender_that_refuses_is_named_with_what_it_says() -> None:
    async with upstream() as provider:
        broken = openai_form("broken", provider.address, provider.pid)._replace(
            request=lambda pace, stream: b"POST / HTTP/1.1\r\nhost: bench\r\n\r\n"
        )

        with pytest.raises(Failed, match="broken: status 411"):
            await streams(broken, TINY, at_once=1, calls=1)


def test_tokens_that_are_lost_or_out_of_order_are_seen_however_the_bytes_are_cut() -> None:
    events = [f'data: {{"delta":" w{number}"}}\n\n'.encode() for number in (0, 2, 1, 4)]
    body = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events) + b"0\r\n\r\n"
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body
    answer = Answer(200, 0.0, [(float(at), raw[at : at + 1]) for at in range(len(raw))])

    call = call_of(answer, TINY)

    assert (call.lost, call.disordered) == (1, 1)
    assert [len(call.gaps), call.whole] == [3, len(raw) - 1]
