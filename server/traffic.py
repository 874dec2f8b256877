"""Whether anybody calls: what a server that is to stop must know. Counts calls and remembers the last; decides nothing."""

import time
from math import inf


class Traffic:
    """`with traffic:` around every call."""

    def __init__(self) -> None:
        self._under_way = 0
        self._last = -inf
        self._last_begun = -inf

    def __enter__(self) -> None:
        self._under_way += 1
        self._last_begun = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._under_way -= 1
        self._last = time.monotonic()

    def within(self, seconds: float) -> bool:
        """Whether a call is under way, or ended in the last `seconds`."""
        return self._under_way > 0 or time.monotonic() - self._last < seconds

    def begun_within(self, seconds: float) -> bool:
        """Whether a call has come in the last `seconds`."""
        return time.monotonic() - self._last_begun < seconds
