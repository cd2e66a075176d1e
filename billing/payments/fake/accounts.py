"""Connected accounts of the fake, and money that goes to them."""

from typing import Any

from billing.payments.fake import balance
from billing.payments.fake.world import Refusal, World

WANTED = ["business_profile.url", "external_account", "representative.dob", "tos_acceptance.date"]


def create(world: World, asked: dict[str, Any]) -> dict[str, Any]:
    """Make an account that knows nothing yet."""
    facts = {
        "country": asked.get("country", "US"),
        "business_profile": asked.get("business_profile", {}),
        "metadata": asked.get("metadata", {}),
        "details_submitted": False,
        "charges_enabled": False,
        "payouts_enabled": False,
        "capabilities": {"transfers": "inactive"},
        "requirements": {"currently_due": WANTED, "past_due": [], "disabled_reason": "requirements.past_due"},
    }
    return world.make("account", "acct", facts)


def link(world: World, asked: dict[str, Any]) -> dict[str, Any]:
    """Give a page on which the account's owner tells what is missing; it is good for once."""
    world.get("account", asked["account"])
    made = world.make("account_link", "acl", {"_asked": asked})
    return world.save(
        made, expires_at=world.now + 300, url=f"/payments/fake/onboarding/{asked['account']}/{made['id']}/"
    )


def tell_all(world: World, account_id: str, *, is_complete: bool) -> dict[str, Any]:
    """Do what the owner does on that page: tell everything, or leave the bank account out."""
    account = world.get("account", account_id)
    missing = [] if is_complete else ["external_account"]
    world.save(
        account,
        details_submitted=True,
        charges_enabled=is_complete,
        payouts_enabled=is_complete,
        capabilities={"transfers": "active" if is_complete else "inactive"},
        requirements={
            "currently_due": missing,
            "past_due": missing,
            "disabled_reason": "requirements.past_due" if missing else None,
        },
    )
    world.tell("account.updated", account)
    return account


def transfer(world: World, asked: dict[str, Any]) -> dict[str, Any]:
    """Send money from our balance to an account that may receive it."""
    amount, currency = int(asked["amount"]), asked["currency"]
    account = world.get("account", asked["destination"])
    if account["capabilities"]["transfers"] != "active":
        raise Refusal(
            400, "insufficient_capabilities_for_transfer",
            "Your destination account needs to have at least one of the following capabilities enabled: transfers.",
        )  # fmt: skip
    if amount > balance.available(world, currency):
        raise Refusal(
            400, "balance_insufficient", "You have insufficient available funds in your Stripe account."
        )
    facts = {"amount": amount, "currency": currency, "destination": account["id"], "amount_reversed": 0}
    facts |= {
        "description": asked.get("description"),
        "metadata": asked.get("metadata", {}),
        "reversed": False,
    }
    made = world.make("transfer", "tr", facts, parent=account["id"])
    balance.enter(world, "transfer", made["id"], -amount, currency, text=asked.get("description") or "")
    world.tell("transfer.created", made)
    return made


def transfers(world: World, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """List transfers to an account, newest first."""
    return world.listed("transfer", parent=asked.get("destination", ""))


def reverse(world: World, asked: dict[str, Any], transfer_id: str) -> dict[str, Any]:
    """Take back what a transfer sent, in part or in full."""
    sent = world.get("transfer", transfer_id)
    left = sent["amount"] - sent["amount_reversed"]
    amount = int(asked.get("amount") or left)
    if not 0 < amount <= left:
        raise Refusal(
            400, "amount_too_large", "The reversal amount is greater than what is left of the transfer."
        )
    made = world.make(
        "transfer_reversal", "trr",
        {"amount": amount, "currency": sent["currency"], "transfer": sent["id"], "metadata": asked.get("metadata", {})},
        parent=sent["id"],
    )  # fmt: skip
    balance.enter(
        world, "transfer_refund", made["id"], amount, sent["currency"], text=f"Reversal of {sent['id']}"
    )
    reversed_ = sent["amount_reversed"] + amount
    world.save(sent, amount_reversed=reversed_, reversed=reversed_ == sent["amount"])
    world.tell("transfer.reversed", sent)
    return made
