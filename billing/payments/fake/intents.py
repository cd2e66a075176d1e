"""PaymentIntents and charges of the fake: what becomes of a payment is decided by the card."""

from typing import Any

from billing.payments.fake import balance
from billing.payments.fake.cards import MESSAGES
from billing.payments.fake.world import Refusal, World
from marketplace.core.money import minor_exponent

ENDED = ("succeeded", "canceled")
EVIDENCE_TIME = 9 * 24 * 3600
DISPUTE_FEE = 1_500


def create(world: World, asked: dict[str, Any]) -> dict[str, Any]:
    """Make a PaymentIntent and confirm it when asked to. A decline is an error that carries the intent."""
    amount, currency = int(asked["amount"]), asked["currency"].upper()
    if amount < 1:
        raise Refusal(
            400, "parameter_invalid_integer", "This value must be greater than or equal to 1.", param="amount"
        )
    minor_exponent(currency)
    method_id = asked.get("payment_method")
    if method_id and world.get("payment_method", method_id)["customer"] != asked.get("customer"):
        raise Refusal(
            400, "payment_method_unexpected_state", "The PaymentMethod does not belong to the customer.",
            param="payment_method",
        )  # fmt: skip
    intent = begin(world, asked)
    if asked.get("confirm") == "true":
        confirm(world, intent, method_id, is_off_session=asked.get("off_session") == "true")
    return intent


def begin(world: World, asked: dict[str, Any]) -> dict[str, Any]:
    """Make a PaymentIntent that waits for a way to pay."""
    intent = world.make(
        "payment_intent",
        "pi",
        {
            "amount": int(asked["amount"]),
            "currency": asked["currency"],
            "customer": asked.get("customer"),
            "description": asked.get("description"),
            "metadata": asked.get("metadata", {}),
            "payment_method": None,
            "status": "requires_payment_method",
            "latest_charge": None,
            "last_payment_error": None,
            "next_action": None,
            "_return_url": asked.get("return_url", ""),
        },
        parent=asked.get("customer") or "",
    )
    world.tell("payment_intent.created", intent)
    return intent


def confirm(world: World, intent: dict[str, Any], method_id: str | None, *, is_off_session: bool) -> None:
    """Let the bank decide, as its card would have it. Raises Refusal of type card_error."""
    method = world.get("payment_method", str(method_id))
    world.save(intent, payment_method=method["id"], _kind=method["type"], _behavior=method["_behavior"])
    behavior = method["_behavior"]
    if behavior == "authenticate":
        if is_off_session:
            decline(world, intent, "authentication_required")
        _ask_bank(world, intent)
    elif method["type"] == "sepa_debit":
        world.save(intent, status="processing", next_action=None)
        world.tell("payment_intent.processing", intent)
    elif behavior in MESSAGES:
        decline(world, intent, behavior)
    else:
        succeed(world, intent)


def _ask_bank(world: World, intent: dict[str, Any]) -> None:
    url = f"/payments/fake/bank/{intent['id']}/"
    action = {
        "type": "redirect_to_url",
        "redirect_to_url": {"url": url, "return_url": intent["_return_url"]},
    }
    world.save(intent, status="requires_action", next_action=action)
    world.tell("payment_intent.requires_action", intent)


def fail(world: World, intent: dict[str, Any], reason: str) -> dict[str, Any]:
    """Note down that the bank did not let it through, and return the error."""
    code = reason if reason == "authentication_required" else "card_declined"
    error = {"type": "card_error", "code": code, "decline_code": reason, "message": MESSAGES[reason]}
    world.save(intent, status="requires_payment_method", last_payment_error=error, next_action=None)
    world.tell("payment_intent.payment_failed", intent)
    return error


def decline(world: World, intent: dict[str, Any], reason: str) -> None:
    """Refuse a payment as a bank does."""
    error = fail(world, intent, reason)
    raise Refusal(
        402,
        error["code"],
        error["message"],
        kind="card_error",
        decline_code=reason,
        payment_intent=dict(intent),
    )


def succeed(world: World, intent: dict[str, Any]) -> None:
    """Take the money: a charge, its movement with the fee, and a dispute when the card is one of those."""
    amount, currency, kind = intent["amount"], intent["currency"], intent.get("_kind", "card")
    facts = {
        "amount": amount,
        "currency": currency,
        "amount_refunded": 0,
        "status": "succeeded",
        "paid": True,
    }
    facts |= {
        "payment_intent": intent["id"],
        "customer": intent["customer"],
        "refunded": False,
        "disputed": False,
    }
    charge = world.make(
        "charge", "py" if kind == "sepa_debit" else "ch", facts | {"_behavior": intent.get("_behavior")}
    )
    moved = balance.enter(
        world, "payment" if kind == "sepa_debit" else "charge", charge["id"], amount, currency,
        fee=balance.fee_of(amount, kind), after=balance.TWO_DAYS, text=intent["description"] or "",
    )  # fmt: skip
    world.save(charge, balance_transaction=moved["id"])
    world.save(
        intent,
        status="succeeded",
        latest_charge=charge["id"],
        last_payment_error=None,
        next_action=None,
        amount_received=amount,
    )
    world.tell("charge.succeeded", charge)
    world.tell("payment_intent.succeeded", intent)
    if intent.get("_behavior") == "dispute":
        dispute(world, charge)


def dispute(world: World, charge: dict[str, Any]) -> dict[str, Any]:
    """Let the payer say that it was not them: the money and a fee are taken from us."""
    facts = {"amount": charge["amount"], "currency": charge["currency"], "charge": charge["id"]}
    facts |= {"payment_intent": charge["payment_intent"], "reason": "fraudulent", "status": "needs_response"}
    facts["evidence_details"] = {
        "due_by": world.now + EVIDENCE_TIME,
        "has_evidence": False,
        "submission_count": 0,
    }
    made = world.make("dispute", "dp", {**facts, "balance_transactions": [], "evidence": {}})
    moved = balance.enter(
        world, "adjustment", made["id"], -charge["amount"], charge["currency"], fee=DISPUTE_FEE,
        text=f"Chargeback withdrawal for {charge['id']}",
    )  # fmt: skip
    world.save(made, balance_transactions=[moved])
    world.save(charge, disputed=True)
    world.tell("charge.dispute.created", made)
    world.tell("charge.dispute.funds_withdrawn", made)
    return made


def cancel(world: World, asked: dict[str, Any], intent_id: str) -> dict[str, Any]:
    """Give up a PaymentIntent that has not ended."""
    intent = world.get("payment_intent", intent_id)
    if intent["status"] in (*ENDED, "processing"):
        raise Refusal(
            400,
            "payment_intent_unexpected_state",
            f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}.",
        )
    world.save(intent, status="canceled", next_action=None)
    world.tell("payment_intent.canceled", intent)
    return intent


def of_customer(world: World, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """List the PaymentIntents of a customer, newest first."""
    return world.listed("payment_intent", parent=asked.get("customer", ""))


def answer_bank(world: World, intent_id: str, *, approves: bool) -> dict[str, Any]:
    """Approve or refuse a payment, as the payer does at the bank; returns the intent."""
    intent = world.get("payment_intent", intent_id)
    if intent["status"] == "requires_action":
        if approves:
            succeed(world, intent)
        else:
            fail(world, intent, "authentication_required")
    return intent


def advance(world: World, intent_id: str) -> None:
    """Let the bank's answer to a debit come in."""
    intent = world.get("payment_intent", intent_id)
    if intent["status"] != "processing":
        return
    if intent["_behavior"] == "debit_fails":
        fail(world, intent, "debit_not_authorized")
    else:
        succeed(world, intent)
