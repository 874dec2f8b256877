"""Ids: UUIDv7, sorted by time, readable in every form that a door shows."""

import uuid

import pytest

from server.core.ids import hex_of, new_id, parse_id

ID = "0198a6c0-7b1e-7c3d-9abc-0123456789ab"
HEX = ID.replace("-", "")


def test_ids_made_later_sort_later():
    made = [new_id() for _ in range(10_000)]

    assert made == sorted(set(made))


def test_ids_are_uuids_of_version_7():
    made = uuid.UUID(new_id())

    assert (made.version, made.variant) == (7, uuid.RFC_4122)


READ = {
    "bare": ID,
    "upper case": ID.upper(),
    "hex": HEX,
    "hex in upper case": HEX.upper(),
    "response": f"resp_{HEX}",
    "message": f"msg_{HEX}",
    "completion": f"chatcmpl-{HEX}",
    "conversation": f"conv_{HEX}",
    "function call": f"fc_{HEX}",
    "prefix and dashes": f"resp_{ID}",
    "prefix in upper case": f"RESP_{HEX.upper()}",
}


@pytest.mark.parametrize("text", READ.values(), ids=READ)
def test_id_is_read_in_every_form(text):
    assert parse_id(text) == ID


UNREADABLE = {
    "empty": "",
    "word": "chat",
    "short": ID[:-1],
    "long": ID + "0",
    "not hex": "g" + ID[1:],
    "blank before": " " + ID,
    "blank after": ID + " ",
    "line feed after": ID + "\n",
    "braces": f"{{{ID}}}",
    "urn": f"urn:uuid:{ID}",
    "prefix alone": "resp_",
    "unknown prefix": f"user_{HEX}",
    "two prefixes": f"resp_msg_{HEX}",
    "nul": ID + "\0",
    "other digits": "٠" * 32,
    "wide letters": "ａ" * 32,
    "dashes elsewhere": "0198-a6c07b1e-7c3d-9abc-0123456789ab",
    "sql": f"{ID}' --",
    "path": f"../{ID}",
    "number": "1",
    "very long": "a" * 1_000_000,
}


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_id_is_none(text):
    assert parse_id(text) is None


def test_hex_and_back():
    assert (hex_of(ID), parse_id(hex_of(ID))) == (HEX, ID)


def test_new_ids_are_read_as_they_are():
    made = new_id()

    assert parse_id(made) == made
