"""Prices a creator sets: a fee, free calls, a price per call, a markup on cost.

A plan never changes. Editing a draft replaces the plan it proposes; what is offered is replaced on approval.
"""

from datetime import datetime

from django.db.models import Max

from marketplace.catalog.models import App, Plan, Version
from marketplace.catalog.plan_terms import PlanTerms, terms_of

CODE = "standard"


def plan_of(version: Version) -> Plan | None:
    """Return the plan a version proposes, else the one that is offered; None when the app has neither."""
    if version.plan is not None:
        return version.plan
    return version.app.plans.filter(is_offered=True).order_by("-number").first()


def offered(app: App) -> Plan | None:
    """Return the plan that makers set the terms of, as it is offered now; None before the first approval."""
    return app.plans.filter(code=CODE, is_offered=True).order_by("-number").first()


def propose(version: Version, terms: PlanTerms, *, currency: str, at: datetime) -> Plan:
    """Make the plan that an editable version proposes, in place of its earlier proposal.

    Terms that are offered already are not proposed again: the plan in force is returned. The caller holds the
    version's row, so two edits do not race for the next number.
    """
    in_force = offered(version.app)
    if in_force is not None and in_force.currency == currency and terms_of(in_force) == terms:
        _replace_proposal(version, in_force)
        return in_force
    last = version.app.plans.filter(code=CODE).aggregate(last=Max("number"))["last"] or 0
    plan = Plan.objects.create(
        app=version.app,
        code=CODE,
        number=last + 1,
        name="Standard",
        currency=currency,
        charges=terms.charges,
        daily_calls_limit=terms.daily_calls_limit,
        monthly_calls_limit=terms.monthly_calls_limit,
        trial_days=terms.trial_days,
        is_offered=False,
        created_at=at,
    )
    _replace_proposal(version, plan)
    return plan


def offer(plan: Plan) -> None:
    """Offer a plan in place of the earlier ones of its code; who bought those keeps them."""
    same_code = Plan.objects.filter(app=plan.app_id, code=plan.code)
    same_code.filter(is_offered=True).exclude(pk=plan.pk).update(is_offered=False)
    same_code.filter(pk=plan.pk).update(is_offered=True)
    plan.is_offered = True


def proposed_by(app: App) -> set[int]:
    """Return ids of plans that versions of an app carry."""
    return set(app.versions.exclude(plan=None).values_list("plan_id", flat=True))


def _replace_proposal(version: Version, plan: Plan) -> None:
    before = version.plan
    if before == plan:
        return
    Version.objects.filter(pk=version.pk).update(plan=plan)
    version.plan = plan
    if before is not None and not before.is_offered and before.pk not in proposed_by(version.app):
        before.delete()
