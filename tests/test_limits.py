"""Rates and calls under way, by a clock that the test moves. What callers see of them is in
contract/test_limits.py."""

import pytest

from server.core.config import Settings
from server.core.errors import Overloaded, RateLimited, TooLarge
from server.rpc.rate_limits import Buckets, Limits, Standing
from server.storage.keys import Caller

SECOND = 1_000_000_000
ADA, BOB = Caller("org", "ada", "api"), Caller("org", "bob", "secret")
STRANGER = Caller("another org", "stranger", "api")
PAGE = Caller("org", "page", "publishable")


class Time:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000 * SECOND

    def __call__(self) -> int:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += round(seconds * SECOND)


@pytest.fixture
def time():
    return Time()


def limits(time, **settings):
    return Limits(
        Settings(
            **{"key_requests_per_minute": 60, "key_burst": 3, "org_requests_per_minute": 6_000, **settings}
        ),
        time,
    )


def spend(limits, caller, times):
    """What remains after each of so many requests; None where there was none left."""
    standings = [limits.acquire(caller) for _ in range(times)]
    return [None if standing.wait else standing.remaining for standing in standings]


# --- rates --------------------------------------------------------------------------------------------------


def test_burst_is_spent_one_by_one_and_then_nothing_is_left(time):
    assert spend(limits(time), ADA, 5) == [2, 1, 0, None, None]


def test_tokens_come_back_one_by_one_and_never_more_than_the_burst(time):
    bounded = limits(time)
    spend(bounded, ADA, 3)

    time.pass_by(0.999)
    early = spend(bounded, ADA, 1)
    time.pass_by(0.001)
    in_time = spend(bounded, ADA, 2)
    time.pass_by(3_600)

    assert (early, in_time, spend(bounded, ADA, 4)) == ([None], [0, None], [2, 1, 0, None])


def test_what_is_refused_costs_nothing(time):
    bounded = limits(time)
    spend(bounded, ADA, 3)
    spend(bounded, ADA, 1_000)

    time.pass_by(1)

    assert spend(bounded, ADA, 1) == [0]


def test_refusal_says_when_to_come_back(time):
    bounded = limits(time)
    spend(bounded, ADA, 3)
    time.pass_by(0.25)

    with pytest.raises(RateLimited) as refused:
        bounded.acquire(ADA).check()
    assert refused.value.retry_after == 0.75
    assert (
        refused.value.message
        == "too many requests of this key or org, which may send 3 at once; try again in 750ms"
    )
    time.pass_by(refused.value.retry_after)
    bounded.acquire(ADA).check()


def test_keys_of_one_org_share_its_limit_and_orgs_share_nothing(time):
    bounded = limits(time, org_requests_per_minute=60, org_burst=4)

    assert spend(bounded, ADA, 4) == [2, 1, 0, None]
    assert spend(bounded, BOB, 2) == [0, None]
    assert spend(bounded, STRANGER, 4) == [2, 1, 0, None]


def test_request_that_the_org_has_no_token_for_costs_the_key_none(time):
    bounded = limits(time, org_requests_per_minute=60, org_burst=1)
    spend(bounded, BOB, 1)
    spend(bounded, ADA, 100)

    time.pass_by(1)

    assert bounded.acquire(ADA) == Standing(limit=1, remaining=0, full_in=SECOND, wait=0)
    assert [bounded._keys.standing(name, time(), 0).remaining for name in ("ada", "bob")] == [2, 3]


def test_tighter_of_the_two_limits_is_reported(time):
    bounded = limits(time, org_requests_per_minute=60, org_burst=5)

    standings_after = [bounded.acquire(caller) for caller in (ADA, BOB, BOB, BOB)]

    assert [(standing.limit, standing.remaining) for standing in standings_after] == [
        (3, 2),
        (3, 2),
        (3, 1),
        (3, 0),
    ]
    assert bounded.acquire(ADA)[:2] == (5, 0)


def test_burst_is_a_minutes_worth_unless_it_is_set(time):
    assert limits(time, key_burst=None).acquire(ADA).limit == 60


@pytest.mark.parametrize(
    ("full_in", "reset"),
    [
        (0, "0ms"),
        (1, "1ms"),
        (20_000_000, "20ms"),
        (SECOND, "1s"),
        (1_500_000_000, "1.5s"),
        (8_640_000_000, "8.64s"),
        (60 * SECOND, "1m0s"),
        (119_500_000_000, "2m0s"),
        (360 * SECOND, "6m0s"),
    ],
)
def test_headers_have_the_names_and_forms_of_openai(full_in, reset):
    assert Standing(60, 7, full_in, 0).headers == (
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-remaining-requests", "7"),
        ("x-ratelimit-reset-requests", reset),
    )


