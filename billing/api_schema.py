"""OpenAPI descriptions of the pricing calculators: the domain reads their bodies, not serializers."""

from typing import Any

_PLAIN = r"^-?[0-9]+(\.[0-9]+)?$"
AMOUNT: dict[str, Any] = {
    "oneOf": [{"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"}, {"type": "integer", "minimum": 0}],
    "description": "Not negative; at most 20 digits before the point and 18 after. Floats are refused.",
}
# OpenAPI 3.0 knows no null type; one nullable branch makes null valid exactly once.
_OPTIONAL_AMOUNT: dict[str, Any] = {
    **AMOUNT,
    "oneOf": [{**AMOUNT["oneOf"][0], "nullable": True}, AMOUNT["oneOf"][1]],
}
_TEXT_AMOUNT: dict[str, Any] = {"type": "string", "pattern": _PLAIN}
_MINOR: dict[str, Any] = {"type": "integer", "description": "In minor units of the currency."}
_CURRENCY: dict[str, Any] = {"type": "string", "pattern": "^[A-Z]{3}$", "example": "USD"}
_QUANTITY: dict[str, Any] = {
    "oneOf": [*AMOUNT["oneOf"], {"type": "array", "items": AMOUNT, "maxItems": 10_000}],
    "description": "One quantity, or for a percentage charge the values of its transactions in their order.",
}


def _closed(properties: dict[str, Any], *, required: tuple[str, ...] = ()) -> dict[str, Any]:
    closed: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**closed, "required": list(required)} if required else closed


def _answer(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


_PERIOD = _closed(
    {
        "start": {"type": "string", "description": "A day or an RFC 3339 time; included."},
        "end": {"type": "string", "description": "A day or an RFC 3339 time; excluded."},
    },
    required=("start", "end"),
)
_TIER = _closed(
    {"up_to": _OPTIONAL_AMOUNT, "unit_amount": _OPTIONAL_AMOUNT, "flat_amount": _OPTIONAL_AMOUNT},
)
_TIERS = {"type": "array", "items": _TIER, "minItems": 1, "maxItems": 100}


_CODE: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 100, "pattern": "^[^:]+$"}


def _charge(model: str, fields: dict[str, Any], *, required: tuple[str, ...]) -> dict[str, Any]:
    common = {
        "code": _CODE,
        "model": {"type": "string", "enum": [model]},
        "free_units": _OPTIONAL_AMOUNT,
        "minimum": _OPTIONAL_AMOUNT,
        "maximum": _OPTIONAL_AMOUNT,
    }
    return _closed({**common, **fields}, required=("code", "model", *required))


CHARGE: dict[str, Any] = {
    "oneOf": [
        _charge("flat", {"amount": AMOUNT, "prorate": {"type": "boolean"}}, required=("amount",)),
        _charge("per_unit", {"unit_amount": AMOUNT}, required=("unit_amount",)),
        _charge("graduated", {"tiers": _TIERS}, required=("tiers",)),
        _charge("volume", {"tiers": _TIERS}, required=("tiers",)),
        _charge(
            "package",
            {
                "package_size": AMOUNT,
                "package_amount": AMOUNT,
                "rounding": {"type": "string", "enum": ["up", "down"], "default": "up"},
            },
            required=("package_size", "package_amount"),
        ),
        _charge(
            "percentage",
            {"rate": AMOUNT, "fixed_amount": _OPTIONAL_AMOUNT, "free_transactions": _OPTIONAL_AMOUNT},
            required=("rate",),
        ),
        _charge("cost_plus", {"markup": AMOUNT}, required=("markup",)),
        _closed(
            {
                "code": _CODE,
                "model": {"type": "string", "enum": ["included_credit"]},
                "amount": {**AMOUNT, "description": "Pays for what is metered, until it is used up."},
                "prorate": {"type": "boolean"},
            },
            required=("code", "model", "amount"),
        ),
    ]
}

_DISCOUNT = _closed(
    {
        "code": {**_CODE, "maxLength": 40},
        "scope": {"type": "string", "enum": ["line", "plan", "invoice"], "default": "invoice"},
        "percent": {**_OPTIONAL_AMOUNT, "description": "10 is ten percent; at most 100. This or amount."},
        "amount": _OPTIONAL_AMOUNT,
        "charges": {
            "type": "array",
            "items": {"type": "string"},
            "description": "With the scope line: off which charges; all when left out.",
        },
    },
    required=("code",),
)

