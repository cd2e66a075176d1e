"""/limits in the management API: where limits stand, and setting them."""

from datetime import datetime
from typing import Any

from django.conf import settings
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSetMixin

from marketplace.accounts import access
from marketplace.accounts.requests import actor_of
from marketplace.catalog.models import Environment
from marketplace.core.errors import InvalidInput, NotFound
from marketplace.core.money import parse_amount
from marketplace.core.pagination import TimeCursorPagination
from marketplace.core.parsers import FloatFreeJSONParser
from marketplace.core.periods import parse_instant
from quotas import api_json as json
from quotas import api_schema as schema
from quotas import explaining, history, limits, queries
from quotas.api_json import as_json
from quotas.explaining import class_of
from quotas.limits import Terms
from quotas.models import Limit
from quotas.owners import Owner, find_owner, visible_limits

_OWNER_PARAMETERS = [
    OpenApiParameter("owner_kind", OpenApiTypes.STR, enum=schema.KINDS),
    OpenApiParameter(
        "owner_id", OpenApiTypes.STR, description="Slug, code, UUID or row number; needs owner_kind."
    ),
]
_CALL_PARAMETERS = [
    OpenApiParameter("model", OpenApiTypes.STR, description="Leaves out limits of other classes of models."),
    OpenApiParameter("environment", OpenApiTypes.STR, enum=list(Environment.values)),
]
_FIELDS = (
    "owner", "measure", "window", "model_class", "time_zone", "limit", "mode", "currency", "starts_at", "ends_at",
    "note",
)  # fmt: skip


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
            results = as_json(found, effective=queries.effective(owner, at=now))
            return Response({"next": None, "previous": None, "results": results})
        page = self.paginate_queryset(queries.with_counters(visible_limits(actor_of(request)), at=now))
        found = [queries.standing(limit, at=now) for limit in page or ()]
        return self.get_paginated_response(as_json(found, effective={}))

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
        body = as_json(found, effective=queries.effective(owner, at=now))[0]
        return Response(body, status=status.HTTP_201_CREATED if is_new else status.HTTP_200_OK)

    @extend_schema(
        operation_id="limits_explain",
        tags=["limits"],
        summary="Why a call is admitted or refused",
        description=(
            "Every limit of the owner's chain in order, with what is used, held and left; which one binds now and which "
            "would bind next, also as a sentence."
        ),
        parameters=[*_OWNER_PARAMETERS, *_CALL_PARAMETERS],
        responses={(200, "application/json"): schema.EXPLANATION},
        filters=False,
    )
    @action(detail=False, pagination_class=None)
    def explain(self, request: Request) -> Response:
        asked = request.query_params
        owner = find_owner(actor_of(request), asked.get("owner_kind", ""), asked.get("owner_id", ""))
        found = explaining.explain(
            owner,
            environment=_environment(asked.get("environment", "")),
            model_class=class_of(asked.get("model", "")),
            at=timezone.now(),
        )
        return Response(json.explanation(found))

    @extend_schema(
        operation_id="limits_history",
        tags=["limits"],
        summary="What was done to a limit, newest first",
        responses={(200, "application/json"): schema.HISTORY},
    )
    @action(detail=True, pagination_class=None)
    def history(self, request: Request, pk: str) -> Response:
        limit = access.get(visible_limits(actor_of(request)), pk=_number(pk))
        return Response({"results": [json.step(one) for one in history.of_limit(limit)]})


def _number(pk: str) -> int:
    if not (pk.isascii() and pk.isdigit() and len(pk) < 19):
        raise NotFound("limit", pk)
    return int(pk)


def _environment(name: str) -> str:
    if name not in ("", *Environment.values):
        raise InvalidInput("environment", f"{name!r} is not one of {', '.join(Environment.values)}")
    return name


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
        model_class=_text(asked, "model_class", default=""),
        time_zone=_text(asked, "time_zone", default=""),
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


ROUTES: list[tuple[str, type[ViewSetMixin], str]] = [("limits", LimitViewSet, "limit")]
