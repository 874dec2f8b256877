"""Peers for processes that share one data folder: `Peers` by the kernel's file locks and by datagrams between
UNIX sockets.

A lock is a byte of a file; the kernel releases it with the process that holds it. A notification is a
datagram to every socket in the folder. Leaves nothing on disk that would need repair after a crash.
"""

import asyncio
import contextlib
import fcntl
import functools
import hashlib
import os
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from server.core.ids import new_id
from server.storage.peers import Words

_FILES = 64
"""Lock files, which share the locks: the kernel searches all locks of a file, and with 20,000 in one each
would take 0.4 ms."""
_MOST_BYTES = 256
_SETTLED_SECONDS = 0.1
"""The age from which on the folder's mtime is distinct from that of its next change."""


class FilePeers:
    """The peers in one folder. `folder` is created when it is first needed: a command that only reads leaves
    nothing behind."""

    def __init__(self, folder: Path) -> None:
        self._path = folder
        self._closed = False
        self._files: dict[int, int] = {}
        self._owned: set[str] = set()
        self._words = Words()
        self._name = f"{new_id()}.sock"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._others: list[str] = []
        self._looked_at: tuple[int, float] = (0, 0)

    async def try_lock(self, name: str) -> bool:
        """Acquire a lock that no process holds, this one included; False when it is held."""
        if name in self._owned or not self._set_lock(name, fcntl.F_WRLCK):
            return False
        self._owned.add(name)
        return True

    async def unlock(self, name: str) -> None:
        """Release a lock that this process holds."""
        self._owned.discard(name)
        self._set_lock(name, fcntl.F_UNLCK)

    def notify(self, topic: str) -> None:
        """Notify every process, this one included. The notification is lost on those with too many unread
        ones."""
        self._words.hear(topic)
        for other in self._listeners():
            try:
                self._socket.sendto(topic.encode(), self._address(other))
            # left behind by a process that was killed, or just gone
            except (ConnectionRefusedError, FileNotFoundError):
                with contextlib.suppress(OSError):
                    os.unlink(other, dir_fd=self._folder)
            except OSError:
                continue

    def on_word(self, topic: str, received: Callable[[], object]) -> AbstractContextManager[None]:
        """Call `received` at every notification of `topic`, from any process, while this is entered."""
        self._listen()
        return self._words.on_word(topic, received)

    def listen(self, topic: str) -> AbstractContextManager[asyncio.Event]:
        """Return an event that is set at every notification of `topic`, from any process."""
        self._listen()
        return self._words.listen(topic)

    async def aclose(self) -> None:
        """As `close`."""
        self.close()

    def close(self) -> None:
        """Release everything. May be called twice."""
        if self._closed:
            return
        self._closed = True
        if self._loop is not None:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._socket)
            with contextlib.suppress(OSError):
                os.unlink(self._name, dir_fd=self._folder)
        self._socket.close()
        for file in self._files.values():
            os.close(file)
        if "_folder" in self.__dict__:
            os.close(self._folder)

    @functools.cached_property
    def _folder(self) -> int:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._path.mkdir(mode=0o700, exist_ok=True)
        return os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)

    def _address(self, name: str) -> str:
        # Through the folder's descriptor, because a socket's path has room for about a hundred characters
        # only.
        return f"/proc/self/fd/{self._folder}/{name}" if sys.platform == "linux" else f"{self._path}/{name}"

    def _set_lock(self, name: str, kind: int) -> bool:
        digest = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 2
        file, place = self._file(digest % _FILES), digest // _FILES
        try:
            if sys.platform == "linux":
                # Locks belong to the open file, not to the process: two stores in one process are two
                # servers.
                fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", kind, os.SEEK_SET, place, 1, 0))
            else:
                fcntl.lockf(
                    file, fcntl.LOCK_UN if kind == fcntl.F_UNLCK else fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place
                )
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _file(self, number: int) -> int:
        file = self._files.get(number)
        if file is None:
            file = self._files[number] = os.open(
                f"{number:02}.lock", os.O_RDWR | os.O_CREAT, 0o600, dir_fd=self._folder
            )
        return file

    def _listen(self) -> None:
        if self._loop is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._socket.bind(self._address(self._name))
        os.chmod(self._name, 0o600, dir_fd=self._folder)
        self._loop.add_reader(self._socket, self._read)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self._words.hear(self._socket.recv(_MOST_BYTES).decode(errors="replace"))

    def _listeners(self) -> list[str]:
        """Return the other processes' sockets; the folder is listed again only when it has changed."""
        changed = os.stat(self._folder).st_mtime_ns
        if changed != self._looked_at[0] or self._looked_at[1] - changed / 1e9 < _SETTLED_SECONDS:
            self._looked_at = changed, time.time()
            self._others = [
                name for name in os.listdir(self._folder) if name.endswith(".sock") and name != self._name
            ]
        return self._others
