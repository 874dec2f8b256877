"""What was probably meant by a name that is not known, for the error or the warning about it."""

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], prefix: str = "") -> str:
    """What to add to the text; empty where no known name is like it. `prefix` is put before the one that
    is."""
    of_lower = {one.lower(): one for one in sorted(known)}
    nearest = difflib.get_close_matches(name.lower(), of_lower, 1)
    return f"; did you mean {prefix}{of_lower[nearest[0]]}?" if nearest else ""
