"""A real Chromium for the tests of pages, and a wire to the service that can be cut. Checks nothing by itself."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from playwright.async_api import Browser, Page, Playwright, async_playwright

CHROMIUM = os.environ.get("PARLEY_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
NEEDED = pytest.mark.skipif(
    CHROMIUM is None,
    reason="there is no Chromium (Debian: apt-get install chromium; or name one in PARLEY_TEST_CHROMIUM)",
)
QUIET = (
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    driver: Playwright
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=[*QUIET])
        try:
            yield browser
        finally:
            await browser.close()


class Watched:
    """What a page asked for and complained about."""

    def __init__(self, page: Page, origin: str) -> None:
        self.outside: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self._asked(request.url, origin))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self._printed(message.type, message.text))

    def _asked(self, url: str, origin: str) -> None:
        if not url.startswith((f"{origin}/", "data:", "blob:")):
            self.outside.append(url)

    def _printed(self, kind: str, text: str) -> None:
        # Chromium's own line for an answer that is an error; the page shows what the service says.
        if kind in ("error", "warning") and not text.startswith("Failed to load resource"):
            self.complaints.append(text)


class Wire:
    """`async with Wire(port) as wire`: passes bytes to a port of this machine, until it is cut."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> "Wire":
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """Break every connection that there is; new ones are passed on as before."""
        for writer in self._open:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward = await asyncio.open_connection("127.0.0.1", self._to)
        mine = {writer, onward[1]}
        self._open |= mine
        await asyncio.gather(_pass(reader, onward[1]), _pass(onward[0], writer))
        self._open -= mine


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()
