"""What is known of the call that is being served: who calls, and how it came here. Set by
`rpc/interceptor.py` alone."""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from server.storage.keys import Caller


@dataclass(frozen=True, slots=True)
class Call:
    request_id: str
    method: str
    """`/parley.v1.ChatService/GetChat`."""
    metadata: Mapping[str, str]
    caller: Caller | None = field(default=None)

    @property
    def http_path(self) -> str | None:
        """The path that was asked for over HTTP; None when the caller speaks gRPC."""
        return self.metadata.get("x-envoy-original-path")


# Not an argument: gRPC calls the methods of services, and gives them a request and a context of its own.
_current: ContextVar[Call] = ContextVar("call")


def current_call() -> Call:
    """The call being served by this task."""
    return _current.get()


def current_caller() -> Caller:
    """Who makes it. Every method of ours that asks needs a key, so there is one."""
    caller = _current.get().caller
    assert caller is not None
    return caller


def enter(call: Call) -> None:
    _current.set(call)
