"""Every parameter of the OpenAI interfaces: the tables of docs/parameters.md, the SDK that is installed, and
what is done.

The parameters are taken from the SDK, so one that it gets is missed here. What is sent is looked for at an
upstream; through the real Envoy.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming
from typing_extensions import get_type_hints, is_typeddict

from server.backends.backend import ModelRequest
from server.backends.members import ACCEPTED, LACKS, split
from server.backends.providers import BASE_URLS
from server.content.custom_tools import WITHOUT
from server.core.errors import InvalidArgument
from tests.contract.doors import COMPLETIONS
from tests.upstream import OpenAIUpstream, chunk, failure, openai_stream, openai_text

DOCUMENT = (Path(__file__).parents[1] / "docs" / "parameters.md").read_text()
HELLO = [{"role": "user", "content": "Hello"}]
SCHEMA = {"name": "place", "schema": {"type": "object"}, "strict": True}
FUNCTION = {
    "name": "look",
    "description": "Looks.",
    "parameters": {"type": "object", "properties": {}},
    "strict": False,
}
LOGPROBS = "message.output_text.logprobs"
NESTED, FLAT = {"type": "function", "function": FUNCTION}, {"type": "function", **FUNCTION}
CUSTOM = {"type": "custom", "custom": {"name": "look"}}
SDK = {
    "Chat completions": get_type_hints(CompletionCreateParamsStreaming),
    "Responses": get_type_hints(ResponseCreateParamsStreaming),
}
NOT_IN_THE_SDK = {"Chat completions": set(), "Responses": {"frequency_penalty", "presence_penalty"}}
WORDS = {"honoured", "sent", "echoed", "unused", "refused"}


def warned(answer: dict[str, Any]) -> list[str]:
    """The members that an answer's warnings are about."""
    return [warning["param"] for warning in answer["warnings"]]


def section(title: str) -> str:
    return DOCUMENT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(title: str) -> dict[str, set[str]]:
    """What the table under this title says of each parameter."""
    found = re.findall(r"^\| `([^`]+)` \| ([a-z, ]+) \|", section(title), re.MULTILINE)
    assert len(found) == len(dict(found))
    return {name: set(words.split(", ")) for name, words in found}


TABLES = {title: rows(title) for title in SDK}


def cells(names: str) -> frozenset[str]:
    return frozenset(re.findall(r"`([^`]+)`", names))


def kinds_in(annotation: Any) -> set[str]:
    """The values of `type` of the objects that an annotation allows."""
    if is_typeddict(annotation):
        return {value for value in get_args(get_type_hints(annotation).get("type")) if isinstance(value, str)}
    return set().union(*(kinds_in(part) for part in get_args(annotation)))


def members_in(annotation: Any) -> set[str]:
    """The members of the one object that an annotation allows."""
    objects = [part for part in (annotation, *get_args(annotation)) if is_typeddict(part)]
    return set(get_type_hints(objects[0])) if len(objects) == 1 else set()


# --- the tables ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("title", SDK)
def test_every_parameter_of_the_sdk_is_in_the_table_and_no_other(title):
    names = SDK[title].keys() | NOT_IN_THE_SDK[title]
    for name in names:
        if name not in TABLES[title]:  # its members are
            listed = {row.partition(".")[2] for row in TABLES[title] if row.startswith(f"{name}.")}
            assert listed == members_in(SDK[title][name]) != set(), name
    assert {re.split(r"[.:]", row)[0] for row in TABLES[title]} == names
    assert set().union(*TABLES[title].values()) <= WORDS


def test_table_of_providers_is_that_of_the_backends():
    echoed = {
        name: (cells(sent), cells(lacking))
        for name, sent, lacking in re.findall(
            r"^\| `([^`]+)` \| ([^|]*)\| ([^|]*)\|$", section("Which provider takes what"), re.MULTILINE
        )
    }

    assert echoed == {name: (accepted, LACKS.get(name, frozenset())) for name, accepted in ACCEPTED.items()}
    assert LACKS.keys() <= ACCEPTED.keys()
    assert {name for name, url in BASE_URLS.items() if url} <= ACCEPTED.keys() <= BASE_URLS.keys()


