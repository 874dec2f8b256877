"""The playground at `/`, in a real Chromium against the real server behind the real Envoy."""

import json
import shlex
import shutil
import sys

import httpx
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from tests.browser import NEEDED, Watched, Wire, chromium
from tests.conftest import running
from tests.processes import run

pytestmark = NEEDED
WEATHER = {
    "name": "weather",
    "model": {
        "provider": "offline",
        "model": "offline-1",
        "tools": [
            {
                "type": "function",
                "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}},
            }
        ],
    },
}
SLOW_TEXT = "word " * 60
"""Its answer streams for seconds."""


@pytest.fixture(scope="module")
async def slow(tmp_path_factory):
    """A service that streams slowly enough to be stopped and cut."""
    async with running(tmp_path_factory.mktemp("playground"), offline_delay_ms=15) as started:
        yield started


@pytest.fixture(scope="module")
async def browser():
    async with chromium() as started:
        yield started


@pytest.fixture
async def org(slow):
    return await slow.new_org()


@pytest.fixture
async def context(browser):
    made = await browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    made.set_default_timeout(15_000)
    yield made
    await made.close()


@pytest.fixture
async def page(context, slow, org):
    """The playground, opened with an org's key; afterwards it has asked for nothing elsewhere."""
    page = await context.new_page()
    watched = Watched(page, slow.http_url)
    await page.goto(slow.http_url)
    await enter(page, org.api)
    yield page
    assert (watched.outside, watched.complaints) == ([], [])


async def enter(page, key):
    await page.get_by_label("API key").fill(key)
    await page.get_by_role("button", name="Open the playground").click()


async def say(page, text):
    message = page.get_by_label("Message", exact=True)
    await message.fill(text)
    await message.press("Enter")


def turn(page, number):
    return page.locator(".turn").nth(number)


async def answered(page, number):
    """Wait until an exchange is over."""
    await expect(turn(page, number).get_by_role("button", name="Fork")).to_be_visible()
    return turn(page, number)


async def request_body(service, org, path):
    async with httpx.AsyncClient(base_url=service.http_url) as http:
        return await http.get(path, headers=org.bearer)


async def chats_of(service, org):
    return (await request_body(service, org, "/chat")).json()["results"]


async def violations(page):
    found = await Axe().run(page)
    return [(one["id"], [node["target"] for node in one["nodes"]]) for one in found.response["violations"]]


# --- the key ------------------------------------------------------------------------------------------------


async def test_key_that_is_not_good_is_refused_in_the_words_of_the_service(context, slow, org):
    page = await context.new_page()
    await page.goto(slow.http_url)
    await expect(page.get_by_text("data/dev-keys.json", exact=True)).to_be_visible()

    await enter(page, "api_wrong")
    await expect(page.get_by_role("alert")).to_contain_text("a valid key is required")
    await expect(page.get_by_role("alert")).to_contain_text("HTTP 401")
    await enter(page, org.secret)
    await expect(page.get_by_role("alert")).to_contain_text("needs an api key")


async def test_key_is_kept_in_memory_alone(page, org):
    await say(page, "Hello")
    await answered(page, 0)
    stored = await page.evaluate(
        "async () => [{...localStorage}, {...sessionStorage}, document.cookie, (await indexedDB.databases()).length,"
        " (await caches.keys()).length, location.href.includes('api_')]"
    )

    assert stored == [{}, {}, "", 0, 0, False]
    await page.reload()
    await expect(page.get_by_label("API key")).to_have_value("")


# --- a turn -------------------------------------------------------------------------------------------------


async def test_answer_streams_and_shows_tokens_request_events_and_record(page):
    await say(page, "My name is Ada")
    await answered(page, 0)
    await say(page, "What is my name?")
    second = await answered(page, 1)
    await expect(second).to_contain_text("Your name is Ada.")
    await expect(second).to_contain_text("tokens · $0")

    await second.get_by_role("button", name="Details").click()
    details = page.get_by_role("complementary", name="Details of the exchange")
    await expect(details).to_contain_text("offline/offline-1")
    await details.get_by_role("tab", name="Events").click()
    await expect(details).to_contain_text("response.output_text.delta")
    await expect(details).to_contain_text("[DONE]")
    await details.get_by_role("tab", name="Record").click()
    await expect(details).to_contain_text('"status": "completed"')


