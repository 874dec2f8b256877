"""Filters, order and pages of the list methods, over chats."""

import pytest
from google.protobuf.json_format import MessageToDict

from generated.parley.v1.chat_service_pb2 import ListChatsRequest
from generated.parley.v1.session_service_pb2 import ListSessionsRequest
from server.core.errors import InvalidArgument
from server.core.ids import hex_of, new_id
from server.storage import stored_chats, stored_sessions
from server.storage.listing import listing_of
from server.storage.scope import Scope
from tests.storage.records import texts

AT = "2023-11-14T22:13:{:02}Z"  # of the standing clock, second 20 is its own


@pytest.fixture
async def chats(recorder):
    """Five chats, one second apart."""
    made = []
    for number in range(5):
        made.append(
            await recorder.add(
                str(number),
                made[0] if number == 4 else None,
                assistant_id=new_id(),
                squad_id=new_id() if number == 3 else None,
            )
        )
        recorder.clock.now += 1_000
    return made


async def listed(recorder, **members):
    found, metadata = await recorder.store.chats.list(recorder.scope, ListChatsRequest(**members))
    return [int(chat.input.string_value) for chat in found], metadata


TIMES = {
    "gt": ({"created_at_gt": AT.format(22)}, [4, 3]),
    "ge": ({"created_at_ge": AT.format(22)}, [4, 3, 2]),
    "lt": ({"created_at_lt": AT.format(22)}, [1, 0]),
    "le": ({"created_at_le": AT.format(22)}, [2, 1, 0]),
    "between": ({"created_at_gt": AT.format(20), "created_at_lt": AT.format(23)}, [2, 1]),
    "updated": ({"updated_at_ge": AT.format(24)}, [4]),
    "milliseconds": ({"created_at_gt": "2023-11-14T22:13:23.999Z"}, [4]),
    "offset": ({"created_at_ge": "2023-11-15T00:13:24+02:00"}, [4]),
    "offset whose plus arrived as a space": ({"created_at_ge": "2023-11-15T00:13:24 02:00"}, [4]),
    "no offset is UTC": ({"created_at_ge": "2023-11-14T22:13:24"}, [4]),
    "a day": ({"created_at_ge": "2023-11-15"}, []),
    "year one": ({"created_at_ge": "0001-01-01T00:00:00+14:00"}, [4, 3, 2, 1, 0]),
    "year 9999": ({"created_at_gt": "9999-12-31T23:59:59-14:00"}, []),
}


@pytest.mark.parametrize(("members", "expected"), TIMES.values(), ids=TIMES)
async def test_times_bound_the_list(recorder, chats, members, expected):
    assert (await listed(recorder, **members))[0] == expected


@pytest.mark.parametrize(
    "text",
    ["yesterday", "", "1700000000", "2023-13-01T00:00:00Z", "2023-11-14T25:00:00Z", "\0"],
    ids=["word", "empty", "epoch", "month 13", "hour 25", "nul"],
)
async def test_time_that_is_none_is_refused_by_the_name_the_caller_used(recorder, text):
    with pytest.raises(InvalidArgument) as error:
        await listed(recorder, created_at_gt=text)

    assert [violation.field for violation in error.value.violations] == ["createdAtGt"]


async def test_each_equality_filter_finds_its_own(recorder, chats):
    assert (await listed(recorder, id=chats[1].id))[0] == [1]
    assert (await listed(recorder, assistant_id=chats[2].chat.assistant_id))[0] == [2]
    assert (await listed(recorder, squad_id=chats[3].chat.squad_id))[0] == [3]
    assert (await listed(recorder, previous_chat_id=chats[0].id))[0] == [4]
    assert (await listed(recorder, session_id=new_id()))[0] == []


async def test_ids_may_be_prefixed_and_of_any_case(recorder, chats):
    assert (await listed(recorder, id=f"resp_{hex_of(chats[1].id)}"))[0] == [1]
    assert (await listed(recorder, id=chats[1].id.upper()))[0] == [1]


ANY = {"comma": ",", "comma and blank": ", ", "empty parts": ",,"}


@pytest.mark.parametrize("separator", ANY.values(), ids=ANY)
async def test_any_of_several_ids(recorder, chats, separator):
    assert (await listed(recorder, id_any=separator.join([chats[0].id, chats[2].id, new_id()])))[0] == [2, 0]
    assert (
        await listed(recorder, assistant_id_any=separator.join(chat.chat.assistant_id for chat in chats[3:]))
    )[0] == [4, 3]


