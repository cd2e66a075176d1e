"""The published JSON Schema of a manifest: everything that can be said of an app in a file."""

from typing import Any

from marketplace.catalog import (
    about,
    document_models,
    document_texts,
    documents,
    endpoints,
    examples,
    expectations,
    outputs,
    prompts,
)
from marketplace.catalog.inputs import KINDS, MAX_CHOICES, MAX_INPUTS, MAX_TEXT
from marketplace.catalog.plan_terms import MAX_COUNT, MAX_TRIAL_DAYS

FORMAT = 1
PATH = "/api/v1/manifests/schema"
MAX_MODELS = 20
MAX_INSTRUCTIONS = 20_000
MAX_OUTPUT_TOKENS = 32_000
AMOUNT = r"^[0-9]{1,20}(\.[0-9]{1,18})?$"


def _text(most: int, least: int = 0, **more: Any) -> dict[str, Any]:
    return {"type": "string", "minLength": least, "maxLength": most, **more}


def _whole(least: int, most: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": least, "maximum": most}


def _object(required_names: list[str], /, **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required_names,
        "additionalProperties": False,
    }


_AMOUNT = {"type": "string", "pattern": AMOUNT, "description": 'An amount in quotes, such as "0.004": exact.'}
_COUNT = _whole(1, MAX_COUNT)

_APP = _object(
    ["kind", "name", "summary", "category"],
    slug={"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,58}[a-z0-9])?$", "description": "Which app; without it a new one is made."},
    kind={"enum": ["hosted", "http"]},
    template=_text(40, description="What it was started from."),
    name=_text(about.MAX_LENGTHS["name"], 1),
    summary=_text(about.MAX_LENGTHS["summary"], 1),
    description=_text(about.MAX_LENGTHS["description"]),
    category={"enum": list(about.CATEGORIES)},
    icon={"enum": list(about.ICONS)},
    is_public={"type": "boolean", "description": "Listed for other organizations too."},
    owner_contact=_text(254, 3),
)  # fmt: skip
_INPUT = _object(
    ["name", "title", "kind"],
    name={"type": "string", "pattern": "^[a-z][a-z0-9_]{0,39}$"},
    title=_text(60, 1),
    kind={"enum": list(KINDS)},
    help=_text(160),
    required={"type": "boolean", "default": True},
    choices={"type": "array", "items": _text(200, 1), "minItems": 2, "maxItems": MAX_CHOICES},
    max_length=_whole(1, MAX_TEXT),
    minimum={"type": "integer"},
    maximum={"type": "integer"},
    example={"type": ["string", "number"], "maxLength": MAX_TEXT},
)
_PROMPT = _object(
    ["template", "models"],
    instructions=_text(MAX_INSTRUCTIONS),
    template=_text(prompts.MAX_TEMPLATE_CHARS, 1),
    models={"type": "array", "items": _text(80, 1), "minItems": 1, "maxItems": MAX_MODELS},
    max_output_tokens=_whole(1, MAX_OUTPUT_TOKENS),
)
_ENDPOINT = _object(
    ["url"],
    url=_text(endpoints.MAX_LENGTH),
    contract={"type": "object", "description": "An OpenAPI 3 document of the endpoint."},
)
_OUTPUT = _object(
    ["format"],
    format={"enum": list(outputs.FORMATS)},
    schema={"type": "object", "description": "JSON Schema of the answer; of one row for a table."},
)
_EXAMPLE = _object(
    ["input", "expect"],
    input={"type": "object"},
    expect={
        "type": "array",
        "maxItems": examples.MAX_EXPECTATIONS,
        "items": _object(["kind", "value"], kind={"enum": list(expectations.KINDS)}, value={}),
    },
)
_DOCUMENT = _object(
    ["name"],
    name=_text(document_texts.MAX_NAME, 1),
    kind={"enum": list(document_models.AppDocument.Kind.values)},
    text=_text(document_texts.MAX_BYTES, 1),
    sha256={
        "type": "string",
        "pattern": "^[0-9a-f]{64}$",
        "description": "Of a text that the app has already.",
    },
)
_RETRIEVAL = _object(
    [],
    passage_tokens=_whole(documents.LEAST_TOKENS, documents.MOST_TOKENS),
    shows_sources={"type": "boolean"},
)
_PROMISES = _object(
    ["expected_monthly_calls"],
    expected_monthly_calls=_COUNT,
    cost_per_call=_AMOUNT,
    slo_latency_ms=_COUNT,
    slo_availability_percent={"type": "string", "pattern": r"^(100(\.0{1,2})?|[5-9][0-9](\.[0-9]{1,2})?)$", "description": "50 to 100, in quotes."},
    daily_calls_limit=_COUNT,
    monthly_calls_limit=_COUNT,
)  # fmt: skip
_PLAN = _object(
    [],
    fee=_AMOUNT,
    free_calls=_whole(0, MAX_COUNT),
    price_per_call=_AMOUNT,
    markup=_AMOUNT,
    daily_calls_limit=_COUNT,
    monthly_calls_limit=_COUNT,
    trial_days=_whole(0, MAX_TRIAL_DAYS),
)

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": PATH,
    "title": "Manifest of an app",
    "description": "An app as a file, in JSON or YAML. Importing it makes a draft; amounts are texts.",
    **_object(
        ["halfpenny", "app", "inputs", "promises"],
        halfpenny={"const": FORMAT, "description": "Version of this format."},
        app=_APP,
        inputs={"type": "array", "items": _INPUT, "minItems": 1, "maxItems": MAX_INPUTS},
        prompt=_PROMPT,
        endpoint=_ENDPOINT,
        output=_OUTPUT,
        examples={"type": "array", "items": _EXAMPLE, "maxItems": examples.MAX_EXAMPLES},
        documents={"type": "array", "items": _DOCUMENT, "maxItems": documents.MAX_DOCUMENTS},
        retrieval=_RETRIEVAL,
        promises=_PROMISES,
        plan=_PLAN,
    ),
    "allOf": [
        {
            "if": {"properties": {"app": {"properties": {"kind": {"const": "http"}}}}},
            "then": {"required": ["endpoint"], "not": {"required": ["prompt"]}},
            "else": {"required": ["prompt"], "not": {"required": ["endpoint"]}},
        }
    ],
}
