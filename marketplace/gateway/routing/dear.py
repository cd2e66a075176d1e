"""Dear models: from which class or price on an app needs an approval, who asks for it, who decides."""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.urls import reverse

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.catalog.models import App, Listing
from marketplace.core import audit, proposing
from marketplace.core.errors import Conflict, FieldError, InvalidInput
from marketplace.core.notices import Kind, notify
from marketplace.core.transitions import move
from marketplace.gateway.offers import offer_book
from marketplace.gateway.routing import policies
from marketplace.gateway.routing.book import route_book
from marketplace.gateway.routing.table import CLASSES
from marketplace.gateway.routing_models import DearModel, DearRule
from metering.models import LanguageModel

State = DearModel.State
DECIDERS = frozenset({Role.OPERATOR, Role.APPROVER})


class AlreadyAsked(Conflict):
    """A model is asked for once."""

    code = "already_asked"

    def __init__(self, model: str) -> None:
        super().__init__(f"{model} is asked for or approved already.")


def set_rule(
    *,
    classes: Collection[str],
    output_per_mtok_from: Decimal | None,
    starts_at: datetime,
    reason: str,
    by: Actor,
    at: datetime,
) -> DearRule:
    """Say from when on which models are dear. Raises InvalidInput, NotAllowed for who is no operator."""
    access.require_platform(by, Role.OPERATOR)
    errors = []
    if unknown := sorted(set(classes) - set(CLASSES)):
        errors.append(
            FieldError("model_classes", f"{unknown[0]} is no class; there are {', '.join(CLASSES)}.")
        )
    if output_per_mtok_from is not None and output_per_mtok_from <= 0:
        errors.append(FieldError("output_per_mtok_from", "A price is more than zero."))
    if starts_at < at:
        errors.append(FieldError("starts_at", "A rule begins now or later."))
    if not reason.strip():
        errors.append(FieldError("reason", "Give a reason: the makers of apps read it.", code="required"))
    if errors:
        raise InvalidInput.several(errors)
    with transaction.atomic():
        rule = DearRule.objects.create(
            model_classes=[name for name in CLASSES if name in classes],
            output_per_mtok_from=output_per_mtok_from,
            starts_at=starts_at,
            reason=reason.strip(),
            set_by=by.user,
            set_at=at,
        )
        audit.record(
            "gateway.dear_rule.set",
            subject=rule,
            at=at,
            by=by.user,
            new={"classes": rule.model_classes},
            reason=reason,
        )
    return rule


def concerned(*, at: datetime) -> list[tuple[App, list[str]]]:
    """List the apps that a rule in force keeps from models that their listed versions name."""
    book, offers = route_book.current(), offer_book.current().offers(at=at)
    found = []
    for listing in Listing.objects.select_related("app", "version").order_by("app__name"):
        withheld = book.withheld(listing.app_id, listing.version.allowed_models, offers, at=at)
        if withheld:
            found.append((listing.app, sorted(withheld)))
    return found


def requests(actor: Actor) -> QuerySet[DearModel]:
    """Approvals that a person may see: of their own apps, or all for who decides."""
    every = DearModel.objects.select_related("app", "model", "proposed_by", "decided_by").order_by(
        "-proposed_at"
    )
    if actor.is_platform(*DECIDERS):
        return every
    return every.filter(app__in=policies.apps(actor))


def ask(app: App, *, model: str, reason: str, ends_at: datetime | None, by: Actor, at: datetime) -> DearModel:
    """Ask for an approval of a dear model. Raises InvalidInput by field, AlreadyAsked."""
    access.get(policies.apps(by), pk=app.pk)
    reason = proposing.require_reason(reason)
    if model not in policies.models_of(app):
        raise InvalidInput(
            "model", f"The listed version does not name it; it names {', '.join(policies.models_of(app))}."
        )
    if ends_at is not None and ends_at <= at:
        raise InvalidInput("ends_at", "It ends in the future, or not at all.")
    found = LanguageModel.objects.get(name=model)
    try:
        with transaction.atomic():
            asked = DearModel.objects.create(
                app=app, model=found, reason=reason, ends_at=ends_at, proposed_by=by.user, proposed_at=at
            )
    except IntegrityError as error:
        raise AlreadyAsked(model) from error
    audit.record(
        "gateway.dear_model.proposed",
        subject=asked,
        at=at,
        by=by.user,
        new={"app": app.slug, "model": model},
        reason=reason,
    )
    notify(
        access.platform_people(*DECIDERS).exclude(pk=by.user.pk),
        text=f"{app.name} asks for the dear model {model}.",
        at=at,
        key=f"dear-model:{asked.pk}:proposed",
        path=reverse("gateway:dear-model", args=[asked.pk]),
        kind=Kind.DECISIONS,
        is_of_platform=True,
    )
    return asked


def decide(
    asked: DearModel,
    *,
    to: str,
    by: Actor,
    at: datetime,
    note: str = "",
    projection: dict[str, Any] | None = None,
) -> None:
    """Approve or reject, once, by a second person. Raises NotAllowed, OwnProposal, IllegalTransition."""
    access.require_platform(by, *DECIDERS)
    if to == State.REJECTED:
        note = proposing.require_reason(note, field="note", who="Whoever asked reads it.")
    proposing.decide(
        asked,
        to=to,
        action=f"gateway.dear_model.{to}",
        by=by.user,
        at=at,
        note=note,
        changes={"projection": projection or {}},
    )
    notify(
        [asked.proposed_by],
        text=f"{asked.model} for {asked.app.name} is {to}.",
        at=at,
        key=f"dear-model:{asked.pk}:{to}",
        path=reverse("gateway:dear-model", args=[asked.pk]),
        kind=Kind.DECISIONS,
    )


def withdraw(asked: DearModel, *, by: Actor, at: datetime) -> None:
    """Take a request back; for who made it."""
    proposing.withdraw(asked, to=State.WITHDRAWN, action="gateway.dear_model.withdrawn", by=by.user, at=at)


def end(asked: DearModel, *, by: Actor, at: datetime, note: str) -> None:
    """End an approval: the next call does without the model. It makes nobody pay, so one decider is enough."""
    access.require_platform(by, *DECIDERS)
    note = proposing.require_reason(note, field="note")
    move(
        asked,
        DearModel.TRANSITIONS,
        to=State.ENDED,
        action="gateway.dear_model.ended",
        at=at,
        by=by.user,
        reason=note,
        changes={"ends_at": at},
    )
