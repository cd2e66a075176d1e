"""The fake's own account of money: every movement with its fee, what is there, top-ups and payouts to the bank."""

from typing import Any

from billing.payments.fake.world import Refusal, World

TWO_DAYS = 2 * 24 * 3600


def enter(
    world: World, kind: str, source: str, amount: int, currency: str, *, fee: int = 0, after: int = 0, text: str = ""
) -> dict[str, Any]:  # fmt: skip
    """Write a movement down; the amount is what it does to our balance before its fee."""
    return world.make(
        "balance_transaction",
        "txn",
        {
            "type": kind,
            "source": source,
            "amount": amount,
            "fee": fee,
            "net": amount - fee,
            "currency": currency,
            "available_on": world.now + after,
            "description": text,
            "reporting_category": kind,
            "status": "pending" if after else "available",
        },
        parent=source,
    )


def fee_of(amount: int, kind: str) -> int:
    """Work out what a payment costs: 2.9 % and 30 by card, 0.8 % and at most 500 by debit."""
    return min((amount * 8 + 500) // 1000, 500) if kind == "sepa_debit" else (amount * 29 + 500) // 1000 + 30


def balance(world: World, asked: dict[str, Any]) -> dict[str, Any]:
    """Sum what is there, by currency, apart from what is still on its way."""
    sums: dict[str, dict[str, int]] = {"available": {}, "pending": {}}
    for one in world.listed("balance_transaction"):
        of = sums["available" if one["available_on"] <= world.now else "pending"]
        of[one["currency"]] = of.get(one["currency"], 0) + one["net"]
    parts = {
        name: [{"currency": currency, "amount": amount} for currency, amount in sorted(of.items())]
        for name, of in sums.items()
    }
    return {"object": "balance", "livemode": False, **parts}


def available(world: World, currency: str) -> int:
    """Return what can be sent on now."""
    found = balance(world, {})["available"]
    return sum(one["amount"] for one in found if one["currency"] == currency)


def transactions(world: World, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """List movements, newest first."""
    return _since(world.listed("balance_transaction", parent=asked.get("source", "")), asked)


def events(world: World, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """List what was told, newest first."""
    return _since(world.listed("event"), asked)


def _since(found: list[dict[str, Any]], asked: dict[str, Any]) -> list[dict[str, Any]]:
    first = int((asked.get("created") or {}).get("gte", 0))
    return [one for one in found if one["created"] >= first]


def top_up(world: World, asked: dict[str, Any]) -> dict[str, Any]:
    """Bring money from our bank."""
    amount, currency = int(asked["amount"]), asked["currency"]
    made = world.make(
        "topup",
        "tu",
        {
            "amount": amount,
            "currency": currency,
            "status": "succeeded",
            "metadata": asked.get("metadata", {}),
        },
    )
    enter(world, "topup", made["id"], amount, currency, text="Top-up")
    world.tell("topup.succeeded", made)
    return made


def pay_out(world: World, asked: dict[str, Any]) -> dict[str, Any]:
    """Send money to our bank."""
    amount, currency = int(asked["amount"]), asked["currency"]
    if amount > available(world, currency):
        raise Refusal(400, "balance_insufficient", "You have insufficient funds in your Stripe account.")
    made = world.make("payout", "po", {"amount": amount, "currency": currency, "status": "paid"})
    enter(world, "payout", made["id"], -amount, currency, text="STRIPE PAYOUT")
    world.tell("payout.paid", made)
    return made
