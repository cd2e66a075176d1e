"""What is unusual enough for an incident: thresholds in versions, proposed by one person, put in force by another."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.urls import reverse

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.catalog.models import App
from marketplace.core import audit
from marketplace.core.errors import Conflict, FieldError, InvalidInput, NotAllowed
from marketplace.core.money import to_text
from marketplace.core.notices import Kind, notify
from marketplace.core.transitions import IllegalTransition, move
from metering import anomalies
from metering.anomalies import BOUNDS, DAY_HOURS, HOUR, MOST_HOURS, Level, Thresholds
from metering.hourly import AppHours, hourly
from quotas.incident_models import IncidentPolicy

State = IncidentPolicy.State
PROPOSERS = frozenset({Role.OPERATOR})
DECIDERS = frozenset({Role.OPERATOR, Role.FINANCE})
DRY_RUN_DAYS = 30


@dataclass(frozen=True)
class Rules:
    """Thresholds, and how long things take: ``number`` is the version, 0 that of the house."""

    thresholds: Thresholds = Thresholds()  # noqa: RUF009  it is frozen
    escalate_hours: int = 4
    quiet_hours: int = 24
    ceiling_hours: int = 72
    number: int = 0

    @property
    def escalate_after(self) -> timedelta:
        return timedelta(hours=self.escalate_hours)


TIMES: Mapping[str, tuple[int, int]] = {
    "escalate_hours": (1, 168),
    "quiet_hours": (6, 168),
    "ceiling_hours": (1, 336),
}
ALL_BOUNDS: Mapping[str, tuple[int, int]] = {**BOUNDS, **TIMES}
WHOLE = frozenset({one.name for one in fields(Thresholds) if one.type is int} | TIMES.keys())


class OwnPolicy(NotAllowed):
    """Whoever proposed a policy does not put it in force."""

    code = "own_proposal"

    def __init__(self) -> None:
        super().__init__("Nobody decides their own proposal. Another operator, or finance, has to.")


class PolicyWaits(Conflict):
    """One policy at a time waits for a decision."""

    code = "policy_waits"

    def __init__(self) -> None:
        super().__init__(
            "A proposed policy waits for its decision already. Decide on it, or take it back first."
        )


@dataclass(frozen=True)
class WouldBe:
    """An incident that thresholds would have made of an app's last weeks."""

    app_id: int
    app_name: str
    seen_at: datetime
    level: Level
    actual: Decimal
    expected: Decimal
    currency: str

    def as_json(self) -> dict[str, Any]:
        return {
            "app": self.app_name,
            "seen_at": self.seen_at.isoformat(),
            "level": self.level.name.lower(),
            "actual": to_text(self.actual),
            "expected": to_text(self.expected),
            "currency": self.currency,
        }


def rules_in_force() -> Rules:
    """Return the active version, or the house's own where nobody has set one (one query)."""
    policy = IncidentPolicy.objects.filter(state=State.ACTIVE).first()
    return rules_of(policy) if policy else Rules()


def rules_of(policy: IncidentPolicy) -> Rules:
    """Read what a version says; what it does not know yet is as in the house's own."""
    return replace(parse(policy.thresholds), number=policy.number)


def parse(values: Mapping[str, Any]) -> Rules:
    """Read thresholds by name, as text. Raises InvalidInput that names each field that is wrong, with its bound."""
    read: dict[str, Any] = {}
    errors: list[FieldError] = []
    for name, (least, most) in ALL_BOUNDS.items():
        if name not in values:
            continue
        number = _number(values[name])
        if number is None or not least <= number <= most:
            errors.append(
                FieldError(name, f"Give a number from {least:,} to {most:,}.", limit=f"{least} to {most}")
            )
        elif name in WHOLE and number != number.to_integral_value():
            errors.append(FieldError(name, "Give a whole number."))
        else:
            read[name] = int(number) if name in WHOLE else number
    if unknown := sorted(values.keys() - ALL_BOUNDS.keys()):
        errors.append(FieldError(unknown[0], "There is no threshold of this name.", code="unknown_field"))
    if errors:
        raise InvalidInput.several(errors)
    times = {name: read.pop(name) for name in TIMES if name in read}
    return Rules(thresholds=Thresholds(**read), **times)


