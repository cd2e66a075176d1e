from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from billing import billing_profiles, legal_entities, tax_rates
from billing.credit_asks import Ask
from billing.credit_notes import propose
from billing.models import Invoice, TaxRate
from billing.tax_treatment import NoTaxRate
from marketplace.accounts.access import actor_for
from marketplace.accounts.models import Organization
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.models import AuditEntry
from marketplace.core.proposing import OwnProposal
from tests import factories
from tests.billing import parties
from tests.billing.test_close import AT, COST, DECEMBER, FEE, TERMS, accounts, close, subscribe
from tests.billing.usage import use
from tests.conftest import Cast


def billed(cast: Cast, organization: Organization, *, charges: list[Any] | None = None) -> None:
    """Subscribe a team of an organization: a fee of 50.00, and 12.35 x 1.3 = 16.055, which is 16.06."""
    team = factories.make_team(organization)
    subscription = subscribe(cast, charges or [FEE, COST], team=team, cost_center=team.cost_center)
    use(subscription, requests=10, cost="12.35")


@pytest.fixture
def seller(cast: Cast) -> Any:
    parties.approve_rate(cast, "DE", "19")
    return parties.set_up_seller(cast)


class TestFreeze:
    def test_taxes_the_sum_of_lines_once(self, cast: Cast, seller: Any) -> None:
        billed(cast, parties.buyer(cast))

        (invoice,) = close()

        # 19 percent of 66.06 is 12.5514; over 9.50 and 3.0514 the odd cent goes to neither: 9.50 and 3.05.
        assert (invoice.subtotal_minor, invoice.tax_minor, invoice.total_minor) == (6_606, 1_255, 7_861)
        assert [line.tax_minor for line in invoice.lines.all()] == [950, 305]
        assert invoice.payer["tax"] == {
            "code": "",
            "reason": "",
            "rates": [{"percent": "19", "base_minor": 6_606, "tax_minor": 1_255}],
        }
        assert accounts(invoice)["tax_payable"] == -1_255
        assert accounts(invoice)["receivable"] == 7_861

    def test_keeps_what_was_printed(self, cast: Cast, seller: Any) -> None:
        organization = parties.buyer(cast, purchase_order="PO-7", language="de")
        billed(cast, organization)
        (invoice,) = close()

        parties.set_profile(organization, cast, legal_name="Renamed", purchase_order="")
        invoice.refresh_from_db()

        assert invoice.payer["name"] == "Blue Harbor Hotels GmbH"
        assert invoice.payer["address"] == "Am Sandtorkai 12\n20457 Hamburg\nDeutschland"
        assert (invoice.payer["purchase_order"], invoice.payer["language"]) == ("PO-7", "de")
        assert invoice.payer["seller"]["iban"] == "DE89370400440532013000"

    def test_leaves_the_tax_to_a_business_elsewhere_in_the_eu(self, cast: Cast, seller: Any) -> None:
        billed(cast, parties.buyer(cast, country="FR", vat_id=parties.FRENCH_VAT_ID))

        (invoice,) = close()

        assert invoice.payer["tax"]["code"] == "AE"
        assert (invoice.tax_minor, invoice.total_minor) == (0, 6_606)

    def test_leaves_it_out_for_who_has_a_certificate_that_day(self, cast: Cast, seller: Any) -> None:
        organization = parties.buyer(cast)
        billing_profiles.record_exemption(
            organization,
            number="EX-1",
            reason="Exempt, § 4 Nr. 18",
            starts_date=date(2026, 1, 1),
            ends_date=date(2026, 11, 2),
            by=actor_for(cast.finance),
            at=AT,
        )
        billed(cast, organization)
        (october,) = close()
        (november,) = close("2026-11", at=DECEMBER)

        assert october.payer["tax"]["code"] == "E"
        assert october.payer["tax"]["reason"] == "Exempt, § 4 Nr. 18 (EX-1)"
        assert november.payer["tax"]["code"] == ""
        assert november.tax_minor > 0

    def test_taxes_each_line_at_the_rate_of_its_own_time(self, cast: Cast, seller: Any) -> None:
        parties.approve_rate(cast, "DE", "21", starts_at=datetime(2026, 11, 1, tzinfo=UTC))
        organization = parties.buyer(cast)
        billed(cast, organization, charges=[COST])
        (october,) = close()
        subscription = october.lines.get().subscription
        assert subscription is not None
        # Late usage of October: 10 x 1.3 = 13.00, of November: 20.00.
        use(subscription, requests=1, cost="10", period=date(2026, 11, 1))
        use(subscription, requests=1, cost="15.3847", at=datetime(2026, 11, 9, tzinfo=UTC))

        (november,) = close("2026-11", at=DECEMBER)

        assert {(line.is_correction, line.tax_percent) for line in november.lines.all()} == {
            (False, 21),
            (True, 19),
        }
        # 21 percent of 20.00 is 4.20, 19 percent of 13.00 is 2.47.
        assert november.tax_minor == 420 + 247

    def test_taxes_apps_of_another_category_at_its_rate(self, cast: Cast, seller: Any) -> None:
        parties.approve_rate(cast, "DE", "7", category="reduced")
        organization = parties.buyer(cast)
        billed(cast, organization, charges=[FEE])
        line = close()[0].lines.get(code="fee")
        tax_rates.set_category(line.app, category="reduced", by=actor_for(cast.finance), at=AT)

        (november,) = close("2026-11", at=DECEMBER)

        assert november.tax_minor == 350

    def test_never_bills_without_a_rate(self, cast: Cast, seller: Any) -> None:
        with pytest.raises(NoTaxRate, match="standard tax rate of FR"):
            _draft(cast, parties.buyer(cast, country="FR"))

    def test_takes_the_days_to_pay_and_the_entity_that_were_agreed(self, cast: Cast, seller: Any) -> None:
        ireland = legal_entities.set_up(
            code="ireland",
            number_prefix="IE",
            facts=parties.SELLER | {"name": "Halfpenny Ireland", "country": "IE", "vat_id": "IE3628914D"},
            by=actor_for(cast.finance),
            at=AT,
            starts_at=AT - timedelta(days=1),
        )
        organization = parties.buyer(cast)
        billing_profiles.agree_terms(
            organization, payment_days=14, entity=ireland, by=actor_for(cast.finance), at=AT
        )
        organization.refresh_from_db()
        # A German without a VAT number buys from Ireland: at Germany's rate.
        billed(cast, organization)

        (invoice,) = close()

        assert invoice.number == "IEINV-2026-000001"
        assert invoice.due_at == AT + timedelta(days=14)
        assert invoice.tax_minor == 1_255

    def test_leaves_statements_without_tax(self, cast: Cast, seller: Any) -> None:
        use(subscribe(cast, [FEE]), requests=1, cost="0")

        (statement,) = close()

        assert statement.tax_minor == 0
        assert "tax" not in statement.payer


