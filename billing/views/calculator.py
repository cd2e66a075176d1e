"""The calculator: plans side by side, at any usage. Its state is its address, so that it can be linked and kept."""

from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.http import require_safe
from django.views.decorators.vary import vary_on_headers

from billing import calculator
from billing.calculator import Compared
from billing.calculator_forms import EMPTY, LETTERS, PRESETS, ConditionsForm, PlanForm, address_of
from billing.calculator_requests import Asked, parse_comparison
from billing.estimates import USUAL_CALLS
from billing.house import house_terms
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import listing_pages, queries
from marketplace.core.charts import Series, line_chart
from marketplace.core.errors import InvalidInput
from marketplace.core.money import exact, format_money, from_minor


@login_required
@require_safe
@vary_on_headers("HX-Request")
def calculator_page(request: PersonRequest) -> HttpResponse:
    """Show the calculator with what its address says: typed plans, a preset, or those of an app."""
    query = _query(request)
    conditions = ConditionsForm(query)
    plans = [PlanForm(query, prefix=letter) for letter in LETTERS]
    context: dict[str, Any] = {
        "conditions": conditions,
        "plans": list(zip([letter.upper() for letter in LETTERS], plans, strict=True)),
        "presets": [(name, title) for name, (title, _) in PRESETS.items()],
        "address": query.urlencode(),
    }
    try:
        asked = _asked(conditions, plans)
        if asked is not None:
            context |= _results(asked)
    except InvalidInput as error:
        context["errors"] = [str(one) for one in error.errors]
    is_fragment = request.htmx and not request.htmx.boosted
    return render(request, "billing/_calculated.html" if is_fragment else "billing/calculator.html", context)


def _query(request: PersonRequest) -> QueryDict:
    """Give what was typed; a preset or an app fills what the address says nothing of."""
    typed = {name: str(value) for name, value in request.GET.items() if name not in ("preset", "app")}
    slug, preset = request.GET.get("app"), request.GET.get("preset", "two-part" if not typed else "")
    found: dict[str, str] = dict(EMPTY)
    if slug:
        found |= dict(parse_qsl(_of_app(request, slug)))
    elif preset in PRESETS:
        found |= PRESETS[preset][1]
    return QueryDict(urlencode(found | typed))


def _of_app(request: PersonRequest, slug: str) -> str:
    listing = queries.listing_for(request.actor, slug=slug)
    offered = list(queries.offered_plans(listing.app)[: len(LETTERS)])
    currency = offered[0].currency if offered else house_terms().currency
    return address_of(
        [(plan.name, plan.charges) for plan in offered if plan.currency == currency],
        cost_per_call=listing_pages.cost_per_call(listing.version),
        currency=currency,
    )


def _asked(conditions: ConditionsForm, plans: list[PlanForm]) -> Asked | None:
    used = [(place, plan) for place, plan in enumerate(plans) if plan.is_used]
    valid = [plan.is_valid() for _, plan in used]
    if not conditions.is_valid() or not all(valid) or not used:
        return None
    calls = conditions.cleaned_data["calls"]
    body = {
        **conditions.as_json(),
        "plans": [plan.as_json(place) for place, plan in used],
        "calls": sorted({*USUAL_CALLS, calls}),
        "most_calls": calls,
    }
    return parse_comparison(body, default=house_terms().default_share)


def _results(asked: Asked) -> dict[str, Any]:
    compared = calculator.compare(
        asked.plans, conditions=asked.conditions, calls=asked.calls, most_calls=asked.most_calls
    )
    return {
        "compared": compared,
        "by_plan": list(zip(compared.plans, compared.bills, strict=True)),
        "chart": _chart(compared, asked),
        "share": asked.conditions.share,
        "most_calls": asked.most_calls,
    }


def _chart(compared: Compared, asked: Asked) -> Any:
    currency = asked.conditions.currency
    series = [
        Series(plan.name, [from_minor(minor, currency) for minor in of_plan])
        for plan, of_plan in zip(compared.plans, compared.curve_minor, strict=True)
    ]
    with exact():
        costs = [asked.conditions.cost_per_call * calls for calls in compared.curve_calls]
    return line_chart(
        [f"{calls:,}" for calls in compared.curve_calls],
        [*series, Series("Cost to the platform", costs, tone="neutral")],
        format_value=lambda value: _money(Decimal(value), currency),
        label_heading="Calls a month",
    )


def _money(value: Decimal, currency: str) -> str:
    return format_money(calculator.round_minor(value, currency), currency)
