"""Which addresses may be called."""

import pytest

from server.core.errors import InvalidArgument
from server.core.outbound.guard import AllowedHosts, is_public


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "255.255.255.255", "198.18.0.1", "192.0.2.1", "::", "::1", "fe80::1", "fe80::1%eth0", "fc00::1", "fec0::1",
        "ff0e::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1",
        "64:ff9b:1::a00:1", "2001:db8::1", "2001:0:1:2::1",
    ],
)  # fmt: skip
def test_private_and_reserved_addresses_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860::8888", "::ffff:8.8.8.8"])
def test_public_addresses_are(address):
    assert is_public(address)


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("llm.example", "https://llm.example/v1"),
        ("LLM.example ", "http://LLM.Example:8080/v1"),
        ("llm.example", "https://llm.example./v1"),
        ("llm.example:443", "https://llm.example/v1"),
        ("llm.example:8080", "http://llm.example:8080"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080/v1"),
        ("::1", "http://[::1]:8080/v1"),
        ("[0:0:0:0:0:0:0:1]:8080", "http://[::1]:8080/v1"),
    ],
)
def test_listed_url_is_allowed(entry, url):
    AllowedHosts([entry]).check_url(url)


@pytest.mark.parametrize(
    ("entry", "url"),
    [
        ("llm.example", "https://evil.example/v1"),
        ("llm.example", "https://sub.llm.example/v1"),
        ("llm.example", "https://llm.example.evil.example/v1"),
        ("llm.example:8080", "https://llm.example/v1"),
        ("127.0.0.1", "http://2130706433/"),
        ("::1", "http://[::2]/"),
        ("llm.example", "https://user:secret@llm.example/"),
        ("llm.example", "https://llm.example@evil.example/"),
        ("llm.example", "https://evil.example\\@llm.example/"),
        ("llm.example", "https://llm.example/a\nb"),
        ("llm.example", "ftp://llm.example/"),
        ("llm.example", "file:///etc/passwd"),
        ("llm.example", "//llm.example/"),
        ("llm.example", "https://llm.example:99999/"),
        ("llm.example", "https://[llm.example/"),
        ("llm.example", "https://llm。example/"),
        ("llm.example", "nonsense"),
        ("llm.example", ""),
    ],
)
def test_any_other_url_is_refused_naming_the_field(entry, url):
    with pytest.raises(InvalidArgument, match=r"^model\.url ") as refused:
        AllowedHosts([entry]).check_url(url)

    assert [violation.field for violation in refused.value.violations] == ["model.url"]


def test_refusal_of_an_unlisted_host_names_the_remedy():
    with pytest.raises(InvalidArgument, match="PARLEY_UPSTREAM_ALLOW_HOSTS"):
        AllowedHosts().check_url("https://llm.example/v1")


@pytest.mark.parametrize(
    ("entry", "host", "address", "permitted"),
    [
        pytest.param("llm.example", "llm.example", "8.8.8.8", True, id="public"),
        pytest.param(
            "llm.example", "llm.example", "10.0.0.1", False, id="a name that was moved to a private address"
        ),
        pytest.param(
            "llm.example",
            "llm.example",
            "169.254.169.254",
            False,
            id="a name that was moved to the cloud's own",
        ),
        pytest.param("llm.example+private", "llm.example", "10.0.0.1", True, id="marked"),
        pytest.param("llm.example:80+private", "llm.example", "10.0.0.1", True, id="marked with its port"),
        pytest.param(
            "llm.example:81+private", "llm.example", "10.0.0.1", False, id="marked with another port"
        ),
        pytest.param("llm.example+private", "LLM.example.", "fd12::1", True, id="marked, IPv6"),
        pytest.param("llm.example+private", "llm.example", "169.254.169.254", False, id="marked, link-local"),
        pytest.param("llm.example+private", "llm.example", "fe80::1", False, id="marked, IPv6 link-local"),
        pytest.param(
            "llm.example+private", "llm.example", "::ffff:169.254.169.254", False, id="marked, mapped"
        ),
        pytest.param(
            "llm.example+private", "llm.example", "64:ff9b::a9fe:a9fe", False, id="marked, translated"
        ),
        pytest.param(
            "llm.example+private", "llm.example", "100.100.100.200", False, id="marked, metadata of a cloud"
        ),
        pytest.param(
            "llm.example+private", "llm.example", "fd00:ec2::254", False, id="marked, metadata by IPv6"
        ),
        pytest.param("localhost", "localhost", "127.0.0.1", True, id="name without a dot"),
        pytest.param("ollama:80", "ollama", "172.18.0.2", True, id="name of a container"),
        pytest.param(
            "169.254.169.254", "169.254.169.254", "169.254.169.254", True, id="the very address is listed"
        ),
        pytest.param("10.0.0.1", "10.0.0.2", "10.0.0.2", False, id="another address is listed"),
    ],
)
def test_name_leads_to_private_addresses_only_where_the_operator_says_so(entry, host, address, permitted):
    assert AllowedHosts([entry]).permits(host, 80, address) is permitted


@pytest.mark.parametrize(
    "entry",
    [
        "https://llm.example",
        "a b",
        "host:port",
        "host:0",
        "[::1",
        "[::1]x",
        "*.example",
        "+private",
        "a.example+public",
    ],
)
def test_unreadable_entry_is_refused(entry):
    with pytest.raises(ValueError, match="PARLEY_UPSTREAM_ALLOW_HOSTS"):
        AllowedHosts([entry])