def test_list_of_providers_without_custom_tools_is_that_of_the_code():
    listed = section("Which provider takes what").partition("functions only:")[2].partition(".")[0]

    assert cells(listed) == WITHOUT


def test_readme_shows_where_the_tables_are():
    assert "(docs/parameters.md)" in (Path(__file__).parents[1] / "README.md").read_text()


# --- what is done -------------------------------------------------------------------------------------------


class Asked:
    """An assistant whose provider is at an upstream, and what it was sent."""

    def __init__(self, http: Any, org: Any, upstream: OpenAIUpstream, assistant_id: str) -> None:
        self._http, self._org, self._upstream, self.id = http, org, upstream, assistant_id

    async def post(self, path: str, **members: Any) -> Any:
        common = {"messages": HELLO} if path.endswith("completions") else {"input": "Hello"}
        named = {} if path.startswith("/api/") else {"model": self.id}
        body = {**common, **named, "stream": False, **members}
        return await self._http.post(path.format(agent_id=self.id), headers=self._org.bearer, json=body)

    async def get(self, path: str) -> Any:
        return await self._http.get(path, headers=self._org.bearer)

    @property
    def sent(self) -> list[dict[str, Any]]:
        return [request.body for request in self._upstream.requests]


ANSWERS = [openai_text("Hello there")]


@pytest.fixture
async def upstream(request):
    async with OpenAIUpstream(getattr(request, "param", ANSWERS)) as started:
        yield started


@pytest.fixture
async def caller(service, http, org, upstream):
    made = await service.store.assistants.create(
        org.id,
        {
            "name": "asked",
            "model": {"provider": "openai", "model": "m", "url": upstream.base_url},
            "credentials": [{"provider": "openai", "apiKey": "k"}],
        },
    )
    return Asked(http, org, upstream, made.id)


PATHS = {"Chat completions": "/v1/chat/completions", "Responses": "/v1/responses"}
DOORS = {
    "Chat completions": ["/v1/chat/completions", "/chat/completions", "/chat/chat/completions", COMPLETIONS],
    "Responses": ["/v1/responses", "/chat/responses"],
}
SAME: dict[str, Any] = {
    "frequency_penalty": 0.5,
    "parallel_tool_calls": False,
    "presence_penalty": -0.5,
    "prompt_cache_key": "c1",
    "prompt_cache_options": {"mode": "explicit", "ttl": "30m"},
    "prompt_cache_retention": "24h",
    "safety_identifier": "s1",
    "temperature": 0.5,
    "top_p": 0.25,
    "user": "u1",
}
# What is asked for, and what of it is sent; where that is not the same.
SENT: dict[str, dict[str, tuple[dict[str, Any], dict[str, Any]]]] = {
    "Chat completions": {
        "max_tokens": ({"max_tokens": 50}, {"max_completion_tokens": 50}),
        "stop": ({"stop": "end"}, {"stop": ["end"]}),
        "top_logprobs": (
            {"top_logprobs": 2, "logprobs": True},
            {"top_logprobs": 2, "logprobs": True},
        ),
        "parallel_tool_calls": (
            {"parallel_tool_calls": False, "tools": [NESTED]},
            {"parallel_tool_calls": False},
        ),
        "tool_choice": ({"tool_choice": "none", "tools": [NESTED]}, {"tool_choice": "none"}),
        "tools.type: custom": ({"tools": [CUSTOM]}, {"tools": [CUSTOM]}),
        **{
            name: ({name: value}, {name: value})
            for name, value in {
                **SAME,
                "logit_bias": {"50256": -100, "7": 1.5},
                "logprobs": True,
                "max_completion_tokens": 50,
                "n": 2,
                "reasoning_effort": "low",
                "prediction": {"type": "content", "content": "Hello there"},
                "seed": 7,
                "tools": [NESTED],
                "verbosity": "low",
                "response_format": {"type": "json_schema", "json_schema": SCHEMA},
                "service_tier": "flex",
            }.items()
            if name != "parallel_tool_calls"
        },
    },
    "Responses": {
        "include: message.output_text.logprobs": ({"include": [LOGPROBS]}, {"logprobs": True}),
        "top_logprobs": (
            {"top_logprobs": 2, "include": [LOGPROBS]},
            {"top_logprobs": 2, "logprobs": True},
        ),
        "max_output_tokens": ({"max_output_tokens": 50}, {"max_completion_tokens": 50}),
        "parallel_tool_calls": (
            {"parallel_tool_calls": False, "tools": [FLAT]},
            {"parallel_tool_calls": False},
        ),
        "reasoning.effort": ({"reasoning": {"effort": "low"}}, {"reasoning_effort": "low"}),
        "text.format": (
            {"text": {"format": {"type": "json_schema", **SCHEMA}}},
            {"response_format": {"type": "json_schema", "json_schema": SCHEMA}},
        ),
        "text.verbosity": ({"text": {"verbosity": "low"}}, {"verbosity": "low"}),
        "tool_choice": ({"tool_choice": "none", "tools": [FLAT]}, {"tool_choice": "none"}),
        "tools": ({"tools": [FLAT]}, {"tools": [NESTED]}),
        "tools.type: custom": ({"tools": [{"type": "custom", "name": "look"}]}, {"tools": [CUSTOM]}),
        "service_tier": ({"service_tier": "flex"}, {"service_tier": "flex"}),
        **{
            name: ({name: value}, {name: value})
            for name, value in SAME.items()
            if name != "parallel_tool_calls"
        },
    },
}
TWO = openai_stream(*(chunk({"content": "Hello"}, index=index, finish="stop") for index in (0, 1)))


