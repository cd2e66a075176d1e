"""Customers of the fake, and their ways to pay."""

from typing import Any

from billing.payments.fake.cards import BY_TOKEN, TestCard
from billing.payments.fake.world import Refusal, World


def create(world: World, asked: dict[str, Any]) -> dict[str, Any]:
    """Make a customer."""
    facts = {"name": asked.get("name"), "metadata": asked.get("metadata", {}), "invoice_settings": {}}
    made = world.make("customer", "cus", facts)
    world.tell("customer.created", made)
    return made


def update(world: World, asked: dict[str, Any], customer_id: str) -> dict[str, Any]:
    """Change a customer."""
    return world.save(world.get("customer", customer_id), **asked)


def add(world: World, customer_id: str, card: TestCard) -> dict[str, Any]:
    """Give a customer a way to pay."""
    details: dict[str, Any] = {"brand": card.brand, "last4": card.last4, "exp_month": 12, "exp_year": 2031}
    if card.kind == "sepa_debit":
        details = {"last4": card.last4, "country": "DE", "bank_code": "37040044"}
    made = world.make(
        "payment_method", "pm", {"type": card.kind, card.kind: details, "customer": customer_id, "_behavior": card.behavior},
        parent=customer_id,
    )  # fmt: skip
    world.tell("payment_method.attached", made)
    return made


def attach(world: World, asked: dict[str, Any], token: str) -> dict[str, Any]:
    """Give a customer one of the test cards by its token."""
    world.get("customer", asked["customer"])
    if token not in BY_TOKEN:
        raise Refusal(404, "resource_missing", f"No such PaymentMethod: '{token}'")
    return add(world, asked["customer"], BY_TOKEN[token])


def detach(world: World, asked: dict[str, Any], method_id: str) -> dict[str, Any]:
    """Take a way to pay from its customer; it cannot be used again."""
    method = world.get("payment_method", method_id)
    if method["customer"] is None:
        raise Refusal(
            400, "payment_method_unexpected_state", "The payment method is not attached to a customer."
        )
    world.save(method, customer=None)
    world.tell("payment_method.detached", method)
    return method


def methods(world: World, asked: dict[str, Any], customer_id: str) -> list[dict[str, Any]]:
    """List what a customer pays with."""
    return [one for one in world.listed("payment_method", parent=customer_id) if one["customer"]]
