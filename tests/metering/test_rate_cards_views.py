from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from metering import ingest, proposals
from metering.models import LanguageModel, RateCard, RateProposal
from tests import factories
from tests.conftest import Cast
from tests.metering.test_proposals import PRICES, make_proposal
from tests.metering.usage_world import World, used

CARDS = "/operator/rate-cards/"
TYPED = {name: str(price) for name, price in PRICES.items()} | {"reason": "New list.", "source": "A list."}
PROPOSE = f"{CARDS}propose/?kind=model&subject=llm-8b"


@pytest.fixture
def model(db: None) -> LanguageModel:
    return factories.make_model("llm-8b")


@pytest.fixture
def asked(cast: Cast, model: LanguageModel) -> RateProposal:
    return proposals.propose(make_proposal(), by=actor_for(cast.operator), at=timezone.now())


def page(client: Client, person: User, path: str, **options: Any) -> str:
    client.force_login(person)
    answer = client.get(path, **options)
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()


def post(client: Client, person: User, path: str, **data: Any) -> Any:
    client.force_login(person)
    return client.post(path, data)


class TestRateCards:
    def test_show_prices_in_force_to_come_and_proposed(
        self, cast: Cast, asked: RateProposal, client: Client
    ) -> None:
        factories.make_model("llm-70b", input_price="0.91")
        factories.make_instance_rate("g5.xlarge", price_per_hour="1.006")

        shown = page(client, cast.finance, CARDS)

        assert "$0.91" in shown
        assert "$1.006" in shown
        assert "Yours to decide" in shown
        assert f"{CARDS}proposals/{asked.pk}/" in shown
        assert "unknown_price" in shown

    def test_offer_nobody_else_to_propose(self, cast: Cast, model: LanguageModel, client: Client) -> None:
        assert "/propose/" in page(client, cast.operator, CARDS)
        assert "/propose/" not in page(client, cast.finance, CARDS)

    def test_ask_as_often_for_many_models(
        self, cast: Cast, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for number in range(20):
            factories.make_model(f"llm-{number}")
        client.force_login(cast.operator)

        with django_assert_max_num_queries(16):
            client.get(CARDS)

    @pytest.mark.parametrize("who", ["consumer", "creator", "stranger"])
    @pytest.mark.parametrize(
        "place", ["", "provider-costs/", "propose/", "models/llm-8b/", "instance-types/g5/"]
    )
    def test_are_not_for_others(
        self, cast: Cast, model: LanguageModel, client: Client, who: str, place: str
    ) -> None:
        client.force_login(getattr(cast, who))

        assert client.get(CARDS + place).status_code in (403, 404)

    def test_have_no_page_of_what_is_not_there(self, cast: Cast, client: Client) -> None:
        client.force_login(cast.operator)

        assert client.get(f"{CARDS}models/nothing/").status_code == 404
        assert client.get(f"{CARDS}instance-types/nothing/").status_code == 404


class TestPropose:
    def test_begins_with_the_price_in_force(self, cast: Cast, model: LanguageModel, client: Client) -> None:
        shown = page(client, cast.operator, PROPOSE)

        assert 'value="0.2"' in shown
        assert 'value="0.02"' in shown

    def test_proposes_and_shows_what_it_changes(
        self, cast: Cast, model: LanguageModel, client: Client
    ) -> None:
        answer = post(client, cast.operator, PROPOSE, **TYPED)

        made = RateProposal.objects.get()
        assert answer["Location"] == f"{CARDS}proposals/{made.pk}/"
        assert (made.subject, made.output_per_mtok, made.starts_at) == ("llm-8b", Decimal("1.20"), None)
        assert "You proposed this price" in page(client, cast.operator, answer["Location"])

    def test_previews_without_proposing(self, cast: Cast, world: World, client: Client) -> None:
        lately = timezone.now() - timedelta(hours=3)
        ingest.record([used(world.subscription, "e9", at=lately, input_tokens=10_000_000)], at=lately)

        answer = post(client, cast.operator, PROPOSE, **TYPED, preview="1")

        shown = answer.content.decode()
        assert not RateProposal.objects.exists()
        assert "What it would change" in shown
        assert "Where to eat" in shown
        assert "New list." in shown

    def test_says_at_its_field_what_is_wrong(self, cast: Cast, model: LanguageModel, client: Client) -> None:
        past = f"{timezone.now() - timedelta(days=1):%Y-%m-%dT%H:%M}"

        for button in ({}, {"preview": "1"}):
            answer = post(client, cast.operator, PROPOSE, **TYPED | {"starts_at": past}, **button)

            assert answer.status_code == 200
            assert "A price is in force then." in answer.content.decode()
        assert not RateProposal.objects.exists()

    def test_asks_more_about_a_new_model(self, cast: Cast, client: Client) -> None:
        about = {"model_title": "New LLM", "model_class": "small", "context_tokens": "8192"}

        post(client, cast.operator, f"{CARDS}propose/", subject="new-llm", **TYPED, **about)

        assert RateProposal.objects.get().model_title == "New LLM"


class TestRateProposal:
    def test_is_approved_by_a_second_person(self, cast: Cast, asked: RateProposal, client: Client) -> None:
        path = f"{CARDS}proposals/{asked.pk}/"

        answer = post(client, cast.finance, path, decision="approve", note="Compared.")

        assert answer.status_code == 302
        shown = page(client, cast.operator, path)
        assert "Approved by" in shown
        # What it replaced, and the change: 0.20 to 0.40.
        assert "$0.20" in shown
        assert "100.0\u202f%" in shown
        assert RateCard.objects.get(ends_at=None).input_per_mtok == Decimal("0.40")

    def test_is_not_approved_by_who_proposed(self, cast: Cast, asked: RateProposal, client: Client) -> None:
        path = f"{CARDS}proposals/{asked.pk}/"

        assert 'value="approve"' not in page(client, cast.operator, path)
        assert post(client, cast.operator, path, decision="approve").status_code == 403
        assert RateCard.objects.count() == 1

    def test_is_not_rejected_without_a_reason(self, cast: Cast, asked: RateProposal, client: Client) -> None:
        answer = post(client, cast.finance, f"{CARDS}proposals/{asked.pk}/", decision="reject")

        assert "Give a reason" in answer.content.decode()
        assert RateProposal.objects.get().state == "proposed"

    def test_says_that_somebody_else_was_faster(
        self, cast: Cast, asked: RateProposal, client: Client
    ) -> None:
        path = f"{CARDS}proposals/{asked.pk}/"
        post(client, cast.finance, path, decision="reject", note="No.")

        answer = post(client, cast.finance, path, decision="approve")

        assert answer.status_code == 200
        assert "is rejected and cannot become approved" in answer.content.decode()

    def test_is_taken_back_by_who_proposed(self, cast: Cast, asked: RateProposal, client: Client) -> None:
        post(client, cast.operator, f"{CARDS}proposals/{asked.pk}/", decision="withdraw")

        assert RateProposal.objects.get().state == "withdrawn"

    def test_is_unknown_to_others(self, cast: Cast, asked: RateProposal, client: Client) -> None:
        for person in (cast.consumer, cast.stranger):
            assert (
                post(client, person, f"{CARDS}proposals/{asked.pk}/", decision="approve").status_code == 403
            )


class TestCeiling:
    def test_is_proposed_approved_shown_and_ended(self, cast: Cast, client: Client) -> None:
        tomorrow = f"{timezone.now() + timedelta(days=1):%Y-%m-%dT%H:%M}"
        answer = post(client, cast.operator, f"{CARDS}propose/?kind=ceiling", **TYPED, starts_at=tomorrow)
        post(client, cast.finance, answer["Location"], decision="approve")

        assert "New from" in page(client, cast.operator, CARDS)
        post(client, cast.operator, f"{CARDS}end-ceiling/")

        # It ends before it began.
        card = RateCard.objects.get()
        assert card.ends_at == card.starts_at
        assert "Replaced" in page(client, cast.operator, f"{CARDS}models/unknown-model/")


class TestInstanceRate:
    def test_shows_every_price_it_had(self, cast: Cast, client: Client) -> None:
        factories.make_instance_rate("g5.xlarge", price_per_hour="1.006")
        none = dict.fromkeys(PRICES)
        wanted = make_proposal("g5.xlarge", kind="instance_type", price_per_hour=Decimal("0.907"), **none)
        asked = proposals.propose(wanted, by=actor_for(cast.operator), at=timezone.now())
        proposals.approve(asked, by=actor_for(cast.finance), at=timezone.now())

        shown = page(client, cast.operator, f"{CARDS}instance-types/g5.xlarge/")

        assert "$1.006" in shown
        assert "$0.907" in shown
        assert "To come" in shown
