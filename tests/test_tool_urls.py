"""What the values of a tool's URL may do to its path: fill their place, and nothing else."""

import pytest

from server.agents.tool_urls import PathChanged, filled_url

FILES = "https://files.example/files/{{name}}/content"


@pytest.mark.parametrize(
    ("value", "segment"),
    [
        pytest.param("a 1", "a%201", id="blank"),
        pytest.param("a?b=c#d&e", "a%3Fb%3Dc%23d%26e", id="query"),
        pytest.param("v1..v2", "v1..v2", id="dots inside"),
        pytest.param("...", "...", id="three dots"),
        pytest.param("é", "%C3%A9", id="not ASCII"),
        pytest.param(["a", "b"], "ab", id="array"),
        pytest.param(7, "7", id="number"),
        pytest.param(True, "true", id="boolean"),
    ],
)
def test_value_fills_its_segment(value, segment):
    assert filled_url(FILES, {"name": value}) == f"https://files.example/files/{segment}/content"


@pytest.mark.parametrize(
    "value",
    [
        ".",
        "..",
        [".", "."],
        ["", ".", "", "."],
        [[".", "."]],
        ["/", "..", "/"],
        "../admin",
        "a/../../admin",
        "a/b",
        "/",
        "..%2fadmin",
        "%2e%2e",
        "%252e%252e",
        "..\\admin",
        "a\\b",
        "．．",
        "．",
        "\t..",
        ".. ",
        "..;",
        "..;x=1",
        "%2F",
        "",
        None,
        [],
        {"a": "b"},
    ],
)
def test_value_that_would_change_the_path_is_refused(value):
    with pytest.raises(PathChanged):
        filled_url(FILES, {"name": value})


@pytest.mark.parametrize(
    ("template", "values"),
    [
        pytest.param("https://h.example/a/{{x}}{{y}}/b", {"x": ".", "y": "."}, id="dots of two values"),
        pytest.param("https://h.example/a/.{{x}}/b", {"x": "."}, id="a dot of the template"),
        pytest.param("https://h.example/a/{{x}}/{{missing}}", {"x": "1"}, id="missing at the end"),
        pytest.param(
            "https://h.example/a/{{ x | url_decode }}/b", {"x": "../.."}, id="decoded by the template"
        ),
        pytest.param(
            "https://h.example/a/{{ x | append: '/..' }}", {"x": "1"}, id="a segment out of a filter"
        ),
        pytest.param("https://h.example/a/{% if x %}{{ x }}{% endif %}/b", {"x": ".."}, id="inside of a tag"),
        pytest.param(
            "https://h.example/a/{% if x %}{{ x }}{% endif %}/b", {}, id="a tag that writes nothing"
        ),
    ],
)
def test_path_keeps_its_shape_whatever_the_template_does(template, values):
    with pytest.raises(PathChanged):
        filled_url(template, values)


def test_value_is_no_template():
    url = filled_url("https://h.example/a/{{ x }}/b", {"x": "{{ y }}", "y": ".."})

    assert url == "https://h.example/a/%7B%7B%20y%20%7D%7D/b"


def test_query_takes_any_value():
    assert (
        filled_url("https://h.example/a?q={{x}}", {"x": "../a/b?c"}) == "https://h.example/a?q=..%2Fa%2Fb%3Fc"
    )


def test_template_keeps_its_own_empty_and_dot_segments():
    assert filled_url("https://h.example//a/./{{x}}/", {"x": "1"}) == "https://h.example//a/./1/"


def test_branch_of_the_template_may_have_segments_of_its_own():
    template = "https://h.example/a{% if x %}/by/{{x}}{% endif %}"

    assert filled_url(template, {"x": "1"}) == "https://h.example/a/by/1"
    assert filled_url(template, {}) == "https://h.example/a"
