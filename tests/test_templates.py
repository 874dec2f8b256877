"""Variables in an assistant's messages, and templates that are made to take long."""

from datetime import UTC, datetime

import pytest
from liquid import Environment

from server.agents import bounded_liquid, liquid_filters, templates
from server.agents.templates import MOST_CHARACTERS, render, variables_of

NOON = 1_767_225_600_000  # 2026-01-01T00:00:00Z
NESTED = {"customer": {"name": "Ada", "tags": ["a", "b"], "address": {"city": "Paris"}}}

RENDERED = {
    "a value": ("Hello {{name}}!", {"name": "Ada"}, "Hello Ada!"),
    "blanks": ("Hello {{  name  }}!", {"name": "Ada"}, "Hello Ada!"),
    "twice": ("{{a}}{{a}}", {"a": "x"}, "xx"),
    "missing": ("Hello {{name}}!", {}, "Hello !"),
    "missing member": ("{{a.b.c}}|{{a[0]}}|{{a['b']}}", {}, "||"),
    "null": ("[{{a}}]", {"a": None}, "[]"),
    "numbers": ("{{a}} {{b}} {{c}}", {"a": 1, "b": 1.5, "c": 0}, "1 1.5 0"),
    "booleans": ("{{a}} {{b}}", {"a": True, "b": False}, "true false"),
    "member": ("{{customer.name}} in {{customer.address.city}}", NESTED, "Ada in Paris"),
    "member by key": ("{{customer['name']}} {{customer.tags[1]}}", NESTED, "Ada b"),
    "filter": ("{{name | upcase}}", {"name": "Ada"}, "ADA"),
    "default": ("{{name | default: 'you'}}", {}, "you"),
    "condition": ("{% if vip %}Welcome back{% else %}Welcome{% endif %}", {"vip": True}, "Welcome back"),
    "loop": ("{% for tag in customer.tags %}{{tag}},{% endfor %}", NESTED, "a,b,"),
    "range": ("{% for i in (1..n) %}{{i}}{% endfor %}", {"n": 3}, "123"),
    "assign": ("{% assign a = 'x' %}{{a}}", {}, "x"),
    "raw": ("{% raw %}{{name}}{% endraw %}", {"name": "Ada"}, "{{name}}"),
    "raw with an odd mark": ("{% raw %}{{ {% {% endraw %}{{name}}", {"name": "Ada"}, "{{ {% Ada"),
    "comment": ("a{% comment %}{{name}}{% endcomment %}b", {"name": "Ada"}, "ab"),
    "whitespace control": ("a  {{- name -}}  b", {"name": "x"}, "axb"),
    "JSON around it": (
        '{"name": "{{name}}", "of": {"a": {{n}} }}',
        {"name": "Ada", "n": 1},
        '{"name": "Ada", "of": {"a": 1 }}',
    ),
    "html is not escaped": ("{{a}}", {"a": "<b>&\"'"}, "<b>&\"'"),
    "unicode": ("{{größe}} {{a}}", {"größe": "ü", "a": "😀"}, "ü 😀"),
    "names of Python's own": (
        "{{self}} {{args}} {{kwargs}} {{template}}",
        {"self": "a", "args": "b", "kwargs": "c", "template": "d"},
        "a b c d",
    ),
}


@pytest.mark.parametrize(("text", "variables", "expected"), RENDERED.values(), ids=RENDERED)
def test_variables_are_filled_in(text, variables, expected):
    assert render(text, variables) == expected


AS_THEY_ARE = {
    "plain": "No marks here.",
    "empty": "",
    "one brace": "a { b } c",
    "code": "if (a) { return {b: 1}; }",
    "unclosed output": "Hello {{name",
    "unclosed tag": "Hello {% if name",
    "unclosed block": "{% if a %}b",
    "unknown tag": "{% launch %}",
    "stray end": "{% endif %}",
    "include": "{% include '/etc/passwd' %}",
    "render": "{% render 'x' %}",
    "jinja": "{% set a = 1 %}",
    "division by nothing": "{{ 1 | divided_by: 0 }}",
    "infinity": "{{ '1e999' | round }}",
    "no number": "{{ 'nan' | ceil }}",
    "not UTF-8": "{{ '/w==' | base64_decode }}",
    "huge number": "{% assign a = 9999999999 %}" + "{% assign a = a | times: a %}" * 40 + "{{a}}",
    "unknown zone": "{{ 'now' | date: '%Y', 'Mars/Olympus' }}",
    "zone that is a folder": "{{ 'now' | date: '%Y', 'America' }}",
    "zone elsewhere": "{{ 'now' | date: '%Y', '../../etc/passwd' }}",
    "long zone": f"{{{{ 'now' | date: '%Y', '{'a' * 999}' }}}}",
    "a week behind": "{{ 'now' | date: '%Y', 10080 }}",
    "no integer": "{{ 'x' | to_integer }}",
    "unclosed raw": "{% raw %}{{name}}",
    "too deep": "{% if a %}" * 100 + "{% endif %}" * 100,
}


