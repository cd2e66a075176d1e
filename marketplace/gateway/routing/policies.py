"""Route policies: saved as versions by an app's makers or an operator, after a look at what last week would have cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max, QuerySet

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.catalog.models import App, Listing
from marketplace.catalog.queries_creator import owned_apps
from marketplace.core import audit
from marketplace.core.errors import Conflict, FieldError, InvalidInput
from marketplace.core.transitions import move
from marketplace.gateway.routing import table
from marketplace.gateway.routing.table import Row
from marketplace.gateway.routing_models import RoutePolicy
from metering.models import LanguageModel

Mode = RoutePolicy.Mode
Split = RoutePolicy.Split
State = RoutePolicy.State
LEAST_FLOOR, MOST_FLOOR = 50, 100


@dataclass(frozen=True)
class Draft:
    """A policy that was checked and is not saved."""

    rows: tuple[Row, ...]
    mode: str = Mode.SHADOW
    percent: int = 100
    split_by: str = Split.SUBSCRIPTION
    quality_floor: int = 95
    note: str = ""


class SavedMeanwhile(Conflict):
    """Somebody saved a version since this one was opened."""

    code = "saved_meanwhile"

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"Version {number} was saved meanwhile. Look at it first.")


def apps(actor: Actor) -> QuerySet[App]:
    """Apps whose policies a person may see and save: those of their own teams, or all for operators."""
    listed = App.objects.filter(kind=App.Kind.HOSTED, listing__isnull=False).select_related("owner_team")
    if actor.is_platform(Role.OPERATOR):
        return listed
    return listed.filter(pk__in=owned_apps(actor).values("pk"))


def visible_apps(actor: Actor) -> QuerySet[App]:
    """Apps whose policies a person may read: also all of them for approvers, who decide on their dear models."""
    if actor.is_platform(Role.APPROVER):
        return App.objects.filter(kind=App.Kind.HOSTED, listing__isnull=False).select_related("owner_team")
    return apps(actor)


def models_of(app: App) -> dict[str, str]:
    """Return the models that an app's listed version may use, with their classes."""
    listing = Listing.objects.select_related("version").filter(app=app).first()
    names = list(listing.version.allowed_models) if listing else []
    found = dict(LanguageModel.objects.filter(name__in=names).values_list("name", "model_class"))
    return {name: found[name] for name in names if name in found}


def in_force(app: App) -> RoutePolicy | None:
    """Return the version by which an app's calls are routed now."""
    return RoutePolicy.objects.filter(app=app, state=State.IN_FORCE).select_related("saved_by").first()


def check(fields: Mapping[str, Any], *, models: Mapping[str, str]) -> Draft:
    """Read a policy as it is sent. Raises InvalidInput that names every field that is wrong."""
    errors: list[FieldError] = []
    rows: tuple[Row, ...] = ()
    try:
        rows = table.parse(fields.get("rows"), models=models)
    except InvalidInput as error:
        errors += error.errors
    mode = _one_of(fields.get("mode", Mode.SHADOW), "mode", Mode.values, errors)
    percent = _between(fields.get("percent", 100), "percent", 1, 100, errors)
    if mode != Mode.PART and percent != 100:
        errors.append(FieldError("percent", "Only a policy for a part of the calls has a percentage."))
    split_by = _one_of(fields.get("split_by", Split.SUBSCRIPTION), "split_by", Split.values, errors)
    floor = _between(fields.get("quality_floor", 95), "quality_floor", LEAST_FLOOR, MOST_FLOOR, errors)
    note = fields.get("note", "")
    if not isinstance(note, str) or len(note) > 400:
        errors.append(FieldError("note", "At most 400 characters.", limit="400"))
        note = ""
    if errors:
        raise InvalidInput.several(errors)
    return Draft(rows, mode, percent, split_by, floor, note.strip())


def save(
    app: App,
    draft: Draft,
    *,
    by: Actor,
    at: datetime,
    replaces: int | None = None,
    projection: Mapping[str, Any] | None = None,
) -> RoutePolicy:
    """Put a policy in force as the app's next version; the one before is kept.

    ``replaces`` is the number that was on the page, where there was one. Raises SavedMeanwhile.
    """
    access.get(apps(by), pk=app.pk)
    newest = RoutePolicy.objects.filter(app=app).aggregate(newest=Max("number"))["newest"] or 0
    if replaces is not None and replaces != newest:
        raise SavedMeanwhile(newest)
    try:
        with transaction.atomic():
            before = in_force(app)
            if before is not None:
                move(
                    before,
                    RoutePolicy.TRANSITIONS,
                    to=State.REPLACED,
                    action="gateway.route_policy.replaced",
                    at=at,
                    by=by.user,
                )
            saved = RoutePolicy.objects.create(
                app=app,
                number=newest + 1,
                rows=[row.as_json() for row in draft.rows],
                mode=draft.mode,
                percent=draft.percent,
                split_by=draft.split_by,
                quality_floor=draft.quality_floor,
                note=draft.note,
                projection=dict(projection or {}),
                saved_by=by.user,
                saved_at=at,
            )
            audit.record(
                "gateway.route_policy.saved",
                subject=saved,
                at=at,
                by=by.user,
                old={"rows": before.rows, "mode": before.mode} if before else {},
                new={"rows": saved.rows, "mode": saved.mode, "percent": saved.percent},
                reason=saved.note,
            )
    except IntegrityError as error:
        raise SavedMeanwhile(newest + 1) from error
    return saved


def end(app: App, *, by: Actor, at: datetime) -> None:
    """Route an app's calls without a policy again: the cheapest approved model. Raises Conflict when there is none."""
    access.get(apps(by), pk=app.pk)
    policy = in_force(app)
    if policy is None:
        raise Conflict("This app has no route policy in force.")
    move(
        policy,
        RoutePolicy.TRANSITIONS,
        to=State.ENDED,
        action="gateway.route_policy.ended",
        at=at,
        by=by.user,
    )


def _one_of(value: Any, field: str, choices: list[str], errors: list[FieldError]) -> str:
    if value in choices:
        return str(value)
    errors.append(FieldError(field, f"One of {', '.join(choices)}."))
    return choices[0]


def _between(value: Any, field: str, least: int, most: int, errors: list[FieldError]) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    errors.append(FieldError(field, f"A whole number from {least} to {most}.", limit=f"{least} to {most}"))
    return most