def matrix(word: str) -> list[Any]:
    return [
        pytest.param(title, name, id=f"{title} {name}")
        for title, table in TABLES.items()
        for name, words in table.items()
        if word in words
    ]


def within(answer: dict[str, Any], name: str) -> Any:
    value: Any = answer
    for step in name.split("."):
        value = value[step]
    return value


@pytest.mark.parametrize("upstream", [[TWO]], indirect=True, ids=[""])
@pytest.mark.parametrize(("title", "name"), matrix("sent"))
async def test_what_is_sent_is_seen_upstream(caller, title, name):
    members, wanted = SENT[title][name]

    answer = await caller.post(PATHS[title], **members)

    assert answer.status_code == 200, answer.text
    assert "warnings" not in answer.json()
    [sent] = caller.sent
    assert {member: sent.get(member) for member in wanted} == wanted


ECHOED = {
    "Chat completions": {"metadata": {"metadata": {"a": "b"}}},
    "Responses": {
        **{name: members for name, (members, _) in SENT["Responses"].items()},
        **{
            name: {name: value}
            for name, value in {
                "background": True,
                "instructions": "Be brief.",
                "max_tool_calls": 3,
                "metadata": {"a": "b"},
                "store": False,
                "truncation": "auto",
            }.items()
        },
        "reasoning.summary": {"reasoning": {"summary": "auto"}},
        "reasoning.generate_summary": {"reasoning": {"generate_summary": "auto"}},
    },
}


@pytest.mark.parametrize(("title", "name"), matrix("echoed"))
async def test_what_is_echoed_is_in_the_answer(caller, title, name):
    previous = (await caller.post(PATHS[title])).json()["id"] if name == "previous_response_id" else None
    members = {name: previous} if previous else ECHOED[title][name]

    answer = (await caller.post(PATHS[title], **members)).json()

    top = re.split(r"[.:]", name)[0]
    echoed = {**answer[top]} if isinstance(answer[top], dict) else answer[top]
    if top in ("reasoning", "text"):
        echoed = {member: echoed[member] for member in members[top]}
    sent_value = members[top]
    if name == "text.format":
        sent_value = {"format": {**sent_value["format"], "description": None}}
    assert echoed == sent_value


UNUSED = {"reasoning.generate_summary": "reasoning.summary"}


@pytest.mark.parametrize(("title", "name"), matrix("unused"))
async def test_what_is_unused_is_named(caller, title, name):
    whole = (await caller.post(PATHS[title], **ECHOED[title][name])).json()
    streamed = (await caller.post(PATHS[title], **ECHOED[title][name], stream=True)).text
    again = (await caller.get(f"/v1/responses/{whole['id']}")).json()

    assert warned(whole) == warned(again) == [UNUSED.get(name, name)]
    assert streamed.count(f'"param":"{UNUSED.get(name, name)}"') == 1
    assert {"summary", "tools", "top_logprobs"} & caller.sent[0].keys() == set()