@pytest.mark.parametrize("text", AS_THEY_ARE.values(), ids=AS_THEY_ARE)
def test_text_that_is_no_template_is_left_as_it_is(text):
    assert render(text, {"name": "Ada", "a": 1}) == text


MENDED = {
    "unclosed mark": ("{{name}} and {{name", "Ada and {{name"),
    "unclosed first": ("{{name and {{name}}", "{{name and Ada"),
    "unclosed tag": ("{{name}} {% if", "Ada {% if"),
    "unclosed block": ("{{name}} {% if a %}{{name}}", "Ada {% if a %}Ada"),
    "unclosed block in a block": ("{% if a %}{% for x in y %}{{name}}{% endif %}", "{% for x in y %}Ada"),
    "unknown tag": ("{{name}} {% launch %}", "Ada {% launch %}"),
    "jinja": ("{% set a = 2 %}{{ a }}", "{% set a = 2 %}1"),
    "unknown tags with an end": ("{% block b %}{{name}}{% endblock %}", "{% block b %}Ada{% endblock %}"),
    "stray end": ("{{name}}{% endif %}", "Ada{% endif %}"),
    "stray else": ("{{name}}{% else %}", "Ada{% else %}"),
    "stray break": ("{{name}}{% break %}", "Ada{% break %}"),
    "stray endraw": ("{{name}}{% endraw %}{{", "Ada{% endraw %}{{"),
    "faulty output": ("{{ name }} {{ ? }} {{ . }} {{}}", "Ada {{ ? }} {{ . }} {{}}"),
    "faulty condition": (
        "{% if a ? %}x{% else %}y{% endif %}{{name}}",
        "{% if a ? %}x{% else %}y{% endif %}Ada",
    ),
    "faulty branch": ("{% if a %}x{% elsif ?? %}y{% endif %}{{name}}", "x{% elsif ?? %}yAda"),
    "in a block": ("{% if a %}{{name}}{{ ? }}{% endif %}", "Ada{{ ? }}"),
    "around a block": ("{{ ? }}{% if a %}{{name}}{% endif %}", "{{ ? }}Ada"),
    "code": ("f({a: {b: 1}}) {{name}} {{ {{x}} }}", "f({a: {b: 1}}) Ada {{  }}"),
    "include": ("{% include '/etc/passwd' %}{{name}}", "{% include '/etc/passwd' %}Ada"),
    "division by nothing": ("{{name}} {{ 1 | divided_by: 0 }}", "Ada {{ 1 | divided_by: 0 }}"),
    "division in a block": (
        "{% if a %}{{name}} {{ 1 | divided_by: 0 }}{% endif %}",
        "Ada {{ 1 | divided_by: 0 }}",
    ),
    "faulty value": (
        "{{name}}{% assign b = 1 | divided_by: 0 %}{{name}}",
        "Ada{% assign b = 1 | divided_by: 0 %}Ada",
    ),
    "faulty block": (
        "{{name}}{% if a %}x{% echo 1 | modulo: 0 %}{% endif %}{{name}}",
        "Ada{% if a %}x{% echo 1 | modulo: 0 %}{% endif %}Ada",
    ),
    "unclosed raw": ("{{name}}{% raw %}{{name}}", "Ada{% raw %}{{name}}"),
    "unclosed comment": ("{{name}}{% comment %}{{name}}", "Ada{% comment %}{{name}}"),
    "good raw and comment": (
        "{% raw %}{{name}}{% endraw %}{% comment %}{% if %}{% endcomment %}{{ ? }}",
        "{{name}}{{ ? }}",
    ),
    "blanks": ("{{name}}{{" + " " * 99 + "}}", "Ada{{" + " " * 99 + "}}"),
    "too many digits": (
        f"{{% assign b = {'9' * 1900} %}}{{{{ b | times: b | times: b }}}}{{{{name}}}}",
        "{{ b | times: b | times: b }}Ada",
    ),
}


