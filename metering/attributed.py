"""Whom and what usage belongs to, in words: every dimension of an event with its id and label."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from metering.dimensions import DIMENSIONS, key_text, subscription_text
from metering.models import Attribution
from metering.scopes import UsageScope
from metering.usage_reports import Part

NOT_SHOWN = "Not shown"
RELATED = (
    "app", "owner_team__organization", "organization", "team", "cost_center", "subscription__app",
    "subscription__team", "plan__app", "key", "model",
)  # fmt: skip


@dataclass(frozen=True)
class Attributed:
    """What one attribution says. Private dimensions have no id where it is not visible who used and who paid."""

    parts: Mapping[str, Part]
    owner_team: Part
    model_asked: str
    is_known: bool

    def id_of(self, name: str) -> str:
        return self.parts[name].id or ""


def named(ids: Collection[int], *, visible: UsageScope) -> dict[int, Attributed]:
    """Name attributions by id (one query)."""
    rows = Attribution.objects.filter(pk__in=set(ids)).select_related(*RELATED)
    return {one.pk: name_one(one, visible=visible) for one in rows}


def name_one(attribution: Attribution, *, visible: UsageScope) -> Attributed:
    """Name everything of an attribution that was loaded with ``RELATED``."""
    is_known = visible.knows(attribution)
    owner = attribution.owner_team
    return Attributed(
        parts={name: _part(name, attribution, is_known=is_known) for name in DIMENSIONS},
        owner_team=Part("owner_team", owner.slug, owner.name),
        model_asked=attribution.model_asked,
        is_known=is_known,
    )


def _part(name: str, attribution: Attribution, *, is_known: bool) -> Part:
    one = DIMENSIONS[name]
    if one.is_private and not is_known:
        return Part(name, None, NOT_SHOWN)
    value = getattr(attribution, name)
    if not value:
        return Part(name, None, one.nothing)
    return Part(name, *_words(name, value))


def _words(name: str, value: Any) -> tuple[str, str]:
    """Return id and label as ``metering.dimensions`` writes them, of a row that is loaded already."""
    match name:
        case "app" | "team" | "organization":
            return value.slug, value.name
        case "cost_center":
            return value.code, f"{value.code} {value.name}"
        case "subscription":
            return str(value.pk), subscription_text(value.app.name, value.team.name, value.environment)
        case "plan":
            return f"{value.app.slug}/{value.code}/{value.number}", f"{value.app.name}: {value.name}"
        case "key":
            return str(value.pk), key_text(value.kind, value.prefix, value.name)
        case "model":
            return value.name, value.title
    return value, value
