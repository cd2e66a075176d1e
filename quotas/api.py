"""/limits in the management API: where limits stand, and setting them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSetMixin

from marketplace.accounts.requests import actor_of
from marketplace.core.errors import InvalidInput
from marketplace.core.money import parse_amount, to_text
from marketplace.core.pagination import TimeCursorPagination
from marketplace.core.parsers import FloatFreeJSONParser
from marketplace.core.periods import parse_instant
from quotas import api_schema as schema
from quotas import limits, queries
from quotas.limits import Terms
from quotas.models import Limit
from quotas.owners import Owner, find_owner, visible_limits
from quotas.queries import LimitStanding

_OWNER_PARAMETERS = [
    OpenApiParameter("owner_kind", OpenApiTypes.STR, enum=schema.KINDS),
    OpenApiParameter(
        "owner_id", OpenApiTypes.STR, description="Slug, code, UUID or row number; needs owner_kind."
    ),
]
_FIELDS = ("owner", "measure", "window", "limit", "mode", "currency", "starts_at", "ends_at", "note")


class LimitViewSet(viewsets.GenericViewSet):
    """Limits of what the caller may see."""

    queryset = Limit.objects.none()
    parser_classes = (FloatFreeJSONParser,)
    pagination_class = TimeCursorPagination

    @extend_schema(
        operation_id="limits_list",
        tags=["limits"],
        summary="Limits with what is used and held",
        description=(
            "Of one owner, each limit tells in `effective` which limit of its chain would refuse a call first. "
            "Without an owner: limits of everything the caller may see, `effective` left out."
        ),
        parameters=_OWNER_PARAMETERS,
        responses={(200, "application/json"): schema.LIMITS},
        filters=False,
    )
    def list(self, request: Request) -> Response:
        now = timezone.now()
        kind, id_ = request.query_params.get("owner_kind", ""), request.query_params.get("owner_id", "")
        if kind or id_:
            owner = find_owner(actor_of(request), kind, id_)
            found = queries.limits_of(owner.kind, owner.pk, at=now)
            results = _as_json(found, effective=queries.effective(owner, at=now))
            return Response({"next": None, "previous": None, "results": results})
        page = self.paginate_queryset(queries.with_counters(visible_limits(actor_of(request)), at=now))
        found = [queries.standing(limit, at=now) for limit in page or ()]
        return self.get_paginated_response(_as_json(found, effective={}))

    @extend_schema(
        operation_id="limits_set",
        tags=["limits"],
        summary="Set the limit of an owner for a measure and window",
        description="Replaces the one that was set before (200), or adds one (201). Tightening holds at once.",
        request={"application/json": schema.LIMIT_REQUEST},
        responses={(201, "application/json"): schema.LIMIT, (200, "application/json"): schema.LIMIT},
    )
    def create(self, request: Request) -> Response:
        now, actor = timezone.now(), actor_of(request)
        asked = _asked(request.data)
        owner = _owner(request, asked)
        limit, is_new = limits.set_limit(
            owner,
            terms=_terms(asked),
            starts_at=_time(asked, "starts_at"),
            ends_at=_time(asked, "ends_at"),
            note=_text(asked, "note", default=""),
            by=actor,
            at=now,
        )
        found = queries.standings(Limit.objects.filter(pk=limit.pk), at=now)
        body = _as_json(found, effective=queries.effective(owner, at=now))[0]
        return Response(body, status=status.HTTP_201_CREATED if is_new else status.HTTP_200_OK)


def _asked(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise InvalidInput("", "must be an object")
    for name in data:
        if name not in _FIELDS:
            raise InvalidInput(name, f"is not a field; there are {', '.join(_FIELDS)}", code="unknown_field")
    return data


def _owner(request: Request, asked: dict[str, Any]) -> Owner:
    owner = asked.get("owner")
    if not isinstance(owner, dict):
        raise InvalidInput("owner", 'must be an object such as {"kind": "team", "id": "team-ux"}')
    kind, id_ = owner.get("kind"), owner.get("id")
    if not isinstance(kind, str):
        raise InvalidInput("owner.kind", f"must be one of {', '.join(schema.KINDS)}")
    if isinstance(id_, bool) or not isinstance(id_, str | int):
        raise InvalidInput("owner.id", "must be a slug, code, UUID or row number")
    return find_owner(actor_of(request), kind, str(id_))


def _terms(asked: dict[str, Any]) -> Terms:
    measure = _text(asked, "measure")
    # How many calls run at once has no window; the row has one all the same.
    usual_window = Limit.Window.MINUTE.value if measure == Limit.Measure.CONCURRENCY else None
    terms = Terms(
        measure=measure,
        window=_text(asked, "window", default=usual_window),
        value=parse_amount(asked.get("limit"), field="limit"),
        mode=_text(asked, "mode", default=Limit.Mode.HARD.value),
        currency=_text(asked, "currency", default=""),
    )
    if terms.currency and terms.currency != settings.CURRENCY:
        raise InvalidInput("currency", f"must be {settings.CURRENCY}, in which usage is rated here")
    return terms


def _text(asked: dict[str, Any], name: str, *, default: str | None = None) -> str:
    value = asked.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or "\0" in value or len(value) > 200:
        raise InvalidInput(name, "must be a text" if value is not None else "is missing")
    return value


def _time(asked: dict[str, Any], name: str) -> datetime | None:
    return None if asked.get(name) is None else parse_instant(asked[name], field=name)


def _as_json(
    found: Iterable[LimitStanding], *, effective: dict[tuple[str, str], LimitStanding]
) -> list[dict[str, Any]]:
    return [_limit(one, effective.get(one.key)) for one in found]


def _limit(one: LimitStanding, binding: LimitStanding | None) -> dict[str, Any]:
    limit = one.limit
    return {
        "id": str(limit.pk),
        "owner": _owner_json(one.owner),
        "measure": limit.measure,
        "window": limit.window,
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


ROUTES: list[tuple[str, type[ViewSetMixin], str]] = [("limits", LimitViewSet, "limit")]