def test_buckets_are_bounded_and_the_least_used_is_forgotten(time):
    buckets = Buckets(per_minute=60, burst=1, most=2)
    for name in ("a", "b", "a", "c"):
        time.pass_by(1)
        buckets.acquire(name, time())

    assert [buckets.wait(name, time()) for name in ("a", "b", "c")] == [0, 0, SECOND]
    assert list(buckets._full_at) == ["a", "c"]


def test_workers_share_what_there_is(time):
    one_of_two = limits(time, workers=2, key_burst=4, server_calls=3)

    assert spend(one_of_two, ADA, 3) == [1, 0, None]
    assert one_of_two.acquire(ADA).wait == 2 * SECOND
    with one_of_two.call, one_of_two.call, pytest.raises(Overloaded):
        one_of_two.call.__enter__()


# --- calls under way ----------------------------------------------------------------------------------------


def test_key_and_org_have_so_many_calls_at_a_time(time):
    bounded = limits(time, key_calls=2, org_calls=3)

    with bounded.call_of(ADA), bounded.call_of(ADA):
        with pytest.raises(RateLimited) as of_key:
            bounded.call_of(ADA).__enter__()
        with bounded.call_of(BOB):
            with pytest.raises(RateLimited) as of_org:
                bounded.call_of(BOB).__enter__()
            with bounded.call_of(STRANGER):
                pass
    with bounded.call_of(ADA), bounded.call_of(ADA):
        pass

    assert [
        (refused.value.reason, refused.value.retry_after, refused.value.message)
        for refused in (of_key, of_org)
    ] == [
        (
            "TOO_MANY_CALLS",
            1,
            f"{most} calls of this key or org are under way, streams included, which is the most allowed; "
            "let one of them end",
        )
        for most in (2, 3)
    ]


def test_server_has_so_many_calls_at_a_time(time):
    bounded = limits(time, server_calls=1)

    with bounded.call:
        for _ in range(3):
            with pytest.raises(Overloaded) as refused:
                bounded.call.__enter__()
    with bounded.call:
        pass

    assert (refused.value.code.name, refused.value.retry_after) == ("RESOURCE_EXHAUSTED", 1)


def test_nothing_is_remembered_of_calls_that_are_over(time):
    bounded = limits(time)
    with bounded.call, bounded.call_of(ADA):
        pass
    with pytest.raises(ValueError, match="broken"), bounded.call_of(BOB):
        raise ValueError("broken")

    assert not bounded._calls


def test_limits_can_be_off(time):
    free = limits(time, limits=False, key_calls=1, org_calls=1, server_calls=1)

    assert [free.acquire(ADA) for _ in range(10)] == [None] * 10
    with free.call, free.call, free.call_of(ADA), free.call_of(ADA):
        pass


def test_who_needs_no_key_has_no_limit_of_its_own(time):
    bounded = limits(time, key_calls=1)

    assert [bounded.acquire(None) for _ in range(10)] == [None] * 10
    with bounded.call_of(None), bounded.call_of(None):
        pass


# --- bytes of publishable keys ------------------------------------------------------------------------------


def test_request_of_a_publishable_key_has_so_many_bytes(time):
    bounded = limits(time, publishable_request_bytes=1_000)

    bounded.acquire_bytes(PAGE, 1_000)
    for caller in (ADA, BOB, None):
        bounded.acquire_bytes(caller, 1 << 30)
    with pytest.raises(TooLarge) as refused:
        bounded.acquire_bytes(PAGE, 1_001)

    assert refused.value.http_status == 413
    assert refused.value.message == (
        "the request has 1001 bytes, and may have 1000 with a publishable key; send less at "
        "once, or send it with an api or a secret key"
    )


def test_publishable_key_sends_so_many_bytes_a_day(time):
    bounded = limits(time, publishable_request_bytes=1_000, publishable_day_bytes=86_400)
    for _ in range(86):
        bounded.acquire_bytes(PAGE, 1_000)

    with pytest.raises(RateLimited) as refused:
        bounded.acquire_bytes(PAGE, 1_000)
    bounded.acquire_bytes(Caller("org", "another page", "publishable"), 1_000)
    time.pass_by(600)
    bounded.acquire_bytes(PAGE, 1_000)

    assert refused.value.retry_after == pytest.approx(600)
    assert refused.value.message == (
        "a publishable key may send 86400 bytes a day, and this one has; try again in 10m0s, "
        "or use an api or a secret key"
    )


def test_bytes_are_not_counted_where_limits_are_off(time):
    limits(time, limits=False, publishable_request_bytes=1).acquire_bytes(PAGE, 1 << 30)
