"""OpenAPI descriptions of increase requests: the domain reads their bodies, not serializers."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from quotas.increase_models import Grant, IncreaseDecision, IncreaseRequest
from quotas.models import OWNER_KINDS, Limit

REQUEST_ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_AMOUNT: dict[str, Any] = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"}
_NO_AMOUNT: dict[str, Any] = {**_AMOUNT, "nullable": True}
_TIME: dict[str, Any] = {"type": "string", "format": "date-time"}
_NO_TIME: dict[str, Any] = {**_TIME, "nullable": True}
_TEXT: dict[str, Any] = {"type": "string", "maxLength": 2000}
_RULE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "rule": {"type": "string", "enum": ["increase", "cost", "head_room", "duration"]},
        "passed": {"type": "boolean"},
        "allowed": {"type": "string"},
        "found": {"type": "string"},
    },
}
_OWNER: dict[str, Any] = {
    "type": "object",
    "properties": {"kind": {"type": "string", "enum": list(OWNER_KINDS)}, "id": {"type": "string"}},
    "required": ["kind", "id"],
}
_WISH: dict[str, Any] = {
    "owner": _OWNER,
    "measure": {"type": "string", "enum": list(Limit.Measure.values)},
    "window": {"type": "string", "enum": list(Limit.Window.values)},
    "model_class": {"type": "string", "nullable": True, "description": "Of a limit of one class of models."},
    "requested": {**_AMOUNT, "description": "The limit that is wanted. Less than it is now holds at once."},
    "currency": {"type": "string", "nullable": True, "description": "Left out, or that of the marketplace."},
    "reason": _TEXT,
    "projection": {
        "type": "object",
        "description": "What the requester expects a month to come to.",
        "required": ["monthly_calls", "monthly_cost"],
        "properties": {"monthly_calls": _AMOUNT, "monthly_cost": _AMOUNT, "currency": {"type": "string"}},
    },
    "starts_at": {**_NO_TIME, "description": "Left out: once it is approved."},
    "ends_at": {**_NO_TIME, "description": "Left out: until it is revoked."},
}
WISH: dict[str, Any] = {
    "type": "object",
    "required": ["owner", "measure", "window", "requested", "reason", "projection"],
    "properties": _WISH,
    "additionalProperties": False,
}
OFFER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "granted": {**_AMOUNT, "description": "At most what was requested; left out: all of it."},
        "starts_at": _NO_TIME,
        "ends_at": {**_NO_TIME, "description": "Left out: as requested; null: without an end."},
        "reason": {**_TEXT, "description": "Needed for less than was requested."},
    },
}
REASON: dict[str, Any] = {"type": "object", "required": ["reason"], "properties": {"reason": _TEXT}}
NO_REASON: dict[str, Any] = {"type": "object", "properties": {"reason": _TEXT}}
QUESTION: dict[str, Any] = {"type": "object", "required": ["question"], "properties": {"question": _TEXT}}
ANSWER: dict[str, Any] = {"type": "object", "required": ["answer"], "properties": {"answer": _TEXT}}
EXTENSION: dict[str, Any] = {
    "type": "object",
    "required": ["ends_at", "reason"],
    "properties": {"ends_at": _TIME, "reason": _TEXT},
}
GRANT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "request": {"type": "string"},
        "state": {"type": "string", "enum": list(Grant.State.values)},
        "value": _AMOUNT,
        "starts_at": _TIME,
        "ends_at": _NO_TIME,
        "lapses_at": {**_NO_TIME, "description": "When it ends or has ended: sooner when it was revoked."},
    },
}
_DECISION: dict[str, Any] = {
    "type": "object",
    "properties": {
        "level": {"type": "string", "enum": list(IncreaseDecision.Level.values)},
        "verdict": {"type": "string", "enum": list(IncreaseDecision.Verdict.values)},
        "decided_by": {"type": "string", "nullable": True, "description": "Null: the policy."},
        "acting_for": {"type": "string", "nullable": True},
        "decided_at": _TIME,
        "granted": _NO_AMOUNT,
        "starts_at": _NO_TIME,
        "ends_at": _NO_TIME,
        "reason": {"type": "string"},
        "snapshot": {"type": "object", "description": "Projection, head-room and rules as they were shown."},
    },
}
REQUEST: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        **_WISH,
        "state": {"type": "string", "enum": list(IncreaseRequest.State.values)},
        "current": {
            **_AMOUNT,
            "description": "The limit when it was submitted, at the time it is wanted for.",
        },
        "granted": {**_NO_AMOUNT, "description": "What was granted; null until it is."},
        "extends": {"type": "string", "nullable": True, "description": "The grant that it goes on with."},
        "requester": {"type": "string"},
        "created_at": _TIME,
        "submitted_at": _NO_TIME,
        "expires_at": {**_NO_TIME, "description": "When it expires undecided."},
        "closed_at": _NO_TIME,
        "levels": {"type": "array", "items": {"type": "string"}, "description": "The reviews it needs."},
        "policy": {
            "type": "integer",
            "nullable": True,
            "description": "Number of the policy that judged it.",
        },
        "rules": {"type": "array", "items": _RULE},
        "decisions": {"type": "array", "items": _DECISION},
        "grant": {**GRANT, "nullable": True},
    },
}
ASSESSMENT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "current": _AMOUNT,
        "is_decrease": {"type": "boolean"},
        "is_automatic": {"type": "boolean", "description": "Whether it would be granted by itself."},
        "levels": {"type": "array", "items": {"type": "string"}},
        "rules": {"type": "array", "items": _RULE},
        "projection": {"type": "object"},
        "head_room": {"type": "object"},
        "policy": {"type": "integer", "nullable": True},
    },
}


def page_of(item: dict[str, Any]) -> dict[str, Any]:
    """Describe a page of a list."""
    return {
        "type": "object",
        "properties": {
            "next": {"type": "string", "nullable": True},
            "previous": {"type": "string", "nullable": True},
            "results": {"type": "array", "items": item},
        },
    }


KEY = OpenApiParameter(
    "Idempotency-Key",
    OpenApiTypes.STR,
    "header",
    description="A second call with the same key and body returns the first one's request.",
)
ID = OpenApiParameter("id", OpenApiTypes.UUID, "path")
FILTERS = [
    OpenApiParameter("state", OpenApiTypes.STR, enum=list(IncreaseRequest.State.values)),
    OpenApiParameter("open", OpenApiTypes.BOOL, description="Only those that are not decided, or are."),
    OpenApiParameter("owner_kind", OpenApiTypes.STR, enum=list(OWNER_KINDS)),
    OpenApiParameter("owner_id", OpenApiTypes.STR, description="Needs owner_kind."),
    OpenApiParameter("measure", OpenApiTypes.STR, enum=list(Limit.Measure.values)),
    OpenApiParameter("window", OpenApiTypes.STR, enum=list(Limit.Window.values)),
    OpenApiParameter("requester", OpenApiTypes.STR, description="A mail address, or me."),
    OpenApiParameter("decidable", OpenApiTypes.BOOL, description="Only those that wait for the caller."),
]
