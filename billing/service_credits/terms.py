"""Terms of service: what an app promises with a version, and what it gives back. Set for a month to come."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation

from django.db import transaction

from billing.models import MaintenanceWindow, ServiceTerms
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.catalog.models import App, Version
from marketplace.core import audit
from marketplace.core.errors import FieldError, InvalidInput
from marketplace.core.periods import Period, month_of

Bearer = ServiceTerms.Bearer
# Announced later than this, maintenance counts as any other time.
NOTICE = timedelta(hours=48)
MOST_STEPS = 10


@dataclass(frozen=True)
class Step:
    """Beyond this value (percent, or milliseconds), so much of the month's fees is given back."""

    beyond: Decimal
    percent: Decimal


@dataclass(frozen=True)
class Promise:
    """What is promised, and the steps of what is given back, by objective."""

    availability_percent: Decimal | None = None
    latency_p95_ms: int | None = None
    support_hours: int | None = None
    availability_steps: Sequence[Step] = field(default=())
    latency_steps: Sequence[Step] = field(default=())
    cap_percent: Decimal = Decimal(100)
    borne_by: str = Bearer.CREATOR


def parse_steps(text: str, *, name: str) -> tuple[Step, ...]:
    """Read steps typed as lines of two numbers: `99.5 10` is 10 percent back beyond 99.5. Raises InvalidInput."""
    steps = []
    for line in text.splitlines():
        parts = line.replace("%", " ").replace(":", " ").split()
        if not parts:
            continue
        try:
            beyond, percent = (Decimal(part) for part in parts)
        except (InvalidOperation, ValueError):
            message = f"{line!r} is not two numbers, such as 99.5 10"
            raise InvalidInput(name, message) from None
        if not (beyond.is_finite() and percent.is_finite()):
            raise InvalidInput(name, f"{line!r} is not two numbers, such as 99.5 10")
        steps.append(Step(beyond, percent))
    return tuple(steps)


def may_set(app: App, *, actor: Actor) -> bool:
    """Tell whether a person promises for an app: its creators, or the marketplace's finance."""
    return app.owner_team_id in actor.teams_as(Role.CREATOR) or actor.is_platform(Role.FINANCE)


def agree(version: Version, *, promise: Promise, by: Actor, at: datetime) -> ServiceTerms:
    """Promise something with a version from the next month on; a later word for the same month takes its place.

    What the platform bears, only its finance promises. Raises NotAllowed, InvalidInput by field.
    """
    access.require(
        may_set(version.app, actor=by), message="Only the app's creators and finance promise its service."
    )
    if promise.borne_by != Bearer.CREATOR:
        access.require_platform(by, Role.FINANCE)
    if errors := list(_wrong(promise)):
        raise InvalidInput.several(errors)
    starts_at = month_of(at).ends_at
    with transaction.atomic():
        terms, _ = ServiceTerms.objects.update_or_create(
            app=version.app,
            starts_at=starts_at,
            defaults={
                "version": version,
                "availability_percent": promise.availability_percent,
                "latency_p95_ms": promise.latency_p95_ms,
                "support_hours": promise.support_hours,
                "credits": {
                    "availability": _as_json(promise.availability_steps),
                    "latency": _as_json(promise.latency_steps),
                },
                "cap_percent": promise.cap_percent,
                "borne_by": promise.borne_by,
                "agreed_by": by.user,
                "agreed_at": at,
            },
        )
        new = {"starts_at": starts_at.isoformat(), "credits": terms.credits, "borne_by": terms.borne_by}
        audit.record("billing.service_terms.agreed", subject=terms, at=at, by=by.user, new=new)
    return terms


def _as_json(steps: Iterable[Step]) -> list[dict[str, str]]:
    return [{"beyond": f"{one.beyond:f}", "percent": f"{one.percent:f}"} for one in steps]


def steps_of(rows: Sequence[Mapping[str, str]]) -> tuple[Step, ...]:
    """Read steps as terms keep them."""
    return tuple(Step(Decimal(one["beyond"]), Decimal(one["percent"])) for one in rows)


def _wrong(promise: Promise) -> Iterable[FieldError]:
    available, latency = promise.availability_percent, promise.latency_p95_ms
    if available is not None and not 0 < available <= 100:
        yield FieldError("availability_percent", "must be more than 0 and at most 100", "out_of_range", "100")
    if not 0 <= promise.cap_percent <= 100:
        yield FieldError("cap_percent", "must be from 0 to 100", "out_of_range", "100")
    if promise.borne_by not in Bearer.values:
        yield FieldError("borne_by", "must be creator, platform or shared", "unknown_choice")
    for name, steps in (
        ("availability_steps", promise.availability_steps),
        ("latency_steps", promise.latency_steps),
    ):
        if len(steps) > MOST_STEPS or any(not 0 < one.percent <= 100 or one.beyond < 0 for one in steps):
            yield FieldError(name, f"are at most {MOST_STEPS}, each of 0 to 100 percent", "out_of_range")
    if promise.availability_steps and available is None:
        yield FieldError("availability_percent", "is needed where something is given back for it", "required")
    if promise.latency_steps and latency is None:
        yield FieldError("latency_p95_ms", "is needed where something is given back for it", "required")


def in_force(app_id: int, *, month: Period) -> ServiceTerms | None:
    """Return the terms that hold for a month: the newest that began by its first day."""
    found = ServiceTerms.objects.filter(app=app_id, starts_at__lte=month.starts_at)
    return found.select_related("version").order_by("-starts_at").first()


def announce_maintenance(
    app: App, *, starts_at: datetime, ends_at: datetime, why: str, by: Actor, at: datetime
) -> MaintenanceWindow:
    """Announce hours in which an app will be away; they do not count when they are announced two days before.

    Raises NotAllowed, InvalidInput by field.
    """
    access.require(may_set(app, actor=by), message="Only the app's creators announce its maintenance.")
    if starts_at < at + NOTICE:
        raise InvalidInput("starts_at", "must be announced 48 hours before", limit=(at + NOTICE).isoformat())
    if not starts_at < ends_at <= starts_at + timedelta(days=2):
        raise InvalidInput("ends_at", "must be after the start, within two days")
    if not 0 < len(why.strip()) <= 200:
        raise InvalidInput("why", "is needed, at most 200 characters", limit=200)
    with transaction.atomic():
        window = MaintenanceWindow.objects.create(
            app=app,
            starts_at=starts_at,
            ends_at=ends_at,
            why=why.strip(),
            announced_by=by.user,
            announced_at=at,
        )
        new = {"starts_at": starts_at.isoformat(), "ends_at": ends_at.isoformat()}
        audit.record("billing.maintenance.announced", subject=window, at=at, by=by.user, new=new)
    return window
