"""The accounts of creators against the books, for the comparison of all totals."""

from collections.abc import Iterator

from django.db.models import F, Q, Sum

from billing.ledger import chart
from billing.models import CreatorMovement, Payout, Posting


def differing(*, limit: int) -> Iterator[tuple[str, list[str]]]:
    """Yield each comparison in words with what differs, at most so many each."""
    yield "teams whose account is not what the books owe them", _not_in_books()[:limit]
    paid = Payout.objects.filter(state=Payout.State.PAID)
    booked = paid.annotate(
        booked=Sum(
            "entry__postings__amount_minor",
            filter=Q(entry__postings__account=chart.CREATOR_PAYABLE.code),
            default=0,
        )
    )
    wrong = booked.exclude(booked=F("amount_minor"))
    yield "paid payouts that the books have otherwise", [str(one) for one in wrong[:limit]]


def _not_in_books() -> list[str]:
    books = Posting.objects.filter(account=chart.CREATOR_PAYABLE.code).values_list("team", "currency")
    owed = {
        (team, code): -int(total)
        for team, code, total in books.annotate(total=Sum("amount_minor")).order_by()
    }
    rows = CreatorMovement.objects.values_list("team", "currency").order_by()
    kept = {
        (team, code): int(total)
        for team, code, total in rows.annotate(total=Sum(F("held_minor") + F("available_minor")))
    }
    return [
        f"team {team} in {code}: {owed.get((team, code), 0)} in the books, {kept.get((team, code), 0)} kept"
        for team, code in sorted(owed.keys() | kept.keys())
        if owed.get((team, code), 0) != kept.get((team, code), 0)
    ]
