"""Checkout sessions of the fake: pages on which somebody adds a way to pay, or pays."""

from typing import Any

from billing.payments.fake import customers, intents
from billing.payments.fake.cards import TestCard
from billing.payments.fake.world import Refusal, World


def create(world: World, asked: dict[str, Any]) -> dict[str, Any]:
    """Open a session, to add a way to pay (mode setup) or to pay (mode payment)."""
    world.get("customer", asked["customer"])
    facts = {
        "mode": asked["mode"],
        "customer": asked["customer"],
        "status": "open",
        "success_url": asked["success_url"],
        "cancel_url": asked.get("cancel_url"),
        "metadata": asked.get("metadata", {}),
        "setup_intent": None,
        "payment_intent": None,
        "payment_status": "no_payment_required" if asked["mode"] == "setup" else "unpaid",
        "_asked": asked,
    }
    made = world.make("checkout.session", "cs_test", facts)
    return world.save(made, url=f"/payments/fake/checkout/{made['id']}/")


def expire(world: World, asked: dict[str, Any], session_id: str) -> dict[str, Any]:
    """End a session that nobody has completed."""
    session = world.get("checkout.session", session_id)
    if session["status"] != "open":
        raise Refusal(400, "resource_missing", "Only Checkout Sessions with a status of open can be expired.")
    world.save(session, status="expired", url=None)
    world.tell("checkout.session.expired", session)
    return session


def complete(world: World, session_id: str, card: TestCard) -> dict[str, Any]:
    """Do what somebody does on the page: give a card. Raises Refusal of type card_error; the session stays open then."""
    session = world.get("checkout.session", session_id)
    if session["status"] != "open":
        return session
    if session["mode"] == "setup":
        return _set_up(world, session, card)
    return _pay(world, session, card)


def _set_up(world: World, session: dict[str, Any], card: TestCard) -> dict[str, Any]:
    method = customers.add(world, session["customer"], card)
    setup = world.make(
        "setup_intent", "seti",
        {"status": "succeeded", "customer": session["customer"], "payment_method": method["id"], "usage": "off_session"},
    )  # fmt: skip
    world.save(session, status="complete", setup_intent=setup["id"], url=None)
    world.tell("setup_intent.succeeded", setup)
    world.tell("checkout.session.completed", session)
    return session


def _pay(world: World, session: dict[str, Any], card: TestCard) -> dict[str, Any]:
    intent = _intent_of(world, session)
    method = customers.add(world, session["customer"], card)
    intents.confirm(world, intent, method["id"], is_off_session=False)
    is_paid = intent["status"] == "succeeded"
    world.save(session, status="complete", payment_status="paid" if is_paid else "unpaid", url=None)
    world.tell("checkout.session.completed", session)
    return session


def _intent_of(world: World, session: dict[str, Any]) -> dict[str, Any]:
    if session["payment_intent"]:
        return world.get("payment_intent", session["payment_intent"])
    asked = session["_asked"]
    (item,) = asked["line_items"]
    facts = {
        "amount": item["price_data"]["unit_amount"],
        "currency": item["price_data"]["currency"],
        "customer": session["customer"],
        "return_url": session["success_url"],
        **asked.get("payment_intent_data", {}),
    }
    intent = intents.begin(world, facts)
    world.save(session, payment_intent=intent["id"])
    return intent
