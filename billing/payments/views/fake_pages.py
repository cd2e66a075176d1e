"""Pages that stand for Stripe's own and for the bank's, where the fake plays them. No number is typed: cards are chosen."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from billing.models import PaymentAttempt
from billing.payments import queries
from billing.payments.fake import accounts, intents, sessions
from billing.payments.fake.cards import BY_NUMBER, CARDS
from billing.payments.fake.delivering import announcing
from billing.payments.fake.world import Refusal, World
from billing.payments.house import house_processor
from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import NotFound


def _world(what: str, key: str) -> World:
    """Return the fake's world; where Stripe itself is, these pages are not."""
    if not house_processor().is_fake:
        raise NotFound(what, key)
    return announcing().world()


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@transaction.atomic
def checkout(request: PersonRequest, session_id: str) -> HttpResponse:
    """Let somebody choose a test card, to add it or to pay with it."""
    world = _world("page", session_id)
    attempt = queries.own_attempts(request.actor).filter(session_id=session_id).first()
    if attempt is None:
        access.get(queries.setups(request.actor), session_id=session_id)
    error = ""
    if request.method == "POST":
        card = BY_NUMBER.get(request.POST.get("card", ""))
        if card is None:
            error = "Choose one of the cards."
        else:
            try:
                return redirect(_after(world, sessions.complete(world, session_id, card)))
            except Refusal as refusal:
                error = str(refusal)
    context = {
        "session": world.get("checkout.session", session_id),
        "attempt": attempt,
        "cards": CARDS,
        "error": error,
        "chosen": request.POST.get("card", CARDS[0].number),
    }
    return render(request, "billing/payments/fake_checkout.html", context)


def _after(world: World, session: dict[str, Any]) -> str:
    """Return where somebody goes on: the bank, when it wants to be asked, else back to us."""
    if session["payment_intent"]:
        intent = world.get("payment_intent", session["payment_intent"])
        if intent["status"] == "requires_action":
            return str(intent["next_action"]["redirect_to_url"]["url"])
    return str(session["success_url"])


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@transaction.atomic
def bank(request: PersonRequest, intent_id: str) -> HttpResponse:
    """Let somebody approve a payment as their bank would have them."""
    world = _world("page", intent_id)
    attempt = _attempt_at_bank(request, world, intent_id)
    if request.method == "POST":
        intent = intents.answer_bank(world, intent_id, approves="approve" in request.POST)
        return redirect(intent["_return_url"] or "billing:payment-methods")
    return render(request, "billing/payments/fake_bank.html", {"attempt": attempt})


def _attempt_at_bank(request: PersonRequest, world: World, intent_id: str) -> PaymentAttempt:
    # One that was begun on the page above is told to us by an event, perhaps later than its payer comes here.
    own = queries.own_attempts(request.actor)
    found = own.filter(intent_id=intent_id).first()
    if found is not None:
        return found
    try:
        metadata = world.get("payment_intent", intent_id)["metadata"]
    except Refusal:
        raise NotFound("page", intent_id) from None
    return access.get(own, pk=metadata.get("attempt"))


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
@transaction.atomic
def onboarding(request: PersonRequest, account_id: str, link_id: str) -> HttpResponse:
    """Let the owner of a connected account tell who they are, or leave something out."""
    world = _world("page", account_id)
    team = access.get(queries.creator_teams(request.actor), connected_account__account_id=account_id)
    try:
        link = world.get("account_link", link_id)
    except Refusal:
        raise NotFound("page", link_id) from None
    if request.method == "POST":
        accounts.tell_all(world, account_id, is_complete="complete" in request.POST)
        return redirect(link["_asked"]["return_url"])
    return render(request, "billing/payments/fake_onboarding.html", {"team": team})
