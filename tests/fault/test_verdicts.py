"""The fault suite can fail: what it must notice, noticed."""

import random
import sqlite3
from contextlib import closing

import pytest

from server.core.clock import now_ms
from server.storage.store import open_store
from tests.fault import verdict
from tests.fault.cuts import Disk, Resize, Sync, Write
from tests.fault.trial import Trial
from tests.fault.writer import Acknowledged, read
from tests.storage.records import Recorder


@pytest.fixture
async def recorded(tmp_path):
    """A folder with one chat, and its id."""
    folder = tmp_path / "recorded"
    store = open_store(folder)
    chat = await (await Recorder.of_new_org(store, now_ms)).add("hello")
    store.close()
    return folder, chat.id


def judged(folder, **acknowledged):
    trial = Trial(folder, 1)
    verdict.record(
        trial, folder, Acknowledged(acknowledged.get("there", set()), acknowledged.get("gone", set()))
    )
    return trial


async def test_what_is_on_record_is_not_lost(recorded):
    folder, chat_id = recorded

    assert judged(folder, there={chat_id}, gone={"another"}).passed


async def test_acknowledged_chat_that_is_not_there_is_lost(recorded):
    folder, chat_id = recorded

    trial = judged(folder, there={chat_id, "another"})

    assert (trial.survived, trial.lost, trial.passed) == (0, 1, False)


async def test_deleted_chat_that_is_there_is_counted(recorded):
    folder, chat_id = recorded

    assert judged(folder, gone={chat_id}).lost == 1


async def test_chat_without_its_messages_is_not_survived(recorded):
    folder, chat_id = recorded
    with closing(sqlite3.connect(folder / "parley.db", isolation_level=None)) as connection:
        connection.execute("DELETE FROM messages")
    (folder / "parley.db-sums").unlink()  # else the file is refused before it is read

    trial = judged(folder, there={chat_id})

    assert not trial.passed
    assert chat_id in trial.wrong[0]


def test_truncated_line_was_never_acknowledged_and_a_deletion_under_way_may_have_happened_or_not():
    assert read([b"+ a\n", b"+ b\n", b"~ b\n", b"+ c\n", b"~ c\n", b"- c\n", b"+ d"]) == Acknowledged(
        {"a"}, {"c"}
    )


def test_trial_that_tried_nothing_has_not_held(tmp_path):
    assert not Trial(tmp_path, 5).passed


def test_cut_leaves_what_was_synced_and_any_part_of_what_was_not(tmp_path):
    folder = tmp_path / "disk"
    path = str(folder / "parley.db")
    disk = Disk({path: b"old" * 1000})
    disk.do(Write(path, 0, b"synced"))
    disk.do(Sync(path))
    disk.do(Write(path, 1024, b"x" * 1024))
    left = set()
    for number in range(60):
        disk.cut(tmp_path / str(number), folder, random.Random(number))
        left.add((tmp_path / str(number) / "parley.db").read_bytes())

    assert all(content.startswith(b"synced") for content in left)
    assert {content.count(b"x") for content in left} == {0, 512, 1024}


def test_file_that_shrank_without_a_sync_may_still_be_long(tmp_path):
    folder = tmp_path / "disk"
    path = str(folder / "parley.db-wal")
    disk = Disk({path: b"log" * 100})
    disk.do(Resize(path, 0))
    for number in range(30):
        disk.cut(tmp_path / str(number), folder, random.Random(number))

    assert {len((tmp_path / str(number) / "parley.db-wal").read_bytes()) for number in range(30)} == {0, 300}
