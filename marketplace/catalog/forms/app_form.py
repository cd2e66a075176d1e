"""The form of an app: one page, sectioned, whose fields carry the names that the bill estimator reads."""

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, cast

from django import forms
from django.db.models import QuerySet
from django.forms.utils import ErrorDict

from marketplace.accounts.models import Team
from marketplace.catalog import about, endpoint_contracts, endpoints, manifest_files, outputs, prompts
from marketplace.catalog.forms.inputs_form import InputRows, rows_of
from marketplace.catalog.inputs import inputs_of, schema_of
from marketplace.catalog.language_models import ModelChoice
from marketplace.catalog.models import App, OutputFormat, Version
from marketplace.catalog.plan_terms import MAX_TRIAL_DAYS, PlanTerms, parse_terms
from marketplace.catalog.templates_library import AppTemplate
from marketplace.core.errors import InvalidInput
from marketplace.core.money import to_text

ABOUT = ("name", "summary", "description", "category", "icon", "is_public")
WORKINGS = (
    "instructions", "prompt_template", "allowed_models", "max_output_tokens", "endpoint_url", "endpoint_contract",
)  # fmt: skip
OF_HTTP = ("endpoint_url", "endpoint_contract")
ANSWER = ("output_format", "output_schema")
PLAN = ("fee", "free_calls", "price_per_call", "markup")
# Form field -> field of the version. The short names are those that the estimator of a bill takes.
PROMISES = {
    "calls": "expected_monthly_calls",
    "cost_per_call": "declared_cost_per_call",
    "slo_latency_ms": "slo_latency_ms",
    "slo_availability_percent": "slo_availability_percent",
    "daily_calls_limit": "daily_calls_limit",
    "monthly_calls_limit": "monthly_calls_limit",
}
_FORM_NAMES = {field: name for name, field in PROMISES.items()}


def _price_field(label: str, help_text: str = "") -> forms.DecimalField:
    return forms.DecimalField(
        label=label, max_digits=24, decimal_places=12, min_value=0, required=False, help_text=help_text
    )


