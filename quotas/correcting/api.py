"""POST /meter/{app_id}/{id}/amend and …/void: correcting an event that was reported or measured."""

from collections.abc import Callable, Mapping
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from marketplace.accounts.requests import actor_of
from marketplace.core.api_fields import EXACT_AMOUNT
from marketplace.core.errors import InvalidInput
from marketplace.core.money import parse_amount, to_text
from marketplace.core.parsers import FloatFreeJSONParser
from metering.corrected import QUANTITIES, find_event
from metering.corrections import Change, Made
from metering.models import UsageEvent
from metering.rating import Quantities
from metering.usage_events import paths as _paths  # noqa: F401  registers how ids of events are written
from quotas import corrections

_INTEGER = {"type": "integer"}
_COUNT = {"type": "integer", "minimum": 0, "maximum": 10**12}
_COUNTED = {
    "type": "object",
    "properties": {**dict.fromkeys(QUANTITIES, _INTEGER), "cost": EXACT_AMOUNT},
}
_REASON = {
    "type": "string",
    "maxLength": 2000,
    "description": "Kept with the correction and in the audit trail.",
}
AMEND_REQUEST = {
    "type": "object",
    "required": ["reason"],
    "properties": {
        "reason": _REASON,
        "tokens": {**_COUNT, "description": "Alone, they are input_tokens."},
        **dict.fromkeys(QUANTITIES, _COUNT),
        "provider_cost": {**EXACT_AMOUNT, "description": "Of an event that told one; needs currency."},
        "currency": {"type": "string"},
    },
}
VOID_REQUEST = {"type": "object", "required": ["reason"], "properties": {"reason": _REASON}}
MADE = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "Event id of the row that holds the difference."},
        "app_id": {"type": "string"},
        "event_id": {"type": "string"},
        "kind": {"type": "string", "enum": ["amend", "void"]},
        "status": {"type": "string", "enum": ["accepted", "duplicate"]},
        "reason": {"type": "string"},
        "made_at": {"type": "string", "format": "date-time"},
        "old": _COUNTED,
        "new": _COUNTED,
        "difference": _COUNTED,
        "currency": {"type": "string"},
        "period": {
            "type": "string",
            "example": "2026-11",
            "description": "The month that bills the difference.",
        },
    },
}
_PARAMETERS = [
    OpenApiParameter("app_id", OpenApiTypes.STR, "path", description="Slug of the app."),
    OpenApiParameter(
        "event_id", OpenApiTypes.STR, "path", description="Percent-encoded; slashes may stand in it."
    ),
    OpenApiParameter(
        "Idempotency-Key", OpenApiTypes.STR, "header", description="A repetition gets the first result."
    ),
]


class _CorrectingView(APIView):
    """Something that is done to an event. What is only asked under its path is of an event whose id ends like it."""

    asked: Callable[..., HttpResponseBase] | None = None
    ending = ""

    def dispatch(self, request: HttpRequest, *args: Any, **path: str) -> HttpResponseBase:
        if self.asked is not None and request.method in ("GET", "HEAD"):
            return self.asked(request, app_id=path["app_id"], event_id=path["event_id"] + self.ending)
        return super().dispatch(request, *args, **path)


class AmendView(_CorrectingView):
    """Replace the quantities of an event."""

    ending = "/amend"
    parser_classes = (FloatFreeJSONParser,)

    @extend_schema(
        operation_id="meter_amend",
        tags=["usage"],
        summary="Replace the quantities of an event",
        description=(
            "For creators of the app's team, and operators. What is not named stays. The event itself stays as it is: "
            "the difference to what it counts as now is a linked row with the event's time, at the event's prices, "
            "billed in the first month that is open. Limits whose window still runs follow."
        ),
        parameters=_PARAMETERS,
        request={"application/json": AMEND_REQUEST},
        responses={(200, "application/json"): MADE},
    )
    def post(self, request: Request, app_id: str, event_id: str) -> Response:
        event = find_event(actor_of(request), slug=app_id, event_id=event_id)
        asked = _asked(request.data, (*QUANTITIES, "tokens", "provider_cost", "currency"))
        made = corrections.amend(
            event,
            change=_change(asked, event),
            reason=_reason(asked),
            by=actor_of(request),
            at=timezone.now(),
            idempotency_key=request.headers.get("Idempotency-Key", ""),
        )
        return Response(as_json(made))