QUOTE_REQUEST = _closed(
    {
        "currency": _CURRENCY,
        "period": _PERIOD,
        "active": _PERIOD,
        "charges": {"type": "array", "items": CHARGE, "minItems": 1, "maxItems": 200},
        "usage": {
            "type": "object",
            "additionalProperties": _QUANTITY,
            "description": "What is new on this bill, by charge code.",
        },
        "billed_before": {
            "type": "object",
            "additionalProperties": _closed({"quantity": _QUANTITY, "amount": AMOUNT}, required=("amount",)),
            "description": (
                "What earlier bills of the same period took, after minimum and maximum; of an included credit or "
                "`coupon:CODE` what it gave."
            ),
        },
        "discounts": {
            "type": "array",
            "items": _DISCOUNT,
            "maxItems": 20,
            "description": "Off lines, then off the plan, then off the invoice; never below zero. Each is a line `coupon:CODE`.",
        },
    },
    required=("currency", "charges"),
)

_SLICE = _answer(
    {
        "label": {"type": "string"},
        "from": _TEXT_AMOUNT,
        "to": {**_TEXT_AMOUNT, "nullable": True},
        "units": _TEXT_AMOUNT,
        "unit_amount": _TEXT_AMOUNT,
        "flat_amount": _TEXT_AMOUNT,
        "amount": _TEXT_AMOUNT,
    }
)
QUOTE = _answer(
    {
        "lines": {
            "type": "array",
            "items": _answer(
                {
                    "code": {"type": "string"},
                    "quantity": _TEXT_AMOUNT,
                    "amount": {**_TEXT_AMOUNT, "description": "Before rounding, in major units."},
                    "amount_minor": _MINOR,
                    "explanation": {"type": "array", "items": _SLICE},
                }
            ),
        },
        "subtotal_minor": _MINOR,
        "total_minor": _MINOR,
        "currency": _CURRENCY,
    }
)
SPLIT_REQUEST = _closed(
    {
        "price": AMOUNT,
        "platform_cost": AMOUNT,
        "share": {**AMOUNT, "description": "The platform's share, a fraction from 0 to 1."},
        "basis": {"type": "string", "enum": ["gross", "net_of_cost"], "default": "net_of_cost"},
        "currency": _CURRENCY,
        "fees": {
            "type": "array",
            "maxItems": 10,
            "description": "What the platform takes before anything is shared; each is rounded once.",
            "items": _closed({"label": {"type": "string"}, "percent": AMOUNT, "fixed": AMOUNT}, required=()),
        },
    },
    required=("price", "platform_cost", "share", "currency"),
)
SPLIT = _answer(
    {
        "creator": _TEXT_AMOUNT,
        "platform": {**_TEXT_AMOUNT, "description": "The rest of the price, cost included."},
        "platform_margin": {**_TEXT_AMOUNT, "description": "What the platform keeps after its cost."},
        "break_even_share": {
            **_TEXT_AMOUNT,
            "nullable": True,
            "description": "The smallest share without a loss; null when the cost is above the price.",
        },
        "sustainable": {"type": "boolean"},
        "creator_minor": _MINOR,
        "platform_minor": _MINOR,
        "currency": _CURRENCY,
    }
)
PROBLEM = _answer(
    {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
    }
)
PROBLEM["properties"]["errors"] = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "field": {"type": "string", "example": "charges[1].tiers[0].up_to"},
            "message": {"type": "string"},
            "code": {"type": "string"},
            "limit": {"type": "string"},
        },
        "required": ["field", "message", "code"],
    },
}

QUOTE_EXAMPLE = {
    "currency": "USD",
    "period": {"start": "2026-11-01", "end": "2026-12-01"},
    "active": {"start": "2026-11-10", "end": "2026-12-01"},
    "charges": [
        {"code": "fee", "model": "flat", "amount": "50", "prorate": True},
        {
            "code": "tokens",
            "model": "graduated",
            "tiers": [{"up_to": "5", "unit_amount": "7"}, {"up_to": None, "unit_amount": "6"}],
        },
    ],
    "usage": {"tokens": "20"},
}
SPLIT_EXAMPLE = {
    "price": "13",
    "platform_cost": "10",
    "share": "0.20",
    "basis": "net_of_cost",
    "currency": "USD",
}
