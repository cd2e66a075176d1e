from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import DatabaseError, transaction
from django.test import Client
from django.urls import reverse

from billing import agreement_effects, agreements
from billing.agreed_terms import AgreedTerms
from billing.creators import true_ups
from billing.ledger.verify import verify
from billing.models import AgreementProposal, CreatorMovement, RevenueShareAgreement, ShareTrueUp
from billing.revenue_share import Fee, Tier
from marketplace.accounts.access import Actor, actor_for
from marketplace.catalog.models import App, Subscription
from marketplace.core.errors import InvalidInput, NotAllowed
from tests.billing.test_close import AT, COST, FEE, close, subscribe
from tests.billing.usage import use
from tests.conftest import Cast

NOW = datetime(2026, 11, 10, 9, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, tzinfo=UTC)
TERMS = AgreedTerms(Decimal("0.30"), "net_of_cost", "USD")


@pytest.fixture
def sold(cast: Cast) -> Subscription:
    """Ten thousand calls at a cost of 100.00, billed as 50.00 and 130.00, of which the creator got 64.00."""
    subscription = subscribe(cast, [FEE, COST])
    use(subscription, requests=10_000, cost="100")
    close()
    return subscription


def propose(app: App, by: Actor, terms: AgreedTerms = TERMS) -> AgreementProposal:
    return agreements.propose(app, terms=terms, starts_at=DECEMBER, reason="A new year.", by=by, at=NOW)


