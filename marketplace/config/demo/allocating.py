"""What cost centers share, how it is split, what they say about it, and what was handed to the general ledger."""

from datetime import date, datetime, timedelta

from billing.allocation import rules, shared_costs, unallocated
from billing.allocation.running import allocate
from billing.allocation.shared_costs import Entry
from billing.chargeback import batches, disputes, statements, switching
from billing.chargeback.disputes import Claim
from billing.closing import marks, reopening
from billing.models import BillingPeriod, CostStatement, SplitRule
from billing.terms import Terms
from marketplace.accounts.access import actor_for
from marketplace.catalog.attachments import Upload
from marketplace.config.demo.months import closed_months, months
from marketplace.config.demo.people import Cast
from marketplace.config.demo.timeline import Timeline
from metering.periods import next_month

SECOND = "ines.moreau@demo.example"
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
# kind, name, cents a month
COSTS = (
    ("license", "Vector store license", 24_000),
    ("platform_fee", "Support of the platform", 15_000),
    ("other", "Translation of help pages", 1_900),
)
RULES = (
    ("license", SplitRule.Method.METRIC, "seats", "Who has more people, searches more."),
    ("platform_fee", SplitRule.Method.METRIC, "calls", "Support follows calls."),
    ("idle_pool", SplitRule.Method.METRIC, "tokens", "Pools are kept warm for who sends most."),
)


def share(cast: Cast, timeline: Timeline) -> None:
    """Enter costs and rules, before any month is closed."""
    finance, second = actor_for(cast.person("finance")), actor_for(cast.people[SECOND])
    company = cast.organizations["demo"]
    told = list(months(timeline))
    starts, ends = told[0].starts_at, told[-1].ends_at
    for kind, method, metric, reason in RULES:
        rule = SplitRule(
            organization=company,
            kind=kind,
            method=method,
            metric=metric,
            starts_month=told[0].name,
            reason=reason,
        )
        rules.propose(rule, by=finance, at=starts)
        rules.approve(rule, by=second, at=starts + HOUR, note="As agreed with the owners.")
    for kind, name, cents in COSTS:
        entry = Entry(company, kind, name, cents * len(told), "USD", starts.date(), ends.date())
        shared_costs.enter(entry, by=finance, at=starts + HOUR, source_key=f"demo:{name}")
    unallocated.set_goal(
        company,
        owner=cast.person("finance"),
        target_percent=unallocated.DEFAULT_TARGET,
        by=finance,
        at=starts + HOUR,
    )


def tell(cast: Cast, timeline: Timeline, *, terms: Terms) -> None:
    """Publish the closed months, post all but the last of them, and let owners disagree."""
    closed = closed_months(timeline)
    for month, at in closed[:-1]:
        statements.publish(month.name, terms=terms, at=at + HOUR, by=cast.person("finance"))
        _finish(cast, month.name, at + HOUR, terms=terms)
    for month, _ in closed[-1:]:
        at = timeline.ago(3, 10)
        statements.publish(month.name, terms=terms, at=at, by=cast.person("finance"))
        _disagree(cast, month.name, timeline, terms=terms)
        _ask_to_reopen(cast, month.name, timeline)
    _switch(cast, timeline)
    _propose(cast, timeline)
    for month in list(months(timeline))[-2:]:
        allocate(month.name, terms=terms, at=timeline.at)


def _finish(cast: Cast, name: str, at: datetime, *, terms: Terms) -> None:
    """Take a month from its statements to the general ledger, with one dispute on the way."""
    finance, second = actor_for(cast.person("finance")), actor_for(cast.people[SECOND])
    period = BillingPeriod.objects.get(pk=name)
    wrong = cast.cost_centers["demo", "CC-200"]
    statement = CostStatement.objects.filter(period=period, cost_center=wrong, total_minor__gt=100).first()
    if statement is not None:
        claim = Claim(min(1_800, statement.total_minor), "The workshop of product design was booked on us.")
        dispute = disputes.open_dispute(
            statement, claim=claim, by=actor_for(wrong.owner), at=at + DAY, terms=terms
        )
        note = "Right: product design ran it."
        target = cast.cost_centers["demo", "CC-100"]
        disputes.accept(dispute, note=note, by=finance, at=at + 2 * DAY, charge_to=target)
    marks.accept_unreconciled(
        period, reason="The provider's bill comes with the quarter.", by=finance, at=at + 3 * DAY
    )
    marks.approve(period, note="Seen with the owners.", by=second, at=at + 3 * DAY)
    company = cast.organizations["demo"]
    batches.post(period, organization=company, currency="USD", by=finance, at=at + 10 * DAY)


def _disagree(cast: Cast, name: str, timeline: Timeline, *, terms: Terms) -> None:
    center = cast.cost_centers["demo", "CC-400"]
    statement = CostStatement.objects.filter(period=name, cost_center=center, total_minor__gt=100).first()
    if statement is None:
        return
    claim = Claim(
        amount_minor=min(4_250, statement.total_minor),
        reason="The campaign was cancelled on the 12th, yet calls went on for two days.",
        files=(Upload("campaign.txt", b"Campaign 2041 cancelled on the 12th at 09:40.\n"),),
    )
    disputes.open_dispute(
        statement, claim=claim, by=actor_for(center.owner), at=timeline.ago(1, 11), terms=terms
    )


def _ask_to_reopen(cast: Cast, name: str, timeline: Timeline) -> None:
    reopening.propose(
        BillingPeriod.objects.get(pk=name),
        reason="The support fee of the month was entered too low.",
        by=actor_for(cast.people[SECOND]),
        at=timeline.ago(1, 15),
    )


def _switch(cast: Cast, timeline: Timeline) -> None:
    """Propose two switches: one waits for somebody else, one for the demo's finance, who owns that cost center."""
    following = next_month(date(timeline.day.year, timeline.day.month, 1)).strftime("%Y-%m")
    for code, to_mode, by in (
        ("CC-300", "chargeback", cast.person("finance")),
        ("CC-500", "parallel", cast.people[SECOND]),
    ):
        switching.propose(
            cast.cost_centers["demo", code],
            to_mode=to_mode,
            starts_month=following,
            reason="It has been shown long enough.",
            by=actor_for(by),
            at=timeline.ago(2, 9),
        )


def _propose(cast: Cast, timeline: Timeline) -> None:
    """Let a new version of a rule wait for the demo's finance."""
    rule = SplitRule(
        organization=cast.organizations["demo"],
        kind="license",
        method=SplitRule.Method.PROPORTIONAL,
        starts_month=next_month(date(timeline.day.year, timeline.day.month, 1)).strftime("%Y-%m"),
        reason="Seats change too often; what is used says more.",
    )
    rules.propose(rule, by=actor_for(cast.people[SECOND]), at=timeline.ago(2, 14))
