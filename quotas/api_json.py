"""Limits as the management API writes them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from marketplace.core.money import to_text
from quotas.explaining import Explanation, Link
from quotas.history import Step
from quotas.owners import Owner
from quotas.queries import LimitKey, LimitStanding


def as_json(
    found: Iterable[LimitStanding], *, effective: dict[LimitKey, LimitStanding]
) -> list[dict[str, Any]]:
    return [_limit(one, effective.get(one.key)) for one in found]


def _limit(one: LimitStanding, binding: LimitStanding | None) -> dict[str, Any]:
    limit = one.limit
    return {
        "id": str(limit.pk),
        "owner": _owner_json(one.owner),
        "measure": limit.measure,
        "window": limit.window,
        "model_class": limit.model_class or None,
        "time_zone": limit.time_zone,
        "limit": to_text(one.value),
        "limit_without_grant": to_text(limit.limit_value),
        "mode": limit.mode,
        "currency": limit.currency or None,
        "used": to_text(one.used),
        "held": to_text(one.held),
        "overrun": to_text(one.overrun),
        "remaining": to_text(one.remaining),
        "used_percent": one.percent,
        "resets_at": _moment(one.resets_at),
        "starts_at": _moment(limit.starts_at),
        "ends_at": _moment(limit.ends_at),
        "is_in_force": one.is_in_force,
        "is_default": limit.is_default,
        "note": limit.note,
        "effective": _effective(binding) if binding else None,
    }


def _effective(binding: LimitStanding) -> dict[str, Any]:
    return {
        "id": str(binding.limit.pk),
        "owner": _owner_json(binding.owner),
        "limit": to_text(binding.value),
        "mode": binding.limit.mode,
        "remaining": to_text(binding.remaining),
        "resets_at": _moment(binding.resets_at),
    }


def _owner_json(owner: Owner) -> dict[str, str]:
    return {"kind": owner.kind, "id": owner.id, "label": owner.label}


def _moment(at: datetime | None) -> str | None:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}" if at else None


def explanation(found: Explanation) -> dict[str, Any]:
    """Write the chain of a call in order, and which of its limits bind."""
    return {
        "sentence": found.sentence,
        "is_refusing": found.is_refusing,
        "binds": _effective(found.binds) if found.binds else None,
        "next": _effective(found.next) if found.next else None,
        "chain": [_link(link) for link in found.links],
    }


def _link(link: Link) -> dict[str, Any]:
    limits = [_limit(one, None) | {"is_tightest": one.limit.pk in link.binding} for one in link.limits]
    for one in limits:
        del one["effective"], one["owner"]
    return {"owner": _owner_json(link.owner), "limits": limits}


def step(one: Step) -> dict[str, Any]:
    """Write one change of a limit."""
    return {
        "at": _moment(one.at),
        "by": one.by.email if one.by else None,
        "action": one.verb.lower(),
        "reason": one.reason,
        "old": one.old or None,
        "new": one.new,
    }
