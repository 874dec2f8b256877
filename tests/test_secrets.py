"""Which values of documents are secrets, how they are shown, and how those that come back masked are found
again."""

import cProfile
import json

import pytest

from server.content.secrets import mask_secrets, restore_secrets, without_secrets
from server.core.errors import InvalidArgument

LONG, SHORT = "sk-ant-0123456789", "sk-012345678"
HEADERS_SCHEMA = {"type": "object", "properties": {"x-key": {"type": "string", "value": LONG}}}


def refused(new, old):
    """The fields of the violations."""
    with pytest.raises(InvalidArgument) as error:
        restore_secrets(new, old)
    return [violation.field for violation in error.value.violations]


# --- what is masked -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        pytest.param(
            {"credentials": [{"provider": "a", "apiKey": LONG, "name": "main"}, {"accessTOKEN": SHORT}]},
            {
                "credentials": [
                    {"provider": "a", "apiKey": "****6789", "name": "main"},
                    {"accessTOKEN": "****"},
                ]
            },
            id="credentials",
        ),
        pytest.param(
            {"credentials": [{"gcpKey": {"type": "service_account", "lines": ["a", None]}}]},
            {"credentials": [{"gcpKey": {"type": "****ount", "lines": ["****", None]}}]},
            id="object that is a key",
        ),
        pytest.param(
            {
                "credentials": [
                    {"authenticationPlan": {"clientSecret": LONG, "url": "https://x"}, "password": ""}
                ]
            },
            {
                "credentials": [
                    {"authenticationPlan": {"clientSecret": "****6789", "url": "https://x"}, "password": ""}
                ]
            },
            id="nested credentials",
        ),
        pytest.param(
            {"assistantOverrides": {"credentials": {"provider": "p", "apiKey": LONG}}},
            {"assistantOverrides": {"credentials": {"provider": "p", "apiKey": "****6789"}}},
            id="overrides",
        ),
        pytest.param(
            {"members": [{"assistant": {"server": {"secret": LONG}}}]},
            {"members": [{"assistant": {"server": {"secret": "****6789"}}}]},
            id="assistant in a squad",
        ),
        pytest.param(
            {"model": {"tools": [{"destinations": [{"assistant": {"apiKey": LONG}}]}]}},
            {"model": {"tools": [{"destinations": [{"assistant": {"apiKey": "****6789"}}]}]}},
            id="assistant in a tool",
        ),
        pytest.param(
            {
                "server": {
                    "headers": {"Authorization": LONG, "x-anything": SHORT, "Content-Type": "text/plain"}
                }
            },
            {
                "server": {
                    "headers": {
                        "Authorization": "****6789",
                        "x-anything": "****",
                        "Content-Type": "text/plain",
                    }
                }
            },
            id="headers",
        ),
        pytest.param(
            {"model": {"headers": [{"name": "a", "value": LONG}, ["b", SHORT]]}},
            {"model": {"headers": [{"name": "a", "value": "****6789"}, ["b", "****"]]}},
            id="list of headers",
        ),
        pytest.param(
            {"customHeaders": {"a": 1234, "b": True, "c": None}},
            {"customHeaders": {"a": "****", "b": True, "c": None}},
            id="header that is a number",
        ),
        pytest.param(
            {"headers": HEADERS_SCHEMA},
            {"headers": {"type": "object", "properties": {"x-key": {"type": "string", "value": "****6789"}}}},
            id="schema of headers",
        ),
        pytest.param(
            {"transcriber": {"apiKey": SHORT}, "serverUrlSecret": LONG, "twilioAuthToken": LONG},
            {"transcriber": {"apiKey": "****"}, "serverUrlSecret": "****6789", "twilioAuthToken": "****6789"},
            id="free members",
        ),
        pytest.param(
            {"parameters": [{"key": "api_key", "value": LONG}, {"key": "city", "value": "Bonn"}]},
            {"parameters": [{"key": "api_key", "value": "****6789"}, {"key": "city", "value": "Bonn"}]},
            id="name beside the value",
        ),
        pytest.param(
            {"body": {"type": "object", "properties": {"token": {"type": "string", "value": LONG}}}},
            {"body": {"type": "object", "properties": {"token": {"type": "string", "value": "****6789"}}}},
            id="value fixed in a schema",
        ),
        pytest.param(
            {"url": f"https://me:{LONG}@host/a?x=1&key={SHORT}&X-Amz-Signature={LONG}#access_token={LONG}"},
            {"url": "https://****6789@host/a?x=1&key=****&X-Amz-Signature=****6789#access_token=****6789"},
            id="URL",
        ),
        pytest.param(
            {"urls": ["wss://host/?sig=abc"]}, {"urls": ["wss://host/?sig=****"]}, id="URL in a list"
        ),
    ],
)
def test_secret_is_masked(given, shown):
    before = json.dumps(given)

    assert mask_secrets(given) == shown
    assert mask_secrets(shown) == shown
    assert json.dumps(given) == before
    assert restore_secrets(shown, given) == given


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(
            {"metadata": {"apiKey": LONG}, "variableValues": {"token": LONG}}, id="the caller's own members"
        ),
        pytest.param(
            {"model": {"maxTokens": 7, "stopToken": "x"}, "keywords": ["a"], "primaryKey": "id"},
            id="like a secret",
        ),
        pytest.param(
            {
                "parameters": {
                    "type": "object",
                    "properties": {"apiKey": {"type": "string", "description": "Yours"}},
                    "required": ["apiKey"],
                }
            },
            id="schema that names one",
        ),
        pytest.param(
            {"headers": {"type": "object", "properties": {"accept": {"value": "text/plain"}}}},
            id="harmless header",
        ),
        pytest.param(
            {"headers": {"authorization": "Bearer {{ token }}"}, "apiKey": "{{key}}"}, id="names of variables"
        ),
        pytest.param(
            {"url": "https://host/a@b?page=1", "content": "Ask https://me:pw@host or not"}, id="harmless URL"
        ),
        pytest.param({"apiKey": "", "token": None, "credentials": [], "headers": {}}, id="nothing"),
    ],
)
def test_what_is_no_secret_is_shown(given):
    assert mask_secrets(given) == given
    assert without_secrets(given) == given


