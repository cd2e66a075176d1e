from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from billing.pricing import BilledBefore, Charge, Line, Proration, Quote, Usage, parse_charges, quote
from tests.properties import reference_rater


def money(*, places: int) -> st.SearchStrategy[str]:
    return st.integers(0, 10 ** (places + 3)).map(lambda units: f"{Decimal(units).scaleb(-places):f}")


@st.composite
def tiers(draw: st.DrawFn, places: int) -> list[dict[str, str | None]]:
    steps = draw(st.lists(st.integers(1, 30), max_size=4))
    bounds = [str(sum(steps[: count + 1])) for count in range(len(steps))]
    return [
        {"up_to": up_to, "unit_amount": draw(money(places=places)), "flat_amount": draw(money(places=places))}
        for up_to in [*bounds, None]
    ]


@st.composite
def charges(draw: st.DrawFn, places: int = 18) -> dict[str, Any]:
    """Metered charges by quantity; `places` is the number of decimals of their amounts."""
    model = draw(st.sampled_from(["per_unit", "graduated", "volume", "package", "cost_plus"]))
    charge: dict[str, Any] = {"code": "use", "model": model, "free_units": str(draw(st.integers(0, 40)))}
    if model in ("graduated", "volume"):
        return {**charge, "tiers": draw(tiers(places))}
    if model == "package":
        charge["package_size"] = str(draw(st.integers(1, 20)))
        charge["rounding"] = draw(st.sampled_from(["up", "down"]))
    name = {"per_unit": "unit_amount", "package": "package_amount", "cost_plus": "markup"}[model]
    return {**charge, name: draw(money(places=places))}


@st.composite
def bounded(draw: st.DrawFn, places: int) -> dict[str, Any]:
    """Charges with a minimum, a maximum, both or none, in whole cents."""
    low, high = sorted(draw(st.lists(st.integers(0, 50_000), min_size=2, max_size=2)))
    charge = draw(charges(places=places))
    if draw(st.booleans()):
        charge["minimum"] = f"{Decimal(low).scaleb(-2):f}"
    if draw(st.booleans()):
        charge["maximum"] = f"{Decimal(high).scaleb(-2):f}"
    return charge


quantities = st.integers(0, 150)
bills = st.lists(quantities, min_size=1, max_size=4)


def read(charge: dict[str, Any]) -> Charge:
    (parsed,) = parse_charges([charge])
    return parsed


def bill(charge: Charge, quantity: int | Usage, before: BilledBefore | None = None) -> Quote:
    usage = quantity if isinstance(quantity, Usage) else Usage.of(Decimal(quantity))
    billed_before = {charge.code: before} if before else {}
    return quote([charge], currency="USD", usage={charge.code: usage}, billed_before=billed_before)


def line_of(charge: Charge, quantity: int | Usage, before: BilledBefore | None = None) -> Line:
    return bill(charge, quantity, before).lines[0]


def bill_one_after_the_other(charge: Charge, parts: list[int]) -> tuple[list[Quote], list[int]]:
    """Bill parts of a period, each with what came before; gives the quotes and the running totals."""
    quotes: list[Quote] = []
    running: list[int] = []
    usage, billed_minor = Usage(), 0
    for part in parts:
        before = BilledBefore(usage, Decimal(billed_minor).scaleb(-2)) if quotes else None
        quotes.append(bill(charge, part, before))
        usage = usage.then(Usage.of(Decimal(part)))
        billed_minor += quotes[-1].total_minor
        running.append(billed_minor)
    return quotes, running


class TestPrice:
    @given(charges(), quantities)
    def test_agrees_with_the_reference_rater(self, charge: dict[str, Any], quantity: int) -> None:
        line = line_of(read(charge), quantity)

        expected = reference_rater.price(charge, quantity)
        assert Fraction(line.amount) == expected
        assert line.amount_minor == reference_rater.to_minor(expected, 2)

    @given(charges(), quantities, st.none() | quantities)
    def test_is_the_sum_of_its_explanation(
        self, charge: dict[str, Any], quantity: int, earlier: int | None
    ) -> None:
        priced = read(charge)
        before = None if earlier is None else BilledBefore(Usage.of(Decimal(earlier)), Decimal(1))

        line = line_of(priced, quantity, before)

        assert sum(Fraction(step.amount) for step in line.explanation) == Fraction(line.amount)

    @given(charges(), quantities, quantities)
    def test_never_falls_with_quantity_unless_it_is_a_volume_price(
        self, charge: dict[str, Any], one: int, other: int
    ) -> None:
        priced = read(charge)
        if charge["model"] == "volume":
            return

        assert line_of(priced, min(one, other)).amount <= line_of(priced, max(one, other)).amount


