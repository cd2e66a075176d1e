"""What people type into the calculator: the conditions, and up to three plans. All of it stands in the address."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from django import forms

from billing.calculator import MOST_CALLS
from billing.coupon_forms import exact_decimal
from billing.measures import WORDS
from marketplace.core.errors import InvalidInput
from marketplace.core.money import MINOR_EXPONENTS, to_text

LETTERS = ("a", "b", "c")
MODELS = (
    ("", "nothing"),
    ("per_unit", "each call"),
    ("graduated", "calls in tiers, each slice at its own price"),
    ("volume", "all calls at the price of the tier reached"),
    ("package", "packages of calls"),
)
PRESETS: dict[str, tuple[str, Mapping[str, str]]] = {
    "markup": ("Markup on cost", {"a-name": "Cost + 30 %", "a-markup": "0.30"}),
    "two-part": (
        "Two-part tariff",
        {
            "a-name": "Fee and usage",
            "a-fee": "50",
            "a-markup": "0.30",
            "calls": "100000",
            "b-name": "Usage only",
            "b-markup": "0.60",
        },
    ),
    "split": (
        "Revenue split with margin",
        {"a-name": "Cost + 30 %", "a-markup": "0.30", "share": "0.20", "basis": "gross"},
    ),
    "tiers": (
        "Tiers and included credit",
        {
            "a-name": "Tiers",
            "a-model": "graduated",
            "a-tiers": "1000: 0.05\n10000: 0.03\nrest: 0.02",
            "b-name": "With credit",
            "b-fee": "100",
            "b-credit": "100",
            "b-model": "per_unit",
            "b-price": "0.03",
        },
    ),
}
EMPTY = {"calls": "10000", "cost_per_call": "0.01", "currency": "USD"}


class ConditionsForm(forms.Form):
    """What holds for all plans."""

    calls = forms.IntegerField(
        min_value=1, max_value=MOST_CALLS, label="Calls a month", help_text="The curve ends there."
    )
    cost_per_call = exact_decimal(label="A call costs the platform")
    currency = forms.ChoiceField(choices=[(code, code) for code in sorted(MINOR_EXPONENTS)])
    share = exact_decimal(
        required=False,
        max_value=Decimal(1),
        label="Platform's share",
        help_text="0.2 is 20 %. Empty: as usual.",
    )
    basis = forms.ChoiceField(
        required=False,
        label="Of what",
        choices=[("", "as usual"), ("net_of_cost", "what cost leaves"), ("gross", "the price")],
    )
    per_call = forms.CharField(
        required=False,
        label="A call also uses",
        help_text=f"For charges by something else, such as tokens 620 minutes 0.1. Known: {', '.join(list(WORDS)[2:])}, feature.NAME.",
    )

    def clean_per_call(self) -> dict[str, str]:
        words = self.cleaned_data["per_call"].replace(",", " ").replace(":", " ").split()
        if len(words) % 2:
            raise forms.ValidationError("must be pairs of a measure and a number, such as tokens 620")
        return dict(zip(words[::2], words[1::2], strict=True))

    def as_json(self) -> dict[str, Any]:
        typed = self.cleaned_data
        found = {"currency": typed["currency"], "cost_per_call": to_text(typed["cost_per_call"])}
        found |= {"share": to_text(typed["share"])} if typed["share"] is not None else {}
        found |= {"basis": typed["basis"]} if typed["basis"] else {}
        return {**found, "per_call": typed["per_call"]}


class PlanForm(forms.Form):
    """One plan: the usual numbers, or all its charges written out."""

    name = forms.CharField(required=False, max_length=60)
    fee = exact_decimal(required=False, label="Fee a month")
    credit = exact_decimal(
        required=False, label="Included credit", help_text="Pays for usage until it is used up."
    )
    model = forms.ChoiceField(required=False, choices=MODELS, label="Charge for")
    price = exact_decimal(required=False, label="Price a call or package")
    package_size = exact_decimal(required=False, label="Calls in a package")
    tiers = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono"}),
        help_text="A line each: 1000: 0.05 + 10 is up to 1,000 calls at 0.05, and 10 flat. The last one begins with rest.",
    )
    free = exact_decimal(required=False, label="Free calls")
    minimum = exact_decimal(required=False, label="At least", help_text="For the calls of a month.")
    maximum = exact_decimal(required=False, label="At most")
    markup = exact_decimal(required=False, label="Markup on cost", help_text="0.3 is cost + 30 %.")
    charges = forms.CharField(
        required=False,
        label="All charges, written out",
        widget=forms.Textarea(attrs={"rows": 3, "class": "mono"}),
        help_text="In place of the fields above: a list as the API takes it, by call, token class, feature or minute.",
    )

    @property
    def is_used(self) -> bool:
        return any(self.data.get(self.add_prefix(name)) for name in self.fields if name != "name")

    def as_json(self, place: int) -> dict[str, Any]:
        """Write the plan as the API takes it. Raises InvalidInput for charges or tiers that cannot be read."""
        typed = self.cleaned_data
        name = typed["name"] or f"Plan {LETTERS[place].upper()}"
        written = typed["charges"].strip()
        return {"name": name, "charges": _written(written) if written else self._charges()}

    def _charges(self) -> list[dict[str, Any]]:
        typed = self.cleaned_data
        charges: list[dict[str, Any]] = []
        if typed["fee"]:
            charges.append({"code": "fee", "model": "flat", "amount": to_text(typed["fee"]), "prorate": True})
        if typed["model"]:
            charges.append(self._calls())
        if typed["markup"] is not None:
            charges.append({"code": "cost", "model": "cost_plus", "markup": to_text(typed["markup"])})
        if typed["credit"]:
            charges.append({"code": "credit", "model": "included_credit", "amount": to_text(typed["credit"])})
        return charges

    def _calls(self) -> dict[str, Any]:
        typed = self.cleaned_data
        price = to_text(typed["price"] or Decimal(0))
        shapes: dict[str, dict[str, Any]] = {
            "per_unit": {"unit_amount": price},
            "package": {
                "package_size": to_text(typed["package_size"] or Decimal(0)),
                "package_amount": price,
            },
        }
        shape = shapes.get(typed["model"]) or {"tiers": _tiers(typed["tiers"])}
        bounds = {name: to_text(typed[name]) for name in ("minimum", "maximum") if typed[name] is not None}
        return {
            "code": "calls",
            "model": typed["model"],
            "free_units": to_text(typed["free"] or Decimal(0)),
            **shape,
            **bounds,
        }


def address_of(plans: list[tuple[str, list[Any]]], *, cost_per_call: Decimal | None, currency: str) -> str:
    """Write a query that shows plans, by name and charges, side by side."""
    query = {**EMPTY, "currency": currency}
    if cost_per_call is not None:
        query["cost_per_call"] = to_text(cost_per_call)
    for letter, (name, charges) in zip(LETTERS, plans, strict=False):
        query |= {f"{letter}-name": name, f"{letter}-charges": json.dumps(charges)}
    return urlencode(query)


def _written(text: str) -> Any:
    try:
        return json.loads(text, parse_float=_refuse_float)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("charges", 'is not JSON; numbers are written as texts, such as "0.01"') from error


def _refuse_float(literal: str) -> None:
    raise ValueError(literal)


def _tiers(text: str) -> list[dict[str, Any]]:
    tiers = []
    for line in text.splitlines():
        if line.strip():
            bound, colon, price = line.partition(":")
            unit, _, flat = price.partition("+")
            if not colon:
                raise InvalidInput("tiers", f"{line.strip()!r} has no colon; write 1000: 0.05 or rest: 0.02")
            up_to = None if bound.strip().lower() == "rest" else bound.strip()
            tiers.append(
                {"up_to": up_to, "unit_amount": unit.strip() or "0", "flat_amount": flat.strip() or "0"}
            )
    return tiers
