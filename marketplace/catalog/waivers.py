"""Waivers: one finding of an app is accepted until a date. Asked for by one person, decided by another.

A waiver names a finding, so what could not be checked cannot be waived; nor can findings of rules that say so, such as
a key in a prompt. It counts for this app in every version that has the same finding.
"""

from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.urls import reverse

from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import User
from marketplace.catalog.app_people import approvers_of, makers_of
from marketplace.catalog.check_models import LONGEST_WAIVER, CheckFinding, CheckRun, CheckWaiver
from marketplace.catalog.models import Version
from marketplace.catalog.scans.rules import rule_of
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput, NotAllowed
from marketplace.core.notices import Kind, notify
from marketplace.core.transitions import move

WAIVABLE_SEVERITIES = frozenset({"medium", "high", "critical"})


class NotWaivable(Conflict):
    """The rule allows no exception, or there is nothing to except."""

    code = "not_waivable"


class OwnRequest(NotAllowed):
    """Whoever asked for a waiver, or submitted the version, does not decide on it."""

    code = "own_request"

    def __init__(self) -> None:
        super().__init__("Nobody decides what they asked for or submitted. Another approver has to.")


def why_not_waivable(finding: CheckFinding) -> str:
    """Say why a finding cannot be waived; empty when it can."""
    if finding.severity not in WAIVABLE_SEVERITIES:
        return "It does not hold the version up."
    if not rule_of(finding.rule).is_waivable:
        return "This rule knows no exception: put it right."
    return ""


@transaction.atomic
def propose(finding: CheckFinding, *, reason: str, ends_at: datetime, by: User, at: datetime) -> CheckWaiver:
    """Ask that a finding be accepted until a date. Raises NotWaivable, InvalidInput, or Conflict when asked before."""
    if why := why_not_waivable(finding):
        raise NotWaivable(why)
    if not reason.strip():
        raise InvalidInput(
            "reason", "Say why this can be accepted: whoever decides reads it.", code="required"
        )
    if not at < ends_at <= at + LONGEST_WAIVER:
        message = f"must lie ahead, by at most {LONGEST_WAIVER.days} days"
        raise InvalidInput("ends_at", message, limit=LONGEST_WAIVER.days)
    app = finding.run.version.app
    _expire(CheckWaiver.objects.filter(app=app, fingerprint=finding.fingerprint), at=at)
    try:
        with transaction.atomic():
            waiver = CheckWaiver.objects.create(
                app=app,
                finding=finding,
                fingerprint=finding.fingerprint,
                reason=reason.strip(),
                ends_at=ends_at,
                requested_by=by,
                requested_at=at,
            )
    except IntegrityError as error:
        raise Conflict(
            "A waiver of this finding is asked for or in force already.", code="waiver_exists"
        ) from error
    new = {"rule": finding.rule, "place": finding.place, "ends_at": ends_at.isoformat()}
    audit.record("catalog.waiver.proposed", subject=waiver, at=at, by=by, new=new, reason=waiver.reason)
    text = f"A waiver is asked for: {rule_of(finding.rule).title}, {app}."
    deciders = approvers_of(app).exclude(pk=by.pk)
    notify(
        deciders,
        text=text,
        at=at,
        key=f"waiver:{waiver.pk}:proposed",
        path=path_of(finding.run),
        kind=Kind.DECISIONS,
    )
    return waiver


@transaction.atomic
def decide(waiver: CheckWaiver, *, approve: bool, by: Actor, at: datetime, reason: str = "") -> None:
    """Accept a finding, or not. Raises NotAllowed for who asked and who is no approver, IllegalTransition."""
    finding = waiver.finding
    if by.user.pk in (waiver.requested_by_id, finding.run.version.submitted_by_id):
        raise OwnRequest
    if not may_approve(waiver.app.owner_team.organization_id, by):
        raise NotAllowed("Only an approver of the app's organization decides on it.")
    if not approve and not reason.strip():
        raise InvalidInput("reason", "Give a reason: its maker reads it.", code="required")
    if approve and waiver.ends_at <= at:
        raise Conflict("Its end has passed.", code="waiver_ended")
    state = CheckWaiver.State.APPROVED if approve else CheckWaiver.State.REJECTED
    changes = {"decided_by": by.user, "decided_at": at, "decision_reason": reason.strip()}
    _move(waiver, state, at=at, by=by.user, reason=reason, changes=changes)
    what = "accepted. Submit the version again, or go on." if approve else f"refused: {reason.strip()}"
    text = f"Your waiver of {rule_of(finding.rule).title} ({waiver.app}) is {what}"
    notify(
        [waiver.requested_by],
        text=text,
        at=at,
        key=f"waiver:{waiver.pk}:{state}",
        path=path_of(finding.run),
        kind=Kind.DECISIONS,
        team=waiver.app.owner_team,
    )


def withdraw(waiver: CheckWaiver, *, by: User, at: datetime, reason: str = "") -> None:
    """Take a waiver back before its end; it counts no more. Raises IllegalTransition when it has ended."""
    _move(waiver, CheckWaiver.State.WITHDRAWN, at=at, by=by, reason=reason, changes={})


def expire(*, at: datetime) -> int:
    """End waivers whose date has come, and tell makers and approvers; they stopped counting at that date."""
    return len(_expire(CheckWaiver.objects.all(), at=at))


def may_approve(organization_id: int, actor: Actor) -> bool:
    """Tell whether this person is an approver for an organization's apps."""
    return actor.is_platform(Role.APPROVER) or organization_id in actor.organizations_as(Role.APPROVER)


def visible(actor: Actor) -> QuerySet[CheckWaiver]:
    """Return the waivers of the person's own apps, and of those they review."""
    found = CheckWaiver.objects.select_related(
        "finding__run__version__app", "app__owner_team", "requested_by", "decided_by"
    )
    if actor.is_platform(Role.APPROVER):
        return found
    return found.filter(
        Q(app__owner_team__in=actor.teams_as(Role.CREATOR))
        | Q(app__owner_team__organization__in=actor.organizations_as(Role.APPROVER))
    )


def path_of(run: CheckRun) -> str:
    version: Version = run.version
    return reverse("catalog:checks", args=[version.app.slug, version.number])


@transaction.atomic
def _expire(waivers: QuerySet[CheckWaiver], *, at: datetime) -> list[CheckWaiver]:
    over = waivers.filter(state__in=["proposed", "approved"], ends_at__lte=at)
    ended = list(
        over.select_related("finding__run__version__app", "app", "requested_by")
        .select_for_update(of=("self",), skip_locked=True)
        .order_by("pk")
    )
    for waiver in ended:
        was_in_force = waiver.state == CheckWaiver.State.APPROVED
        _move(waiver, CheckWaiver.State.EXPIRED, at=at, by=None, reason="", changes={})
        if was_in_force:
            text = (
                f"A waiver has ended: {rule_of(waiver.finding.rule).title}, {waiver.app}. It counts no more."
            )
            people = (makers_of(waiver.app) | approvers_of(waiver.app)).distinct()
            notify(
                people,
                text=text,
                at=at,
                key=f"waiver:{waiver.pk}:ended",
                path=path_of(waiver.finding.run),
                kind=Kind.APPS,
                team=waiver.app.owner_team,
            )
    return ended


def _move(waiver: CheckWaiver, state: str, *, at: datetime, by: User | None, reason: str, changes: dict[str, object]) -> None:  # fmt: skip
    action = f"catalog.waiver.{state}"
    move(
        waiver, CheckWaiver.TRANSITIONS, to=state, action=action, at=at, by=by, reason=reason, changes=changes
    )