@pytest.mark.parametrize(("text", "expected"), MENDED.values(), ids=MENDED)
def test_faulty_mark_spoils_itself_only(text, expected):
    assert render(text, {"name": "Ada", "a": 1}) == expected


LIQUIDJS = {
    "unknown filter": ("{{ a | launch }}{{ a | launch: 1, b: 2 | append: '!' }}", "11!"),
    "unknown filter of a missing value": ("[{{ none | launch }}]", "[]"),
    "object": ("{{ o }}", '{"name":"Zoë","tags":["a",true,null],"n":1.5}'),
    "object in a list": ("{{ l }}", '1{"a":1}true'),
    "object in a text": ("{{ 'is ' | append: o.tags | upcase }}", "IS ATRUE"),
    "object added to": ("{{ l[1] | append: '!' }}", '{"a":1}!'),
    "boolean added to": ("{{ t | append: '!' }}", "true!"),
    "echo": ("{% echo l[1] %}", '{"a":1}'),
    "whole number": ("{{ 3.0 | times: 2 }}", "6"),
    "json": ("{{ o | json }}", '{"name":"Zoë","tags":["a",true,null],"n":1.5}'),
    "json of others": (
        "{{ 'x\"y' | json }} {{ l | json }} {{ t | json }} {{ nothing | json }}",
        '"x\\"y" [1,{"a":1},true] true null',
    ),
    "json of what is missing": ("[{{ none | json }}]", "[]"),
    "json of a range": ("{{ (1..3) | json }}", "[1,2,3]"),
    "json that is indented": ("{{ l[1] | json: 2 }}", '{\n  "a": 1\n}'),
    "jsonify": ("{{ l | jsonify }}", '[1,{"a":1},true]'),
    "inspect": ("{{ l | inspect }}", '[1,{"a":1},true]'),
    "to_integer": ("{{ '7.9' | to_integer }}", "7"),
    "raw": ("{{ '<b>' | raw }}", "<b>"),
}


@pytest.mark.parametrize(("text", "expected"), LIQUIDJS.values(), ids=LIQUIDJS)
def test_liquid_is_that_of_liquidjs(text, expected):
    """liquidjs.com/filters; objects as JSON, because [object Object] is of no use to a model."""
    variables = {
        "a": 1,
        "t": True,
        "nothing": None,
        "l": [1, {"a": 1}, True],
        "o": {"name": "Zoë", "tags": ["a", True, None], "n": 1.5},
    }

    assert render(text, variables) == expected


VALUES = ["{{secret}}", "{% assign a = 1 %}", "{{", "{%", "{% raw %}", "}}"]


@pytest.mark.parametrize("value", VALUES)
def test_values_are_never_expanded_again(value):
    assert (
        render("[{{a}}|{{b | append: c}}]", {"a": value, "b": value, "c": "!", "secret": "s"})
        == f"[{value}|{value}!]"
    )


def test_values_of_the_same_template_do_not_leak_from_one_rendering_into_the_next():
    text = "{% assign seen = name %}{{seen}}{{before}}{% assign before = name %}"

    assert [render(text, {"name": name}) for name in ("a", "b")] == ["a", "b"]


def test_variables_are_not_changed_by_a_template():
    variables = {"a": ["x"], "b": "y"}

    render("{% assign b = 'z' %}{% assign a = a | concat: a %}{{b}}{% increment c %}", variables)

    assert variables == {"a": ["x"], "b": "y"}


# --- built-in variables -------------------------------------------------------------------------------------


def test_built_in_variables_are_in_utc():
    text = "{{now}}|{{date}}|{{time}}|{{month}}|{{day}}|{{year}}"

    assert (
        render(text, variables_of({}, NOON))
        == "Jan 1, 2026, 12:00 AM UTC|Jan 1, 2026|12:00 AM|January|1|2026"
    )


def test_customer_and_transport_are_built_in():
    variables = variables_of({}, NOON, customer={"number": "+1"}, transport={"type": "twilio.sms"})

    assert render("{{customer.number}} {{transport.type}}", variables) == "+1 twilio.sms"
    assert render("[{{customer.number}}{{transport.type}}]", variables_of({}, NOON)) == "[]"


