"""Handing a version in, having it checked again, and taking it back."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction

from marketplace.accounts.models import User
from marketplace.catalog import (
    about,
    check_runs,
    checks,
    endpoint_contracts,
    endpoints,
    examples,
    outputs,
    plans,
    prompts,
    takedowns,
)
from marketplace.catalog.models import App, Review, SmokeRun, Subscription, Version
from marketplace.core import audit, jobs
from marketplace.core.errors import Conflict, FieldError, InvalidInput
from marketplace.core.transitions import move

JOB = "gateway.run_smoke"


class HasSubscribers(Conflict):
    """Teams rely on the listed version."""

    code = "has_subscribers"

    def __init__(self, count: int) -> None:
        self.count = count
        teams = "1 team is" if count == 1 else f"{count} teams are"
        super().__init__(f"{teams} subscribed to this version. It can be withdrawn once nobody is.")


@transaction.atomic
def submit(version: Version, *, by: User, at: datetime, allow_http: bool = False) -> SmokeRun:
    """Hand a version in: it can no longer be edited, and its smoke test is queued.

    Raises InvalidInput with everything that is missing or wrong, IllegalTransition when it is handed in already.
    ``allow_http`` lets an HTTP app have an address without TLS; whether it is called is decided at every call.
    """
    version = Version.objects.select_related("app__owner_team__organization", "plan").get(pk=version.pk)
    check_complete(version, allow_http=allow_http)
    changes = {"submitted_by": by, "submitted_at": at}
    move(
        version,
        Version.TRANSITIONS,
        to=Version.State.SUBMITTED,
        action="catalog.version.submitted",
        at=at,
        by=by,
        changes=changes,
    )
    move(version, Version.TRANSITIONS, to=Version.State.CHECKING, action="catalog.version.checking", at=at)
    check_runs.queue_all(version, by=by, at=at)
    return _queue_check(version, by=by, at=at)


@transaction.atomic
def check_again(version: Version, *, by: User, at: datetime) -> SmokeRun:
    """Queue another smoke test, with what is read from its calls, of a version whose last one could not be finished.

    Raises Conflict unless the version waits for its check and nobody works on one.
    """
    locked = (
        Version.objects.select_for_update(of=("self",))
        .select_related("app__owner_team__organization")
        .get(pk=version.pk)
    )
    if locked.state != Version.State.CHECKING:
        raise Conflict("Only a version that waits for its check can be checked again.", code="not_checking")
    for unfinished in locked.smoke_runs.filter(state__in=[SmokeRun.State.QUEUED, SmokeRun.State.RUNNING]):
        if checks.is_given_up(unfinished):
            checks.give_up(unfinished, at=at)
    run = _queue_check(locked, by=by, at=at)
    check_runs.queue_with_calls(locked, by=by, at=at)
    audit.record("catalog.version.checked_again", subject=locked, at=at, by=by)
    return run


@transaction.atomic
def withdraw(version: Version, *, by: User, at: datetime, reason: str = "") -> None:
    """Take a version back, with its open review and its queued check; a listed one leaves the catalogue.

    Raises HasSubscribers for a listed version that teams are subscribed to, IllegalTransition when it is too late.
    """
    # Serializes with the end of a check and with a decision, which lock the same row.
    locked = Version.objects.select_for_update(of=("self",)).select_related("app").get(pk=version.pk)
    if locked.state in (Version.State.LISTED, Version.State.SUSPENDED):
        _require_no_subscribers(locked.app)
        locked.app.listing.delete()
    move(
        locked,
        Version.TRANSITIONS,
        to=Version.State.WITHDRAWN,
        action="catalog.version.withdrawn",
        at=at,
        by=by,
        reason=reason,
    )
    for review in locked.reviews.filter(state=Review.State.OPEN):
        move(
            review,
            Review.TRANSITIONS,
            to=Review.State.WITHDRAWN,
            action="catalog.review.withdrawn",
            at=at,
            by=by,
            changes={"paused_at": None},
        )
    checks.end_withdrawn(locked, by=by, at=at)
    check_runs.end_withdrawn(locked, by=by, at=at)
    if not locked.app.versions.filter(state=Version.State.LISTED).exists():
        takedowns.end_fixed(locked, by=by, at=at)
    version.refresh_from_db()


def check_complete(version: Version, *, allow_http: bool) -> None:
    """Raise InvalidInput with every field that keeps a version from being handed in."""
    presentation = about.of_version(version)
    errors: list[FieldError] = [
        FieldError(name, "is missing", code="required")
        for name in ("name", "summary", "category")
        if not str(presentation[name]).strip()
    ]
    errors += _promise_errors(version)
    is_http = version.app.kind == App.Kind.HTTP
    errors += _http_errors(version, allow_http=allow_http) if is_http else _prompt_errors(version)
    errors += _caught(
        lambda: prompts.validate_input(version.input_schema, version.example_input), "example_input."
    )
    errors += _caught(lambda: examples.check(version.examples, version.input_schema))
    errors += _caught(lambda: outputs.check(version.output_format, version.output_schema))
    if errors:
        raise InvalidInput.several(errors)


def _promise_errors(version: Version) -> list[FieldError]:
    errors = []
    try:
        validate_email(version.app.owner_contact)
    except ValidationError:
        errors.append(FieldError("owner_contact", "must be a mail address"))
    for name in ("expected_monthly_calls", "slo_latency_ms", "slo_availability_percent", "daily_calls_limit"):
        if not getattr(version, name):
            errors.append(FieldError(name, "must be above zero", code="required"))
    if version.monthly_calls_limit < version.daily_calls_limit:
        errors.append(FieldError("monthly_calls_limit", "must not be below the daily limit"))
    if plans.plan_of(version) is None:
        errors.append(FieldError("plan", "is missing", code="required"))
    return errors


def _prompt_errors(version: Version) -> list[FieldError]:
    errors = []
    if not version.allowed_models:
        errors.append(FieldError("allowed_models", "Choose at least one model.", code="required"))
    if not version.prompt_template.strip():
        return [*errors, FieldError("prompt_template", "is missing", code="required")]
    errors += _caught(lambda: prompts.check_template(version.prompt_template, version.input_schema))
    return errors or _caught(lambda: prompts.render(version.prompt_template, version.example_input))


def _http_errors(version: Version, *, allow_http: bool) -> list[FieldError]:
    errors = _caught(lambda: endpoints.check_url(version.endpoint_url, allow_http=allow_http))
    if errors or not version.endpoint_contract:
        return errors
    url, example = version.endpoint_url, version.example_input
    return _caught(
        lambda: endpoint_contracts.check(version.endpoint_contract, endpoint_url=url, example_input=example)
    )


def _caught(check: Callable[[], Any], prefix: str = "") -> list[FieldError]:
    """Run a check and return what it refuses, with a path before the fields it names."""
    try:
        check()
    except InvalidInput as error:
        return [FieldError(prefix + one.field, one.message, one.code, one.limit) for one in error.errors]
    return []


def _queue_check(version: Version, *, by: User, at: datetime) -> SmokeRun:
    currency = version.app.owner_team.organization.currency
    try:
        with transaction.atomic():
            run = SmokeRun.objects.create(version=version, currency=currency, created_at=at)
    except IntegrityError as error:
        raise Conflict("A check of this version is under way already.", code="check_under_way") from error
    jobs.enqueue(JOB, idempotency_key=checks.job_key(run), at=at, by=by, smoke_run_id=str(run.pk))
    return run


def _require_no_subscribers(app: App) -> None:
    subscribed = Subscription.objects.filter(
        app=app, environment="production", state__in=[Subscription.State.ACTIVE, Subscription.State.SUSPENDED]
    ).exclude(team=app.owner_team_id)
    if count := subscribed.count():
        raise HasSubscribers(count)
