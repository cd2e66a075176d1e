"""Numbers that the fake knows, with what they do: a choice of those that Stripe's test mode has."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TestCard:
    """A way to pay that exists in tests only; `token` is Stripe's name of it."""

    number: str
    token: str
    label: str
    behavior: str
    brand: str = "visa"
    kind: str = "card"

    __test__ = False

    @property
    def last4(self) -> str:
        return self.number[-4:]


CARDS = (
    TestCard("4242424242424242", "pm_card_visa", "Pays at once", "pays"),
    TestCard("5555555555554444", "pm_card_mastercard", "Pays at once", "pays", "mastercard"),
    TestCard("4000000000000341", "pm_card_chargeCustomerFail", "Can be added, then declines", "generic_decline"),
    TestCard(
        "4000000000009995", "pm_card_visa_chargeDeclinedInsufficientFunds", "Has not enough money", "insufficient_funds"
    ),
    TestCard("4000002760003184", "pm_card_authenticationRequired", "Wants the bank's approval each time", "authenticate"),
    TestCard("4000000000000259", "pm_card_createDispute", "Pays, and disputes it", "dispute"),
    TestCard("4000000000005126", "pm_card_refundFail", "Pays, and a refund comes back", "refund_fails"),
    TestCard("DE89370400440532013000", "pm_fake_sepa", "SEPA debit, pays after a minute", "pays", "sepa", "sepa_debit"),
    TestCard(
        "DE62370400440532013001", "pm_fake_sepa_fail", "SEPA debit, comes back after a minute", "debit_fails", "sepa",
        "sepa_debit",
    ),
)  # fmt: skip
BY_TOKEN = {card.token: card for card in CARDS}
BY_NUMBER = {card.number: card for card in CARDS}
MESSAGES = {
    "generic_decline": "Your card was declined.",
    "insufficient_funds": "Your card has insufficient funds.",
    "authentication_required": "Your card was declined. This transaction requires authentication.",
    "debit_not_authorized": "The customer's bank account could not be debited.",
}
