"""`parley chats tail` at a real server: what is said shows up as it is said, also after the server was away."""

import asyncio
import json
import signal
from contextlib import asynccontextmanager

import httpx
import pytest

from server.cli.screen import Screen
from server.core.ids import new_id
from tests.processes import SECONDS, Serving, run, running
from tests.test_cli import refused


@asynccontextmanager
async def tailing(parley, *arguments):
    """`chats tail` of the development org, once it follows; and a way to wait for its output."""
    words = ("--data", parley.data, "--url", parley.url, *arguments)
    async with running("parley", "chats", "tail", *words) as tail:
        if not any(len(str(word)) == 36 for word in arguments):
            assert b"following the chats at" in await line_of(tail.stderr, b"following")
        yield tail


async def line_of(stream, part):
    """The next line that has this in it."""
    async with asyncio.timeout(SECONDS):
        async for line in stream:
            if part in line:
                return line
    raise AssertionError(f"no line with {part}")


async def until(stream, part):
    """What a stream has up to this text."""
    async with asyncio.timeout(SECONDS):
        return await stream.readuntil(part)


async def say(parley, text, **members):
    body = {"assistantId": parley.keys["assistantId"], "input": text, **members}
    headers = {"authorization": f"Bearer {parley.keys['api']}"}
    async with httpx.AsyncClient(base_url=parley.url, headers=headers, timeout=SECONDS) as client:
        answer = await client.post("/chat", json=body)
        assert answer.status_code in (200, 201), answer.text
        return answer


@pytest.fixture(scope="module")
async def parley(tmp_path_factory):
    async with Serving(tmp_path_factory.mktemp("tailed") / "data", PARLEY_OFFLINE_DELAY_MS=20) as parley:
        yield parley


async def test_chats_show_up_as_they_are_said_until_ctrl_c(parley):
    async with tailing(parley) as tail:
        await say(parley, "Hello \x1b[31mthere")
        whole = await until(tail.stdout, b"offline/offline-1\n")
        streamed = asyncio.create_task(say(parley, "one " * 100, stream=True))
        begun = await until(tail.stdout, b"assistant: You said:")
        said_before_the_end = not streamed.done()
        rest = await until(tail.stdout, b"offline/offline-1\n")
        await streamed
        tail.send_signal(signal.SIGINT)
        out, err = await tail.communicate()

    text = whole.decode()
    assert "user: Hello \N{REPLACEMENT CHARACTER}[31mthere\nassistant: You said: Hello" in text
    assert "── completed, " in text and "\x1b" not in text
    assert b"user: one one" in begun and said_before_the_end
    assert rest.count(b"one") == 100
    assert (tail.returncode, out.strip(), err) == (130, b"", b"")


async def test_events_are_lines_of_json(parley):
    async with tailing(parley, "--json") as tail:
        chat = (await say(parley, "Hello")).json()
        events = [json.loads(await line_of(tail.stdout, b"chatId"))]
        while "completed" not in events[-1]:
            events.append(json.loads(await line_of(tail.stdout, b"chatId")))

    assert {event["chatId"] for event in events} == {chat["id"]}
    assert [event["sequence"] for event in events] == list(range(len(events)))
    assert "".join(event["delta"]["text"] for event in events if "delta" in event) == "You said: Hello"
    assert events[-1]["completed"]["output"][0]["content"] == "You said: Hello"


async def test_one_chat_is_followed_to_its_end(parley):
    chat = (await say(parley, "Hello")).json()
    words = ("--data", parley.data, "--url", parley.url)
    ended = await run("parley", "chats", "tail", chat["id"], *words)
    unknown = await run("parley", "chats", "tail", new_id(), *words)

    assert (ended.code, ended.err) == (0, "")
    assert "user: Hello\nassistant: You said: Hello\n── completed, " in ended.out
    assert "chat not found: it does not exist, or belongs to another org than the key" in refused(unknown)


async def test_what_is_wrong_is_one_line_that_names_the_remedy(parley, tmp_path):
    key = ("--key", "api_wrong")
    unknown, no_key, away, no_url = await asyncio.gather(
        run("parley", "chats", "tail", "--url", parley.url, *key),
        run("parley", "chats", "tail", "--url", parley.url, "--data", tmp_path),
        run("parley", "chats", "tail", "--url", "http://127.0.0.1:1", *key),
        run("parley", "chats", "tail", "--url", "localhost:8080", *key),
    )

    assert "UNAUTHENTICATED" in refused(unknown)
    assert "no key: name one with --key or --key-file" in refused(no_key)
    assert "nothing answers at http://127.0.0.1:1" in refused(away)
    assert "--url: 'localhost:8080' is not http://HOST:PORT" in refused(no_url)


async def test_chat_is_followed_on_after_the_server_was_away(tmp_path):
    async with Serving(tmp_path / "data", PARLEY_OFFLINE_DELAY_MS=20, PARLEY_GRACE_SECONDS=0) as first:
        async with tailing(first) as tail:
            cut = asyncio.create_task(say(first, "one " * 1000, stream=True))
            await until(tail.stdout, b"assistant: You said: one")
            await first.stop()
            await asyncio.wait([cut])
            await line_of(tail.stderr, b"trying again")
            async with Serving(first.data, http=first.http, grpc=first.grpc) as second:
                await line_of(tail.stderr, b"connected again")
                ended = await until(tail.stdout, b"offline/offline-1\n")
                await say(second, "Hello again")
                after = await until(tail.stdout, b"assistant: You said: Hello again\n")

    assert "── incomplete: " in ended.decode() and "(server_stopped)" in ended.decode()
    assert b"user: Hello again\n" in after


def test_texts_of_several_chats_are_not_mixed():
    written: list[str] = []
    screen = Screen(written.append, clock=lambda: 0.0)
    screen.show("a", "1")
    screen.show("b", "x")
    screen.show("a", "2\n")
    screen.end("b")
    screen.end("a")

    assert "".join(written) == "12\nx"


def test_chat_that_is_silent_lets_others_show():
    written, now = [], [0.0]
    screen = Screen(written.append, clock=lambda: now[0])
    screen.show("a", "1")
    screen.show("b", "x\n")
    screen.hand_over()
    now[0] = 10.0
    screen.hand_over()
    screen.show("a", "2\n")
    screen.end("b")
    screen.end("a")

    text = "".join(written)
    assert text.index("x\n") < text.index("2\n")
    assert "… chat a goes on below" in text and "── chat a goes on\n" in text
