"""Counts of durations as an HdrHistogram has them: microseconds, three significant digits, any length.

The buckets, the percentiles and the encoding are those of HdrHistogram, whose tools read `encoded` and merge
what several generators measured; `tests/test_load_parts.py` compares with its Python package. That package
requires setuptools and pbr wherever it is installed, which is why these lines are here.
"""

import base64
import math
import struct
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence

_DIGITS = 3
_HALF_BITS = 10  # 2 * 1024 sub-buckets tell three significant digits apart
_HIGHEST = 24 * 3600 * 1_000_000
_V2_COUNTS, _V2_COMPRESSED = 0x1C849313, 0x1C849314


class Histogram:
    """Durations, recorded in seconds and read in milliseconds."""

    def __init__(self) -> None:
        self.count = 0
        self._counts: Counter[int] = Counter()
        self._sum = 0

    def record(self, seconds: float) -> None:
        """Count one duration; below 0 it is 0, beyond a day it is a day."""
        value = min(max(round(seconds * 1e6), 0), _HIGHEST)
        self._counts[_index(value)] += 1
        self._sum += value
        self.count += 1

    def add(self, other: "Histogram") -> None:
        """Count all durations of another histogram too."""
        self._counts.update(other._counts)
        self._sum += other._sum
        self.count += other.count

    @property
    def mean(self) -> float:
        """The arithmetic mean; 0 when nothing is recorded."""
        return self._sum / self.count / 1e3 if self.count else 0.0

    def percentiles(self, wanted: Sequence[float]) -> list[float]:
        """Return the values that these percentages of the durations do not exceed, in ascending order."""
        found: list[float] = []
        targets = [max(math.floor(min(one, 100) * self.count / 100 + 0.5), 1) for one in wanted]
        seen = 0
        for index in sorted(self._counts):
            seen += self._counts[index]
            while len(found) < len(targets) and seen >= targets[len(found)]:
                found.append(_highest_at(index) / 1e3)
        return found or [0.0] * len(targets)

    def above(self, seconds: float) -> int:
        """Return how many durations are longer, to three digits."""
        limit = _index(round(seconds * 1e6))
        return sum(count for index, count in self._counts.items() if index > limit)

    def encoded(self) -> str:
        """Return the histogram in HdrHistogram's compressed V2 encoding, as base64."""
        counts = b"".join(self._leb128())
        head = struct.pack(">IIIIQQd", _V2_COUNTS, len(counts), 0, _DIGITS, 1, _HIGHEST, 1.0)
        packed = zlib.compress(head + counts)
        return base64.b64encode(struct.pack(">II", _V2_COMPRESSED, len(packed)) + packed).decode()

    def _leb128(self) -> Iterator[bytes]:
        """Counts from the first bucket on, runs of empty buckets as one negative number."""
        expected = 0
        for index in sorted(self._counts):
            if index > expected:
                yield _zigzag(expected - index)
            yield _zigzag(self._counts[index])
            expected = index + 1


def _index(value: int) -> int:
    bucket = max(value.bit_length() - _HALF_BITS - 1, 0)
    return (bucket << _HALF_BITS) + (value >> bucket)


def _highest_at(index: int) -> int:
    bucket = max((index >> _HALF_BITS) - 1, 0)
    return ((index - (bucket << _HALF_BITS) + 1) << bucket) - 1


def _zigzag(number: int) -> bytes:
    """Variable-length bytes of a signed number, nine at most."""
    left = (number << 1) ^ (number >> 63)
    written = bytearray()
    while left > 0x7F and len(written) < 8:
        written.append(left & 0x7F | 0x80)
        left >>= 7
    written.append(left)
    return bytes(written)
