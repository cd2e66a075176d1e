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
                # A month's usage is one quantity, so its fixed amount is charged once, however often it is corrected.
                {"model": "percentage", "rate": "2.5", "fixed_amount": prices[0]},
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


def billed_by(contract: Contract, lines: list[PricedLine]) -> Billed:
    """What a first bill took."""
    charges: dict[str, int] = {}
    for line in lines:
        charges[line.charge_code] = charges.get(line.charge_code, 0) + line.amount_minor
    return Billed(contract.usage, charges, sum(line.creator_minor for line in lines))


def less(one: Metered, other: Metered) -> Metered:
    with exact():
        return Metered(one.requests - other.requests, one.cost - other.cost)


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

        correction = price(replace(contract, usage=late, with_fee=False, billed=billed_by(contract, first)))
        whole = price(replace(contract, usage=contract.usage + late))

        # Each bill rounds its lines once: the two can differ from the one by less than a unit for each line.
        assert abs(minor(first) + minor(correction) - minor(whole)) <= len(first) + len(correction)
        with exact():
            assert cost(first) + cost(correction) == cost(whole)

    @given(contracts(), metered)
    def test_what_is_taken_back_leaves_the_bill_of_what_is_left(
        self, contract: Contract, left: Metered
    ) -> None:
        first = price(contract)
        taken = less(left, contract.usage)

        correction = price(replace(contract, usage=taken, with_fee=False, billed=billed_by(contract, first)))
        whole = price(replace(contract, usage=left))

        assert abs(minor(first) + minor(correction) - minor(whole)) <= len(first) + len(correction) + len(
            whole
        )
        # A creator never owes: what was given in all is what one bill would have given.
        given_minor = sum(line.creator_minor for line in [*first, *correction])
        assert 0 <= given_minor <= max(0, minor(first) + minor(correction))


class TestShareOut:
    @given(contracts(), st.lists(metered, min_size=1, max_size=4))
    def test_gives_every_part_to_somebody(self, contract: Contract, usages: list[Metered]) -> None:
        contract = replace(contract, usage=sum(usages, Metered()))
        lines = price(contract)

        self._compare(lines, contract, usages)

    @given(contracts(), st.lists(st.tuples(metered, metered), min_size=1, max_size=4))
    def test_gives_every_part_of_a_correction_to_somebody(
        self, contract: Contract, moves: list[tuple[Metered, Metered]]
    ) -> None:
        first = price(contract := replace(contract, usage=sum((old for old, _ in moves), Metered())))
        usages = [less(new, old) for old, new in moves]
        usage = sum(usages, Metered())

        correction = replace(contract, usage=usage, with_fee=False, billed=billed_by(contract, first))

        self._compare(price(correction), correction, usages)

    def _compare(self, lines: list[PricedLine], contract: Contract, usages: list[Metered]) -> None:
        shared = share_out(lines, contract=contract, usage_by_place=dict(enumerate(usages)), home=0)

        parts = [part for of_place in shared.values() for part in of_place]
        assert minor(parts) == minor(lines)
        assert all(part.creator_minor + part.platform_minor == part.amount_minor for part in parts)
        if contract.usage.cost:
            assert cost(parts) == cost(lines)
        assert sum(part.creator_minor for part in parts) == sum(line.creator_minor for line in lines)
        with exact():
            assert sum((part.amount for part in parts), Decimal(0)) == sum(
                (line.amount for line in lines), Decimal(0)
            )
