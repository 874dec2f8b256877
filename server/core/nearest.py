"""Suggests the known name nearest to an unknown one, for an error or a warning."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Return the suggestion to append to a text; empty when no known name is similar. `prefix` precedes the
    suggested name."""
    of_lower = {one.lower(): one for one in sorted(known)}
    nearest = difflib.get_close_matches(name.lower(), of_lower, 1)
    return f"; did you mean {prefix}{of_lower[nearest[0]]}?" if nearest else ""
