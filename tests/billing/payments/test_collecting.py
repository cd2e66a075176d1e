from collections.abc import Callable

import pytest

from billing.models import Invoice, PaymentAttempt
from billing.payments import automatic, collecting, customers, methods
from billing.payments.customers import customer_of
from billing.payments.fake.transport import FakeTransport, Fault
from billing.payments.processor import Processor, ProcessorAway
from marketplace.accounts.access import Actor, actor_for
from marketplace.core.errors import NotAllowed
from marketplace.core.models import Job, Notice
from tests.billing.payments.conftest import AT, AUTHENTICATES, DECLINES, VISA, Cards
from tests.billing.test_close import FEE, close, subscribe
from tests.billing.usage import use
from tests.conftest import Cast


def agree(invoice: Invoice, payer: Actor, is_automatic: bool = True) -> None:
    customers.agree(customer_of(invoice.organization, at=AT), is_automatic=is_automatic, by=payer, at=AT)


class TestAgreement:
    def test_needs_a_way_to_pay_and_who_pays(
        self, cast: Cast, invoice: Invoice, payer: Actor, processor: Processor, cards: Callable[..., Cards]
    ) -> None:
        with pytest.raises(customers.NothingToCollectFrom):
            agree(invoice, payer)
        cards(processor).add(invoice.organization)

        with pytest.raises(NotAllowed):
            agree(invoice, actor_for(cast.finance))
        agree(invoice, payer)

        assert automatic.is_automatic(invoice.organization_id)

    def test_ends_with_the_last_way_to_pay(
        self, invoice: Invoice, payer: Actor, processor: Processor, cards: Callable[..., Cards]
    ) -> None:
        first, second = (cards(processor).add(invoice.organization, token) for token in (VISA, DECLINES))
        agree(invoice, payer)

        methods.remove(first, processor=processor, by=payer, at=AT)
        second.refresh_from_db()
        assert (second.is_default, automatic.is_automatic(invoice.organization_id)) == (True, True)
        methods.remove(second, processor=processor, by=payer, at=AT)

        assert not automatic.is_automatic(invoice.organization_id)


class TestCollect:
    def test_is_queued_when_an_invoice_is_issued(
        self, cast: Cast, payer: Actor, processor: Processor, cards: Callable[..., Cards]
    ) -> None:
        organization = cast.stranger_team.organization
        cards(processor).add(organization)
        customers.agree(customer_of(organization, at=AT), is_automatic=True, by=payer, at=AT)
        use(subscribe(cast, [FEE], team=cast.stranger_team), requests=1, cost="0")

        (invoice,) = close()

        assert Job.objects.get(name="billing.collect_invoice").arguments == {"invoice_id": str(invoice.pk)}

    def test_takes_it_once_however_often_it_is_tried(
        self,
        invoice: Invoice,
        payer: Actor,
        fake: FakeTransport,
        processor: Processor,
        cards: Callable[..., Cards],
    ) -> None:
        cards(processor).add(invoice.organization)
        agree(invoice, payer)
        fake.faults.append(Fault("timeout", "payment_intents", is_after=True))

        with pytest.raises(ProcessorAway):
            collecting.collect(invoice, processor=processor, at=AT)
        for _ in range(2):
            collecting.collect(invoice, processor=processor, at=AT)

        assert PaymentAttempt.objects.get().state == "succeeded"
        assert len(fake.world().listed("charge")) == 1

    @pytest.mark.parametrize(
        ("token", "code"), [(DECLINES, "generic_decline"), (AUTHENTICATES, "authentication_required")]
    )
    def test_that_fails_tells_who_pays(
        self,
        invoice: Invoice,
        payer: Actor,
        processor: Processor,
        cards: Callable[..., Cards],
        token: str,
        code: str,
    ) -> None:
        cards(processor).add(invoice.organization, token)
        agree(invoice, payer)

        attempt = collecting.collect(invoice, processor=processor, at=AT)

        assert attempt is not None
        assert (attempt.state, attempt.failure_code) == ("failed", code)
        assert Notice.objects.filter(recipient=payer.user, path=f"/bills/{invoice.number}/pay/").count() == 1

    def test_leaves_alone_who_did_not_agree(
        self, invoice: Invoice, processor: Processor, cards: Callable[..., Cards]
    ) -> None:
        cards(processor).add(invoice.organization)

        assert collecting.collect(invoice, processor=processor, at=AT) is None
        assert not automatic.request_collection(invoice, at=AT)