def test_literal_in_an_expression_is_masked():
    assert mask_secrets({"apiKey": "{{ 'sk-0123456789' | upcase }}"}) == {"apiKey": "****e }}"}


def test_without_secrets_there_is_no_trace_of_them():
    given = {
        "apiKey": LONG,
        "server": {"headers": {"a": LONG, "accept": "b"}, "url": f"https://{LONG}@host/?key={LONG}&a=1"},
        "credentials": [{"provider": "a", "apiKey": LONG}],
        "headers": [["a", LONG]],
    }

    assert without_secrets(given) == {
        "server": {"headers": {"accept": "b"}, "url": "https://@host/?key=&a=1"},
        "credentials": [{"provider": "a"}],
        "headers": [["a", ""]],
    }


@pytest.mark.parametrize(
    "text",
    [
        "https://" + "{{" * 30_000,
        "https://" + "a?" * 30_000,
        "https://h/?key=" + "{{a" * 30_000,
        "https://" + "@" * 60_000,
    ],
    ids=["braces", "questions", "open", "users"],
)
def test_long_url_is_read_once(text):
    """What takes more than one pass over a text of this length does not end within the time of a test."""
    assert mask_secrets({"url": text})["url"].startswith("https://")


# --- what comes back ----------------------------------------------------------------------------------------


def test_masked_document_sent_back_keeps_its_secrets():
    stored = {
        "name": "n",
        "credentials": [
            {"provider": "a", "apiKey": SHORT},
            {"provider": "a", "apiKey": "other"},
            {"provider": "b", "apiKey": LONG},
        ],
        "server": {"headers": {"a": "1", "b": "2"}, "url": "https://a:1@h/?key=2&key=3"},
    }

    assert restore_secrets(mask_secrets(stored), stored) == stored


def test_masked_secret_is_found_after_another_was_removed():
    stored = {"credentials": [{"provider": "a", "apiKey": SHORT}, {"provider": "b", "apiKey": LONG}]}

    sent = {"credentials": [{"provider": "b", "apiKey": "****6789"}]}

    assert restore_secrets(sent, stored) == {"credentials": [{"provider": "b", "apiKey": LONG}]}


def test_new_secret_replaces_the_stored_one():
    stored = {"credentials": [{"provider": "a", "apiKey": LONG}]}
    sent = {"credentials": [{"provider": "a", "apiKey": "sk-new"}]}

    assert restore_secrets(sent, stored) == sent


def test_stored_secret_that_looks_masked_stays():
    stored = {"credentials": [{"provider": "a", "apiKey": "****"}, {"provider": "a", "apiKey": SHORT}]}

    assert restore_secrets(mask_secrets(stored), stored) == stored


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param({"provider": "other", "apiKey": "****6789"}, id="another provider"),
        pytest.param({"provider": "a", "apiKey": "****9999"}, id="another mask"),
        pytest.param({"provider": "a", "token": "****6789"}, id="another member"),
    ],
)
def test_masked_secret_that_stands_for_nothing_is_refused(sent):
    [field] = refused({"credentials": [sent]}, {"credentials": [{"provider": "a", "apiKey": LONG}]})

    assert field in ("credentials[0].apiKey", "credentials[0].token")


def test_masked_secret_that_stands_for_two_is_refused():
    stored = {"credentials": [{}, {"provider": "a", "apiKey": "1"}, {"provider": "a", "apiKey": "2"}]}

    assert "credentials[0].apiKey" in refused({"credentials": [{"provider": "a", "apiKey": "****"}]}, stored)


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        pytest.param({"server": {"headers": {"x-key": "****"}}}, "server.headers.x-key", id="header"),
        pytest.param({"server": {"url": "https://****@host"}}, "server.url", id="user of a URL"),
        pytest.param(
            {"server": {"url": "https://host/?key=****6789"}}, "server.url", id="parameter of a URL"
        ),
        pytest.param({"a": [{"apiKey": "****"}]}, "a[0].apiKey", id="in a list"),
    ],
)
def test_refusal_names_where_the_masked_secret_stands(sent, field):
    assert refused(sent, {}) == [field]


def calls_to_restore(count):
    """How many functions are called for this many masked secrets that are all alike."""
    stored = {
        "credentials": [{"provider": "a", "apiKey": SHORT} for _ in range(count)],
        "server": {"headers": {f"x-{number}": SHORT for number in range(count)}},
    }
    masked, profile = mask_secrets(stored), cProfile.Profile()
    profile.runcall(restore_secrets, masked, stored)
    return sum(entry.callcount for entry in profile.getstats())


def test_work_grows_as_the_number_of_masked_secrets_does():
    assert calls_to_restore(400) < 2.1 * calls_to_restore(200)
