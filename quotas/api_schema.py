"""OpenAPI descriptions of limits: the domain reads their bodies, not serializers."""

from typing import Any

from metering.models import LanguageModel
from quotas.models import OWNER_KINDS, Limit

KINDS = list(OWNER_KINDS)
_AMOUNT: dict[str, Any] = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"}
_TIME: dict[str, Any] = {"type": "string", "format": "date-time"}
_OWNER: dict[str, Any] = {
    "type": "object",
    "properties": {"kind": {"type": "string", "enum": KINDS}, "id": {"type": "string"}},
    "required": ["kind", "id"],
}
_TERMS: dict[str, Any] = {
    "owner": _OWNER,
    "measure": {"type": "string", "enum": list(Limit.Measure.values)},
    "window": {"type": "string", "enum": list(Limit.Window.values)},
    "model_class": {
        "type": "string",
        "nullable": True,
        "enum": [*LanguageModel.ModelClass.values, None],
        "description": "Counts only usage of models of this class; without it, of all.",
    },
    "time_zone": {
        "type": "string",
        "description": "Where its days and months begin, such as Europe/Berlin. Left out: as it was, or UTC.",
    },
    "limit": _AMOUNT,
    "mode": {"type": "string", "enum": list(Limit.Mode.values), "default": "hard"},
    "currency": {
        "type": "string",
        "nullable": True,
        "description": "Of a limit of cost; that of the platform.",
    },
    "starts_at": {**_TIME, "nullable": True},
    "ends_at": {**_TIME, "nullable": True},
    "note": {"type": "string"},
}
LIMIT_REQUEST: dict[str, Any] = {
    "type": "object",
    "properties": _TERMS,
    "required": ["owner", "measure", "window", "limit"],
    "additionalProperties": False,
}
_EFFECTIVE: dict[str, Any] = {
    "type": "object",
    "nullable": True,
    "description": "The limit of the owner's chain that would refuse a call first.",
    "properties": {
        "id": {"type": "string"},
        "owner": _OWNER,
        "limit": _AMOUNT,
        "mode": {"type": "string"},
        "remaining": _AMOUNT,
        "resets_at": {**_TIME, "nullable": True},
    },
}
LIMIT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        **_TERMS,
        "limit": {**_AMOUNT, "description": "What holds now, with what was granted."},
        "limit_without_grant": {**_AMOUNT, "description": "What holds again when no grant lifts it."},
        "used": {**_AMOUNT, "description": "Used in the present window, also what came over the limit."},
        "held": {**_AMOUNT, "description": "Held by calls under way."},
        "overrun": {**_AMOUNT, "description": "The part of `used` that came over the limit."},
        "remaining": _AMOUNT,
        "used_percent": {"type": "integer"},
        "resets_at": {**_TIME, "nullable": True},
        "is_in_force": {"type": "boolean"},
        "is_default": {"type": "boolean", "description": "Came with a plan, a version or the sandbox."},
        "effective": _EFFECTIVE,
    },
}
LIMITS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "next": {"type": "string", "nullable": True},
        "previous": {"type": "string", "nullable": True},
        "results": {"type": "array", "items": LIMIT},
    },
}

_LINK_LIMIT: dict[str, Any] = {
    "type": "object",
    "properties": {
        **{name: value for name, value in LIMIT["properties"].items() if name not in ("owner", "effective")},
        "is_tightest": {
            "type": "boolean",
            "description": "Leaves the least of its measure, window and class in this chain.",
        },
    },
}
EXPLANATION: dict[str, Any] = {
    "type": "object",
    "properties": {
        "sentence": {"type": "string"},
        "is_refusing": {"type": "boolean"},
        "binds": {**_EFFECTIVE, "description": "The hard limit that stands in the way of a call first."},
        "next": {**_EFFECTIVE, "description": "The one after it."},
        "chain": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"owner": _OWNER, "limits": {"type": "array", "items": _LINK_LIMIT}},
            },
        },
    },
}
_FACTS: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string", "nullable": True}}
HISTORY: dict[str, Any] = {
    "type": "object",
    "properties": {
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "at": _TIME,
                    "by": {"type": "string", "nullable": True},
                    "action": {"type": "string", "enum": ["set", "changed", "ended"]},
                    "reason": {"type": "string"},
                    "old": {**_FACTS, "nullable": True},
                    "new": _FACTS,
                },
            },
        }
    },
}