async def test_request_is_copied_as_commands_that_run(page, org, slow):
    await say(page, 'It\'s $5 "now"')
    first = await answered(page, 0)
    await first.get_by_role("button", name="Details").click()
    await page.get_by_role("tab", name="Request").click()
    commands = {}
    for language in ("curl", "Python", "grpcurl"):
        await page.get_by_role("tab", name=language, exact=True).click()
        await page.get_by_role("button", name=f"Copy request as {language.lower()}").click()
        await expect(page.get_by_text("Copied")).to_be_visible()
        commands[language] = await page.evaluate("navigator.clipboard.readText()")

    assert org.api not in str(commands)
    curl = await run("/bin/sh", "-c", commands["curl"], PARLEY_KEY=org.api)
    assert "event: response.completed" in curl.out
    python = await run(sys.executable, "-c", commands["Python"], PARLEY_KEY=org.api)
    assert python.out == 'You said: It\'s $5 "now"\n'
    assert '"completed"' in await over_grpc(commands["grpcurl"], org.api, slow.http_url)


async def over_grpc(command, key, url):
    """What the grpcurl command answers; where there is no grpcurl, what buf answers to the same."""
    if shutil.which("grpcurl"):
        return (await run("/bin/sh", "-c", command, PARLEY_KEY=key)).out
    _, _, _, header, _, data, address, method = shlex.split(command.replace("\\\n", " "))
    assert address == url.removeprefix("http://")
    prior = ("curl", "--protocol", "grpc", "--http2-prior-knowledge")
    sent = ("-H", header.replace("$PARLEY_KEY", key), "-d", data, f"{url}/{method}")
    return (await run("buf", *prior, *sent)).out


async def test_result_of_a_tool_is_given_to_the_assistant(page, slow, org):
    await slow.store.assistants.create(org.id, WEATHER)
    await page.reload()
    await enter(page, org.api)
    await page.get_by_role("combobox", name="Assistant").select_option(label="weather")
    await say(page, "What is the weather?")
    await page.get_by_label("Result of get_weather").fill('{"temperature": 21}')
    await page.get_by_role("button", name="Send result").click()

    await expect(await answered(page, 1)).to_contain_text('get_weather returned: {"temperature": 21}')
    await expect(turn(page, 0)).to_contain_text("get_weatherreturned")


async def test_stop_cancels_the_answer(page, slow, org):
    await say(page, SLOW_TEXT)
    await expect(turn(page, 0).locator(".prose")).to_contain_text("You said: word")
    await page.get_by_label("Message", exact=True).press("Escape")

    await expect((await answered(page, 0)).locator(".chip")).to_have_text("cancelled")
    await expect(page.get_by_role("alert")).to_have_count(0)
    assert [chat["status"] for chat in await chats_of(slow, org)] == ["cancelled"]


async def test_stream_that_is_cut_is_read_on_to_its_end(context, slow, org):
    async with Wire(int(slow.http_url.rpartition(":")[2])) as wire:
        page = await context.new_page()
        await page.goto(f"http://127.0.0.1:{wire.port}")
        await enter(page, org.api)
        await say(page, SLOW_TEXT)
        await expect(turn(page, 0).locator(".prose")).to_contain_text("You said: word")
        wire.cut()

        await expect(await answered(page, 0)).to_contain_text("resumed")
        assert await turn(page, 0).locator(".prose").inner_text() == f"You said: {SLOW_TEXT.strip()}"
        await turn(page, 0).get_by_role("button", name="Details").click()
        await page.get_by_role("tab", name="Events").click()
        await expect(page.locator(".events li").last).to_contain_text("[DONE]")
        pieces = await page.locator(".events .event-text").all_text_contents()
        assert "".join(json.loads(piece) for piece in pieces if piece) == f"You said: {SLOW_TEXT}"


