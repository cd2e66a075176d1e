"""A payer from outside pays by card, once in vain, and disputes it; a team of creators can be paid."""

from datetime import timedelta

from billing.models import FakeObject, Invoice, PaymentMethod
from billing.payments import accounts, attempts, balance, customers, events, methods, webhooks
from billing.payments.fake import accounts as fake_accounts
from billing.payments.fake.transport import FakeTransport
from billing.payments.fake.world import FAKE_SECRET
from billing.payments.processor import Processor, of_fake
from marketplace.accounts.access import Actor, actor_for
from marketplace.config.demo.people import Cast
from marketplace.config.demo.timeline import Timeline

PAYER = "greta.vogt@blueharbor.example"
TOP_UP_MINOR = 500_000


def tell(cast: Cast, timeline: Timeline) -> None:
    """Let the fake play what happened, and hear what it told."""
    fake = FakeTransport(clock=lambda: timeline.at - timedelta(hours=2))
    processor = of_fake(fake, webhook_secret=FAKE_SECRET)
    payer = actor_for(cast.people[PAYER])
    invoice = Invoice.objects.filter(kind="invoice", organization__slug="blue-harbor").earliest("number")
    for token in ("pm_card_visa_chargeDeclinedInsufficientFunds", "pm_card_createDispute"):
        method = _card(invoice, token, processor, timeline)
        _pay(invoice, method, payer, processor, timeline)
    _card(invoice, "pm_card_mastercard", processor, timeline)
    _be_ready(cast, fake, processor, timeline)
    key = "demo-top-up"
    processor.write("topups.create", key=key, amount=TOP_UP_MINOR, currency=invoice.currency.lower())
    for row in FakeObject.objects.filter(kind="event").order_by("number"):
        events.read(webhooks.keep(row.body, at=timeline.at), processor=processor, at=timeline.at)
    balance.sync(processor=processor, at=timeline.at)


def _card(invoice: Invoice, token: str, processor: Processor, timeline: Timeline) -> PaymentMethod:
    customer = customers.customer_of(invoice.organization, at=timeline.ago(20))
    known = customers.known(customer, processor=processor)
    added = processor.write("payment_methods.attach", token, key=f"demo-{token}", customer=known)
    return methods.keep(customer, added["id"], processor=processor, at=timeline.ago(20))


def _pay(
    invoice: Invoice, method: PaymentMethod, by: Actor, processor: Processor, timeline: Timeline
) -> None:
    at = timeline.at - timedelta(hours=2)
    attempt = attempts.begin(invoice, customer=method.customer, method=method, by=by, at=at)
    attempts.carry_out(attempt, processor=processor, at=at)


def _be_ready(cast: Cast, fake: FakeTransport, processor: Processor, timeline: Timeline) -> None:
    by = actor_for(cast.person("creator"))
    account = accounts.open_account(cast.teams["team-ux"], country="US", by=by, at=timeline.ago(30))
    fake_accounts.tell_all(fake.world(), accounts.known(account, processor=processor), is_complete=True)
    accounts.refresh(account, processor=processor, at=timeline.ago(30))