def as_texts(rules: Rules) -> dict[str, str]:
    """Write down every threshold by its name."""
    found = {name: getattr(rules.thresholds, name) for name in BOUNDS}
    found |= {name: getattr(rules, name) for name in TIMES}
    return {name: to_text(Decimal(value)) for name, value in found.items()}


def propose(rules: Rules, *, reason: str, by: Actor, at: datetime) -> IncidentPolicy:
    """Propose thresholds as the next version. Raises InvalidInput, NotAllowed, PolicyWaits."""
    access.require_platform(by, *PROPOSERS)
    if not reason.strip():
        raise InvalidInput("reason", "Whoever decides wants to know.")
    texts = as_texts(rules)
    parse(texts)
    newest = IncidentPolicy.objects.aggregate(newest=Max("number"))["newest"] or 0
    try:
        with transaction.atomic():
            policy = IncidentPolicy.objects.create(
                number=newest + 1, thresholds=texts, reason=reason, proposed_by=by.user, proposed_at=at
            )
            audit.record(
                "quotas.incident_policy.proposed", subject=policy, at=at, by=by.user, new=texts, reason=reason
            )
    except IntegrityError as error:
        raise PolicyWaits from error
    notify(
        access.platform_people(*DECIDERS).exclude(pk=by.user.pk),
        text="Other thresholds for incidents wait for your decision.",
        at=at,
        key=f"incident-policy:{policy.number}:proposed",
        path=reverse("quotas:incident-policy"),
        kind=Kind.DECISIONS,
        is_of_platform=True,
    )
    return policy


def activate(policy: IncidentPolicy, *, by: Actor, at: datetime, note: str = "") -> None:
    """Put a version in force in the place of the one before; what it would have found is kept with the decision."""
    _require_decider(policy, by)
    found = [one.as_json() for one in dry_run(rules_of(policy), at=at)]
    with transaction.atomic():
        # The proposal first, under its row: of two who decide, the second is told so before anything is replaced.
        locked = IncidentPolicy.objects.select_for_update().get(pk=policy.pk)
        if locked.state != State.PROPOSED:
            raise IllegalTransition(policy, current=locked.state, to=State.ACTIVE)
        active = IncidentPolicy.objects.select_for_update().filter(state=State.ACTIVE).first()
        if active is not None:
            move(
                active,
                IncidentPolicy.TRANSITIONS,
                to=State.REPLACED,
                action="quotas.incident_policy.replaced",
                at=at,
                by=by.user,
                reason=f"by version {policy.number}",
            )
        _decide(policy, to=State.ACTIVE, by=by, at=at, note=note, dry_run={"found": found})


def reject(policy: IncidentPolicy, *, by: Actor, at: datetime, note: str) -> None:
    """Reject a version, with a reason."""
    if not note.strip():
        raise InvalidInput("note", "Give a reason: whoever proposed it reads it.")
    _require_decider(policy, by)
    with transaction.atomic():
        _decide(policy, to=State.REJECTED, by=by, at=at, note=note)


def withdraw(policy: IncidentPolicy, *, by: Actor, at: datetime) -> None:
    """Take a proposed version back; for who proposed it."""
    access.require(policy.proposed_by_id == by.user.pk, message="Only who proposed it takes it back.")
    move(
        policy,
        IncidentPolicy.TRANSITIONS,
        to=State.WITHDRAWN,
        action="quotas.incident_policy.withdrawn",
        at=at,
        by=by.user,
    )


def may_decide(policy: IncidentPolicy, *, actor: Actor) -> bool:
    """Tell whether this person may decide and did not propose it."""
    return actor.is_platform(*DECIDERS) and policy.proposed_by_id != actor.user.pk