class AppForm(forms.Form):
    """What a creator says of an app. Fields of the other kind of app are left out."""

    team = forms.ModelChoiceField(
        Team.objects.none(), empty_label=None, help_text="Owns the app and is paid for it."
    )
    name = forms.CharField(max_length=80)
    summary = forms.CharField(max_length=160, help_text="One sentence: what it does for whom.")
    description = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 4}), max_length=4_000, required=False,
        help_text="What it is good at, what it is not made for.",
    )  # fmt: skip
    category = forms.ChoiceField()
    icon = forms.ChoiceField()
    owner_contact = forms.EmailField(help_text="Who answers questions about the app. Shown to subscribers.")
    is_public = forms.BooleanField(required=False, label="List it for other organizations too")

    instructions = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 4}), max_length=20_000, required=False,
        help_text="How the model should work. Sent with every call, before the prompt.",
    )  # fmt: skip
    prompt_template = forms.CharField(
        label="Prompt", widget=forms.Textarea(attrs={"rows": 8, "class": "mono", "spellcheck": "false"}),
        max_length=prompts.MAX_TEMPLATE_CHARS, strip=False,
    )  # fmt: skip
    allowed_models = forms.MultipleChoiceField(
        label="Models", widget=forms.CheckboxSelectMultiple,
        help_text="Cheapest first. A call goes to the cheapest of these that will do.",
    )  # fmt: skip
    max_output_tokens = forms.IntegerField(
        label="Longest answer", min_value=1, max_value=32_000, help_text="No answer can cost more than this."
    )
    endpoint_url = forms.CharField(
        label="Endpoint", max_length=endpoints.MAX_LENGTH, widget=forms.URLInput,
        help_text="Called with the input as JSON, signed with the app's secret.",
    )  # fmt: skip

    endpoint_contract = forms.CharField(
        label="Contract", required=False, strip=False, max_length=endpoint_contracts.MAX_CHARS,
        widget=forms.Textarea(attrs={"rows": 5, "class": "mono", "spellcheck": "false"}),
        help_text="Its OpenAPI 3 document, in JSON or YAML. Calls and answers are held against it.",
    )  # fmt: skip

    output_format = forms.ChoiceField(
        label="Answer", choices=OutputFormat.choices, help_text="JSON and tables are held against a schema."
    )
    output_schema = forms.CharField(
        label="Schema of the answer", required=False, max_length=outputs.MAX_SCHEMA_CHARS,
        widget=forms.Textarea(attrs={"rows": 5, "class": "mono", "spellcheck": "false"}),
        help_text="A JSON Schema; for a table, of one row, with a property for each column.",
    )  # fmt: skip

    fee = _price_field("Monthly fee")
    price_per_call = _price_field("Price per call")
    free_calls = forms.IntegerField(
        label="Free calls", min_value=0, required=False, help_text="A month, free of the price per call."
    )
    markup = forms.DecimalField(
        label="Markup on cost", max_digits=12, decimal_places=6, min_value=0, required=False,
        help_text="0.30 charges every call at its cost plus 30 %. Empty: cost is not passed on.",
    )  # fmt: skip
    plan_trial_days = forms.IntegerField(
        label="Trial", min_value=0, max_value=MAX_TRIAL_DAYS, required=False,
        help_text="Days without the monthly fee, once for each organization. Calls are billed from the first.",
    )  # fmt: skip
    plan_daily_calls = forms.IntegerField(label="Calls a day", min_value=1)
    plan_monthly_calls = forms.IntegerField(label="Calls a month", min_value=1)

    calls = forms.IntegerField(
        label="Expected calls a month", min_value=1, help_text="Of all subscribers together."
    )
    cost_per_call = _price_field(
        "Declared cost per call",
        "The check compares it with what a call really costs. Empty: whatever is measured.",
    )
    slo_latency_ms = forms.IntegerField(label="Answers within", min_value=1, help_text="95 % of the calls.")
    slo_availability_percent = forms.DecimalField(
        label="Available", max_digits=5, decimal_places=2, min_value=Decimal("50"), max_value=Decimal("100")
    )
    daily_calls_limit = forms.IntegerField(label="Calls of the whole app a day", min_value=1)
    monthly_calls_limit = forms.IntegerField(label="Calls of the whole app a month", min_value=1)

    def __init__(
        self,
        *args: Any,
        kind: str,
        teams: QuerySet[Team] | None,
        models: Sequence[ModelChoice],
        currency: str,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.kind = kind
        self.currency = currency
        left_out = OF_HTTP if kind == App.Kind.HOSTED else tuple(n for n in WORKINGS if n not in OF_HTTP)
        for name in (*left_out, *(() if teams is not None else ("team",))):
            del self.fields[name]
        if teams is not None:
            cast(forms.ModelChoiceField, self.fields["team"]).queryset = teams
        self._offer("category", about.CATEGORIES.items())
        self._offer("icon", [(name, name.replace("-", " ").capitalize()) for name in about.ICONS])
        self.model_order: list[str] = []
        if "allowed_models" in self.fields:
            known = [(model.name, f"{model.title} ({model.size})") for model in models]
            self.model_order = [name for name, _ in self._offer("allowed_models", known)]

    def _offer(self, name: str, choices: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Set the choices of a field, and keep what came by the API and is not among ours."""
        known, current = list(choices), self.initial.get(name) or []
        for value in [current] if isinstance(current, str) else current:
            if value not in dict(known):
                known.append((value, value))
        cast(forms.ChoiceField, self.fields[name]).choices = known
        return known

    def clean_output_schema(self) -> dict[str, Any]:
        return _object_in(self.cleaned_data["output_schema"])

    def clean_endpoint_contract(self) -> dict[str, Any]:
        return _object_in(self.cleaned_data["endpoint_contract"])

    def terms(self) -> PlanTerms:
        """Read the terms of the plan; raises InvalidInput."""
        data = {name: self.cleaned_data.get(name) or 0 for name in PLAN[:-1]}
        limits = {"daily_calls_limit": "plan_daily_calls", "monthly_calls_limit": "plan_monthly_calls"}
        data |= {name: self.cleaned_data[field] for name, field in limits.items()}
        data["trial_days"] = self.cleaned_data.get("plan_trial_days") or 0
        return parse_terms(data | {"markup": self.cleaned_data.get("markup")})


class AppEditor:
    """The form and its rows of inputs as one: valid only together, and the changes they ask for."""

    def __init__(self, form: AppForm, rows: InputRows, *, allow_http: bool) -> None:
        self.form = form
        self.rows = rows
        self._allow_http = allow_http
        self.changes: dict[str, Any] = {}

    def is_valid(self) -> bool:
        """Validate everything, so that one answer names all that is wrong."""
        is_form_valid, are_rows_valid = self.form.is_valid(), self.rows.is_valid()
        if is_form_valid and are_rows_valid:
            self.changes = self._changes()
            self._check_together()
        return not self.form.errors and are_rows_valid and not any(self.rows.errors)

    def forget_errors(self) -> None:
        """Show what was typed without judging it: the person only asked for another row."""
        for one in (self.form, *self.rows.forms):
            one._errors = ErrorDict()
            one.cleaned_data = {}

    def _changes(self) -> dict[str, Any]:
        data = self.form.cleaned_data
        changes = {name: data[name] for name in (*ABOUT, "owner_contact", *WORKINGS, *ANSWER) if name in data}
        if "allowed_models" in changes:
            changes["allowed_models"] = sorted(changes["allowed_models"], key=self.form.model_order.index)
        changes |= {field: data[name] for name, field in PROMISES.items()}
        changes |= {"inputs": self.rows.inputs(), "example_input": self.rows.example_input()}
        return changes

    def _check_together(self) -> None:
        """Check what no field can say alone; the domain refuses the same when the version is submitted."""
        try:
            schema = schema_of(self.changes["inputs"])
        except InvalidInput as error:
            self._place(error)
            return
        checks = [
            lambda: self.changes.update(plan=self.form.terms()),
            lambda: prompts.validate_input(schema, self.changes["example_input"]),
        ]
        answer = [self.changes.get(name) for name in ANSWER]
        checks.append(lambda: outputs.check(str(answer[0]), answer[1] or {}))
        if self.form.kind == App.Kind.HTTP:
            url, contract = self.changes["endpoint_url"], self.changes.get("endpoint_contract")
            checks.append(lambda: endpoints.check_url(url, allow_http=self._allow_http))
            if contract:
                example = self.changes["example_input"]
                checks.append(
                    lambda: endpoint_contracts.check(contract, endpoint_url=url, example_input=example)
                )
        else:
            checks.append(lambda: prompts.check_template(self.changes["prompt_template"], schema))
        if self.changes["monthly_calls_limit"] < self.changes["daily_calls_limit"]:
            self.form.add_error("monthly_calls_limit", "Must not be below the daily limit.")
        for check in checks:
            try:
                check()
            except InvalidInput as error:
                self._place(error)

    def _place(self, error: InvalidInput) -> None:
        """Put each finding at the field it is about."""
        plan_fields = {
            "daily_calls_limit": "plan_daily_calls",
            "monthly_calls_limit": "plan_monthly_calls",
            "trial_days": "plan_trial_days",
        }
        for one in error.errors:
            if self.rows.place(one):
                continue
            name = one.field
            if name.startswith("plan."):
                name = plan_fields.get(name.removeprefix("plan."), name.removeprefix("plan."))
            name = _FORM_NAMES.get(name, name)
            place = name.partition(".")[2] if name.startswith(endpoint_contracts.FIELD) else ""
            name = endpoint_contracts.FIELD if place else name
            message = f"{place}: {one.message}" if place else one.message[:1].upper() + one.message[1:]
            self.form.add_error(name if name in self.form.fields else None, message)


def _object_in(text: str) -> dict[str, Any]:
    """Read an object typed as JSON or YAML; nothing typed is an empty one."""
    if not text.strip():
        return {}
    try:
        return manifest_files.read(text.encode(errors="surrogatepass"))
    except InvalidInput as error:
        raise forms.ValidationError(error.errors[0].message.capitalize()) from error


def _typed(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) if value else ""


def initial_of_template(template: AppTemplate, *, contact: str, team: Team | None) -> dict[str, Any]:
    """Return what the form shows for a new app of a template."""
    promises = {_FORM_NAMES.get(name, name): value for name, value in template.promises.items()}
    defaults = {
        "slo_availability_percent": "99.50",
        "daily_calls_limit": 10_000,
        "monthly_calls_limit": 200_000,
    }
    return {
        **template.about,
        "is_public": True,
        "owner_contact": contact,
        "team": team,
        "instructions": template.instructions,
        "prompt_template": template.prompt_template,
        "allowed_models": list(template.allowed_models),
        "max_output_tokens": template.max_output_tokens,
        "output_format": template.output_format,
        "output_schema": _typed(template.output_schema),
        **defaults,
        **promises,
        **_initial_of_terms(template.plan),
    }


def initial_of_version(version: Version, terms: PlanTerms) -> dict[str, Any]:
    """Return what the form shows of a draft."""
    workings = {name: getattr(version, name) for name in (*WORKINGS, "output_format")}
    workings |= {name: _typed(getattr(version, name)) for name in ("output_schema", "endpoint_contract")}
    promises = {name: getattr(version, field) for name, field in PROMISES.items()}
    if promises["cost_per_call"] is not None:
        promises["cost_per_call"] = to_text(promises["cost_per_call"])
    contact = {"owner_contact": version.app.owner_contact}
    return about.of_version(version) | contact | workings | promises | _initial_of_terms(terms)


def rows_of_version(version: Version) -> list[dict[str, Any]]:
    """Return the rows of inputs that the form shows of a draft."""
    return rows_of(inputs_of(version.input_schema), version.example_input)


def rows_of_template(template: AppTemplate) -> list[dict[str, Any]]:
    """Return the rows of inputs that the form shows for a template."""
    return rows_of(template.inputs, template.example_input)


def _initial_of_terms(terms: PlanTerms) -> dict[str, Any]:
    return {
        "fee": to_text(terms.fee) if terms.fee else "",
        "free_calls": terms.free_calls or "",
        "price_per_call": to_text(terms.price_per_call) if terms.price_per_call else "",
        "markup": "" if terms.markup is None else to_text(terms.markup),
        "plan_daily_calls": terms.daily_calls_limit,
        "plan_monthly_calls": terms.monthly_calls_limit,
        "plan_trial_days": terms.trial_days or "",
    }
