"""What the risk of a version is judged by, read when its review is opened."""

from datetime import datetime

from marketplace.catalog import about, check_states, plans, queries_review
from marketplace.catalog.check_models import CheckRun
from marketplace.catalog.models import App, Review, SmokeRun, Version
from marketplace.catalog.plan_terms import terms_of
from marketplace.catalog.price_steps import is_dearer
from marketplace.catalog.projections import Projection
from marketplace.catalog.review_risk import RiskFacts


def facts_of(
    version: Version, *, smoke_run: SmokeRun, projection: Projection | None, at: datetime
) -> RiskFacts:
    """Read the facts of a checked version that waits for its review."""
    before = queries_review.last_approved(version)
    changed = queries_review.differences(version, before=before) if before else []
    decided = Review.objects.filter(version__app__owner_team=version.app.owner_team_id)
    return RiskFacts(
        is_first=before is None,
        is_public=bool(about.of_version(version)["is_public"]),
        is_http=version.app.kind == App.Kind.HTTP,
        changed=frozenset(change.label for change in changed),
        is_dearer=_is_dearer(version),
        has_code=version.archive_id is not None
        and (before is None or before.archive_id != version.archive_id),
        warned_checks=_warned(version, smoke_run, at=at),
        waivers=check_states.waivers_in_force(at).filter(app=version.app_id).count(),
        margin=projection.margin if projection else None,
        margin_at_high_cost=projection.margin_at_high_cost if projection else None,
        rejected_before=decided.filter(state=Review.State.REJECTED).count(),
        approved_before=decided.filter(state=Review.State.APPROVED).count(),
    )


def _is_dearer(version: Version) -> bool:
    offered = plans.offered(version.app)
    if version.plan is None or offered is None or offered == version.plan:
        return False
    return is_dearer(terms_of(offered), terms_of(version.plan))


def _warned(version: Version, smoke_run: SmokeRun, *, at: datetime) -> list[str]:
    titles = dict(CheckRun.Name.choices)
    found = check_states.scan_states(version, at=at)
    warned = [titles[name] for name, state in found.items() if state == "warned"]
    return [*warned, *(["Calls and cost"] if smoke_run.state == SmokeRun.State.WARNED else [])]