REFUSED: dict[str, dict[str, Iterable[Any]]] = {
    "Chat completions": {
        "audio": [{"voice": "alloy", "format": "mp3"}, 5],
        "function_call": [{"name": "look"}, "look"],
        "functions": [[FUNCTION], {}],
        "modalities": [["text", "audio"]],
        "moderation": [{"model": "omni-moderation-latest"}],
        "web_search_options": [{}, {"a": 1}],
        "tools.type": [
            [{"type": kind, kind: {"name": "x"}}]
            for kind in sorted(kinds_in(SDK["Chat completions"]["tools"]) - {"function", "custom"} | {"mcp"})
        ],
        "tool_choice.type": [
            {"type": kind, kind: {"name": "x"}}
            for kind in sorted(
                kinds_in(SDK["Chat completions"]["tool_choice"]) - {"function", "custom", "allowed_tools"}
                | {"mcp"}
            )
        ],
    },
    "Responses": {
        "access_programs.cyber": [{"cyber": "daybreak_red"}, "standard"],
        "background_options.completion_window": [{"completion_window": "2h"}],
        "background_options.continuation_id": [{"continuation_id": "x"}],
        "context_management": [[{"type": "compaction", "compact_threshold": 1000}]],
        "image.context_compression": [{"context_compression": "enabled"}],
        "moderation": [{"model": "omni-moderation-latest"}],
        "prompt": [{"id": "pmpt_1"}, "x"],
        "prompt_cache_options.comparison_response_id": [{"comparison_response_id": "resp_1"}],
        "prompt_cache_options.prewarm": [{"mode": "implicit", "prewarm": True}],
        "reasoning.context": [{"context": "all_turns"}, {"context": 5}],
        "reasoning.mode": [{"mode": "pro"}, {"mode": 5}],
        "tools.type": [
            [{"type": kind, "name": "x"}]
            for kind in sorted(kinds_in(SDK["Responses"]["tools"]) - {"function", "custom"})
        ],
        "tool_choice.type": [
            {"type": kind, "name": "x"}
            for kind in sorted(
                kinds_in(SDK["Responses"]["tool_choice"]) - {"function", "custom", "allowed_tools"}
            )
        ],
    },
}


@pytest.mark.parametrize(("title", "name"), matrix("refused"))
async def test_what_is_refused_is_an_error_that_names_it_at_every_door(caller, title, name):
    member, values = re.split(r"[.:]", name)[0], [*REFUSED[title][name]]

    for path in DOORS[title]:
        for value in values:
            answer = await caller.post(path, **{member: value})
            if path == COMPLETIONS:
                assert answer.status_code == 422
                assert {tuple(one["loc"][:2]) for one in answer.json()["detail"]} == {("body", member)}
            else:
                error = answer.json()["error"]
                assert (answer.status_code, re.split(r"[.\[]", error["param"])[0]) == (400, member)
                assert error["message"].startswith(error["param"])
    assert values
    assert caller.sent == []


HARMLESS: dict[str, list[dict[str, Any]]] = {
    "Chat completions": [
        {"function_call": "auto"},
        {"function_call": "none"},
        {"functions": []},
        {"logprobs": False},
        {"top_logprobs": 0},
        {"modalities": ["text"]},
        {"modalities": []},
        {"logit_bias": {}},
        {"service_tier": "auto"},
        {"tools": []},
        {"stream_options": {}},
        {"metadata": {}},
        {"prompt_cache_options": {}},
        {"tool_choice": "auto"},
        {"response_format": {"type": "text"}},
        {"verbosity": "medium"},
        {"n": 1},
        {"user": ""},
        {"store": True},
    ],
    "Responses": [
        {"access_programs": {}},
        {"access_programs": {"cyber": "standard"}},
        {"background_options": {}},
        {"background_options": {"completion_window": "soonest"}},
        {"context_management": []},
        {"image": {}},
        {"image": {"context_compression": "auto"}},
        {"image": {"context_compression": "disabled"}},
        {"include": []},
        {
            "include": [
                "reasoning.encrypted_content",
                "message.input_image.image_url",
                "file_search_call.results",
            ]
        },
        {"reasoning": {}},
        {"reasoning": {"mode": "standard", "context": "auto", "effort": None, "summary": None}},
        {"truncation": "disabled"},
        {"service_tier": "auto"},
        {"top_logprobs": 0},
        {"tools": []},
        {"text": {}},
        {"text": {"verbosity": None}},
        {"tool_choice": "auto"},
        {"background": False},
        {"stream_options": {}},
        {"prompt_cache_options": {}},
        {"prompt_cache_options": {"prewarm": None, "comparison_response_id": None}},
    ],
}


