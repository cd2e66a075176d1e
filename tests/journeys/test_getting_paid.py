"""An invoice that is not paid, on a moving clock: reminders, calls that are refused, a part, the rest, calls again."""

from collections.abc import Iterator
from datetime import UTC, datetime

import openai
import pytest

from billing import dunning, dunning_policies, overdue, settling
from billing.dunning_policies import StepTerms
from billing.ledger.verify import verify
from billing.models import DunningNotice, Invoice
from marketplace.accounts.access import actor_for
from marketplace.accounts.models import Organization
from marketplace.core.models import Notice
from tests.billing.test_close import FEE, close
from tests.billing.usage import use
from tests.conftest import Cast
from tests.factories import make_plan
from tests.gateway.conftest import demo_provider as demo_provider
from tests.gateway.live import World, make_models, make_world, running_application
from tests.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
MESSAGES = [{"role": "user", "content": "Summarize: The quick brown fox."}]


@pytest.fixture
def world(transactional_db: None, cast: Cast, demo_provider: str) -> Iterator[World]:
    make_models(demo_provider)
    with running_application() as url:
        yield make_world(cast, url)


def call(world: World) -> int:
    """Call for real; returns the status, with the words of a refusal printed by whoever fails."""
    client = openai.OpenAI(base_url=f"{world.url}/v1", api_key=world.sub_key, max_retries=0)
    try:
        client.chat.completions.create(model="auto", messages=MESSAGES)
    except openai.APIStatusError as error:
        assert error.body["code"] == "payment_required"
        assert "Ask your finance to pay it under /bills/INV-2026-000001/" in error.body["message"]
        return error.status_code
    return 200


def test_from_an_overdue_invoice_to_calls_again(world: World, cast: Cast) -> None:
    Organization.objects.filter(pk=cast.company.pk).update(billing="invoice")
    plan = make_plan(world.subscription.app, charges=[FEE])
    world.subscription.plan = plan
    world.subscription.save()
    finance = actor_for(cast.finance)
    steps = (StepTerms(3, "friendly"), StepTerms(10, "final", fee_minor=500), StepTerms(17, "stop"))
    began = datetime(2026, 11, 1, tzinfo=UTC)
    dunning_policies.introduce(steps=steps, starts_at=began, currency="USD", by=finance, at=began)

    # October is billed on 2 November: 50.00, due on 2 December.
    use(world.subscription, requests=1, cost="0")
    (invoice,) = close()
    assert (invoice.kind, invoice.total_minor) == ("invoice", 5_000)

    # 5 and 12 December: two reminders, the second with a fee. Calls go on.
    for day in (2, 5, 12):
        overdue.mark_overdue(at=datetime(2026, 12, day, 9, tzinfo=UTC))
        dunning.run(at=datetime(2026, 12, day, 9, tzinfo=UTC))
    assert DunningNotice.objects.count() == 2
    assert Notice.objects.filter(
        recipient=cast.finance, text__contains="will be stopped on 21 December 2026"
    ).exists()
    assert call(world) == 200

    # 19 December is a Saturday; on Monday calls are refused, and nothing is charged for that.
    dunning.run(at=datetime(2026, 12, 19, 9, tzinfo=UTC))
    assert call(world) == 200
    monday = datetime(2026, 12, 21, 9, tzinfo=UTC)
    dunning.run(at=monday)
    assert call(world) == 402

    # A part does not help; the rest does, at once, and the fee is paid by what is over.
    def pay(amount_minor: int, reference: str) -> None:
        settling.record_payment(
            invoice,
            amount_minor=amount_minor,
            reference=reference,
            received_date=monday.date(),
            by=finance,
            at=monday,
        )

    pay(2_000, "R-1")
    assert call(world) == 402
    pay(3_500, "R-2")
    wait_until(lambda: call(world) == 200)

    invoice.refresh_from_db()
    assert invoice.state == Invoice.State.PAID
    assert all(verdict.is_ok for verdict in verify() if "books" in verdict.name.lower())
