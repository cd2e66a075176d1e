"""Laws of what creators get: parts are the whole, whatever is paid, given back or topped up."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from billing.creators.accruing import Collected
from billing.revenue_share import Fee, Tier, guarantee_top_up, split, tier_top_up
from billing.service_credits.judging import give_back

minor = st.integers(0, 10**9)
signed = st.integers(-(10**9), 10**9)
shares = st.decimals(0, 1, places=4)


@given(signed, signed, signed)
def test_held_and_available_are_what_is_owed(asked: int, paid: int, owed: int) -> None:
    found = Collected(asked, paid).split(owed)

    assert found.held_minor + found.available_minor == owed
    assert asked <= 0 or paid < asked or found.held_minor == 0
    assert asked <= 0 or paid > 0 or found.available_minor == 0


@given(st.integers(1, 10**6), st.lists(st.integers(1, 10**5), max_size=6), minor)
def test_payments_release_more_and_more(asked: int, payments: list[int], owed: int) -> None:
    paid, before = 0, 0
    for payment in payments:
        paid += payment
        now = Collected(asked, paid).split(owed).available_minor
        assert before <= now <= owed
        before = now


@given(
    st.decimals(0, 10**6, places=2), st.decimals(0, 10**6, places=2), shares, st.decimals(0, 100, places=2)
)
def test_fees_leave_the_whole_and_nobody_owing(
    price: Decimal, cost: Decimal, share: Decimal, percent: Decimal
) -> None:
    fees = (Fee("", percent, Decimal("0.30")),)
    found = split(price, platform_cost=cost, share=share, basis="net_of_cost", currency="USD", fees=fees)

    assert found.creator + found.platform == price
    assert found.creator >= 0


@given(minor, minor, minor, shares)
def test_tiers_that_ask_for_less_never_take(revenue: int, creator: int, before: int, share: Decimal) -> None:
    tiers = (Tier(Decimal(100), share / 2), Tier(Decimal(10_000), Decimal(0)))
    found = tier_top_up(
        tiers,
        base_share=share,
        before_minor=before,
        revenue_minor=revenue,
        creator_minor=creator,
        currency="USD",
    )

    assert found.amount_minor >= 0


@given(minor, signed)
def test_guarantee_gives_what_is_missing(guarantee: int, given_minor: int) -> None:
    more = guarantee_top_up(guarantee, given_minor=given_minor, currency="USD").amount_minor

    assert more >= 0
    assert given_minor + more >= guarantee
    assert more == 0 or given_minor + more == guarantee


@given(minor, st.decimals(0, 100, places=3), st.sampled_from(["creator", "platform", "shared"]), st.data())
def test_credits_are_parts_of_fees_and_creators_give_no_more_than_they_got(
    fees: int, percent: Decimal, borne_by: str, data: st.DataObject
) -> None:
    creator = data.draw(st.integers(0, fees))
    back = give_back(
        fees_minor=fees, fees_creator_minor=creator, percent=percent, borne_by=borne_by, currency="USD"
    )

    assert 0 <= back.creator_minor <= min(creator, back.amount_minor)
    assert back.amount_minor <= fees
