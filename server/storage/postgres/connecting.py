"""Opens connections to PostgreSQL that notice within seconds when the other side is gone."""

import asyncio
import contextlib
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from server.storage.postgres.connection import Driver

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_DEFAULTS = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


def parameters(url: str) -> dict[str, Any]:
    """Time limits of a connection, but for those that the URL sets itself."""
    given = conninfo_to_dict(url)
    return {name: value for name, value in _DEFAULTS.items() if name not in given}


def longer(pause: float) -> float:
    """Return the seconds to wait before the next attempt to connect, after a pause of that many; 0 for none yet."""
    return min(max(_FIRST_PAUSE, 2 * pause), _LONGEST_PAUSE)


async def connect(url: str) -> Driver:
    """Open a connection outside of the pool. Raises psycopg.Error."""
    connecting = asyncio.ensure_future(
        psycopg.AsyncConnection.connect(url, autocommit=True, **parameters(url))
    )
    try:
        return await asyncio.shield(connecting)
    except asyncio.CancelledError:  # psycopg would leave what it has opened by then open
        with contextlib.suppress(psycopg.Error):
            await (await connecting).close()
        raise
