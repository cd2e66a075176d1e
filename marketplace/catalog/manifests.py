"""An app as a manifest: everything its maker says of it as one value, out of a version and into a draft.

A manifest leaves out what is not the maker's to say: numbers, states, secrets, findings. An archive of code is not part
of it. Importing makes or edits a draft and nothing more; submitting is a decision of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils.text import slugify
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError as SchemaError
from jsonschema.validators import extend

from marketplace.accounts.models import Team, User
from marketplace.catalog import (
    about,
    documents,
    drafts,
    endpoint_contracts,
    endpoints,
    examples,
    language_models,
    outputs,
    plans,
    prompts,
)
from marketplace.catalog.inputs import DEFAULT_MAX_LENGTH, Input, inputs_of, schema_of
from marketplace.catalog.manifest_schema import FORMAT, SCHEMA
from marketplace.catalog.models import App, Version
from marketplace.catalog.plan_terms import PlanTerms, parse_terms, terms_of
from marketplace.catalog.templates_library import AppTemplate, all_templates, get_template
from marketplace.core.errors import Conflict, FieldError, InvalidInput, NotFound
from marketplace.core.money import parse_amount, to_text

OWN_TEMPLATE = "manifest"
MAX_ERRORS = 20
_COUNTS = ("expected_monthly_calls", "slo_latency_ms", "daily_calls_limit", "monthly_calls_limit")
_IN_THE_MAKING = ("submitted", "checking", "in_review", "approved")


class OtherKind(Conflict):
    """The file describes another kind of app than the one it is for."""

    code = "other_kind"

    def __init__(self, app: App) -> None:
        self.app = app
        super().__init__(f"{app.name} is a {app.get_kind_display().lower()}; a manifest cannot change that.")


@dataclass(frozen=True)
class Manifest:
    """A manifest that was read: which app, what kind, and the changes its draft gets (see ``drafts.edit``)."""

    slug: str
    kind: str
    template: str
    changes: Mapping[str, Any]
    documents: Sequence[Mapping[str, str]] = ()


def export(version: Version) -> dict[str, Any]:
    """Return a version as a manifest, fields in the order in which people read them."""
    presentation = about.of_version(version)
    is_http = version.app.kind == App.Kind.HTTP
    plan = plans.plan_of(version)
    template = {"template": version.template} if version.template != OWN_TEMPLATE else {}
    said = {name: presentation[name] for name in about.NAMES}
    manifest: dict[str, Any] = {
        "halfpenny": FORMAT,
        "app": {
            "slug": version.app.slug,
            "kind": version.app.kind,
            **template,
            **said,
            "owner_contact": version.app.owner_contact,
        },
        "inputs": [_input_out(one, version.example_input) for one in inputs_of(version.input_schema)],
        **({"endpoint": _endpoint_out(version)} if is_http else {"prompt": _prompt_out(version)}),
    }
    if version.output_format != "text":
        manifest["output"] = {"format": version.output_format, "schema": version.output_schema}
    if version.examples:
        manifest["examples"] = version.examples
    if version.documents:
        manifest["documents"] = documents.as_manifest(version)
        manifest["retrieval"] = {
            "passage_tokens": version.passage_tokens,
            "shows_sources": version.shows_sources,
        }
    manifest["promises"] = _promises_out(version)
    if plan is not None:
        manifest["plan"] = {
            name: value for name, value in terms_of(plan).as_json().items() if value is not None
        }
    return manifest


def of_template(template: AppTemplate) -> dict[str, Any]:
    """Return a template as a manifest to start from, without a database."""
    is_http = template.kind == App.Kind.HTTP
    manifest: dict[str, Any] = {
        "halfpenny": FORMAT,
        "app": {
            "slug": slugify(template.name),
            "kind": template.kind,
            "template": template.key,
            **template.about,
            "is_public": True,
        },
        "inputs": [_input_out(one, template.example_input) for one in template.inputs],
        **({"endpoint": {"url": ""}} if is_http else {"prompt": _prompt_of_template(template)}),
    }
    if template.output_format != "text":
        manifest["output"] = {"format": template.output_format, "schema": dict(template.output_schema)}
    promises = {"slo_availability_percent": "99.5", **template.promises}
    manifest["promises"] = promises
    terms = template.plan.as_json()
    manifest["plan"] = {name: value for name, value in terms.items() if value is not None}
    return manifest


def _prompt_of_template(template: AppTemplate) -> dict[str, Any]:
    return {
        "instructions": template.instructions,
        "template": template.prompt_template,
        "models": list(template.allowed_models),
        "max_output_tokens": template.max_output_tokens,
    }


def read(data: Mapping[str, Any], *, allow_http: bool) -> Manifest:
    """Read a manifest; raises InvalidInput with everything that is wrong, by its path in the file."""
    if errors := _schema_errors(data):
        raise InvalidInput.several(errors[:MAX_ERRORS])
    inputs = [_input_in(one) for one in data["inputs"]]
    found: list[FieldError] = []
    schema = _caught(found, lambda: schema_of(inputs))
    terms = _caught(found, lambda: parse_terms(data.get("plan", {})))
    if schema is not None:
        found += _errors_together(data, schema, allow_http=allow_http)
    if found:
        raise InvalidInput.several(found[:MAX_ERRORS])
    return Manifest(
        slug=data["app"].get("slug", ""),
        kind=data["app"]["kind"],
        template=data["app"].get("template", OWN_TEMPLATE),
        changes=_changes(data, inputs=inputs, terms=terms or PlanTerms()),
        documents=data.get("documents", []),
    )


@transaction.atomic
def import_new(manifest: Manifest, *, team: Team, by: User, at: datetime) -> Version:
    """Make an app of a team and its draft. Raises InvalidInput for a slug that is taken."""
    changes = dict(manifest.changes)
    if not changes["owner_contact"]:
        changes.pop("owner_contact")
    template = _template_for(manifest)
    version = drafts.create_from_template(
        template, team=team, by=by, at=at, slug=manifest.slug, changes=changes
    )
    if manifest.documents:
        documents.replace_all(version, manifest.documents, by=by, at=at)
    return version


@transaction.atomic
def import_over(app: App, manifest: Manifest, *, by: User, at: datetime) -> Version:
    """Give the draft of an app what a manifest says; starts the next version when there is no draft.

    Raises OtherKind, and NotEditable while a version is being checked or reviewed.
    """
    if app.kind != manifest.kind:
        raise OtherKind(app)
    newest = app.versions.select_related("app__owner_team__organization", "plan").order_by("-number")[0]
    if newest.state in _IN_THE_MAKING:
        raise drafts.NotEditable(newest)
    version = newest if newest.is_editable() else drafts.start_next_version(app, by=by, at=at)
    changes = dict(manifest.changes)
    if not changes["owner_contact"]:
        changes.pop("owner_contact")
    drafts.edit(version, by=by, at=at, changes=changes)
    documents.replace_all(version, manifest.documents, by=by, at=at)
    return version


def warnings_about(manifest: Manifest) -> list[str]:
    """Say what can be imported and yet will not do."""
    known = {model.name for model in language_models.choosable()}
    unknown = [name for name in manifest.changes["allowed_models"] if name not in known]
    return [f"prompt.models: there is no model {name!r} here now" for name in unknown]


def _template_for(manifest: Manifest) -> AppTemplate:
    try:
        return get_template(manifest.template)
    except NotFound:
        first = next(one for one in all_templates() if one.kind == manifest.kind)
        return replace(first, key=OWN_TEMPLATE)


def _input_out(one: Input, example_input: Mapping[str, Any]) -> dict[str, Any]:
    written: dict[str, Any] = {"name": one.name, "title": one.title, "kind": one.kind}
    if one.help:
        written["help"] = one.help
    written["required"] = one.is_required
    if one.kind == "choice":
        written["choices"] = list(one.choices)
    elif one.kind == "text":
        written["max_length"] = one.max_length
    else:
        bounds = {"minimum": one.minimum, "maximum": one.maximum}
        written |= {name: bound for name, bound in bounds.items() if bound is not None}
    if one.name in example_input:
        written["example"] = example_input[one.name]
    return written


def _input_in(row: Mapping[str, Any]) -> Input:
    return Input(
        name=row["name"],
        title=row["title"],
        kind=row["kind"],
        help=row.get("help", ""),
        is_required=row.get("required", True),
        choices=tuple(row.get("choices", ())),
        max_length=row.get("max_length", DEFAULT_MAX_LENGTH),
        minimum=row.get("minimum"),
        maximum=row.get("maximum"),
    )


def _prompt_out(version: Version) -> dict[str, Any]:
    instructions = {"instructions": version.instructions} if version.instructions else {}
    return {
        **instructions,
        "template": version.prompt_template,
        "models": list(version.allowed_models),
        "max_output_tokens": version.max_output_tokens,
    }


def _endpoint_out(version: Version) -> dict[str, Any]:
    return {"url": version.endpoint_url} | (
        {"contract": version.endpoint_contract} if version.endpoint_contract else {}
    )


def _promises_out(version: Version) -> dict[str, Any]:
    promises = {name: getattr(version, name) for name in _COUNTS}
    promises["slo_availability_percent"] = to_text(Decimal(version.slo_availability_percent))
    if version.declared_cost_per_call is not None:
        promises["cost_per_call"] = to_text(version.declared_cost_per_call)
    return promises


def _changes(data: Mapping[str, Any], *, inputs: list[Input], terms: PlanTerms) -> dict[str, Any]:
    """Return what a draft gets; what a manifest leaves out goes back to its default."""
    app, promises = data["app"], data["promises"]
    said = {"description": "", "icon": "app-window", "is_public": True, "owner_contact": ""}
    declared = promises.get("cost_per_call")
    changes = {name: app.get(name, said.get(name)) for name in (*about.NAMES, "owner_contact")}
    changes |= {
        "expected_monthly_calls": promises["expected_monthly_calls"],
        "declared_cost_per_call": None if declared is None else parse_amount(declared, field="cost_per_call"),
        "slo_latency_ms": promises.get("slo_latency_ms", 2_000),
        "slo_availability_percent": Decimal(promises.get("slo_availability_percent", "99.50")),
        "daily_calls_limit": promises.get("daily_calls_limit", 10_000),
        "monthly_calls_limit": promises.get("monthly_calls_limit", 200_000),
    }
    output, endpoint, prompt, retrieval = (
        data.get(name, {}) for name in ("output", "endpoint", "prompt", "retrieval")
    )
    changes |= {
        "passage_tokens": retrieval.get("passage_tokens", 1_000),
        "shows_sources": retrieval.get("shows_sources", True),
        "inputs": inputs,
        "example_input": {row["name"]: row["example"] for row in data["inputs"] if "example" in row},
        "examples": data.get("examples", []),
        "output_format": output.get("format", "text"),
        "output_schema": output.get("schema", {}),
        "endpoint_url": endpoint.get("url", ""),
        "endpoint_contract": endpoint.get("contract", {}),
        "instructions": prompt.get("instructions", ""),
        "prompt_template": prompt.get("template", ""),
        "allowed_models": prompt.get("models", []),
        "max_output_tokens": prompt.get("max_output_tokens", 512),
    }
    return changes | {"plan": terms}


def _errors_together(
    data: Mapping[str, Any], schema: Mapping[str, Any], *, allow_http: bool
) -> list[FieldError]:
    """Check what no part of a file can say alone, and put each finding where it stands in the file."""
    example = {row["name"]: row["example"] for row in data["inputs"] if "example" in row}
    promises, output = data["promises"], data.get("output", {})
    found: list[FieldError] = []
    _caught(found, lambda: prompts.validate_input(schema, example), place=_example_places(data))
    _caught(found, lambda: examples.check(data.get("examples", []), schema))
    _caught(
        found,
        lambda: outputs.check(output.get("format", "text"), output.get("schema", {})),
        place=lambda field: field.replace("output_schema", "output.schema"),
    )
    found += documents.check_manifest(data.get("documents", []), kind=data["app"]["kind"])
    if promises.get("monthly_calls_limit", 200_000) < promises.get("daily_calls_limit", 10_000):
        found.append(FieldError("promises.monthly_calls_limit", "must not be below the daily limit"))
    if contact := data["app"].get("owner_contact"):
        _caught(found, lambda: _check_mail(contact))
    if data["app"]["kind"] == App.Kind.HTTP:
        found += _endpoint_errors(data["endpoint"], example, allow_http=allow_http)
    else:
        text = data["prompt"]["template"]
        place = lambda field: "prompt.template" if field == prompts.FIELD else field  # noqa: E731
        _caught(found, lambda: prompts.check_template(text, schema), place=place)
    return found


def _endpoint_errors(
    endpoint: Mapping[str, Any], example: Mapping[str, Any], *, allow_http: bool
) -> list[FieldError]:
    found: list[FieldError] = []
    url, contract = endpoint["url"], endpoint.get("contract", {})
    # A draft may have no address yet; it is asked for when it is submitted.
    if url:
        _caught(
            found, lambda: endpoints.check_url(url, allow_http=allow_http), place=lambda _: "endpoint.url"
        )
    if contract:
        check = lambda: endpoint_contracts.check(contract, endpoint_url=url, example_input=example)  # noqa: E731
        _caught(found, check, place=lambda field: field.replace("endpoint_contract", "endpoint.contract", 1))
    return found


def _check_mail(text: str) -> None:
    try:
        validate_email(text)
    except ValidationError as error:
        raise InvalidInput("app.owner_contact", "must be a mail address") from error


def _example_places(data: Mapping[str, Any]) -> Callable[[str], str]:
    places = {row["name"]: f"inputs[{index}].example" for index, row in enumerate(data["inputs"])}
    return lambda field: places.get(field, f"inputs: {field}")


def _caught(found: list[FieldError], check: Callable[[], Any], *, place: Callable[[str], str] = str) -> Any:
    """Run a check and keep what it refuses, each finding with its path in the file; returns its result or None."""
    try:
        return check()
    except InvalidInput as error:
        found += [replace(one, field=place(one.field)) for one in error.errors]
        return None


@cache
def _validator() -> Any:
    # JSON Schema takes 5.0 for a whole number; a count that came as a float is refused, as amounts are.
    kinds = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    return extend(Draft202012Validator, type_checker=kinds)(SCHEMA)


def _schema_errors(data: Mapping[str, Any]) -> list[FieldError]:
    errors = [one for error in _validator().iter_errors(data) for one in _explained(error, data)]
    return sorted(dict.fromkeys(errors), key=lambda one: one.field)


def _explained(error: SchemaError, data: Mapping[str, Any]) -> list[FieldError]:
    """Say what the schema refuses in our words, with the path in the file and the limit."""
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.path).lstrip(".")
    keyword, wanted = str(error.validator), error.validator_value
    schema: Any = error.schema

    def below(name: str) -> str:
        return f"{path}.{name}".lstrip(".")

    if keyword == "required":
        missing = [name for name in wanted if name not in error.instance]
        return [FieldError(below(name), "is missing", code="required") for name in missing]
    if keyword == "additionalProperties":
        unknown = [str(name) for name in error.instance if name not in schema["properties"]]
        return [
            FieldError(below(name), "is not a field of a manifest", code="unknown_field") for name in unknown
        ]
    if keyword == "not":
        name = wanted["required"][0]
        return [FieldError(name, f"does not belong to an app of the kind {data['app']['kind']}")]
    return [FieldError(path, _words(error, keyword, wanted), limit=_limit_of(keyword, wanted))]


def _words(error: SchemaError, keyword: str, wanted: Any) -> str:
    if keyword == "type":
        schema: Any = error.schema
        if "in quotes" in schema.get("description", ""):
            return 'must be a text in quotes, such as "0.004", so that it stays exact'
        names: list[str] = wanted if isinstance(wanted, list) else [wanted]
        return f"must be {' or '.join(_TYPES.get(name, name) for name in names)}"
    if keyword == "enum":
        return f"must be one of {', '.join(map(str, wanted))}"
    return {
        "const": f"must be {wanted!r}",
        "maxLength": f"may have at most {wanted} characters",
        "minLength": "must not be empty",
        "maxItems": f"may have at most {wanted} entries",
        "minItems": f"must have at least {wanted} entries",
        "minimum": f"must be at least {wanted}",
        "maximum": f"must be at most {wanted}",
        "pattern": _PATTERNS.get(str(wanted), f"must match {wanted}"),
    }.get(keyword, error.message[:200])


def _limit_of(keyword: str, wanted: Any) -> str | None:
    is_bound = keyword in ("maxLength", "minLength", "maxItems", "minItems", "minimum", "maximum")
    return str(wanted) if is_bound else None


_TYPES = {
    "object": "an object",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}
_PATTERNS = {
    SCHEMA["properties"]["plan"]["properties"]["fee"]["pattern"]: 'must be an amount such as "0.004", not negative, with at most 18 decimals',
    SCHEMA["properties"]["promises"]["properties"]["slo_availability_percent"]["pattern"]: 'must be "50" to "100" with at most two decimals',
    SCHEMA["properties"]["app"]["properties"]["slug"]["pattern"]: "must be of a–z, 0–9 and -, at most 60 characters",
    SCHEMA["properties"]["inputs"]["items"]["properties"]["name"]["pattern"]: "must be a short word of a–z, 0–9 and _, such as source_text",
}  # fmt: skip
