"""The call that is being served: its caller, method and metadata. Set only by `rpc/interceptor.py`."""

from collections.abc import Mapping
from contextvars import ContextVar
from typing import NamedTuple

from server.storage.database import acting_for
from server.storage.keys import Caller


class Call(NamedTuple):
    """One call with its metadata and, once authenticated, its caller."""

    request_id: str
    method: str
    """`/parley.v1.ChatService/GetChat`."""
    metadata: Mapping[str, str]
    caller: Caller | None = None

    @property
    def http_path(self) -> str | None:
        """Return the requested path of an HTTP call; None for a gRPC call."""
        return self.metadata.get("x-envoy-original-path")


# A context variable instead of an argument: gRPC calls the methods of services with only a request and its
# own context.
_current: ContextVar[Call] = ContextVar("call")


def current_call() -> Call:
    """Return the call that this task serves."""
    return _current.get()


def current_caller() -> Caller:
    """Return the caller of that call. Every method that uses this requires a key, so there always is one."""
    caller = _current.get().caller
    assert caller is not None
    return caller


def enter(call: Call) -> None:
    """Make `call` the current call of this task."""
    _current.set(call)
    acting_for.set(call.caller.org_id if call.caller else "")