def test_conversation_is_a_chat_however_it_is_carried():
    text = '{% if transport.conversationType == "chat" %}typed{% else %}spoken{% endif %}'

    assert render(text, variables_of({}, NOON)) == "typed"
    assert render(text, variables_of({}, NOON, transport={"phoneNumberId": "p1"})) == "typed"
    assert render(text, variables_of({"transport": {"conversationType": "voice"}}, NOON)) == "spoken"


def test_callers_values_win_over_the_built_in_ones():
    assert variables_of({"date": "today", "name": "Ada"}, NOON)["date"] == "today"


def test_date_filter_works_on_the_built_in_time():
    assert render("{{now | date: '%Y-%m-%d'}}", variables_of({}, NOON)) == "2026-01-01"


DATES = {
    "in a zone": ("{{ now | date: '%Y-%m-%d %H:%M %Z', 'America/Los_Angeles' }}", "2025-12-31 16:00 PST"),
    "in minutes behind UTC": ("{{ now | date: '%H:%M %z', -330 }}", "05:30 +0530"),
    "the present": (
        "{{ 'now' | date: '%F %T', 'Europe/Paris' }}|{{ 'today' | date: '%F' }}",
        "2026-01-01 01:00:00|2026-01-01",
    ),
    "of the documentation": (
        "{{'now' | date: '%A, %B %d, %Y, %I:%M %p', 'America/Los_Angeles'}}",
        "Wednesday, December 31, 2025, 04:00 PM",
    ),
    "without a format": ("{{ now | date }}", "Thursday, January 1, 2026 at 12:00 am +0000"),
    "seconds": (
        "{{ 1767225600 | date: '%s %F' }} {{ '1767225600' | date: '%F' }}",
        "1767225600 2026-01-01 2026-01-01",
    ),
    "with a zone": (
        "{{ '2026-07-01T10:00:00+02:00' | date: '%H:%M' }} {{ 'Jan 2, 2026 10:00 EST' | date: '%H:%M' }}",
        "08:00 15:00",
    ),
    "with an unknown zone": ("{{ 'Jan 2, 2026 10:00 XYZ' | date: '%H:%M' }}", "10:00"),
    "directives of LiquidJS": (
        "{{ '2026-01-23T01:02:03.045Z' | date: '%d%q %L %N %3N %:z %% %%L %-d %e %P %^a' }}",
        "23rd 045 045000000 045 +00:00 % %L 23 23 am FRI",
    ),
    "eleventh": ("{{ '2026-01-11' | date: '%-d%q' }}", "11th"),
    "no date": (
        "{{ 'soon' | date: '%F' }}|{{ none | date: '%F' }}|{{ 99999999999999 | date: '%F' }}|{{ true | date }}",
        "soon||99999999999999|true",
    ),
}


@pytest.mark.parametrize(("text", "expected"), DATES.values(), ids=DATES)
def test_date_is_that_of_liquidjs(monkeypatch, text, expected):
    monkeypatch.setattr(liquid_filters, "now", lambda: datetime.fromtimestamp(NOON / 1000, UTC))

    assert render(text, variables_of({}, NOON)) == expected


# --- bounded work -------------------------------------------------------------------------------------------