def _draft(cast: Cast, organization: Organization) -> None:
    from billing import drafting, invoicing  # noqa: PLC0415
    from billing.models import BillingPeriod  # noqa: PLC0415
    from marketplace.core.periods import parse_month  # noqa: PLC0415

    billed(cast, organization)
    month = parse_month("2026-10")
    period = BillingPeriod.objects.create(name=month.name, starts_at=month.starts_at, ends_at=month.ends_at)
    (bill,) = drafting.bills_of(month, default_share=TERMS.default_share)
    invoicing.draft(bill, period=period, terms=TERMS, at=AT)


class TestCreditNote:
    def test_of_everything_mirrors_the_tax(self, cast: Cast, seller: Any) -> None:
        billed(cast, parties.buyer(cast))
        (invoice,) = close()

        first = _credit(cast, invoice, 1_000)
        rest = _credit(cast, invoice, None)

        assert first.total_minor == 1_000
        assert (first.net_minor + rest.net_minor, first.tax_minor + rest.tax_minor) == (6_606, 1_255)
        assert accounts()["tax_payable"] == 0


def _credit(cast: Cast, invoice: Invoice, amount_minor: int | None) -> Any:
    return propose(
        invoice,
        ask=Ask(amount_minor=amount_minor),
        reason="Wrong.",
        by=actor_for(cast.finance),
        at=AT,
        terms=TERMS,
    )


