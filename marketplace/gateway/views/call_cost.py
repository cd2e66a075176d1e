"""What a call of an app costs at most, while its form is being typed (fragment)."""

from dataclasses import dataclass
from decimal import Decimal

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from marketplace.catalog import prompts
from marketplace.core import epochs
from marketplace.core.errors import InvalidInput
from marketplace.gateway import tokens
from marketplace.gateway.offers import offer_book
from marketplace.gateway.router import Need, price_of
from metering.rating import from_atto

MAX_INPUTS = 12
MAX_OUTPUT = 32_000
# Between a short answer and the longest one allowed; said beside the figure.
USUAL_SHARE = 4


@dataclass(frozen=True)
class CallCost:
    """What one call comes to with one model: with an answer of a quarter of the allowed length, and with all of it."""

    model: str
    usual: Decimal
    most: Decimal


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def call_cost(request: HttpRequest) -> HttpResponse:
    """Work out what a call with the typed example costs with each chosen model, the cheapest first."""
    form = request.POST if request.method == "POST" else request.GET
    try:
        prompt = _prompt(form)
    except InvalidInput as error:
        return render(request, "gateway/_call_cost.html", {"problem": error.errors[0].message})
    longest = form.get("max_output_tokens", "")
    output = min(int(longest), MAX_OUTPUT) if longest.isdecimal() else 0
    context = {
        "costs": costs(prompt, models=form.getlist("allowed_models"), output_tokens=output),
        "input_tokens": tokens.count(prompt),
        "currency": settings.CURRENCY,
    }
    return render(request, "gateway/_call_cost.html", context)


def costs(prompt: str, *, models: list[str], output_tokens: int) -> list[CallCost]:
    """Price a prompt with each model that is offered now."""
    book, read = offer_book.at(epochs.read_epochs()), tokens.count(prompt)
    found: dict[str, CallCost] = {}
    for offer in book.offers(at=timezone.now()):
        if offer.model in models:
            usual, most = (
                from_atto(price_of(offer, Need(offer.model, read, output)))
                for output in (-(-output_tokens // USUAL_SHARE), output_tokens)
            )
            known = found.get(offer.model)
            if known is None or most < known.most:
                found[offer.model] = CallCost(offer.model, usual, most)
    return sorted(found.values(), key=lambda one: (one.most, one.model))


def _prompt(form: QueryDict) -> str:
    """Fill the prompt in with the examples; raises InvalidInput for one that cannot be filled yet."""
    given = {}
    for number in range(MAX_INPUTS):
        name = form.get(f"inputs-{number}-name", "").strip()
        if name and f"inputs-{number}-DELETE" not in form:
            given[name] = form.get(f"inputs-{number}-example", "")
    text = prompts.render(form.get("prompt_template", ""), given)
    return f"{form.get('instructions', '')}\n{text}"