def dry_run(rules: Rules, *, at: datetime, days: int = DRY_RUN_DAYS) -> list[WouldBe]:
    """Judge every hour of the last weeks by these thresholds and say what incidents it would have been (two queries).

    By money alone, and as if nobody had done anything: neither throttled nor closed.
    """
    return _found(rules, _last_weeks(at, days), days)


def compare(one: Rules, other: Rules, *, at: datetime) -> tuple[list[WouldBe], list[WouldBe]]:
    """Try two sets of thresholds on the same hours (two queries)."""
    weeks = _last_weeks(at, DRY_RUN_DAYS)
    return _found(one, weeks, DRY_RUN_DAYS), _found(other, weeks, DRY_RUN_DAYS)


@dataclass(frozen=True)
class _Weeks:
    """The hours of all apps up to ``ends_at``, and their names."""

    ends_at: datetime
    apps: list[AppHours]
    names: dict[int, str]


def _last_weeks(at: datetime, days: int) -> _Weeks:
    ends_at = at.replace(minute=0, second=0, microsecond=0)
    apps = hourly(ends_at=ends_at, hours=MOST_HOURS + days * DAY_HOURS)
    return _Weeks(ends_at, apps, dict(App.objects.values_list("pk", "name")))


def _found(rules: Rules, weeks: _Weeks, days: int) -> list[WouldBe]:
    found = [
        each
        for one in weeks.apps
        for each in _would_be(
            one, rules, ends_at=weeks.ends_at, hours=days * DAY_HOURS, name=weeks.names[one.app_id]
        )
    ]
    return sorted(found, key=lambda each: (each.seen_at, each.app_name))


def _would_be(one: AppHours, rules: Rules, *, ends_at: datetime, hours: int, name: str) -> list[WouldBe]:
    """One for each stretch of findings that a quiet time ends, with the strongest answer in it."""
    found: list[WouldBe] = []
    last_seen: datetime | None = None
    for ago in range(hours - 1, -1, -1):
        finding = (
            anomalies.judge(one.cost.until(ago), thresholds=rules.thresholds)
            if _is_much(one, ago, rules)
            else None
        )
        if finding is None:
            continue
        seen_at = ends_at - ago * HOUR
        is_same = last_seen is not None and seen_at - last_seen < timedelta(hours=rules.quiet_hours)
        last_seen = seen_at
        if not is_same:
            found.append(
                WouldBe(
                    one.app_id, name, seen_at, finding.level, finding.actual, finding.expected, one.currency
                )
            )
        elif finding.level > found[-1].level:
            found[-1] = replace(found[-1], level=finding.level)
    return found


def _is_much(one: AppHours, ago: int, rules: Rules) -> bool:
    """Tell whether an hour can be worth a judgement at all: most are over at a glance."""
    least = min(rules.thresholds.money_floor, rules.thresholds.new_app_notice)
    return (one.cost.window(ago) or Decimal(0)) >= max(least, Decimal(1).scaleb(-18))


def _require_decider(policy: IncidentPolicy, by: Actor) -> None:
    access.require_platform(by, *sorted(DECIDERS))
    if policy.proposed_by_id == by.user.pk:
        raise OwnPolicy


def _decide(policy: IncidentPolicy, *, to: str, by: Actor, at: datetime, note: str, **changes: Any) -> None:
    move(
        policy,
        IncidentPolicy.TRANSITIONS,
        to=to,
        action=f"quotas.incident_policy.{to}",
        at=at,
        by=by.user,
        reason=note,
        changes={"decided_by": by.user, "decided_at": at, "decision_note": note, **changes},
    )
    notify(
        [policy.proposed_by],
        text=f"Your thresholds for incidents are {'in force' if to == State.ACTIVE else to}."
        + (f" {note}" if note else ""),
        at=at,
        key=f"incident-policy:{policy.number}:{to}",
        path=reverse("quotas:incident-policy"),
        kind=Kind.DECISIONS,
    )


def _number(value: Any) -> Decimal | None:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
