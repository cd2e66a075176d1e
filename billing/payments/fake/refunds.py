"""Refunds and disputes of the fake."""

from typing import Any

from billing.payments.fake import balance
from billing.payments.fake.world import Refusal, World


def create(world: World, asked: dict[str, Any]) -> dict[str, Any]:
    """Give back what a PaymentIntent took, in part or in full."""
    intent = world.get("payment_intent", asked["payment_intent"])
    if intent["status"] != "succeeded":
        raise Refusal(
            400, "charge_not_refundable", "This PaymentIntent does not have a successful charge to refund."
        )
    charge = world.get("charge", intent["latest_charge"])
    left = charge["amount"] - charge["amount_refunded"]
    amount = int(asked.get("amount") or left)
    if not left:
        raise Refusal(400, "charge_already_refunded", f"Charge {charge['id']} has already been refunded.")
    if amount > left:
        raise Refusal(
            400,
            "amount_too_large",
            "Refund amount is greater than unrefunded amount on charge.",
            param="amount",
        )
    return _made(world, asked, charge, amount)


def _made(world: World, asked: dict[str, Any], charge: dict[str, Any], amount: int) -> dict[str, Any]:
    facts = {"amount": amount, "currency": charge["currency"], "charge": charge["id"], "status": "succeeded"}
    facts |= {"payment_intent": charge["payment_intent"], "metadata": asked.get("metadata", {})}
    made = world.make("refund", "re", facts | {"failure_reason": None}, parent=charge["id"])
    moved = balance.enter(world, "refund", made["id"], -amount, charge["currency"], text="Refund")
    world.save(made, balance_transaction=moved["id"])
    refunded = charge["amount_refunded"] + amount
    world.save(charge, amount_refunded=refunded, refunded=refunded == charge["amount"])
    world.tell("refund.created", made)
    world.tell("charge.refunded", charge)
    return made


def of_intent(world: World, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """List what was given back of a PaymentIntent, newest first."""
    return [one for one in world.listed("refund") if one["payment_intent"] == asked.get("payment_intent")]


def come_back(world: World, refund_id: str) -> None:
    """Let the payer's bank send a refund back, days after it seemed done."""
    refund = world.get("refund", refund_id)
    charge = world.get("charge", refund["charge"])
    if refund["status"] != "succeeded" or charge.get("_behavior") != "refund_fails":
        return
    moved = balance.enter(
        world, "refund_failure", refund["id"], refund["amount"], refund["currency"], text="Refund failure"
    )
    world.save(
        refund, status="failed", failure_reason="lost_or_stolen_card", failure_balance_transaction=moved["id"]
    )
    world.save(charge, amount_refunded=charge["amount_refunded"] - refund["amount"], refunded=False)
    world.tell("refund.failed", refund)


def answer_dispute(world: World, asked: dict[str, Any], dispute_id: str) -> dict[str, Any]:
    """Take evidence. As in Stripe's test mode, `winning_evidence` and `losing_evidence` decide at once."""
    dispute = _open(world, dispute_id)
    text = str((asked.get("evidence") or {}).get("uncategorized_text", ""))
    world.save(dispute, evidence={"uncategorized_text": text})
    if asked.get("submit") == "true":
        world.save(dispute, status="under_review")
        world.tell("charge.dispute.updated", dispute)
        if "winning_evidence" in text:
            decide(world, dispute["id"], is_won=True)
        elif "losing_evidence" in text:
            decide(world, dispute["id"], is_won=False)
    return world.get("dispute", dispute_id)


def close_dispute(world: World, asked: dict[str, Any], dispute_id: str) -> dict[str, Any]:
    """Accept that the money is gone."""
    _open(world, dispute_id)
    return decide(world, dispute_id, is_won=False)


def _open(world: World, dispute_id: str) -> dict[str, Any]:
    dispute = world.get("dispute", dispute_id)
    if dispute["status"] != "needs_response":
        raise Refusal(400, "dispute_unexpected_state", "This dispute takes no evidence any more.")
    return dispute


def decide(world: World, dispute_id: str, *, is_won: bool) -> dict[str, Any]:
    """Let the bank decide; what is won comes back, the fee does not."""
    dispute = world.get("dispute", dispute_id)
    if dispute["status"] in ("won", "lost"):
        return dispute
    world.save(dispute, status="won" if is_won else "lost")
    if is_won:
        moved = balance.enter(
            world, "adjustment", dispute["id"], dispute["amount"], dispute["currency"],
            text=f"Chargeback reversal for {dispute['charge']}",
        )  # fmt: skip
        world.save(dispute, balance_transactions=[*dispute["balance_transactions"], moved])
        world.tell("charge.dispute.funds_reinstated", dispute)
    world.tell("charge.dispute.closed", dispute)
    return dispute


def disputes(world: World, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """List disputes, newest first."""
    return world.listed("dispute")