async def test_answer_is_text_and_never_code(page):
    await say(page, "<img src=x onerror=alert(1)> **bold** [a](javascript:alert(1)) [b](https://b.example)")
    prose = (await answered(page, 0)).locator(".prose")

    await expect(prose.locator("strong")).to_have_text("bold")
    await expect(prose).to_contain_text("<img src=x onerror=alert(1)>")
    await expect(prose).to_contain_text("javascript:alert(1)")
    await expect(prose.locator("img")).to_have_count(0)
    assert [await link.get_attribute("href") for link in await prose.locator("a").all()] == [
        "https://b.example"
    ]


async def test_exchange_that_runs_is_followed_when_it_is_opened(page, context, slow, org):
    await say(page, SLOW_TEXT)
    await expect(turn(page, 0).locator(".prose")).to_contain_text("You said: word")
    other = await context.new_page()
    await other.goto(slow.http_url)
    await enter(other, org.api)
    await other.get_by_role("navigation", name="Chats").get_by_role("button", name="word").click()

    await expect(turn(other, 0).locator(".prose")).to_contain_text("You said: word")
    await expect((await answered(other, 0)).locator(".prose")).to_have_text(f"You said: {SLOW_TEXT.strip()}")


async def test_error_is_shown_as_the_service_says_it(page, slow, org):
    broken = {"name": "broken", "model": {"provider": "openai", "model": "m"}}
    await slow.store.assistants.create(org.id, broken)
    await page.reload()
    await enter(page, org.api)
    await page.get_by_role("combobox", name="Assistant").select_option(label="broken")
    await say(page, "Hello")

    await expect(page.get_by_role("alert")).to_contain_text("model.provider openai has no key")
    await expect(turn(page, 0).locator(".chip")).to_have_text("failed")


# --- chats --------------------------------------------------------------------------------------------------


async def test_chats_are_searched_opened_forked_and_deleted(page, slow, org):
    chats = page.get_by_role("navigation", name="Chats")
    for text in ("My name is Ada", "My name is Bo"):
        await page.get_by_role("button", name="New chat").click()
        await say(page, text)
        await answered(page, 0)
    await say(page, "Hello again")
    await answered(page, 1)
    await expect(chats.locator("li")).to_have_count(2)

    await page.get_by_role("searchbox").fill("ada")
    await expect(chats.locator("li")).to_have_count(1)
    await page.get_by_role("searchbox").fill("")
    await chats.get_by_role("button", name="My name is Bo").click()
    await answered(page, 1)
    await turn(page, 0).get_by_role("button", name="Fork").click()
    await say(page, "What is my name?")
    await expect(await answered(page, 1)).to_contain_text("Your name is Bo.")
    await expect(chats.locator("li")).to_have_count(3)

    page.on("dialog", lambda dialog: dialog.accept())
    await page.get_by_role("button", name="Delete this conversation").click()
    await expect(chats.locator("li")).to_have_count(2)
    assert [chat["input"] for chat in await chats_of(slow, org)] == [
        "Hello again",
        "My name is Bo",
        "My name is Ada",
    ]


# --- assistants ---------------------------------------------------------------------------------------------


async def test_assistant_is_edited_with_errors_at_the_field(page, slow, org):
    await page.get_by_role("button", name="Edit the assistant").click()
    editor = page.get_by_role("dialog")
    await expect(editor.get_by_text("Valid")).to_be_visible()
    temperature = editor.get_by_label("Temperature")
    await temperature.fill("7")
    await expect(temperature).to_have_attribute("aria-invalid", "true")
    await expect(editor.locator("#field-model-temperature-problem")).to_have_text("must be at most 2")
    await expect(editor.get_by_role("button", name="Save")).to_be_disabled()
    await temperature.fill("warm")
    await expect(editor.locator("#field-model-temperature-problem")).to_have_text("must be of type number")
    await temperature.fill("0.5")
    await editor.get_by_label("Name", exact=True).fill("renamed")
    await editor.get_by_role("button", name="Save").click()

    await expect(editor).to_have_count(0)
    await expect(page.get_by_role("combobox", name="Assistant")).to_contain_text("renamed")
    stored = (await request_body(slow, org, f"/assistant/{org.assistant_id}")).json()
    assert (stored["name"], stored["model"]["temperature"]) == ("renamed", 0.5)


