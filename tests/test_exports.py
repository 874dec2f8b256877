"""An export that nobody reads ends: while it is open the log of the database cannot shrink."""

import asyncio

import grpc
import pytest

from generated.parley.v1.history_service_pb2 import ExportHistoryRequest
from generated.parley.v1.history_service_pb2_grpc import HistoryServiceStub
from server.core.errors import Aborted
from server.services.history import HistoryService
from server.storage.sqlite.database import SqliteSnapshot
from server.storage.store import open_store
from tests.conftest import running
from tests.processes import run
from tests.processes import running as command
from tests.test_event_buffer import NOTHING_AHEAD


async def with_much(store, org_name):
    """An org whose export is larger than what the windows of a connection and a pipe take."""
    org_id = (await store.keys.create(org_name, "secret")).org_id
    for number in range(40):
        await store.assistants.create(org_id, {"name": str(number), "firstMessage": "x" * 200_000})
    return org_id


async def cut_off(store):
    """Whether the log can be cut off."""
    await store.database.write(lambda connection: connection.execute("UPDATE orgs SET name = name").rowcount)
    return store.database._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0


async def test_export_of_which_nothing_is_read_ends_and_the_log_can_be_cut_off(tmp_path, monkeypatch):
    closed, loop, close = asyncio.Event(), asyncio.get_running_loop(), SqliteSnapshot._close
    monkeypatch.setattr(
        SqliteSnapshot, "_close", lambda self: (close(self), loop.call_soon_threadsafe(closed.set))
    )
    async with running(tmp_path, unread_seconds=0.3) as service:
        org = await service.new_org()
        await with_much(service.store, org.name)
        service.store.database._connection.execute("PRAGMA busy_timeout = 0")
        async with grpc.aio.insecure_channel(service.grpc_address, NOTHING_AHEAD) as channel:
            export = HistoryServiceStub(channel).ExportHistory(ExportHistoryRequest(), metadata=org.metadata)
            assert len((await export.read()).lines) > 1
            assert not await cut_off(service.store)

            await closed.wait()

            assert await cut_off(service.store)
            assert (tmp_path / "parley.db-wal").stat().st_size == 0
            with pytest.raises(grpc.aio.AioRpcError) as ended:
                while await export.read() is not grpc.aio.EOF:
                    pass
    assert ended.value.code() == grpc.StatusCode.ABORTED
    assert "begin it again, or export one session at a time by `session_id`" in ended.value.details()


async def test_export_that_is_read_slowly_ends_after_all():
    with pytest.raises(Aborted, match="was not read fast enough"):
        await HistoryService(None, unread_seconds=60, most_reading_seconds=0)._read(asyncio.sleep(0), 0)


async def test_seconds_of_a_reader_are_counted_together():
    service = HistoryService(None, unread_seconds=60)

    assert 0 <= await service._read(asyncio.sleep(0), 1) < 1


async def test_command_whose_pipe_nobody_reads_ends_with_one_line(tmp_path):
    store = open_store(tmp_path)
    await with_much(store, "acme")
    await store.aclose()
    async with (
        asyncio.timeout(60),
        command("parley", "export", "--org", "acme", "--data", tmp_path, PARLEY_UNREAD_SECONDS=0.3) as export,
    ):
        err = (await export.stderr.read()).decode()
        await export.stdout.read()
        assert await export.wait() == 1

    assert err == (
        "Error: nothing was read of the export for 0.3 s (PARLEY_UNREAD_SECONDS), so it has ended; name a FILE\n"
    )


async def test_command_whose_pipe_is_read_writes_what_it_writes_to_a_file(tmp_path):
    store = open_store(tmp_path)
    await with_much(store, "acme")
    await store.aclose()

    piped = await run("parley", "export", "--org", "acme", "--data", tmp_path)
    await run("parley", "export", "--org", "acme", "--data", tmp_path, tmp_path / "file")

    assert len(piped.out) > 8_000_000
    assert piped.out == (tmp_path / "file").read_text()
