"""Pages and API of legal entities, taxes and billing profiles, with the stranger."""

from typing import Any

import pytest
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from billing import tax_rates
from billing.einvoice.previewing import troubled
from billing.models import BillingProfile, LegalEntity, TaxRate
from marketplace.accounts.access import actor_for
from marketplace.accounts.models import Organization
from tests import factories
from tests.billing import parties
from tests.billing.test_close import AT, TERMS
from tests.billing.test_document_files import signed_in
from tests.billing.test_parties import billed
from tests.conftest import Cast

ENTITY = {**parties.SELLER, "code": "europe", "number_prefix": ""}
PROFILE = {**parties.BUYER, "emails": "a@b.example\nc@d.example", "language": "de", "what": "profile"}
RATE = {
    "country": "DE",
    "category": "standard",
    "percent": "19",
    "starts_at": "2021-01-01T00:00",
    "reason": "UStG",
}


class TestEntities:
    def test_are_founded_from_the_name_in_the_settings(self, cast: Cast) -> None:
        client = signed_in(cast.finance)
        assert "Halfpenny" in client.get(reverse("billing:entity-new")).content.decode()

        shown = client.post(reverse("billing:entity-new"), ENTITY, follow=True).content.decode()

        assert "Halfpenny Europe GmbH" in shown
        assert LegalEntity.objects.get().is_default

    def test_say_which_number_is_wrong(self, cast: Cast) -> None:
        answer = signed_in(cast.finance).post(
            reverse("billing:entity-new"), {**ENTITY, "iban": "DE89370400440532013001"}
        )

        assert "is not an IBAN" in answer.content.decode()
        assert not LegalEntity.objects.exists()

    def test_change_from_a_moment_on_and_hand_over(self, cast: Cast) -> None:
        parties.set_up_seller(cast)
        client = signed_in(cast.finance)
        other = {**ENTITY, "code": "other", "number_prefix": "X"}
        client.post(reverse("billing:entity-new"), other)

        client.post(reverse("billing:entity", args=["europe"]), {**ENTITY, "name": "Halfpenny SE"})
        client.post(reverse("billing:entity", args=["other"]), {"default": "1"})

        assert LegalEntity.objects.get(code="europe").facts.count() == 2
        assert LegalEntity.objects.get(is_default=True).code == "other"
        assert client.get(reverse("billing:entities")).status_code == 200


class TestTaxes:
    def test_take_two_people_on_their_pages(self, cast: Cast) -> None:
        client = signed_in(cast.finance)
        client.post(reverse("billing:taxes"), RATE)
        rate = TaxRate.objects.get()
        page = reverse("billing:tax-rate", args=[rate.pk])

        own = client.post(page, {"decision": "approve"}).content.decode()
        signed_in(parties.second_of_finance(cast)).post(page, {"decision": "approve"})

        assert "Nobody decides what they proposed" in own
        rate.refresh_from_db()
        assert rate.state == "approved"

    def test_set_the_category_of_an_app(self, cast: Cast) -> None:
        app = factories.make_app(cast.creator_team)

        signed_in(cast.finance).post(reverse("billing:taxes"), {"app": app.pk, "category": "reduced"})

        assert app.tax_category.category == "reduced"


