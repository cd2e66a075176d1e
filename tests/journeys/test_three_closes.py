"""Three closes with a shared license, late usage, a dispute, a correction and a reopening; every figure by hand."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from billing.allocation import rules, shared_costs
from billing.allocation.running import allocate, newest
from billing.allocation.shared_costs import Entry
from billing.chargeback import batches, disputes, statements
from billing.chargeback.disputes import Claim
from billing.close import close_period
from billing.closing import marks, reopening
from billing.ledger.balances import trial_balance
from billing.ledger.verify import verify
from billing.models import BillingPeriod, CostStatement, SplitRule
from billing.terms import ShareTerms, Terms
from marketplace.accounts.access import actor_for
from marketplace.core.errors import Conflict
from tests import factories
from tests.billing.usage import use
from tests.conftest import Cast

TERMS = Terms(legal_entity="Test Company", default_share=ShareTerms(Decimal("0.20")), currency="USD")
COST = [{"code": "cost", "model": "cost_plus", "markup": "0.30"}]


def at(month: int, day: int, hour: int = 9, *, year: int = 2026) -> datetime:
    return datetime(year, month, day, hour, tzinfo=UTC)


def published(period: str) -> dict[str, tuple[int, int, int]]:
    found = CostStatement.objects.filter(period=period, state="published").select_related("cost_center")
    return {one.cost_center.code: (one.direct_minor, one.correction_minor, one.shared_minor) for one in found}


@pytest.mark.django_db
def test_three_months_of_chargeback(cast: Cast) -> None:
    owner = factories.make_user("owner@demo.example")
    second = factories.make_user("second@demo.example")
    factories.join(second, None, "finance", organization=cast.company)
    finance, other, boss = actor_for(cast.finance), actor_for(second), actor_for(owner)
    sales = factories.make_cost_center(cast.company, code="CC-200", owner=owner, mode="chargeback")
    sellers = factories.make_team(cast.company, cost_center=sales)
    app = factories.make_listed_app(cast.creator_team, name="Where2Eat")
    plan = factories.make_plan(app, code="metered", charges=COST)
    ours = factories.make_subscription(app, cast.consumer_team, plan=plan)
    theirs = factories.make_subscription(app, sellers, plan=plan)

    # A license of 921.00 for the 92 days of October to December: 921 x 31 / 92 = 310.33695... and 921 x 30 / 92 =
    # 300.32608...; by largest remainder the two cents that are left go to October and December.
    license_ = shared_costs.enter(
        Entry(cast.company, "license", "Vector store", 92_100, "USD", date(2026, 10, 1), date(2027, 1, 1)),
        by=finance,
        at=at(10, 1),
        source_key="license",
    )
    assert [part.amount_minor for part in license_.parts.order_by("service_month")] == [
        31_034,
        30_032,
        31_034,
    ]
    rule = rules.propose(
        SplitRule(
            organization=cast.company, kind="license", method="metric", metric="calls", starts_month="2026-10",
            reason="Who calls more, bears more.",
        ),
        by=finance,
        at=at(10, 1),
    )  # fmt: skip
    rules.approve(rule, by=other, at=at(10, 2))

    # October: 3,000 and 1,000 calls at a cost of 30 and 10: 39.00 and 13.00. The license 3:1 is 232.755 and 77.585: the
    # remainders are equal, so the earlier one gets the cent.
    use(ours, requests=3_000, cost="30", at=at(10, 12))
    use(theirs, requests=1_000, cost="10", at=at(10, 12))
    close_period("2026-10", at=at(11, 2), terms=TERMS, by=cast.finance)
    statements.publish("2026-10", terms=TERMS, at=at(11, 2), by=cast.finance)
    assert published("2026-10") == {"CC-100": (3_900, 0, 23_276), "CC-200": (1_300, 0, 7_758)}

    # The owner disputes 5.00 of October; five business days after Monday the 2nd the window ends.
    october = BillingPeriod.objects.get(pk="2026-10")
    statement = CostStatement.objects.get(period=october, cost_center=sales)
    assert statement.disputable_until == at(11, 9)
    dispute = disputes.open_dispute(
        statement,
        claim=Claim(500, "These calls were a test of yours.", app=app),
        by=boss,
        at=at(11, 4),
        terms=TERMS,
    )
    marks.accept_unreconciled(october, reason="The provider bills quarterly.", by=finance, at=at(11, 4))
    with pytest.raises(marks.ClosedByYourself):
        marks.approve(october, note="", by=finance, at=at(11, 4))
    marks.approve(october, note="Looks right.", by=other, at=at(11, 4))
    with pytest.raises(batches.NotReadyToPost, match="1 disputes wait"):
        batches.post(october, organization=cast.company, currency="USD", by=finance, at=at(11, 10))
    # It belongs to the other cost center: November takes it off one and puts it on the other.
    disputes.accept(dispute, note="Right, ours.", by=other, at=at(11, 5), charge_to=cast.cost_center)
    batch = batches.post(october, organization=cast.company, currency="USD", by=finance, at=at(11, 10))
    # Direct 39.00 + 13.00 and shared 310.34.
    assert batch.debit_minor == 36_234
    assert sum(batch.lines.values_list("amount_minor", flat=True)) == 0

    # November: usage that was late for October, 100 calls at 1.00: 1.30 for the first; 200 calls at 2 of November itself.
    use(ours, requests=100, cost="1", at=at(10, 30), period=date(2026, 11, 1))
    use(ours, requests=100, cost="1", at=at(11, 3))
    use(theirs, requests=200, cost="2", at=at(11, 3))
    close_period("2026-11", at=at(12, 2), terms=TERMS, by=cast.finance)
    statements.publish("2026-11", terms=TERMS, at=at(12, 2), by=cast.finance)
    # 1.30 of October and 1.30 of November; 2.60. Calls that bill in November are 200 and 200: half of 300.32 each.
    assert published("2026-11") == {"CC-100": (260, 500, 15_016), "CC-200": (260, -500, 15_016)}
    late = newest("2026-11").rows.filter(is_late=True, kind="direct")  # type: ignore[union-attr]
    assert [row.amount_minor for row in late] == [130]

    # A cost of October that comes in December goes to December. So finance has October reopened, once its batch is gone.
    with pytest.raises(reopening.BatchesPosted):
        waiting = reopening.propose(october, reason="A support fee was forgotten.", by=finance, at=at(12, 3))
        reopening.approve(waiting, by=other, at=at(12, 3))
    opposite = batches.reverse(batch, reason="October is reopened.", by=finance, at=at(12, 3))
    assert opposite.debit_minor == batch.debit_minor
    reopening.approve(waiting, by=other, at=at(12, 3))
    fee = Entry(cast.company, "platform_fee", "Support", 10_000, "USD", date(2026, 10, 1), date(2026, 11, 1))
    shared_costs.enter(fee, by=finance, at=at(12, 3), source_key="support")
    even = SplitRule(
        organization=cast.company,
        kind="platform_fee",
        method="even",
        starts_month="2026-10",
        reason="All of us.",
    )
    rules.approve(rules.propose(even, by=finance, at=at(12, 3)), by=other, at=at(12, 3))
    statements.publish("2026-10", terms=TERMS, at=at(12, 3), by=cast.finance)
    revised = CostStatement.objects.get(period=october, cost_center=sales, state="published")
    # 77.58 and half of 100.00.
    assert (revised.revision, revised.direct_minor, revised.shared_minor) == (2, 1_300, 12_758)
    reopening.lock(waiting, by=finance, at=at(12, 4))
    marks.approve(october, note="", by=other, at=at(12, 4))
    again = batches.post(october, organization=cast.company, currency="USD", by=finance, at=at(12, 14))
    assert again.debit_minor == 46_234
    with pytest.raises(batches.NothingToPost):
        batches.post(october, organization=cast.company, currency="USD", by=finance, at=at(12, 15))
    # Locked again: what comes now for October goes to the next open month.
    late_fee = Entry(
        cast.company, "platform_fee", "More support", 1_000, "USD", date(2026, 10, 1), date(2026, 11, 1)
    )
    entered = shared_costs.enter(late_fee, by=finance, at=at(12, 15), source_key="more")
    assert [(part.service_month, part.period_id) for part in entered.parts.all()] == [("2026-10", "2026-12")]

    # November is handed over with the correction that moved 5.00 from one to the other.
    november = BillingPeriod.objects.get(pk="2026-11")
    marks.accept_unreconciled(november, reason="Quarterly.", by=finance, at=at(12, 10))
    marks.approve(november, note="", by=other, at=at(12, 10))
    third = batches.post(november, organization=cast.company, currency="USD", by=finance, at=at(12, 15))
    charges = third.lines.filter(account="cost_center_charge").values_list(
        "cost_center__code", "amount_minor"
    )
    by_center: dict[str, int] = {}
    for code, amount in charges:
        by_center[str(code)] = by_center.get(str(code), 0) + amount
    assert by_center == {"CC-100": 15_776, "CC-200": 14_776}

    # December has nothing but fees; it closes too, and a run of the same facts is the same run.
    close_period("2026-12", at=at(1, 4, year=2027), terms=TERMS, by=cast.finance)
    statements.publish("2026-12", terms=TERMS, at=at(1, 4, year=2027), by=cast.finance)
    run = newest("2026-12")
    assert allocate("2026-12", terms=TERMS, at=at(1, 5, year=2027)) == run
    # No calls at all: the license evenly, 155.17 each, and half of 10.00 each.
    assert published("2026-12") == {"CC-100": (0, 0, 16_017), "CC-200": (0, 0, 16_017)}

    assert trial_balance().is_balanced
    assert [verdict.name for verdict in verify() if not verdict.is_ok] == []
    with pytest.raises(Conflict):
        batches.reverse(batch, reason="Twice.", by=finance, at=at(12, 20))