class TestTaxRate:
    def test_takes_two_people(self, cast: Cast) -> None:
        rate = parties.approve_rate(cast, "AT", "20")
        own = tax_rates.propose(
            country="AT",
            category="reduced",
            percent=rate.percent,
            starts_at=AT,
            reason="The law.",
            by=actor_for(cast.finance),
            at=AT,
        )

        with pytest.raises(OwnProposal):
            tax_rates.approve(own, by=actor_for(cast.finance), at=AT)

        assert TaxRate.objects.get(pk=rate.pk).state == "approved"
        assert AuditEntry.objects.filter(action="billing.tax_rate.approved").count() == 1

    def test_begins_once(self, cast: Cast) -> None:
        parties.approve_rate(cast, "AT", "20")

        with pytest.raises(tax_rates.RateThere):
            parties.approve_rate(cast, "AT", "21")

    def test_is_for_finance_of_the_marketplace(self, cast: Cast) -> None:
        with pytest.raises(NotAllowed):
            tax_rates.propose(
                country="AT",
                category="standard",
                percent=parties.Decimal(20),
                starts_at=AT,
                reason="No.",
                by=actor_for(cast.stranger),
                at=AT,
            )


class TestSetProfile:
    def test_names_every_field_that_is_wrong(self, cast: Cast) -> None:
        with pytest.raises(InvalidInput) as raised:
            parties.set_profile(
                cast.company,
                cast,
                legal_name=" ",
                country="FR",
                vat_id="FR23334175222",
                emails=["x@y.example", "no"],
                language="fr",
            )

        assert {error.field for error in raised.value.errors} == {
            "legal_name",
            "vat_id",
            "emails",
            "language",
        }

    def test_is_refused_to_strangers(self, cast: Cast) -> None:
        with pytest.raises(NotAllowed):
            billing_profiles.set_profile(
                cast.company, facts=parties.BUYER, by=actor_for(cast.stranger), at=AT
            )

    def test_leaves_alone_what_is_not_said(self, cast: Cast) -> None:
        parties.set_profile(cast.company, cast, purchase_order="PO-1")

        kept = billing_profiles.set_profile(
            cast.company, facts={"city": "Kiel"}, by=actor_for(cast.finance), at=AT
        )

        assert (kept.city, kept.purchase_order, kept.legal_name) == (
            "Kiel",
            "PO-1",
            "Blue Harbor Hotels GmbH",
        )
        entry = AuditEntry.objects.filter(action="billing.profile.set").latest("pk")
        assert (entry.old, entry.new) == ({"city": "Hamburg"}, {"city": "Kiel"})


class TestLegalEntity:
    def test_says_something_else_from_a_date_on(self, cast: Cast) -> None:
        entity = parties.set_up_seller(cast)
        legal_entities.change(
            entity,
            facts=parties.SELLER | {"name": "Halfpenny SE"},
            by=actor_for(cast.finance),
            at=AT,
            starts_at=AT,
        )

        before = legal_entities.sellers(at=AT - timedelta(seconds=1), house_name="House")
        after = legal_entities.sellers(at=AT, house_name="House")

        assert (before.house.facts["name"], after.house.facts["name"]) == (
            "Halfpenny Europe GmbH",
            "Halfpenny SE",
        )

    def test_checks_numbers(self, cast: Cast) -> None:
        with pytest.raises(InvalidInput) as raised:
            parties.set_up_seller(cast, iban="DE89370400440532013001", bic="X", vat_id="DE136695977")

        assert {error.field for error in raised.value.errors} == {"iban", "bic", "vat_id"}