class VoidView(_CorrectingView):
    """Take an event back."""

    ending = "/void"
    parser_classes = (FloatFreeJSONParser,)

    @extend_schema(
        operation_id="meter_void",
        tags=["usage"],
        summary="Take an event back",
        description="Everything it counts as becomes zero, as an amendment would do it. 409 when it was taken back before.",
        parameters=_PARAMETERS,
        request={"application/json": VOID_REQUEST},
        responses={(200, "application/json"): MADE},
    )
    def post(self, request: Request, app_id: str, event_id: str) -> Response:
        event = find_event(actor_of(request), slug=app_id, event_id=event_id)
        made = corrections.void(
            event,
            reason=_reason(_asked(request.data, ())),
            by=actor_of(request),
            at=timezone.now(),
            idempotency_key=request.headers.get("Idempotency-Key", ""),
        )
        return Response(as_json(made))


def as_json(made: Made) -> dict[str, Any]:
    """Write what became of a correction."""
    row = made.correction
    return {
        "id": row.correction_id,
        "app_id": made.event.app.slug,
        "event_id": row.event_id,
        "kind": row.kind,
        "status": "accepted" if made.is_new else "duplicate",
        "reason": row.reason,
        "made_at": f"{row.made_at:%Y-%m-%dT%H:%M:%SZ}",
        "old": {**_counted(made.old), "cost": to_text(row.old_cost)},
        "new": {**_counted(made.new), "cost": to_text(row.new_cost)},
        "difference": {**_counted(made.difference), "cost": to_text(made.cost_difference)},
        "currency": row.currency,
        "period": f"{row.period:%Y-%m}",
    }


def _counted(used: Quantities) -> dict[str, int]:
    return {name: getattr(used, name) for name in QUANTITIES}


def _asked(data: Any, names: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(data, dict):
        raise InvalidInput("", "must be an object")
    known = ("reason", *names)
    for name in data:
        if name not in known:
            raise InvalidInput(name, f"is not a field; there are {', '.join(known)}", code="unknown_field")
    return {name: value for name, value in data.items() if value is not None}


def _reason(asked: Mapping[str, Any]) -> str:
    reason = asked.get("reason", "")
    if not isinstance(reason, str):
        raise InvalidInput("reason", "must be a text")
    return reason


def _change(asked: Mapping[str, Any], event: UsageEvent) -> Change:
    quantities = {name: _count(asked, name) for name in QUANTITIES if name in asked}
    if "tokens" in asked:
        if "input_tokens" in asked or "output_tokens" in asked:
            raise InvalidInput("tokens", "Give tokens alone, or input_tokens and output_tokens.")
        quantities["input_tokens"] = _count(asked, "tokens")
    told = _provider_cost(asked, event)
    if not quantities and told is None:
        raise InvalidInput("", f"Name what the event should count as: {', '.join(QUANTITIES)}.")
    return Change(quantities, told)


def _count(asked: Mapping[str, Any], name: str) -> int:
    value = asked[name]
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(name, "must be a whole number")
    return value


def _provider_cost(asked: Mapping[str, Any], event: UsageEvent) -> Any:
    if asked.get("currency", event.currency) != event.currency:
        message = f"A provider cost stands beside ours, so it must be in {event.currency}."
        raise InvalidInput("currency", message, code="currency_mismatch")
    if "provider_cost" not in asked:
        return None
    if "currency" not in asked:
        raise InvalidInput("currency", "A provider cost needs its currency.", code="missing_field")
    return parse_amount(asked["provider_cost"], field="provider_cost")


def paths(*, asked: type[APIView]) -> list[URLPattern]:
    """Return the paths, which answer what only asks with the view of an event: ids may end in "/amend" or "/void"."""
    view = asked.as_view()
    return [
        path("<slug:app_id>/<event_id:event_id>/amend", AmendView.as_view(asked=view), name="amend"),
        path("<slug:app_id>/<event_id:event_id>/void", VoidView.as_view(asked=view), name="void"),
    ]
