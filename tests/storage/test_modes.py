"""Who may read what the store writes: its owner alone, whatever the umask, and also in a folder of an earlier
version."""

import os
import stat

import pytest

from server.storage.sqlite.backups import back_up, restore
from server.storage.sqlite.modes import make_private
from server.storage.store import open_store
from tests.storage.records import Recorder


@pytest.fixture
def engine() -> str:
    """Files are SQLite's alone."""
    return "sqlite"


@pytest.fixture(autouse=True)
def umask():
    """The usual one, which lets everybody read."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def open_to_others(folder):
    """Whatever below a folder others may do anything with, the folder included."""
    return sorted(path.name for path in [folder, *folder.rglob("*")] if mode_of(path) & 0o077)


async def test_store_is_made_for_its_owner_only_while_it_is_open_and_after(tmp_path, clock):
    store = open_store(tmp_path / "data", clock=clock)
    recorder = await Recorder.of_new_org(store, clock)
    await recorder.add("hello")
    with store.peers.listen("word"):
        store.peers.notify("word")

        made = {path.name for path in (tmp_path / "data").iterdir()}
        assert {"parley.db-wal", "parley.db-shm", "parley.lock", "run"} <= made
        assert open_to_others(tmp_path / "data") == []
    store.close()
    assert open_to_others(tmp_path / "data") == []


async def test_store_of_an_earlier_version_is_closed_to_others_when_it_is_opened(tmp_path, clock):
    data = tmp_path / "data"
    store = open_store(data, clock=clock)
    await Recorder.of_new_org(store, clock)
    store.peers.notify("word")
    for name in ("parley.db.before-3", "parley.db.replaced-1", "dev-keys.json", "run/envoy.json"):
        (data / name).write_text("")
    for path in [data, *data.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)

    open_store(data, clock=clock).close()

    assert open_to_others(data) == []
    await Recorder.of_new_org(store, clock)  # the locks of who had it open are still theirs
    store.close()


async def test_folder_with_other_files_keeps_its_mode_and_says_so_and_the_files_of_the_store_are_closed(
    tmp_path, clock
):
    tmp_path.chmod(0o755)
    (tmp_path / "notes").write_text("")
    open_store(tmp_path, clock=clock).close()
    (tmp_path / "parley.db").chmod(0o644)

    reason = make_private(tmp_path)

    assert "other files" in reason
    assert open_to_others(tmp_path) == sorted([tmp_path.name, "notes"])


def test_links_are_not_followed(tmp_path):
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    data.mkdir()
    (elsewhere / "peers").mkdir(parents=True)
    for name in ("file", "peers/file"):
        (elsewhere / name).write_text("")
    (data / "dev-keys.json").symlink_to(elsewhere / "file")
    (data / "run").symlink_to(elsewhere)

    assert make_private(data) == ""

    assert open_to_others(elsewhere) == ["elsewhere", "file", "file", "peers"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_belongs_to_another_user_keeps_its_mode(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "parley.db").write_text("")
    for path in (data, data / "parley.db"):
        os.chown(path, 65534, 65534)

    assert "another user" in make_private(data)
    assert open_to_others(data) == ["data", "parley.db"]


async def test_restored_database_is_its_owner_s_alone(store, recorder, tmp_path):
    await recorder.add("hello")
    backup = back_up(tmp_path, tmp_path / "b.db").path
    backup.chmod(0o644)

    restore(backup, tmp_path / "other")

    assert open_to_others(tmp_path / "other") == []
