"""How prices changed and will: one that was proposed and approved, and one that waits for finance to decide."""

from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from django.urls import reverse

from marketplace.accounts.models import User
from marketplace.config.demo.chronicle import Chronicle, dated_id
from marketplace.config.demo.models import CHEAPER_MODEL, CHEAPER_PRICES, CHEAPER_SINCE_DAYS, SOURCE
from marketplace.config.demo.people import Cast
from marketplace.config.demo.timeline import Timeline
from marketplace.core.notice_kinds import Kind as NoticeKind
from metering.models import RateCard, RateProposal
from metering.price_impact import impact
from metering.proposals import TOKEN_PRICES, usage_of

DEARER_MODEL = "llm-70b"
DEARER_PRICES = ("0.88", "0.22", "1.10", "2.64", "2.64")
DEARER_IN_DAYS = 8


def propose(cast: Cast, timeline: Timeline, chronicle: Chronicle) -> None:
    """Write both proposals, as far as the story has come; needs the roll-ups, to say what the prices changed."""
    operator, finance = cast.person("operator"), cast.person("finance")
    rng = Random(f"{timeline.seed}:prices")
    _cheaper(timeline, chronicle, operator, finance, rng)
    _dearer(timeline, chronicle, operator, finance, rng)


def _cheaper(timeline: Timeline, chronicle: Chronicle, operator: User, finance: User, rng: Random) -> None:
    asked_at, decided_at = (
        timeline.ago(CHEAPER_SINCE_DAYS + 3, 14),
        timeline.ago(CHEAPER_SINCE_DAYS + 2, 8, 20),
    )
    new = RateCard.objects.get(model__name=CHEAPER_MODEL, ends_at=None)
    old = RateCard.objects.get(model__name=CHEAPER_MODEL, ends_at=new.starts_at)
    proposal = _proposal(
        CHEAPER_MODEL, CHEAPER_PRICES, by=operator, at=asked_at, starts_at=new.starts_at, rng=rng,
        state=RateProposal.State.APPROVED, decided_by=finance, decided_at=decided_at, rate_card=new,
        decision_note="Compared with the list.",
        reason="The provider has lowered its list price by a sixth.",
    )  # fmt: skip
    proposal.projection = impact(new, old=old, used_by=usage_of(proposal), at=decided_at).as_json()
    proposal.save(force_insert=True)
    _note_proposed(proposal, chronicle)
    chronicle.moved(
        "metering.rate_proposal.approved",
        proposal,
        states=("proposed", "approved"),
        at=decided_at,
        by=finance,
        reason=proposal.decision_note,
    )


def _dearer(timeline: Timeline, chronicle: Chronicle, operator: User, finance: User, rng: Random) -> None:
    asked_at = timeline.at - timedelta(hours=5)
    proposal = _proposal(
        DEARER_MODEL, DEARER_PRICES, by=operator, at=asked_at, starts_at=timeline.ago(-DEARER_IN_DAYS, 0), rng=rng,
        reason="The provider raises its price by a tenth and has announced it.",
    )  # fmt: skip
    proposal.save(force_insert=True)
    _note_proposed(proposal, chronicle)
    chronicle.tell(
        [finance],
        f"A price of {proposal.title} waits for your decision.",
        at=asked_at,
        path=reverse("metering:rate-proposal", args=[proposal.pk]),
        key=f"rate-proposal:{proposal.pk}:proposed",
        kind=NoticeKind.DECISIONS,
    )


def _proposal(
    model: str, prices: tuple[str, ...], *, by: User, at: datetime, rng: Random, **fields: Any
) -> RateProposal:
    return RateProposal(
        id=dated_id(at, rng),
        kind=RateProposal.Kind.MODEL,
        subject=model,
        currency="USD",
        source=SOURCE,
        proposed_by=by,
        proposed_at=at,
        **dict(zip(TOKEN_PRICES, map(Decimal, prices), strict=True)),
        **fields,
    )


def _note_proposed(proposal: RateProposal, chronicle: Chronicle) -> None:
    chronicle.note(
        "metering.rate_proposal.proposed",
        proposal,
        at=proposal.proposed_at,
        by=proposal.proposed_by,
        new=proposal.prices_as_text() | {"subject": proposal.title},
        reason=proposal.reason,
    )
