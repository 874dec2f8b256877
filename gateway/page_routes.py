"""Routes that Envoy answers from files: the playground at `/`, the API reference at `/docs`, their assets,
and /openapi.json.

A file has an ETag, which is its digest, and is sent as gzip to clients that accept it. The launcher adds
these routes to those of envoy.yaml as it starts Envoy, since digests are not written by hand. Does not build
the pages (scripts/pages does), and knows no path that a server answers.
"""

import base64
import gzip
from copy import deepcopy
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().with_name("pages")
DOCUMENT = "/openapi.json"
_RATE_LIMIT = "envoy.filters.http.local_ratelimit"
_GET = {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}}
# with a weight of zero it is refused
_WEIGHT = r"(\s*;\s*q=(0\.0{0,2}[1-9]\d*|1(\.0{0,3})?))?"
_TAKES_GZIP = {
    "name": "accept-encoding",
    "string_match": {"safe_regex": {"regex": rf"(?i)(.*,)?\s*(gzip|\*){_WEIGHT}\s*(,.*)?"}},
}

_GZIP = b"\x1f\x8b"

Route = dict[str, Any]


class Page(NamedTuple):
    """A file that is served, and under which path."""

    path: str
    file: str
    content_type: str
    policy: str = "default-src 'none'"
    """Its Content-Security-Policy."""
    most: int = 200
    """How many may be sent at once, refilled by a quarter of it per second: Envoy holds each answer until it
    is read."""


PLAYGROUND_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
# Scalar creates style elements and attributes as it runs; this and the lines below limit what they may load.
DOCS_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
PAGES = (
    Page("/", "index.html", "text/html; charset=utf-8", PLAYGROUND_POLICY),
    Page("/pages/playground.js", "playground.js", "text/javascript; charset=utf-8"),
    Page("/pages/style.css", "style.css", "text/css; charset=utf-8"),
    Page("/pages/icon.svg", "icon.svg", "image/svg+xml"),
    Page("/pages/licenses.txt", "licenses.txt", "text/plain; charset=utf-8"),
    Page("/docs", "docs.html", "text/html; charset=utf-8", DOCS_POLICY),
    Page("/pages/docs.js", "docs.js", "text/javascript; charset=utf-8"),
    Page("/pages/docs-style.css", "docs-style.css", "text/css; charset=utf-8"),
    Page("/pages/scalar.js", "scalar.js.gz", "text/javascript; charset=utf-8", most=20),
)


def add_pages(virtual_host: dict[str, Any], root: Path) -> None:
    """Put the routes of the pages into `virtual_host`, whose files are named from `root`."""
    routes = virtual_host["routes"]
    at = next(place for place, route in enumerate(routes) if route["match"].get("path") == DOCUMENT)
    document, wrong_method = routes[at], routes[at + 1]
    content = (root / document["direct_response"]["body"]["filename"]).read_bytes()
    # in the place of envoy.yaml's own, which has its limits and its headers; and before the route of unknown paths
    routes[at : at + 1] = _versions(document, content)
    routes[-1:-1] = [route for page in PAGES for route in _routes(page, document, wrong_method)]


def _routes(page: Page, document: Route, wrong_method: Route) -> list[Route]:
    headers = {
        "content-type": page.content_type,
        "content-security-policy": page.policy,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
    }
    filters = deepcopy(document["typed_per_filter_config"])
    limit = filters[_RATE_LIMIT]
    limit["stat_prefix"] = page.file.replace(".", "_")
    limit["token_bucket"] |= {"max_tokens": page.most, "tokens_per_fill": -(-page.most // 4)}
    whole: Route = {
        "name": document["name"],
        "match": {"path": page.path, "headers": [_GET]},
        "direct_response": {"status": 200, "body": {"filename": str(FOLDER / page.file)}},
        "response_headers_to_add": _set(headers),
        "typed_per_filter_config": filters,
    }
    refusal = {**wrong_method, "match": {"path": page.path}}
    return [*_versions(whole, (FOLDER / page.file).read_bytes()), refusal]


def _versions(whole: Route, content: bytes) -> list[Route]:
    """Return a route in three versions: for clients that have the file, for those that accept gzip, and for
    others.

    A large file that is stored as gzip is sent as such to all clients.
    """
    is_packed = content.startswith(_GZIP)
    packed, digest = (content, _digest(content)) if is_packed else _packed(content)
    etag = f'W/"{digest}"'  # weak, since it is that of both encodings
    caching = _set({"etag": etag, "vary": "accept-encoding", "cache-control": "no-cache"})
    headers = [*whole["response_headers_to_add"], *caching]
    match = whole["match"]
    known = {"name": "if-none-match", "string_match": {"contains": digest}}
    unchanged = {
        **whole,
        "match": {**match, "headers": [*match["headers"], known]},
        "direct_response": {"status": 304},
        "response_headers_to_add": headers,
        "response_headers_to_remove": ["location"],  # Envoy takes it for a redirect
        "typed_per_filter_config": {
            name: config for name, config in whole["typed_per_filter_config"].items() if name != _RATE_LIMIT
        },
    }
    small = {
        **whole,
        "match": {**match, "headers": [*match["headers"], _TAKES_GZIP]},
        "direct_response": {
            "status": 200,
            "body": {"inline_bytes": base64.b64encode(packed).decode()},
        },
        "response_headers_to_add": [*headers, *_set({"content-encoding": "gzip"})],
    }
    if is_packed:
        small |= {"match": match, "direct_response": whole["direct_response"]}
        return [unchanged, small]
    return [unchanged, small, {**whole, "response_headers_to_add": headers}]


@cache
def _packed(content: bytes) -> tuple[bytes, str]:
    """The content as gzip, and its digest."""
    return gzip.compress(content, 6, mtime=0), _digest(content)


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()[:32]


def _set(headers: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        for name, value in headers.items()
    ]