@pytest.mark.parametrize("title", SDK)
async def test_defaults_are_not_refused_and_change_nothing(caller, title):
    left_out = [{name: None} for name in SDK[title] if name not in ("messages", "model", "input", "stream")]
    await caller.post(PATHS[title])

    for path in DOORS[title]:
        for members in (*left_out, *HARMLESS[title]):
            answer = await caller.post(path, **members)
            assert answer.status_code == 200, (path, members, answer.text)
            assert "warnings" not in answer.json()
            assert (
                caller.sent[-1] == {**caller.sent[0], **members}
                if members in ({"service_tier": "auto"}, {"verbosity": "medium"})
                else caller.sent[0]
            )


# --- what is done here --------------------------------------------------------------------------------------


TIERED = openai_stream(chunk({"content": "Hello"}, service_tier="flex"), chunk(finish="stop"))


@pytest.mark.parametrize("upstream", [[TIERED]], indirect=True, ids=[""])
@pytest.mark.parametrize("title", SDK)
async def test_service_tier_is_the_one_that_the_provider_used(caller, title):
    answer = (await caller.post(PATHS[title], service_tier="priority")).json()
    streamed = (await caller.post(PATHS[title], service_tier="priority", stream=True)).text

    assert answer["service_tier"] == "flex"
    assert set(re.findall(r'"service_tier":"(\w+)"', streamed)) == {"flex"}
    if title == "Responses":
        assert (await caller.get(f"/v1/responses/{answer['id']}")).json()["service_tier"] == "flex"


@pytest.mark.parametrize("title", SDK)
async def test_frames_are_filled_up_where_it_is_asked_for(caller, title):
    options = {"include_obfuscation": True}
    filled = (await caller.post(PATHS[title], stream=True, stream_options=options)).text
    plain = (await caller.post(PATHS[title], stream=True, stream_options={"include_obfuscation": False})).text

    echoed = [
        line.removeprefix("data: ")
        for line in filled.splitlines()
        if '"delta":' in line and "[DONE]" not in line
    ]
    assert len(echoed) >= 2
    assert {len(line) % 256 for line in echoed} == {0}
    assert all('"obfuscation":"' in line for line in echoed)
    assert "obfuscation" not in plain
    if title == "Responses":
        response_id = re.search(r"resp_[0-9a-f]{32}", filled).group()
        for sent_value in (True, False):
            again = (
                await caller.get(
                    f"/v1/responses/{response_id}?stream=true&include_obfuscation={sent_value}".lower()
                )
            ).text
            assert ("obfuscation" in again) is sent_value


async def test_completion_that_is_not_to_be_stored_is_not(caller):
    stored, other = [
        (await caller.post("/v1/chat/completions", store=store)).json() for store in (True, False)
    ]

    assert (await caller.get(f"/chat/{stored['id']}")).status_code == 200
    assert (await caller.get(f"/chat/{other['id']}")).status_code == 404


async def test_completion_of_a_session_is_stored(caller):
    answer = (await caller.post("/v1/chat/completions", store=False, create_session=True)).json()

    assert (await caller.get(f"/chat/{answer['id']}")).status_code == 200


TOO_LONG = failure(400, {"error": {"code": "context_length_exceeded", "message": "UPSTREAM TEXT"}})
TURNS = [
    {"role": role, "content": f"{role} {number}"} for number in range(4) for role in ("user", "assistant")
]
LONG = [{"role": "system", "content": "Be brief."}, *TURNS, {"role": "user", "content": "Now?"}]


