"""Filters and output that Liquid for Python lacks, as in LiquidJS.

Does not bound its work: `templates.py` counts its input and output.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from dateutil import parser
from liquid import is_undefined
from liquid.stringify import to_liquid_string

_FORM = "%A, %B %-e, %Y at %-l:%M %P %z"
"""LiquidJS's format when none is given."""
_OWN = re.compile(r"%(?:%|:z|[-_0^#]*(\d*)([LNqs]))")
"""The directives that strftime lacks or reads in the zone of the machine."""
_ZONES = {
    "UTC": 0,
    "GMT": 0,
    "Z": 0,
    "EST": -5,
    "EDT": -4,
    "CST": -6,
    "CDT": -5,
    "MST": -7,
    "MDT": -6,
    "PST": -8,
    "PDT": -7,
}
"""The names of zones that JavaScript reads in a date."""
_MOST_INDENT = 10
_MOST_EXACT = 1e15


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def printed(value: Any) -> str:
    """Return a value as text for a prompt: objects as JSON, lists item by item, whole numbers without a
    fraction."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return as_json(value)
    if isinstance(value, list | tuple):
        return "".join(map(printed, value))
    if isinstance(value, float) and value.is_integer() and abs(value) < _MOST_EXACT:
        return str(int(value))
    return to_liquid_string(value, False)


def as_json(value: Any, indent: Any = None) -> str:
    """Return a value as JSON; an empty string for a missing one."""
    if is_undefined(value):
        return ""
    indent = min(int(indent), _MOST_INDENT) if isinstance(indent, int | float) and indent >= 1 else None
    return json.dumps(
        value,
        ensure_ascii=False,
        default=list,
        indent=indent,
        separators=(",", ":") if indent is None else (",", ": "),
    )


def date(value: Any, form: Any = None, zone: Any = None) -> Any:
    """Format a time in a zone: an IANA name, or minutes behind UTC; UTC when not given. An invalid time is
    returned unchanged.

    Raises LookupError for an unknown zone.
    """
    moment = _moment(value)
    if moment is None:
        return value
    form = _FORM if form is None or is_undefined(form) else str(form)
    moment = moment.astimezone(UTC if zone is None or is_undefined(zone) else _zone(zone))
    return moment.strftime(_OWN.sub(lambda found: _directive(found, moment), form))


def to_integer(value: Any) -> int:
    """Return a number truncated to an integer."""
    return int(float(value))


def raw(value: Any) -> Any:
    """Return the value unchanged: nothing is escaped."""
    return value


FILTERS: dict[str, Callable[..., Any]] = {
    "date": date,
    "json": as_json,
    "jsonify": as_json,
    "inspect": as_json,
    "to_integer": to_integer,
    "raw": raw,
}


def _moment(value: Any) -> datetime | None:
    if isinstance(value, str) and value.isdigit() and value.isascii():
        value = int(value)
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
        if not isinstance(value, str):
            return None
        if value in ("now", "today"):
            return now()
        midnight = now().replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
        found = parser.parse(value, default=midnight, tzinfos=_zone_of)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _zone_of(name: str | None, offset: int | None) -> tzinfo | None:
    """Return the zone in a date; an unknown one is ignored."""
    if offset is None and name in _ZONES:
        offset = _ZONES[name] * 3600
    return None if offset is None else timezone(timedelta(seconds=offset))


def _zone(zone: Any) -> tzinfo:
    if isinstance(zone, int | float):
        return timezone(timedelta(minutes=-zone))
    try:
        return ZoneInfo(str(zone))
    except (ValueError, OSError) as unfit:
        raise LookupError("no such time zone") from unfit


def _directive(found: re.Match[str], moment: datetime) -> str:
    width, letter = found[1], found[2]
    if letter == "L":
        return f"{moment.microsecond // 1000:03}"
    if letter == "N":
        return f"{moment.microsecond * 1000:09}"[: int(width[:1] or 9)]
    if letter == "q":
        tens, ones = divmod(moment.day, 10)
        return "th" if tens == 1 else {1: "st", 2: "nd", 3: "rd"}.get(ones, "th")
    if letter == "s":
        return str(int(moment.timestamp()))
    if found[0] == "%:z":
        written = f"{moment:%z}"
        return f"{written[:3]}:{written[3:5]}"
    return found[0]