def repeated(piece):
    return (piece * (MOST_CHARACTERS // len(piece) + 1))[:MOST_CHARACTERS]


PIECES = [
    "{{",
    "{{ ",
    "{{a",
    "{{{",
    "{{'",
    '{{"',
    "{{a|",
    "{{a[",
    "{{(",
    "{{-",
    "{{}}",
    "{{ a }}",
    "{{ (1..9) }}",
    "{{'a' | append: 'b'}}",
    "{%",
    "{% ",
    "{%-",
    "{%%}",
    "{%#",
    "{%raw%}",
    "{% raw %} ",
    "{%raw ",
    "{%raw%}{%endraw%}",
    "{%endraw%}",
    "{%comment%}",
    "{%comment%}{%endcomment%}",
    "{%doc%}",
    "{%liquid ",
    "{%liquid\n",
    "{%if a%}",
    "{%if a and ",
    "{%for a in b%}",
    "{%case a%}",
    "{%capture a%}",
    "}}",
    "%}",
    "{{a}",
    "{ {",
]


@pytest.mark.parametrize("piece", PIECES)
def test_32_kb_of_the_same_piece_are_soon_done(piece):
    assert render(repeated(piece), {}) is not None


LONG = {
    "blanks in an output": "{{" + " " * 32_000,
    "blanks in a closed output": "{{" + " " * 32_000 + "}}",
    "blanks in a tag": "{% if" + " " * 32_000 + "%}",
    "blanks in many outputs": ("{{" + " " * 1_000) * 32,
    "blanks before whitespace control": (" " * 1_000 + "{{-") * 32,
    "blanks in closed tags": ("{% else" + " " * 500 + "%}") * 60,
    "raw, fifteen times": "{%raw " * 15 + "x" * 32_000,
    "raw, far apart": ("{%raw%}" + "x" * 2_000) * 15,
    "comments in comments": "{% comment %}" * 15 + "x" * 30_000 + "{% endcomment %}" * 15,
    "parentheses": "{% if " + "(" * 10_000 + "a" + ")" * 10_000 + "%}{%endif%}",
    "brackets": "{{ a" + "[a" * 5_000 + "]" * 5_000 + "}}",
    "a long name": "{{" + "a" * 32_000 + "}}",
    "loops in loops": "{% for i in (1..9999) %}" * 5 + "x" + "{% endfor %}" * 5,
    "loop over nothing much": "{% for i in (1..10000) %}" + "{{''}}" * 3_000 + "{% endfor %}",
    "loops after loops": "{% for i in (1..10000) %}{% endfor %}" * 500,
    "endless range": "{% for i in (1..99999999999) %}x{% endfor %}",
    "offset in an endless range": "{% for i in (1..99999999999) offset: 9999999999 limit: 1 %}x{% endfor %}",
    "endless range that is searched": "{% if (1..99999999999) contains 'a' %}x{% endif %}",
    "endless range that is searched, by a variable": "{% if (1..many) contains 'a' %}x{% endif %}",
    "range that is joined": "{{ (1..9999999) | join: '' }}",
    "range that is kept": "{% assign a = (1..9999999) %}{{ a | join }}",
    "replacing what was replaced": "{{ 'xxxxxxxxxxxxxxxx'"
    + " | replace: 'x', 'xxxxxxxxxxxxxxxx'" * 12
    + " | size }}",
    "appending to itself": "{% assign a = 'xxxxxxxxxxxxxxxx' %}"
    + "{% assign a = a | append: a %}" * 60
    + "{{a}}",
    "capturing itself": "{% capture a %}xxxxxxxx{% endcapture %}"
    + "{% capture a %}{{a}}{{a}}{{a}}{% endcapture %}" * 60,
    "multiplying itself": "{% assign a = 9999999999 %}"
    + "{% assign a = a | times: a %}" * 60
    + "{{a | modulo: 7}}",
    "filters on a large value": "{% for i in (1..9000) %}{{ large"
    + " | upcase" * 20
    + " | size }}{% endfor %}",
}


TOO_MUCH = {
    "uniq": "{{ many | uniq | size }}",
    "contains": "{% for i in many %}{% if many contains i %}x{% endif %}{% endfor %}",
    "contains, in a text": "{% for i in many %}{% if large contains 'a' %}x{% endif %}{% endfor %}",
    "contains, in a range": "{% for i in (1..1000) %}{% if (1..9999) contains 'a' %}x{% endif %}{% endfor %}",
    "==": "{% for i in many %}{% if many == same %}x{% endif %}{% endfor %}",
    "== of texts": "{% for i in many %}{% if large == 'a' %}x{% endif %}{% endfor %}",
    "case": "{% for i in many %}{% case large %}{% when 'a' %}x{% endcase %}{% endfor %}",
    "sort": "{% for i in many %}{{ many | sort | size }}{% endfor %}",
    "map": "{% for i in many %}{{ many | map: 'a' | size }}{% endfor %}",
    "join": "{% for i in many %}{{ many | join | size }}{% endfor %}",
    "where": "{% for i in many %}{{ many | where: 'a' | size }}{% endfor %}",
    "concat": "{% for i in many %}{{ many | concat: many | size }}{% endfor %}",
    "split": "{% for i in many %}{{ large | split: 'y' | size }}{% endfor %}",
    "json": "{% for i in many %}{{ many | json | size }}{% endfor %}",
    "date": "{% for i in (1..9999) %}{{ i | date: '%Y-%m-%d' }}{% endfor %}",
    "output": "{% for i in many %}{{ large }}{% endfor %}",
    "assigning": "{% for i in many %}{% assign a = many %}{% endfor %}",
    "loops over a large value": "{% for i in many %}{% for j in many limit: 1 %}x{% endfor %}{% endfor %}",
}


@pytest.mark.parametrize("text", TOO_MUCH.values(), ids=TOO_MUCH)
def test_what_a_template_does_with_a_large_value_draws_on_its_allowance(text):
    many = [f"{index:05}" for index in range(2_000)]

    assert render(text, {"many": many, "same": [*many], "large": "x" * 100_000}) == text


def test_templates_that_share_an_allowance_are_left_as_they_are_when_it_is_used_up():
    allowance = bounded_liquid.Allowance()
    text = "{% for i in (1..1000) %}{{a}}{% endfor %}"

    rendered = [render(text, {"a": "x"}, allowance) for _ in range(200)]

    assert (rendered[0], rendered[-1]) == ("x" * 1_000, text)
    assert render("{{a}}", {"a": "x"}, allowance) == "{{a}}"
    assert render(text, {"a": "x"}) == "x" * 1_000


def test_looking_for_faulty_marks_draws_on_the_allowance():
    brief, whole = bounded_liquid.Allowance(templates.BRIEF), bounded_liquid.Allowance()
    text = "{{name}} {% if " + "(" * 1_900 + " %}"

    assert (render(text, {"name": "Ada"}, brief), brief.is_used_up) == (text, True)
    assert render(text, {"name": "Ada"}, whole) == text.replace("{{name}}", "Ada")


def test_what_is_filled_in_without_liquid_draws_on_the_allowance_too():
    allowance, value = bounded_liquid.Allowance(), "x" * MOST_CHARACTERS

    rendered = [render("{{a}}" * 10, {"a": value}, allowance) for _ in range(100)]

    assert sum(map(len, rendered)) < 10_000_000


def test_marks_draw_on_the_allowance():
    text = repeated("{{a}}")[: -MOST_CHARACTERS % 5 or None]
    allowance = bounded_liquid.Allowance()

    rendered = [render(f"{text}{index:02}", {}, allowance) for index in range(40)]

    assert rendered[-1] == f"{text}39"


NOT_OFFERED = {"strip_html", "include", "render"}
"""Python's HTML parser takes the square of an unclosed tag, and there are no other templates."""


def test_work_of_every_filter_and_tag_of_liquid_is_known():
    """A filter or a tag of a later version is not offered until it is known what it takes."""
    environment = Environment()

    assert {*environment.filters, *environment.tags, *liquid_filters.FILTERS} == (
        bounded_liquid.FILTERS | bounded_liquid.TAGS | NOT_OFFERED
    )


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
def test_template_that_takes_much_work_is_left_as_it_is_or_soon_done(text):
    """Each of these took seconds, memory without end, or for ever."""
    assert len(render(text, {"many": 99_999_999_999, "large": "x" * 1_000_000})) <= 1_000_000


def test_text_beyond_32_kb_is_left_as_it_is():
    text = "{{name}}" + "x" * MOST_CHARACTERS

    assert render(text, {"name": "Ada"}) == text


def test_long_prompt_with_a_few_variables_is_filled_in():
    prompt = "Read carefully.\n        indented\n" * 800

    assert render(prompt + "{{name}}", {"name": "Ada"}) == prompt + "Ada"


def test_list_of_a_thousand_is_walked_through():
    assert render(
        "{% for one in all %}{{one.name}}{% unless forloop.last %}, {% endunless %}{% endfor %}",
        {"all": [{"name": "x"}] * 1_000},
    ) == ", ".join(["x"] * 1_000)


ALIKE = [
    "{{a}}",
    "x {{ a }} y{{b}}",
    "{{a}}{{none}}",
    "{{n}}",
    "{{{a}}}",
    "{{ a }}}}",
    "{{-a}} b",
    " {{- a -}} b",
    "{{true}}{{a}}",
    "{{case}}",
    "{{a.b}}",
    "{{a[0]}}",
    "{{['a']}}",
    "{{a}}{% if a %}1{% endif %}",
    "{{a | upcase}}",
    "{#{{a}}#}",
    "{{shown}}",
    "{{a}} {{ b }}",
    "{{a}}{% raw %}{{a}}{% endraw %}",
    "{{a}}" * 20,
]


@pytest.mark.parametrize("text", ALIKE)
def test_what_is_filled_in_without_liquid_is_what_liquid_makes_of_it(text):
    variables = {"a": "A", "b": "", "n": 3, "case": "x", "true": "y", "shown": "{{a}}"}
    template = templates._parsed(text)

    assert render(text, variables) == (
        template.fill(variables, bounded_liquid.Allowance()) if template else text
    )