@pytest.mark.parametrize("upstream", [[TOO_LONG, TOO_LONG, *ANSWERS]], indirect=True, ids=[""])
async def test_context_that_is_too_long_is_cut_at_its_beginning(caller):
    answer = await caller.post("/v1/responses", input=LONG, truncation="auto")

    assert answer.json()["output"][0]["content"][0]["text"] == "Hello there"
    assert [[message["content"] for message in sent["messages"]] for sent in caller.sent] == [
        [one["content"] for one in LONG],
        ["Be brief.", "user 2", "assistant 2", "user 3", "assistant 3", "Now?"],
        ["Be brief.", "user 3", "assistant 3", "Now?"],
    ]


@pytest.mark.parametrize("upstream", [[TOO_LONG]], indirect=True, ids=[""])
@pytest.mark.parametrize(("truncation", "tries"), [("disabled", 1), (None, 1), ("auto", 5)])
async def test_context_that_stays_too_long_is_an_error(caller, truncation, tries):
    answer = await caller.post("/v1/responses", input=LONG, truncation=truncation)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "context_length_exceeded")
    assert len(caller.sent) == tries


def request_for(provider: str, **members: Any) -> ModelRequest:
    return ModelRequest(provider=provider, model="m", messages=[], **members)


@pytest.mark.parametrize("provider", [*ACCEPTED, "custom-llm", "another"])
def test_provider_is_sent_what_it_takes_and_the_rest_is_named(provider):
    everything = {name: "x" for name in ACCEPTED["openai"] - {"logit_bias", "logprobs"}}

    sent, unused = split(request_for(provider, more=everything, temperature=0.5, seed=7))

    accepted, lacking = ACCEPTED.get(provider, ACCEPTED["openai"]), LACKS.get(provider, frozenset())
    assert sent.more.keys() == everything.keys() & accepted
    assert (sent.temperature, sent.seed) == (
        None if "temperature" in lacking else 0.5,
        None if "seed" in lacking else 7,
    )
    assert set(unused) == (everything.keys() - accepted) | ({"temperature", "seed"} & lacking)


@pytest.mark.parametrize(("name", "value"), [("logit_bias", {"7": 1}), ("logprobs", True)])
@pytest.mark.parametrize("provider", ACCEPTED)
def test_what_changes_an_answer_and_a_provider_does_not_take_is_refused(provider, name, value):
    asked = request_for(provider, more={name: value})
    if name in ACCEPTED[provider]:
        assert split(asked) == (asked, ())
        return

    with pytest.raises(InvalidArgument, match=f"{name} cannot be sent to provider {provider}") as refused:
        split(asked)

    assert refused.value.violations[0].field == name


async def test_what_a_provider_has_nothing_for_is_named_in_every_form(http, org):
    body = {"model": org.assistant_id, "temperature": 0.5, "top_p": 1, "user": "u1", "verbosity": "low"}
    request_members = {"messages": HELLO}

    whole = (
        await http.post("/v1/chat/completions", headers=org.bearer, json={**body, **request_members})
    ).json()
    streamed = (
        await http.post(
            "/v1/chat/completions", headers=org.bearer, json={**body, **request_members, "stream": True}
        )
    ).text
    del body["verbosity"]
    response = (
        await http.post(
            "/v1/responses", headers=org.bearer, json={**body, "input": "Hello", "text": {"verbosity": "low"}}
        )
    ).json()

    assert warned(whole) == ["temperature", "user", "verbosity"]
    assert re.findall(r'"param":"(\w+)"', streamed) == ["temperature", "user", "verbosity"]
    assert warned(response) == ["temperature", "user", "text.verbosity"]


async def test_what_the_assistant_sets_itself_is_not_named(service, http, org):
    made = await service.store.assistants.create(
        org.id, {"model": {"provider": "offline", "model": "offline-1", "temperature": 0.3}}
    )

    answer = await http.post(
        "/v1/chat/completions", headers=org.bearer, json={"model": made.id, "messages": HELLO}
    )

    assert "warnings" not in answer.json()


async def test_member_of_a_function_that_is_not_offered_is_named(caller):
    answer = (
        await caller.post("/v1/responses", tools=[{**FLAT, "defer_loading": True, "async": False}])
    ).json()

    assert warned(answer) == ["tools[0].defer_loading"]
