"""The API reference at `/docs`, in a real Chromium: it shows the OpenAPI document, sends requests, and asks nobody
else for anything."""

import re

import pytest
from playwright.async_api import expect

from tests.browser import NEEDED, Watched, chromium

pytestmark = NEEDED
DOORS = ("Assistants door", "OpenAI form", "Completions door", "Agents door")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_reference_shows_every_door_and_asks_this_origin_alone(service, org, scheme):
    async with chromium() as browser:
        page = await browser.new_page(color_scheme=scheme)
        watched = Watched(page, service.http_url)
        await page.goto(f"{service.http_url}/docs")
        await expect(page.get_by_role("heading", name="Parley", exact=True)).to_be_visible()
        await expect(page.locator(f"body.{scheme}-mode")).to_have_count(1)
        for group in DOORS:
            await expect(page.get_by_role("button", name=f"Group - {group}")).to_be_visible()
        await page.get_by_placeholder("Token").first.fill(org.api)
        await page.get_by_role("button", name="Open Group - Chats").click()
        await page.get_by_role("link", name="Create a chat").first.click()
        await page.get_by_role("button", name=re.compile("^Test Request")).first.click()
        async with page.expect_response(lambda answer: answer.request.method == "POST") as sent:
            await page.get_by_role("button", name=re.compile("^Send")).first.click()
        answer = await sent.value

    assert answer.url.startswith(f"{service.http_url}/")
    assert answer.request.headers["authorization"] == f"Bearer {org.api}"
    assert answer.status != 401
    assert (watched.outside, watched.complaints) == ([], [])