async def test_any_of_no_ids_is_nothing(recorder, chats):
    assert (await listed(recorder, id_any=""))[0] == []
    assert (await listed(recorder, id_any=", ,"))[0] == []


@pytest.mark.parametrize(
    "text", ["' OR '1'='1", "x'; DROP TABLE chats; --", "%", "*"], ids=["or", "drop", "like", "star"]
)
async def test_sql_in_a_filter_matches_nothing_and_does_nothing(recorder, chats, text):
    for name in ("id", "id_any", "assistant_id", "session_id", "squad_id", "previous_chat_id"):
        assert (await listed(recorder, **{name: text}))[0] == []

    assert await recorder.rows("chats") == 5


async def test_filters_are_all_to_hold(recorder, chats):
    assert (await listed(recorder, id=chats[1].id, assistant_id=chats[2].chat.assistant_id))[0] == []


ORDERS = {
    "unset": ({}, [4, 3, 2, 1, 0]),
    "DESC": ({"sort_order": "DESC"}, [4, 3, 2, 1, 0]),
    "ASC": ({"sort_order": "ASC"}, [0, 1, 2, 3, 4]),
}


@pytest.mark.parametrize(("members", "expected"), ORDERS.values(), ids=ORDERS)
async def test_newest_come_first_unless_asked_otherwise(recorder, chats, members, expected):
    assert (await listed(recorder, **members))[0] == expected


async def test_chats_of_one_millisecond_have_one_order(recorder):
    for number in range(20):
        await recorder.add(str(number))

    found = [number for page in range(1, 8) for number in (await listed(recorder, limit=3, page=page))[0]]

    assert found == [*range(19, -1, -1)]


PAGES = {
    "first": ({"page": 1, "limit": 2}, [4, 3], {"currentPage": 1, "hasNextPage": True}),
    "middle": ({"page": 2, "limit": 2}, [2, 1], {"currentPage": 2, "hasNextPage": True}),
    "last": ({"page": 3, "limit": 2}, [0], {"currentPage": 3, "hasNextPage": False}),
    "beyond": ({"page": 9, "limit": 2}, [], {"currentPage": 9, "hasNextPage": False}),
    "as SDKs write it": ({"page": 1.0, "limit": 2.0}, [4, 3], {"currentPage": 1, "hasNextPage": True}),
    "very far": ({"page": 1e9, "limit": 2}, [], {"currentPage": 1e9, "hasNextPage": False}),
}


@pytest.mark.parametrize(("members", "expected", "metadata"), PAGES.values(), ids=PAGES)
async def test_pages(recorder, chats, members, expected, metadata):
    found, pagination = await listed(recorder, **members)

    assert found == expected
    pagination.ClearField("next_cursor")
    assert MessageToDict(pagination) == {
        "itemsPerPage": 2,
        "totalItems": 5,
        "totalPages": 3,
        "sortOrder": "DESC",
    } | {name: value for name, value in metadata.items() if value}


async def test_no_items_a_page_is_a_count(recorder, chats):
    found, metadata = await listed(recorder, limit=0)

    assert (found, metadata.total_items, metadata.total_pages, metadata.has_next_page) == ([], 5, 0, False)


async def test_hundred_a_page_unless_asked_otherwise(recorder):
    assert (await listed(recorder))[1].items_per_page == 100


REQUESTS = [ListChatsRequest, ListSessionsRequest]


@pytest.mark.parametrize("request_type", REQUESTS, ids=lambda one: one.__name__)
async def test_every_documented_filter_filters(recorder, request_type):
    """A member that is added to the request and forgotten in the storage would be ignored in silence."""
    storage = {ListChatsRequest: recorder.store.chats, ListSessionsRequest: recorder.store.sessions}[
        request_type
    ]
    await recorder.add("a", session=await recorder.open_session())
    filters = [
        field
        for field in request_type.DESCRIPTOR.fields
        if field.name not in ("page", "limit", "cursor", "sort_order", "sort_by") and "_at_" not in field.name
    ]

    for field in filters:
        assert (await storage.list(recorder.scope, request_type(**{field.name: new_id()})))[0] == [], (
            field.name
        )


def test_ownership_comes_first_and_values_are_bound():
    listing = listing_of(ListChatsRequest(id="x"), Scope("org", "key"), {"id": "id"})

    assert (listing.where, listing.parameters) == (
        "org_id = ? AND key_id = ? AND id = ?",
        ["org", "key", "x"],
    )


