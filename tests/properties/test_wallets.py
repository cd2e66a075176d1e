"""Laws of wallets: nothing is lost, nothing falls below zero, and what is taken is taken in order."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from billing.wallet_order import in_order, take

NOW = datetime(2026, 6, 10, tzinfo=UTC)


@dataclass(frozen=True)
class Credit:
    kind: str
    left_minor: int
    expires_at: datetime | None
    granted_at: datetime


days = st.integers(-5, 30)
credits_of = st.lists(
    st.builds(
        lambda kind, left, expires, granted: Credit(
            kind,
            left,
            None if expires is None else NOW + timedelta(days=expires),
            NOW - timedelta(days=granted),
        ),
        st.sampled_from(["paid", "promotional"]),
        st.integers(0, 10_000),
        st.none() | days,
        st.integers(0, 90),
    ),
    max_size=8,
)


@given(credits_of, st.integers(0, 50_000))
def test_what_is_taken_is_what_is_asked_or_all_there_is(found: list[Credit], amount: int) -> None:
    taken = take(found, amount, at=NOW)
    usable = sum(one.left_minor for one in found if one.expires_at is None or one.expires_at > NOW)

    assert sum(one.amount_minor for one in taken) == min(amount, usable)
    assert all(0 < one.amount_minor <= one.credit.left_minor for one in taken)


@given(credits_of, st.integers(0, 50_000))
def test_nothing_is_taken_while_something_before_it_is_left(found: list[Credit], amount: int) -> None:
    taken = take(found, amount, at=NOW)
    ordered = in_order(found, at=NOW)

    assert [one.credit for one in taken] == ordered[: len(taken)]
    assert all(one.amount_minor == one.credit.left_minor for one in taken[:-1])


@given(credits_of)
def test_what_ends_sooner_comes_first_and_given_before_paid(found: list[Credit]) -> None:
    ordered = in_order(found, at=NOW)
    for earlier, later in pairwise(ordered):
        ends = [one.expires_at or datetime.max.replace(tzinfo=UTC) for one in (earlier, later)]
        assert ends[0] <= ends[1]
        if ends[0] == ends[1]:
            assert (earlier.kind == "paid", earlier.granted_at) <= (later.kind == "paid", later.granted_at)


@given(credits_of, st.integers(0, 20_000), st.integers(0, 20_000))
def test_two_bills_take_as_much_as_one_of_both(found: list[Credit], first: int, second: int) -> None:
    one = sum(part.amount_minor for part in take(found, first + second, at=NOW))
    taken = take(found, first, at=NOW)
    left = {id(part.credit): part.amount_minor for part in taken}
    rest = [Credit(c.kind, c.left_minor - left.get(id(c), 0), c.expires_at, c.granted_at) for c in found]
    two = sum(part.amount_minor for part in taken)
    two += sum(part.amount_minor for part in take(rest, second, at=NOW))

    assert one == two