class TestPropose:
    def test_is_accepted_by_the_other_side(self, cast: Cast, sold: Subscription) -> None:
        maker, finance = actor_for(cast.creator), actor_for(cast.finance)
        RevenueShareAgreement.objects.create(
            app=sold.app, share="0.2", starts_at=datetime(2026, 1, 1, tzinfo=UTC)
        )
        proposal = propose(sold.app, maker)

        with pytest.raises(agreements.OwnProposal):
            agreements.accept(proposal, by=maker, at=NOW)
        agreement = agreements.accept(proposal, by=finance, at=NOW)

        assert (agreement.share, agreement.starts_at, agreement.ends_at) == (Decimal("0.30"), DECEMBER, None)
        assert sold.app.revenue_shares.earliest("starts_at").ends_at == DECEMBER
        with pytest.raises(DatabaseError), transaction.atomic():
            AgreementProposal.objects.update(reason="Another.")

    def test_shows_what_the_last_month_would_have_been(self, cast: Cast, sold: Subscription) -> None:
        effect = agreement_effects.effect(sold.app, terms=TERMS)

        # (180 - 100) x 0.7 = 56.00; the platform keeps 124.00, of which 100.00 is cost.
        assert (effect.creator_minor, effect.creator_now_minor, effect.margin_minor) == (5_600, 6_400, 2_400)
        gross = agreement_effects.effect(
            sold.app, terms=replace(TERMS, basis="gross", fees=(Fee("", Decimal(5)),))
        )
        # 180 less a fee of 9.00, of which 70 percent: 119.70. Break-even without the fee: 100 / 180.
        assert gross.creator_minor == 11_970
        assert gross.break_even_share is not None
        assert round(gross.break_even_share, 4) == Decimal("0.5556")

    def test_below_the_floor_takes_a_second_person(self, cast: Cast, sold: Subscription) -> None:
        # On gross at 0.30 the platform keeps 54.00 of 180.00, and pays 100.00 for models.
        proposal = propose(sold.app, actor_for(cast.finance), replace(TERMS, basis="gross"))
        assert proposal.needs_second_person
        maker = actor_for(cast.creator)

        with pytest.raises(agreements.NeedsSecondPerson):
            agreements.accept(proposal, by=maker, at=NOW)
        with pytest.raises(agreements.OwnProposal):
            agreements.endorse(proposal, by=actor_for(cast.finance), at=NOW)
        with pytest.raises(DatabaseError, match="agreement_proposal_four_eyes"), transaction.atomic():
            AgreementProposal.objects.update(endorsed_by=cast.finance)

    @pytest.mark.parametrize(
        ("terms", "starts_at", "field"),
        [
            (replace(TERMS, share=Decimal("1.1")), DECEMBER, "share"),
            (TERMS, datetime(2026, 11, 1, tzinfo=UTC), "starts_at"),
            (TERMS, datetime(2026, 12, 2, tzinfo=UTC), "starts_at"),
            (
                replace(TERMS, tiers=(Tier(Decimal(5), Decimal(0)), Tier(Decimal(5), Decimal(0)))),
                DECEMBER,
                "tiers",
            ),
            (replace(TERMS, fees=(Fee("", Decimal(101)),)), DECEMBER, "fees"),
        ],
    )
    def test_names_what_is_wrong(
        self, cast: Cast, sold: Subscription, terms: AgreedTerms, starts_at: datetime, field: str
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            agreements.propose(
                sold.app, terms=terms, starts_at=starts_at, reason="So.", by=actor_for(cast.creator), at=NOW
            )

        assert refused.value.field == field

    def test_is_between_creator_and_platform(self, cast: Cast, sold: Subscription) -> None:
        for person in (cast.stranger, cast.consumer):
            with pytest.raises(NotAllowed):
                propose(sold.app, actor_for(person))
        propose(sold.app, actor_for(cast.creator))
        with pytest.raises(agreements.ProposedMeanwhile):
            propose(sold.app, actor_for(cast.finance))

    def test_keeps_terms_exactly(self) -> None:
        terms = AgreedTerms(
            Decimal("0.2"), "gross", "USD", (Fee("card", Decimal("1.5"), Decimal("0.3")),),
            (Tier(Decimal(1_000), Decimal("0.15")),), "year", 12_345,
        )  # fmt: skip

        assert AgreedTerms.of_json(terms.as_json()) == terms


class TestTrueUps:
    def test_tiers_and_guarantee_top_up_a_month_once(self, cast: Cast) -> None:
        subscription = subscribe(cast, [FEE])
        # Of 50.00 the first 20.00 are shared at 0.20, the rest at 0.10: 40.00 at the base, 24.00 x 0.1 / 0.8 = 3.00 more.
        RevenueShareAgreement.objects.create(
            app=subscription.app, share="0.2", tiers=[{"from": "20", "share": "0.1"}], guarantee_minor=5_000,
            currency="USD", starts_at=datetime(2026, 1, 1, tzinfo=UTC),
        )  # fmt: skip
        use(subscription, requests=1, cost="0")
        close()

        assert true_ups.post_due(at=AT) == 2
        assert true_ups.post_due(at=AT) == 0

        assert sorted(ShareTrueUp.objects.values_list("kind", "amount_minor")) == [
            ("guarantee", 700),
            ("tiers", 300),
        ]
        topped = CreatorMovement.objects.filter(kind="topped_up").values_list("available_minor", flat=True)
        assert sorted(topped) == [300, 700]
        assert all(verdict.is_ok for verdict in verify())


class TestPage:
    def test_previews_proposes_and_answers(self, client: Client, cast: Cast, sold: Subscription) -> None:
        address = reverse("billing:agreements", args=[sold.app.slug])
        typed = {
            "share_percent": "30", "basis": "net_of_cost", "fee_percent": "", "fee_fixed": "", "tiers": "1000 15",
            "tier_window": "year", "guarantee": "", "starts_at": "2099-01-01", "reason": "A new year.",
        }  # fmt: skip
        client.force_login(cast.creator)

        assert "$56.00" in client.post(address, typed | {"what": "preview"}).content.decode()
        assert client.post(address, typed | {"what": "propose"}).status_code == 302
        client.force_login(cast.finance)
        assert "Accept" in client.get(address).content.decode()
        client.post(address, {"answer": "accept", "note": ""})

        assert RevenueShareAgreement.objects.get().tiers == [{"from": "1000", "share": "0.15"}]
        client.force_login(cast.stranger)
        assert client.get(address).status_code == 404
        assert client.get(reverse("billing:agreement-list")).status_code == 200
