"""What a creator sees of the apps of their teams."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from django.db.models import Model, Prefetch, Q, QuerySet

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.catalog import about, checks, plans
from marketplace.catalog.models import App, Plan, Review, SmokeRun, Version
from marketplace.catalog.plan_terms import PlanTerms, terms_of

M = TypeVar("M", bound=Model)
OPEN_STATES = ("draft", "submitted", "checking", "in_review", "changes_requested", "approved")


@dataclass(frozen=True)
class AppRow:
    """An app in the list of its makers, with what is due next."""

    app: App
    version: Version
    listed_version: Version | None
    last_run: SmokeRun | None
    next_action: str
    due_at: datetime | None

    @property
    def name(self) -> str:
        return str(about.of_version(self.version)["name"])


@dataclass(frozen=True)
class AppPage:
    """Everything the page of one app shows its makers."""

    app: App
    version: Version
    versions: Sequence[Version]
    listed_version: Version | None
    last_run: SmokeRun | None
    review: Review | None
    plan: Plan | None
    terms: PlanTerms | None
    is_check_stuck: bool

    @property
    def can_submit(self) -> bool:
        return self.version.is_editable()

    @property
    def can_start_version(self) -> bool:
        return self.version.state not in OPEN_STATES

    @property
    def can_withdraw(self) -> bool:
        return "withdrawn" in Version.TRANSITIONS[self.version.state]


def owned_apps(actor: Actor) -> QuerySet[App]:
    """Apps of the teams in which the person is a creator."""
    return App.objects.filter(owner_team__in=actor.teams_as(Role.CREATOR)).select_related(
        "owner_team__organization", "listing"
    )


def visible_runs(actor: Actor) -> QuerySet[SmokeRun]:
    """Smoke tests of the person's own apps, and of those they review."""
    runs = SmokeRun.objects.select_related("version__app__owner_team__organization")
    if actor.is_platform(Role.APPROVER):
        return runs
    return runs.filter(
        Q(version__app__owner_team__in=actor.teams_as(Role.CREATOR))
        | Q(version__app__owner_team__organization__in=actor.organizations_as(Role.APPROVER))
    )


def rows(apps: Sequence[App]) -> list[AppRow]:
    """Turn apps that came with ``with_versions`` into rows."""
    return [_row(app) for app in apps]


def with_versions(apps: QuerySet[App]) -> QuerySet[App]:
    """Add what ``rows`` and the API need: versions newest first, with their runs and reviews."""
    return apps.prefetch_related(
        Prefetch("versions", Version.objects.order_by("-number").select_related("plan")),
        Prefetch("versions__smoke_runs", SmokeRun.objects.order_by("-created_at")),
        Prefetch("versions__reviews", Review.objects.order_by("-opened_at").select_related("decided_by")),
    )


def app_page(actor: Actor, *, slug: str) -> AppPage:
    """Return one app of the person's teams; raises NotFound."""
    app = access.get(with_versions(owned_apps(actor)), slug=slug)
    versions = list(app.versions.all())
    newest = versions[0]
    newest.app = app
    run, review = _first(newest.smoke_runs.all()), _first(newest.reviews.all())
    plan = plans.plan_of(newest)
    return AppPage(
        app=app,
        version=newest,
        versions=versions,
        listed_version=_listed(versions),
        last_run=run,
        review=review,
        plan=plan,
        terms=terms_of(plan) if plan else None,
        is_check_stuck=newest.state == "checking" and run is not None and _needs_another_run(run),
    )


def newest_version(app: App) -> Version:
    """Return the version its makers work on: the one with the highest number."""
    return app.versions.select_related("app__owner_team__organization", "plan").order_by("-number")[0]


def _needs_another_run(run: SmokeRun) -> bool:
    return run.state == SmokeRun.State.COULD_NOT_CHECK or checks.is_given_up(run)


def _row(app: App) -> AppRow:
    versions = list(app.versions.all())
    newest = versions[0]
    newest.app = app
    run, review = _first(newest.smoke_runs.all()), _first(newest.reviews.all())
    is_open = review is not None and review.state == Review.State.OPEN
    return AppRow(
        app=app,
        version=newest,
        listed_version=_listed(versions),
        last_run=run,
        next_action=_next_action(newest, run),
        due_at=review.due_at if review is not None and is_open else None,
    )


def _next_action(version: Version, run: SmokeRun | None) -> str:
    if version.state == Version.State.CHECKING:
        could_not = run is not None and run.state == SmokeRun.State.COULD_NOT_CHECK
        return "Run the check again" if could_not else "Check is under way"
    return {
        "draft": "Submit it",
        "submitted": "Check is under way",
        "in_review": "Decision is due",
        "changes_requested": "Change it and submit again",
        "suspended": "Ask the operators",
    }.get(version.state, "")


def _listed(versions: Sequence[Version]) -> Version | None:
    return next((version for version in versions if version.state == Version.State.LISTED), None)


def _first(things: Iterable[M]) -> M | None:
    return next(iter(things), None)
