"""OpenAPI descriptions of budgets: their bodies are read and written here, not by serializers."""

from typing import Any

from marketplace.core.api_fields import EXACT_AMOUNT
from quotas.budget_models import BudgetMove

KINDS = ["cost_center", "team"]
_TIME: dict[str, Any] = {"type": "string", "format": "date-time"}
_DATE: dict[str, Any] = {"type": "string", "format": "date", "nullable": True}
_OWNER: dict[str, Any] = {
    "type": "object",
    "required": ["kind", "id"],
    "properties": {
        "kind": {"type": "string", "enum": KINDS},
        "id": {"type": "string", "description": "Code or slug, also as organization/code, or row number."},
    },
}
_OWNER_SHOWN: dict[str, Any] = {
    "type": "object",
    "properties": {
        "kind": {"type": "string", "enum": KINDS},
        "id": {"type": "string"},
        "label": {"type": "string"},
    },
}
_THRESHOLDS: dict[str, Any] = {
    "type": "array",
    "items": {"type": "integer", "minimum": 1, "maximum": 100},
    "description": "At how many percent the owner and finance are told, each once a month.",
}
SET: dict[str, Any] = {
    "type": "object",
    "required": ["owner", "amount"],
    "additionalProperties": False,
    "properties": {
        "owner": _OWNER,
        "amount": EXACT_AMOUNT,
        "currency": {"type": "string", "description": "Left out, or that of the marketplace."},
        "mode": {"type": "string", "enum": ["hard", "soft"], "default": "hard"},
        "starts_at": {**_TIME, "nullable": True, "description": "The first of a later month; left out: now."},
        "thresholds": _THRESHOLDS,
        "reason": {"type": "string"},
    },
}
THRESHOLDS: dict[str, Any] = {
    "type": "object",
    "required": ["thresholds"],
    "properties": {"thresholds": _THRESHOLDS},
}
_VERSION: dict[str, Any] = {
    "type": "object",
    "properties": {
        "amount": EXACT_AMOUNT,
        "mode": {"type": "string"},
        "starts_at": _TIME,
        "ends_at": {**_TIME, "nullable": True},
        "made_by": {"type": "string", "nullable": True},
        "reason": {"type": "string"},
        "move": {"type": "string", "nullable": True},
    },
}
BUDGET: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "owner": _OWNER_SHOWN,
        "answers_for_it": {
            "type": "string",
            "description": "Mail address of the person who consents to moves.",
        },
        "limit_id": {
            "type": "string",
            "nullable": True,
            "description": "The limit that enforces it; null: none is in force.",
        },
        "amount": {**EXACT_AMOUNT, "nullable": True},
        "currency": {"type": "string", "nullable": True},
        "mode": {"type": "string", "nullable": True},
        "used": {
            **EXACT_AMOUNT,
            "nullable": True,
            "description": "Spent this month, also beyond the budget.",
        },
        "held": {**EXACT_AMOUNT, "nullable": True, "description": "Held by calls under way."},
        "remaining": {**EXACT_AMOUNT, "nullable": True},
        "used_percent": {"type": "integer", "nullable": True},
        "resets_at": {**_TIME, "nullable": True},
        "thresholds": _THRESHOLDS,
        "passed": {**_THRESHOLDS, "description": "Those thresholds that what is used has passed."},
        "forecast": {
            "type": "object",
            "nullable": True,
            "description": "What the month will have come to: an estimate. Null with less than a week of usage.",
            "properties": {
                "low": EXACT_AMOUNT,
                "expected": EXACT_AMOUNT,
                "high": EXACT_AMOUNT,
                "runs_out_on": _DATE,
                "runs_out_on_at_the_earliest": _DATE,
                "method": {"type": "string"},
            },
        },
    },
}
BUDGET_WITH_HISTORY: dict[str, Any] = {
    "type": "object",
    "properties": {**BUDGET["properties"], "versions": {"type": "array", "items": _VERSION}},
}
BUDGETS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "next": {"type": "string", "nullable": True},
        "previous": {"type": "string", "nullable": True},
        "results": {"type": "array", "items": BUDGET},
    },
}
OFFER: dict[str, Any] = {
    "type": "object",
    "required": ["from", "to", "amount", "reason"],
    "additionalProperties": False,
    "properties": {
        "from": {"type": "string", "format": "uuid", "description": "The budget that gives."},
        "to": {"type": "string", "format": "uuid", "description": "The budget that gets it."},
        "amount": EXACT_AMOUNT,
        "reason": {"type": "string"},
    },
}
NOTE: dict[str, Any] = {"type": "object", "properties": {"note": {"type": "string"}}}
MOVE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "format": "uuid"},
        "state": {"type": "string", "enum": BudgetMove.State.values},
        "from": {"type": "string", "format": "uuid"},
        "from_owner": _OWNER_SHOWN,
        "to": {"type": "string", "format": "uuid"},
        "to_owner": _OWNER_SHOWN,
        "amount": EXACT_AMOUNT,
        "currency": {"type": "string"},
        "reason": {"type": "string"},
        "offered_by": {"type": "string"},
        "offered_at": _TIME,
        "decided_by": {"type": "string", "nullable": True},
        "decided_at": {**_TIME, "nullable": True},
        "note": {"type": "string"},
        **{
            name: {**EXACT_AMOUNT, "nullable": True, "description": "Of an accepted move."}
            for name in ("from_before", "from_after", "to_before", "to_after")
        },
    },
}
MOVES: dict[str, Any] = {
    "type": "object",
    "properties": {
        "next": {"type": "string", "nullable": True},
        "previous": {"type": "string", "nullable": True},
        "results": {"type": "array", "items": MOVE},
    },
}