class TestProfiles:
    def test_are_kept_by_finance_of_the_organization(self, cast: Cast) -> None:
        home = cast.stranger_team.organization
        page = reverse("billing:profile", args=[home.slug])

        shown = signed_in(cast.stranger).post(page, PROFILE, follow=True).content.decode()

        assert "c@d.example" in shown
        profile = BillingProfile.objects.get(organization=home)
        assert (profile.emails, profile.language) == (["a@b.example", "c@d.example"], "de")
        # The terms are not theirs to set.
        signed_in(cast.stranger).post(page, {"what": "terms", "payment_days": "180"})
        profile.refresh_from_db()
        assert profile.payment_days is None

    def test_are_hidden_from_strangers(self, cast: Cast) -> None:
        client = signed_in(cast.stranger)

        assert client.get(reverse("billing:profile", args=[cast.company.slug])).status_code == 404
        assert client.get(f"/api/v1/billing-profiles/{cast.company.slug}").status_code == 404
        for name in ("entities", "entity-new", "taxes"):
            assert client.get(reverse(f"billing:{name}")).status_code == 403, name

    def test_show_what_is_missing_and_what_was_agreed(self, cast: Cast) -> None:
        page = reverse("billing:profile", args=[cast.company.slug])
        client = signed_in(cast.finance)

        missing = client.get(page).content.decode()
        client.post(page, {"what": "terms", "payment_days": "14"})
        exemption = {
            "number": "EX-1",
            "reason": "§ 4",
            "starts_date": "2026-01-01",
            "ends_date": "2099-12-31",
        }
        shown = client.post(page, {"what": "exemption", **exemption}, follow=True).content.decode()

        assert "cannot be invoiced electronically" in missing
        assert "The billing profile has no country" in missing
        assert "EX-1" in shown
        assert BillingProfile.objects.get().payment_days == 14

    def test_are_listed_in_few_queries(
        self, cast: Cast, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for _ in range(10):
            parties.buyer(cast)
        client = signed_in(cast.finance)

        with django_assert_max_num_queries(12):
            assert client.get(reverse("billing:profiles")).status_code == 200
        with django_assert_max_num_queries(12):
            assert client.get(reverse("billing:taxes")).status_code == 200


class TestProfileApi:
    def test_shows_and_sets_what_is_given(self, cast: Cast) -> None:
        parties.approve_rate(cast, "DE", "19")
        parties.set_up_seller(cast)
        organization = parties.buyer(cast)
        client: Any = signed_in(cast.finance)
        path = f"/api/v1/billing-profiles/{organization.slug}"

        before = client.get(path).json()
        after = client.patch(
            path, {"country": "FR", "vat_id": parties.FRENCH_VAT_ID}, content_type="application/json"
        ).json()
        wrong = client.patch(path, {"vat_id": "FR00000000000"}, content_type="application/json")

        assert (before["tax_code"], before["tax_country"], before["obstacles"]) == ("", "DE", [])
        assert (after["tax_code"], after["legal_name"]) == ("AE", "Blue Harbor Hotels GmbH")
        assert wrong.status_code == 400
        assert wrong.json()["errors"][0]["field"] == "vat_id"


class TestPreview:
    def test_names_who_cannot_be_invoiced_and_who_is_parked(self, cast: Cast) -> None:
        from billing.drafting import bills_of  # noqa: PLC0415
        from marketplace.core.periods import parse_month  # noqa: PLC0415

        parties.approve_rate(cast, "DE", "19")
        parties.set_up_seller(cast)
        fine, bare, untaxed = (
            parties.buyer(cast, **facts) for facts in ({}, {"city": ""}, {"country": "FR", "vat_id": ""})
        )
        for organization in (fine, bare, untaxed):
            billed(cast, organization)

        found = troubled(
            bills_of(parse_month("2026-10"), default_share=TERMS.default_share), terms=TERMS, at=AT
        )

        assert {one.organization: one.is_parked for one in found} == {bare: False, untaxed: True}
        assert "no city" in next(one.messages[0] for one in found if one.organization == bare)


@pytest.mark.parametrize("decision", ["reject", "withdraw"])
def test_rates_that_are_refused_leave_the_table_as_it_was(cast: Cast, decision: str) -> None:
    signed_in(cast.finance).post(reverse("billing:taxes"), RATE)
    rate = TaxRate.objects.get()
    by = cast.finance if decision == "withdraw" else parties.second_of_finance(cast)

    signed_in(by).post(reverse("billing:tax-rate", args=[rate.pk]), {"decision": decision, "note": "No."})

    rate.refresh_from_db()
    assert rate.state in ("rejected", "withdrawn")
    assert tax_rates.approved_rates().by_place == {}
    assert actor_for(by).user == by
    assert Organization.objects.count() == 2
