"""Work on what is large is done beside the event loop, so that others are answered meanwhile."""

import asyncio
import contextvars
import sys
import threading

import pytest
from google.protobuf.json_format import ParseDict

from generated.parley.v1.assistant_service_pb2 import CreateAssistantRequest, UpdateAssistantRequest
from generated.parley.v1.assistant_service_pb2_grpc import AssistantServiceStub
from generated.parley.v1.chat_service_pb2 import CreateChatRequest
from generated.parley.v1.chat_service_pb2_grpc import ChatServiceStub
from server.agents import agents, bounded_liquid, documents
from server.core import offload
from server.rpc import interceptor as interceptors
from server.services import chats
from server.wire import documents as wire_documents

HERE = contextvars.ContextVar("here")
MODEL = {"provider": "offline", "model": "offline-1"}


async def test_work_is_done_in_a_thread_when_it_is_large_and_sees_the_context():
    HERE.set("a call")

    def where():
        return threading.get_ident(), HERE.get()

    at_once, beside = (
        await offload.by_size(offload.LARGE, where),
        await offload.by_size(offload.LARGE + 1, where),
    )

    assert at_once == (threading.get_ident(), "a call")
    assert beside[0] != threading.get_ident()
    assert beside[1] == "a call"


async def test_very_large_work_is_done_one_at_a_time_and_what_is_only_large_does_not_wait_for_it():
    ends = threading.Event()
    first, second = (
        asyncio.create_task(offload.by_size_one_at_a_time(offload.VERY_LARGE + 1, work))
        for work in (ends.wait, ends.is_set)
    )
    try:
        assert await offload.by_size_one_at_a_time(offload.VERY_LARGE, ends.is_set) is False
        assert not second.done()
    finally:
        ends.set()

    assert (await first, await second) == (True, True)


async def test_what_work_raises_in_a_thread_is_raised():
    with pytest.raises(KeyError):
        await offload.in_thread({}.__getitem__, "a")


LARGE = "x" * 20_000
CHECKS = {
    "a request is read": (interceptors, "check", {"input": LARGE}),
    "an input is parsed": (chats, "parse_input", {"input": LARGE}),
    "an assistant of a request is checked": (
        agents,
        "check_assistant",
        {"input": "hi", "assistant": {"model": MODEL, "metadata": {"a": LARGE}}},
    ),
    "a squad of a request is checked": (
        agents,
        "check_squad",
        {"input": "hi", "squad": {"members": [{"assistant": {"metadata": {"a": LARGE}}}]}},
    ),
}


def noted(monkeypatch, module, name):
    """The threads in which a function is called."""
    threads, function = [], getattr(module, name)

    def noting(*arguments, **named):
        threads.append(threading.get_ident())
        return function(*arguments, **named)

    monkeypatch.setattr(module, name, noting)
    return threads


@pytest.mark.parametrize(("module", "name", "members"), CHECKS.values(), ids=CHECKS)
async def test_large_request_is_worked_on_beside_the_loop(channel, org, monkeypatch, module, name, members):
    named = {} if "assistant" in members or "squad" in members else {"assistantId": org.assistant_id}
    threads = noted(monkeypatch, module, name)

    await ChatServiceStub(channel).CreateChat(
        ParseDict({**named, **members}, CreateChatRequest()), metadata=org.metadata
    )

    assert threads
    assert threading.get_ident() not in threads


async def test_small_request_is_worked_on_at_once(channel, org, monkeypatch):
    threads = noted(monkeypatch, interceptors, "check")

    await ChatServiceStub(channel).CreateChat(
        ParseDict({"assistantId": org.assistant_id, "input": "hi"}, CreateChatRequest()),
        metadata=org.metadata,
    )

    assert threads == [threading.get_ident()]


async def test_large_document_is_checked_beside_the_loop_and_so_is_a_small_patch_of_it(
    channel, org, monkeypatch
):
    threads = noted(monkeypatch, documents, "_json_violations")
    stub = AssistantServiceStub(channel)

    made = await stub.CreateAssistant(
        ParseDict({"document": {"metadata": {"a": LARGE}}}, CreateAssistantRequest()), metadata=org.metadata
    )
    await stub.UpdateAssistant(
        ParseDict({"id": made.id, "patch": {"name": "a"}}, UpdateAssistantRequest()), metadata=org.metadata
    )

    assert len(threads) == 2
    assert threading.get_ident() not in threads


@pytest.mark.parametrize("path", ["/assistant", "/assistant/{id}"])
async def test_large_document_is_shown_beside_the_loop(service, org, http, monkeypatch, path):
    made = await service.store.assistants.create(org.id, {"metadata": {"a": LARGE}})
    threads = noted(monkeypatch, wire_documents, "mask_secrets")

    answer = await http.get(path.format(id=made.id), headers=org.bearer)

    assert answer.status_code == 200
    assert threads
    assert threading.get_ident() not in threads


async def test_thread_with_much_work_leaves_the_loop_its_turns(service):
    assert sys.getswitchinterval() <= offload.TURN_SECONDS


TEMPLATES = {
    "much work": ("{% for i in (1..2000) %}{{i}}{% endfor %}", False),
    "little": ("{{now}} {% if a %}b{% endif %}", True),
}


@pytest.mark.parametrize(("text", "at_once"), TEMPLATES.values(), ids=TEMPLATES)
async def test_template_that_takes_much_work_is_filled_beside_the_loop(
    channel, org, monkeypatch, text, at_once
):
    threads = noted(monkeypatch, bounded_liquid.Template, "fill")
    assistant = {"model": {**MODEL, "messages": [{"role": "system", "content": text}]}}

    await ChatServiceStub(channel).CreateChat(
        ParseDict({"assistant": assistant, "input": "hi"}, CreateChatRequest()), metadata=org.metadata
    )

    assert (threads[-1] == threading.get_ident()) == at_once
