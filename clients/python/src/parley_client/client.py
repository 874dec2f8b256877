"""The clients: a connection with every service as a property. How calls are made is in `_sync` and `_aio`."""

from types import TracebackType

from parley_client._aio import AsyncConnection
from parley_client._aio_services import AsyncServices
from parley_client._services import Services
from parley_client._sync import Connection
from parley_client.options import Options


class Client(Services):
    """Calls that block. Usable by several threads; `with Client(target, options) as client` closes it."""

    def __init__(self, target: str, options: Options) -> None:
        self._connection = Connection(target, options)

    def close(self) -> None:
        """Close the connection; what still runs on it ends as Cancelled."""
        self._connection.channel.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(AsyncServices):
    """Calls on an event loop; `async with AsyncClient(target, options) as client` closes it."""

    def __init__(self, target: str, options: Options) -> None:
        self._connection = AsyncConnection(target, options)

    async def aclose(self) -> None:
        """Close the connection; what still runs on it ends as Cancelled."""
        await self._connection.channel.close()

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
