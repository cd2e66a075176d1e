"""Laws of bills: nothing is lost by splitting, sharing, or billing in several goes."""

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from billing.bills import Billed, Contract, Metered, PricedLine, price, share_out
from billing.pricing import Charge, parse_charges
from billing.terms import ShareTerms
from marketplace.core.money import exact
from marketplace.core.periods import parse_month

OCTOBER = parse_month("2026-10")
amounts = st.decimals(min_value=0, max_value=1_000, places=6)
metered = st.builds(Metered, st.integers(0, 10_000), amounts)


@st.composite
def plans(draw: st.DrawFn) -> tuple[Charge, ...]:
    """A plan with any of the three charges, the price of calls in one of several shapes."""
    prices = [draw(amounts) for _ in range(2)]
    tiers = [
        {"up_to": "100", "unit_amount": prices[0], "flat_amount": draw(amounts)},
        {"up_to": None, "unit_amount": prices[1]},
    ]
    calls = draw(
        st.sampled_from(
            [
                {"model": "per_unit", "unit_amount": prices[0], "free_units": 10},
                {"model": "graduated", "tiers": tiers},
                {"model": "volume", "tiers": tiers},
                {"model": "package", "package_size": "7", "package_amount": prices[0]},
            ]
        )
    )
    bounds = {"minimum": "3", "maximum": "500"} if draw(st.booleans()) else {}
    charges = [
        {"code": "fee", "model": "flat", "amount": draw(amounts)},
        {"code": "calls", **calls, **bounds},
        {"code": "cost", "model": "cost_plus", "markup": draw(amounts)},
    ]
    chosen = draw(st.lists(st.sampled_from(charges), unique_by=lambda one: one["code"]))
    return parse_charges(chosen) if chosen else ()


@st.composite
def contracts(draw: st.DrawFn) -> Contract:
    basis = draw(st.sampled_from(["gross", "net_of_cost"]))
    share = draw(st.decimals(min_value=0, max_value=1, places=4))
    return Contract(
        charges=draw(plans()),
        currency=draw(st.sampled_from(["USD", "JPY", "KWD"])),
        month=OCTOBER,
        active=OCTOBER,
        usage=draw(metered),
        share=ShareTerms(share, basis),
    )


def minor(lines: list[PricedLine]) -> int:
    return sum(line.amount_minor for line in lines)


def cost(lines: list[PricedLine]) -> Decimal:
    with exact():
        return sum((line.platform_cost for line in lines), Decimal(0))


class TestPrice:
    @given(contracts())
    def test_carries_all_cost_and_splits_all_money(self, contract: Contract) -> None:
        lines = price(contract)

        assert cost(lines) == contract.usage.cost
        assert all(line.creator_minor + line.platform_minor == line.amount_minor for line in lines)
        assert 0 <= sum(line.creator_minor for line in lines) <= max(0, minor(lines))

    @given(contracts(), metered)
    def test_corrections_add_up_to_one_bill(self, contract: Contract, late: Metered) -> None:
        first = price(contract)
        charges: dict[str, int] = {}
        for line in first:
            charges[line.charge_code] = charges.get(line.charge_code, 0) + line.amount_minor
        billed = Billed(contract.usage, charges, sum(line.creator_minor for line in first))

        correction = price(replace(contract, usage=late, with_fee=False, billed=billed))
        whole = price(replace(contract, usage=contract.usage + late))

        # Each bill rounds its lines once: the two can differ from the one by less than a unit for each line.
        assert abs(minor(first) + minor(correction) - minor(whole)) <= len(first) + len(correction)
        with exact():
            assert cost(first) + cost(correction) == cost(whole)


class TestShareOut:
    @given(contracts(), st.lists(metered, min_size=1, max_size=4))
    def test_gives_every_part_to_somebody(self, contract: Contract, usages: list[Metered]) -> None:
        contract = replace(contract, usage=sum(usages, Metered()))
        lines = price(contract)

        shared = share_out(lines, usage_by_place=dict(enumerate(usages)), home=0)

        parts = [part for of_place in shared.values() for part in of_place]
        assert minor(parts) == minor(lines)
        assert cost(parts) == cost(lines)
        assert sum(part.creator_minor for part in parts) == sum(line.creator_minor for line in lines)
        with exact():
            assert sum((part.amount for part in parts), Decimal(0)) == sum(
                (line.amount for line in lines), Decimal(0)
            )
