"""The check of a version's margin: reads what its smoke test measured, and reports to the catalogue."""

from datetime import datetime

from billing import free_plans
from billing.billable import agreements_of, share_in_force
from billing.sustainability import SoldPlan, in_words, judge, project
from billing.terms import ShareTerms
from billing.thresholds import Thresholds
from marketplace.catalog import check_runs, check_states, plans
from marketplace.catalog.models import Plan, SmokeRun, Version
from marketplace.catalog.projections import Interval, Projection
from marketplace.catalog.scans.findings import Report, sorted_findings
from marketplace.core.errors import InvalidInput

TOOL = "own rules, prices as billed"


def check(check_run_id: str, *, at: datetime, default: ShareTerms, thresholds: Thresholds) -> str:
    """Make one queued check of sustainability and return its state; what keeps it from being made ends it, too."""
    try:
        run = check_runs.start(check_run_id, at=at)
    except check_runs.RunEnded as error:
        return str(error.run.state)
    found = _projection(run.version, at=at, default=default)
    if isinstance(found, str):
        check_runs.could_not(run, found, at=at)
        return str(run.state)
    report = Report(
        sorted_findings(judge(found, thresholds=thresholds)),
        TOOL,
        {"projection": found.as_json(), "says": _in_words(found, thresholds)},
    )
    return check_runs.finish(run, report, at=at)


def _in_words(found: Projection, thresholds: Thresholds) -> str:
    """Say what the proposed plan comes to, and what is given away beside it."""
    paid = [in_words(plan, found.currency) for plan in found.plans[:1] if not plan.is_free]
    free = [free_plans.in_words(plan, found, thresholds) for plan in found.plans if plan.is_free]
    return " ".join(paid + free)


def _projection(version: Version, *, at: datetime, default: ShareTerms) -> Projection | str:
    """Project the version on every plan it would be sold on; a text says why it cannot be done."""
    smoke_run = check_states.newest_smoke_run(version)
    sold = _sold(version)
    if smoke_run is None or smoke_run.mean_cost is None:
        return "No call succeeded, so nothing is known of its cost."
    if not sold:
        return "There is no plan, so nothing is known of its price."
    strange = [plan for plan in sold if plan.currency != smoke_run.currency]
    if strange:
        return f"It is sold in {strange[0].currency}, but calls cost {smoke_run.currency}: no rate of exchange is agreed."
    terms = share_in_force(agreements_of([version.app_id])[version.app_id], at=at, default=default)
    try:
        return project(
            [_as_sold(plan, is_proposed=index == 0) for index, plan in enumerate(sold)],
            monthly_calls=version.expected_monthly_calls,
            cost_per_call=_cost(smoke_run),
            terms=terms,
            currency=smoke_run.currency,
            is_agreed=terms is not default,
        )
    except InvalidInput as error:
        return f"A plan cannot be priced: {error.message}"


def _sold(version: Version) -> list[Plan]:
    """Return the plan that the version proposes, then those of other codes that stay on offer beside it."""
    proposed = plans.plan_of(version)
    if proposed is None:
        return []
    others = version.app.plans.filter(is_offered=True).exclude(code=proposed.code).order_by("code", "-number")
    return [proposed, *others]


def _as_sold(plan: Plan, *, is_proposed: bool) -> SoldPlan:
    return SoldPlan(plan.code, plan.name, plan.charges, plan.monthly_calls_limit, is_proposed)


def _cost(run: SmokeRun) -> Interval:
    mean = run.mean_cost
    assert mean is not None
    low, high = (mean if end is None else end for end in (run.low_cost, run.high_cost))
    return Interval(low, mean, high)