class TestEarlierBills:
    @given(charges(), quantities, quantities)
    def test_cost_together_what_one_bill_costs(self, charge: dict[str, Any], first: int, second: int) -> None:
        priced = read(charge)
        earlier = line_of(priced, first)
        before = BilledBefore(Usage.of(Decimal(first)), earlier.amount)

        later = line_of(priced, second, before)

        # Nothing used and nothing billed is no earlier bill: its flat amount is still due.
        taken = Fraction(0) if before.is_nothing else Fraction(earlier.amount)
        assert taken + Fraction(later.amount) == Fraction(line_of(priced, first + second).amount)

    @given(bounded(places=2), bills)
    def test_end_at_the_bounded_price_of_everything(self, charge: dict[str, Any], parts: list[int]) -> None:
        priced = read(charge)

        _, running = bill_one_after_the_other(priced, parts)

        assert running[-1] == bill(priced, sum(parts)).total_minor

    @given(bounded(places=5), bills)
    def test_keep_to_minimum_and_maximum_in_rounded_amounts(
        self, charge: dict[str, Any], parts: list[int]
    ) -> None:
        _, running = bill_one_after_the_other(read(charge), parts)

        low = Fraction(charge.get("minimum", "0")) * 100
        high = Fraction(charge["maximum"]) * 100 if "maximum" in charge else None
        assert all(low <= total and (high is None or total <= high) for total in running)

    @given(charges(places=5), bills)
    def test_drift_by_no_more_than_half_a_cent_each(self, charge: dict[str, Any], parts: list[int]) -> None:
        _, running = bill_one_after_the_other(read(charge), parts)

        expected = reference_rater.price(charge, sum(parts)) * 100
        assert abs(running[-1] - expected) <= Fraction(len(parts), 2)


class TestPercentage:
    charges = st.fixed_dictionaries(
        {
            "code": st.just("use"),
            "model": st.just("percentage"),
            "rate": money(places=3),
            "fixed_amount": money(places=2),
            "free_units": st.integers(0, 60).map(str),
            "free_transactions": st.integers(0, 4).map(str),
        }
    )
    values = st.lists(st.integers(0, 40), max_size=8)

    @given(charges, values)
    def test_agrees_with_the_reference_rater(self, charge: dict[str, Any], values: list[int]) -> None:
        line = line_of(read(charge), Usage(tuple(map(Decimal, values))))

        assert Fraction(line.amount) == reference_rater.price_transactions(charge, values)

    @given(charges, values, values)
    def test_costs_in_two_bills_what_one_bill_costs(
        self, charge: dict[str, Any], first: list[int], second: list[int]
    ) -> None:
        priced = read(charge)
        earlier = Usage(tuple(map(Decimal, first)))
        before = BilledBefore(earlier, line_of(priced, earlier).amount)

        later = line_of(priced, Usage(tuple(map(Decimal, second))), before)

        together = reference_rater.price_transactions(charge, first + second)
        assert Fraction(before.amount) + Fraction(later.amount) == together


class TestProration:
    @given(st.integers(0, 10**9), st.integers(28, 31), st.data())
    def test_splits_a_fee_into_parts_that_round_to_the_whole(
        self, cents: int, of_days: int, data: st.DataObject
    ) -> None:
        fee = Decimal(cents).scaleb(-2)
        days = data.draw(st.integers(0, of_days))
        parts = [Proration(days, of_days).of(fee), Proration(of_days - days, of_days).of(fee)]

        drift = Fraction(sum(parts)) - Fraction(fee)

        assert abs(drift) < Fraction(1, 10**20)

    @given(st.lists(st.integers(0, 31), min_size=2, max_size=6).map(sorted))
    def test_grows_with_the_days(self, days: list[int]) -> None:
        amounts = [Proration(count, 31).of(Decimal("49.99")) for count in days]

        assert all(low <= high for low, high in pairwise(amounts))