async def test_what_only_the_service_refuses_is_shown_at_its_field(page):
    await page.get_by_role("button", name="Edit the assistant").click()
    editor = page.get_by_role("dialog")
    await editor.get_by_label("Provider").fill("nobody")
    await editor.get_by_role("button", name="Save").click()

    problem = editor.locator("#field-model-provider-problem")
    await expect(problem).to_contain_text("must be one of offline, anthropic")
    await expect(editor.get_by_role("alert")).to_contain_text("HTTP 400")
    await expect(editor.get_by_role("button", name="Save")).to_be_disabled()
    await editor.get_by_label("Provider").fill("offline")
    await expect(problem).to_be_empty()
    await editor.get_by_role("button", name="Save").click()
    await expect(editor).to_have_count(0)


# --- everybody ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_state_is_accessible(browser, slow, org, scheme):
    await slow.store.assistants.create(org.id, WEATHER)
    context = await browser.new_context(color_scheme=scheme, viewport={"width": 1400, "height": 900})
    page = await context.new_page()
    await page.goto(slow.http_url)
    await enter(page, "api_wrong")
    await expect(page.get_by_role("alert")).to_be_visible()
    assert await violations(page) == []

    await enter(page, org.api)
    await page.get_by_role("combobox", name="Assistant").select_option(label="weather")
    await expect(page.get_by_text("No chats yet.")).to_be_visible()
    assert await violations(page) == []

    await say(page, "The weather, please")
    await page.get_by_label("Result of get_weather").fill("| a |\n|---|\n| `b` |\n\n```py\n1\n```")
    await page.get_by_role("button", name="Send result").click()
    await (await answered(page, 1)).get_by_role("button", name="Details").click()
    for tab in ("Overview", "Request", "Events", "Record"):
        await page.get_by_role("tab", name=tab).click()
        assert (tab, await violations(page)) == (tab, [])

    await page.get_by_role("button", name="Edit the assistant").click()
    await page.get_by_role("dialog").get_by_label("Temperature").fill("9")
    await page.get_by_role("tab", name="JSON").click()
    await expect(page.get_by_role("list", name="Problems")).to_be_visible()
    assert await violations(page) == []
    await context.close()


async def test_phone_has_everything_and_nothing_wider_than_it(browser, slow, org):
    context = await browser.new_context(viewport={"width": 360, "height": 700}, has_touch=True)
    page = await context.new_page()
    await page.goto(slow.http_url)
    await enter(page, org.api)
    await say(page, "word" * 60)
    await answered(page, 0)
    widths = [await page.evaluate("document.documentElement.scrollWidth")]
    assert await violations(page) == []
    await page.get_by_role("button", name="Details").click()
    widths.append(await page.evaluate("document.documentElement.scrollWidth"))
    await page.get_by_role("button", name="Close details").click()
    await page.get_by_role("button", name="Show chats").click()
    await expect(page.get_by_role("button", name="New chat")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name="Show chats")).to_be_focused()
    await page.get_by_role("button", name="Show chats").click()
    await page.get_by_role("button", name="New chat").click()

    await expect(page.get_by_text("Chat with demo")).to_be_in_viewport()
    assert widths == [360, 360]
    await context.close()


async def test_keyboard_alone_does_it(browser, slow, org):
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(slow.http_url)
    await expect(page.get_by_label("API key")).to_be_focused()
    await page.keyboard.type(org.api)
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Message", exact=True)).to_be_focused()
    await page.keyboard.type("one")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("two")
    await page.keyboard.press("Enter")
    await expect(await answered(page, 0)).to_contain_text("You said: one\ntwo")

    await turn(page, 0).get_by_role("button", name="Details").focus()
    await page.keyboard.press("Enter")
    await page.get_by_role("tab", name="Overview").focus()
    await page.keyboard.press("ArrowRight")
    await expect(page.get_by_role("tab", name="Request")).to_be_focused()
    await expect(page.get_by_label("Request body", exact=True)).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(turn(page, 0).get_by_role("button", name="Details")).to_be_focused()
    await page.get_by_role("button", name="Edit the assistant").press("Enter")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.get_by_role("button", name="Edit the assistant")).to_be_focused()
    await context.close()
