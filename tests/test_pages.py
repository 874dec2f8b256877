"""What Envoy answers out of files, as HTTP: types, policies, gzip, ETags. What a person sees of it is
test_playground.py's."""

import gzip
import re

import pytest

from gateway.launcher import ROOT
from gateway.page_routes import FOLDER, PAGES

PATHS = [*(page.path for page in PAGES), "/openapi.json"]
LARGE = "/pages/scalar.js"
"""It is stored as gzip, and sent as such to everybody."""
MOST_OF_PLAYGROUND = 60_000
"""Bytes of gzip, all that `/` loads."""


@pytest.mark.parametrize("page", PAGES, ids=[page.path for page in PAGES])
async def test_page_is_served_to_anyone_and_trusts_nothing(http, page):
    answer = await http.get(page.path, headers={"accept-encoding": "identity"})
    stored = (FOLDER / page.file).read_bytes()

    assert (answer.status_code, answer.headers["content-type"]) == (200, page.content_type)
    assert answer.content == (gzip.decompress(stored) if page.file.endswith(".gz") else stored)
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-request-id"]
    assert answer.headers.get("content-encoding") == ("gzip" if page.file.endswith(".gz") else None)


@pytest.mark.parametrize(("path", "unsafe"), [("/", []), ("/docs", ["style-src 'self' 'unsafe-inline'"])])
def test_page_runs_nothing_that_is_not_a_file_of_its_own(path, unsafe):
    [page] = (page for page in PAGES if page.path == path)
    html = (FOLDER / page.file).read_text()

    assert [rule for rule in page.policy.split("; ") if "unsafe" in rule] == unsafe
    assert re.findall(r"<script[^>]*>(?!</script>)|<style|\son\w+=|style=", html) == []
    assert re.findall(r"https?://", html) == []


@pytest.mark.parametrize("path", PATHS)
async def test_page_is_sent_as_gzip_to_callers_that_take_it(http, path):
    async with http.stream("GET", path, headers={"accept-encoding": "br;q=1, GZIP;q=0.5"}) as answer:
        packed = b"".join([piece async for piece in answer.aiter_raw()])
    plain = await http.get(path, headers={"accept-encoding": "gzip;q=0, identity"})

    assert (answer.headers["content-encoding"], answer.headers["vary"]) == ("gzip", "accept-encoding")
    assert int(answer.headers["content-length"]) == len(packed)
    assert plain.headers.get("content-encoding") == ("gzip" if path == LARGE else None)
    assert gzip.decompress(packed) == plain.content


@pytest.mark.parametrize("path", PATHS)
async def test_page_that_a_caller_has_is_not_sent_again(http, path):
    etag = (await http.get(path)).headers["etag"]
    for known in (etag, etag.removeprefix("W/"), f'"other", {etag}'):
        again = await http.get(path, headers={"if-none-match": known})

        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
        assert "location" not in again.headers
    changed = await http.get(path, headers={"if-none-match": 'W/"other"'})

    assert changed.status_code == 200


@pytest.mark.parametrize("path", PATHS)
async def test_page_is_only_read(http, path):
    head = await http.head(path)
    posted = await http.post(path)

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["etag"]
    assert (posted.status_code, posted.headers["allow"]) == (405, "GET, HEAD")


async def test_playground_is_small(http):
    loaded = [page.path for page in PAGES if page.path in ("/", "/pages/playground.js", "/pages/style.css")]
    sizes = {path: int((await http.get(path)).headers["content-length"]) for path in loaded}

    assert len(sizes) == 3
    assert sum(sizes.values()) < MOST_OF_PLAYGROUND, sizes


def test_every_file_of_the_pages_is_served():
    assert {file.name for file in FOLDER.iterdir()} == {page.file for page in PAGES}
    assert FOLDER.is_relative_to(ROOT)