class Counting:
    """A connection that counts the statements it is given."""

    def __init__(self, connection):
        self._connection = connection
        self.statements = 0

    def execute(self, *statement):
        self.statements += 1
        return self._connection.execute(*statement)


async def statements_of(recorder, list_of, request, columns):
    def work(connection):
        counting = Counting(connection)
        return list_of(counting, listing_of(request, recorder.scope, columns))[0], counting.statements

    return await recorder.store.database.read(work)


async def test_page_of_chats_takes_as_many_statements_as_one_chat_and_shows_what_each_is(recorder, chats):
    session = await recorder.open_session("before")
    for number in range(5, 8):
        await recorder.add(str(number), session=session, alternatives=["other"])
        recorder.clock.now += 1_000

    found, many = await statements_of(recorder, stored_chats.listed, ListChatsRequest(), {})
    _, one = await statements_of(recorder, stored_chats.listed, ListChatsRequest(limit=1), {})

    assert many == one
    assert [texts(chat.messages) for chat in found] == [[str(number)] for number in range(7, -1, -1)]
    assert [texts(chat.output) for chat in found] == [
        [f"re: {number}", "other"] for number in range(7, 4, -1)
    ] + [[f"re: {number}"] for number in range(4, -1, -1)]


async def test_page_of_sessions_takes_as_many_statements_as_one_session_and_shows_what_each_costs(recorder):
    for number in range(4):
        session = await recorder.open_session(name=str(number))
        for _ in range(number):
            await recorder.add("a", session=session)
        recorder.clock.now += 1_000

    found, many = await statements_of(recorder, stored_sessions.listed, ListSessionsRequest(), {})
    _, one = await statements_of(recorder, stored_sessions.listed, ListSessionsRequest(limit=1), {})

    assert many == one
    assert [session.cost for session in found] == [0.75, 0.5, 0.25, 0]
    assert [[part.prompt_tokens for part in session.costs] for session in found] == [[9], [6], [3], []]


@pytest.mark.parametrize("order", ["ASC", "DESC"])
async def test_cursors_go_through_all_of_a_list_as_its_page_numbers_do(recorder, order):
    for number in range(7):
        await recorder.add(str(number))
        recorder.clock.now += number % 2  # some are of one millisecond

    pages, cursor = [], {}
    while cursor is not None:
        found, pagination = await listed(recorder, limit=3, sort_order=order, **cursor)
        assert found == (await listed(recorder, limit=3, sort_order=order, page=pagination.current_page))[0]
        assert (pagination.has_next_page, pagination.current_page, pagination.total_items) == (
            pagination.HasField("next_cursor"),
            len(pages) + 1,
            7,
        )
        pages.append(found)
        cursor = {"cursor": pagination.next_cursor} if pagination.has_next_page else None

    assert [number for page in pages for number in page] == sorted(range(7), reverse=order == "DESC")


async def test_page_by_a_cursor_is_as_it_was_when_newer_ones_are_added(recorder, chats):
    _, pagination = await listed(recorder, limit=2)
    await recorder.add("5")

    assert (await listed(recorder, limit=2, cursor=pagination.next_cursor))[0] == [2, 1]


CURSORS = {
    "empty": "",
    "page": "2",
    "word": "next",
    "page 0": f"0.1.{new_id()}",
    "no time": f"2.{'9' * 16}.{new_id()}",
    "quote": f"2.1.{new_id()}'",
    "nul": "2.1.\0",
}


@pytest.mark.parametrize("text", CURSORS.values(), ids=CURSORS)
async def test_cursor_that_no_page_gave_is_refused(recorder, text):
    with pytest.raises(InvalidArgument) as error:
        await listed(recorder, cursor=text)

    assert [violation.field for violation in error.value.violations] == ["cursor"]


async def test_cursor_and_page_number_exclude_one_another(recorder):
    with pytest.raises(InvalidArgument, match="`page`"):
        await listed(recorder, cursor=f"2.1.{new_id()}", page=2)


async def test_sessions_have_cursors_too(recorder):
    made = [(await recorder.open_session()).session.id for _ in range(3)][::-1]

    first, pagination = await recorder.store.sessions.list(recorder.scope, ListSessionsRequest(limit=2))
    rest, last = await recorder.store.sessions.list(
        recorder.scope, ListSessionsRequest(limit=2, cursor=pagination.next_cursor)
    )

    assert [session.id for session in [*first, *rest]] == made
    assert not last.has_next_page
