"""Laws of allocation: parts sum to the whole, whatever weighs what, and children are their parent."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from billing.allocation import tree
from billing.allocation.sharing import Rule, split
from billing.models import AllocationRow
from marketplace.accounts.models import CostCenter, Organization
from marketplace.catalog.models import App, Plan

amounts = st.integers(-(10**9), 10**9)
receivers = st.lists(st.integers(1, 50), min_size=1, max_size=8, unique=True)
# Below nothing too: usage that was taken back may leave a month with less than none.
weights = st.dictionaries(
    st.integers(1, 50), st.decimals("-1000", "1000", places=6, allow_nan=False), max_size=12
)


class TestSplitting:
    @given(amounts, receivers, weights, st.sampled_from(["even", "proportional", "metric"]))
    def test_sums_to_the_whole(
        self, amount: int, to: list[int], measured: dict[int, Decimal], method: str
    ) -> None:
        rule = Rule(method, metric="calls" if method == "metric" else "")  # type: ignore[arg-type]

        parts = split(amount, rule, receivers=to, figures={"calls": measured, "direct": measured})

        assert sum(part.amount_minor for part in parts) == amount
        assert {part.cost_center_id for part in parts} <= set(to)
        assert sum(Fraction(part.weight) for part in parts) == Fraction(parts[0].weights_total) > 0

    @given(amounts, receivers, st.lists(st.integers(1, 30), min_size=1, max_size=3))
    def test_by_percentages_leaves_what_they_leave(
        self, amount: int, to: list[int], percents: list[int]
    ) -> None:
        named = tuple((one, Decimal(percent)) for one, percent in zip(to, percents, strict=False))

        parts = split(amount, Rule("fixed", percentages=named), receivers=to, figures={})

        assert sum(part.amount_minor for part in parts) == amount
        rest = 100 - sum(percent for _, percent in named)
        of_nobody = [part for part in parts if part.cost_center_id is None]
        assert [part.weight for part in of_nobody] == ([rest] if rest else [])

    @given(amounts, receivers, weights)
    def test_is_within_a_minor_unit_of_the_exact_share(
        self, amount: int, to: list[int], measured: dict[int, Decimal]
    ) -> None:
        parts = split(amount, Rule("metric", "calls"), receivers=to, figures={"calls": measured})

        for part in parts:
            share = Fraction(amount) * Fraction(part.weight) / Fraction(part.weights_total)
            assert abs(part.amount_minor - share) < 1

    @given(amounts)
    def test_without_anybody_is_borne_by_nobody(self, amount: int) -> None:
        (part,) = split(amount, Rule("even"), receivers=[], figures={})

        assert (part.cost_center_id, part.amount_minor) == (None, amount)

    def test_of_a_hundred_among_three_gives_the_first_the_cent(self) -> None:
        parts = split(10_000, Rule("even"), receivers=[1, 2, 3], figures={})

        assert [part.amount_minor for part in parts] == [3_334, 3_333, 3_333]

    def test_takes_back_exactly_what_it_gave(self) -> None:
        measured = {"calls": {1: Decimal(2), 2: Decimal(1)}}

        given_, taken = (
            split(amount, Rule("metric", "calls"), receivers=[1, 2], figures=measured)
            for amount in (101, -101)
        )

        assert [part.amount_minor for part in given_] == [67, 34]
        assert [part.amount_minor for part in taken] == [-67, -34]

    def test_is_even_where_nobody_did_anything(self) -> None:
        parts = split(101, Rule("metric", "calls"), receivers=[1, 2], figures={"calls": {}})

        assert [(part.amount_minor, part.note) for part in parts] == [
            (51, "evenly, for all weigh nothing"),
            (50, "evenly, for all weigh nothing"),
        ]


COMPANY = Organization(pk=1, slug="demo", name="Demo")
CENTERS = [CostCenter(pk=n, organization=COMPANY, code=f"CC-{n}", name="C") for n in (1, 2, 3)]
APPS = [App(pk=n, slug=f"app-{n}", name=f"App {n}") for n in (1, 2)]
PLANS = [Plan(pk=n, code="plan", number=n, name=f"Plan {n}") for n in (1, 2)]


@st.composite
def rows(draw: st.DrawFn) -> AllocationRow:
    kind = draw(st.sampled_from(["direct", "correction", "shared", "unallocated"]))
    is_direct = kind == "direct"
    return AllocationRow(
        kind=kind,
        organization=COMPANY,
        cost_center=None if kind == "unallocated" else draw(st.sampled_from(CENTERS)),
        app=draw(st.sampled_from(APPS)) if is_direct else None,
        plan=draw(st.sampled_from([*PLANS, None])) if is_direct else None,
        environment=draw(st.sampled_from(["production", "staging", ""])),
        sku=draw(st.sampled_from(["fee", "calls", "cost: input tokens"])),
        currency=draw(st.sampled_from(["USD", "EUR"])),
        amount_minor=draw(amounts),
        cost=draw(st.decimals("-100", "100", places=18, allow_nan=False)) if is_direct else Decimal(0),
    )


class TestDrillingDown:
    @given(
        st.lists(rows(), max_size=30), st.sampled_from(["cost_center", "app", "environment", "organization"])
    )
    def test_never_changes_a_total(self, found: list[AllocationRow], by: str) -> None:
        def check(below: list[AllocationRow], at: dict[str, str]) -> None:
            level = tree.next_level(by, at)
            if not level:
                return
            nodes = tree.grouped(below, level)
            sums: dict[str, tree.Amounts] = {}
            for node in nodes:
                sums[node.currency] = sums.get(node.currency, tree.Amounts()) + node.amounts
            assert dict(sorted(sums.items())) == tree.totals(below)
            for key in {node.key for node in nodes}:
                deeper = {**at, level: key}
                inner = tree.narrowed(found, deeper)
                of_node = {node.currency: node.amounts for node in nodes if node.key == key}
                assert tree.totals(inner) == dict(sorted(of_node.items()))
                check(inner, deeper)

        check(found, {})

    @given(st.lists(rows(), max_size=20))
    def test_keeps_own_use_shared_and_unallocated_apart(self, found: list[AllocationRow]) -> None:
        for currency, sums in tree.totals(found).items():
            of_currency = [row for row in found if row.currency == currency]
            assert sums.shared_minor == sum(row.amount_minor for row in of_currency if row.kind == "shared")
            assert sums.total_minor == sum(row.amount_minor for row in of_currency)
