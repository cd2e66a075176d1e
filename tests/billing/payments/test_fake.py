import os

import pytest
from django.test import override_settings

from billing.payments.fake.transport import FakeTransport, Fault
from billing.payments.house import NoProcessor, has_processor, house_processor
from billing.payments.processor import Processor, ProcessorAway, ProcessorRefused
from marketplace.config.checks import check_payments

pytestmark = pytest.mark.django_db


class TestIdempotency:
    def test_gives_the_first_answer_again(self, either: Processor) -> None:
        key = f"test-{os.urandom(8).hex()}"

        ids = {either.write("customers.create", key=key, name="A")["id"] for _ in range(3)}

        assert len(ids) == 1

    def test_refuses_a_key_with_other_parameters(self, either: Processor) -> None:
        key = f"test-{os.urandom(8).hex()}"
        either.write("customers.create", key=key, name="A")

        with pytest.raises(ProcessorRefused):
            either.write("customers.create", key=key, name="B")

    def test_remembers_refusals_too(self, fake: FakeTransport, processor: Processor) -> None:
        for _ in range(2):
            with pytest.raises(ProcessorRefused) as refused:
                processor.write("refunds.create", key="k", payment_intent="pi_none")
            assert refused.value.reason == "resource_missing"

        assert fake.world().listed("refund") == []


class TestMissing:
    def test_is_refused_by_name(self, either: Processor) -> None:
        with pytest.raises(ProcessorRefused) as refused:
            either.read("payment_intents.retrieve", "pi_none")

        assert refused.value.reason == "resource_missing"


class TestFault:
    @pytest.mark.parametrize("kind", ["timeout", "reset", "rate_limit", "server_error", "in_use"])
    def test_is_told_apart_from_a_refusal(self, fake: FakeTransport, processor: Processor, kind: str) -> None:
        fake.faults.append(Fault(kind))

        with pytest.raises(ProcessorAway):
            processor.write("customers.create", key="k", name="A")


class TestPages:
    def test_of_lists_come_whole(self, processor: Processor) -> None:
        for place in range(105):
            processor.write("topups.create", key=f"t{place}", amount=100 + place, currency="usd")

        amounts = [line["amount"] for line in processor.pages("balance_transactions.list")]

        assert amounts == list(range(204, 99, -1))


class TestHouse:
    def test_takes_no_cards_without_a_key_and_a_demo(self) -> None:
        with override_settings(DEMO=False, STRIPE_SECRET_KEY=""):
            assert not has_processor()
            with pytest.raises(NoProcessor):
                house_processor()

    def test_is_the_fake_in_the_demo_and_stripe_with_a_key(self) -> None:
        with override_settings(DEMO=True, STRIPE_SECRET_KEY=""):
            assert house_processor().is_fake
        with override_settings(DEMO=False, STRIPE_SECRET_KEY="sk_test_x", STRIPE_WEBHOOK_SECRET="whsec_x"):
            assert not house_processor().is_fake

    @pytest.mark.parametrize(
        ("settings", "ids"),
        [
            ({}, []),
            ({"STRIPE_SECRET_KEY": "pk_test_x", "STRIPE_WEBHOOK_SECRET": "whsec_x"}, ["halfpenny.E020"]),
            ({"STRIPE_SECRET_KEY": "sk_test_x"}, ["halfpenny.E021"]),
            (
                {
                    "STRIPE_SECRET_KEY": "sk_live_x",
                    "STRIPE_WEBHOOK_SECRET": "whsec_x",
                    "STRIPE_LIVE": True,
                    "DEMO": True,
                },
                ["halfpenny.E022"],
            ),
            (
                {"STRIPE_SECRET_KEY": "rk_live_x", "STRIPE_WEBHOOK_SECRET": "whsec_x", "DEMO": False},
                ["halfpenny.E022"],
            ),
        ],
    )
    def test_checks_its_settings(self, settings: dict[str, object], ids: list[str]) -> None:
        with override_settings(
            **{"STRIPE_SECRET_KEY": "", "STRIPE_WEBHOOK_SECRET": "", "STRIPE_LIVE": False, **settings}
        ):
            assert [found.id for found in check_payments(None)] == ids
