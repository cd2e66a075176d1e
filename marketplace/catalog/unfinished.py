"""Keeping what people type into the form of an app, and giving it back."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import QuerySet

from marketplace.accounts.access import Actor
from marketplace.accounts.models import User
from marketplace.catalog.models import Version
from marketplace.catalog.unfinished_models import UnfinishedForm
from marketplace.core.errors import InvalidInput

MAX_CHARS = 400_000
MAX_KEPT = 20
KEPT_FOR = timedelta(days=90)
LEFT_OUT = frozenset({"csrfmiddlewaretoken", "then", "add_input", "unfinished"})

Typed = Mapping[str, Sequence[str]]


def own(actor: Actor) -> QuerySet[UnfinishedForm]:
    """Return what a person has begun, the newest first; of versions only those they may still edit."""
    kept = UnfinishedForm.objects.filter(person=actor.user).select_related("version__app")
    editable = Version.objects.filter(
        state__in=Version.EDITABLE, app__owner_team__in=actor.teams_as("creator")
    )
    new, begun = kept.filter(version=None), kept.filter(version__in=editable)
    return (new | begun).order_by("-saved_at")


def keep(
    form_id: UUID, typed: Typed, *, template: str = "", version: Version | None = None, by: User, at: datetime
) -> UnfinishedForm | None:
    """Keep what was typed under the id of its form; None when that id is somebody else's.

    The latest typing wins. The oldest go when a person has more than twenty. Raises InvalidInput when it is too much.
    """
    data = {name: list(values) for name, values in typed.items() if name not in LEFT_OUT}
    if len(json.dumps(data)) > MAX_CHARS:
        raise InvalidInput("", f"More than {MAX_CHARS:,} characters are not kept.", limit=MAX_CHARS)
    values = {"template": template, "version": version, "data": _storable(data), "saved_at": at}
    if UnfinishedForm.objects.filter(pk=form_id, person=by).update(**values):
        return UnfinishedForm.objects.get(pk=form_id)
    if UnfinishedForm.objects.filter(pk=form_id).exists():
        return None
    made, _ = UnfinishedForm.objects.get_or_create(pk=form_id, defaults={"person": by, **values})
    _forget_old(by, at=at)
    return made if made.person_id == by.pk else None


def drop(form_id: UUID, *, by: User) -> None:
    """Forget what was typed: it was saved, or is not wanted."""
    UnfinishedForm.objects.filter(pk=form_id, person=by).delete()


def _forget_old(person: User, *, at: datetime) -> None:
    kept = UnfinishedForm.objects.filter(person=person)
    newest = kept.order_by("-saved_at").values_list("pk", flat=True)[:MAX_KEPT]
    kept.exclude(pk__in=list(newest)).delete()
    kept.filter(saved_at__lt=at - KEPT_FOR).delete()


def _storable(data: dict[str, list[str]]) -> dict[str, list[str]]:
    return {
        name.replace("\x00", ""): [
            value.replace("\x00", "").encode(errors="replace").decode() for value in values
        ]
        for name, values in data.items()
    }
