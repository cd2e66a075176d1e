"""The log of decisions on apps as rows of a file."""

from marketplace.catalog.models import Review
from marketplace.core.csv import Cell

COLUMNS = (
    "decided_at", "app", "version", "outcome", "decided_by", "submitted_by", "opened_at", "due_at", "hours_to_decide",
    "risk_score", "automatic", "reason", "policy", "fix_by", "id",
)  # fmt: skip


def cells(review: Review) -> list[Cell]:
    """Write a decided review as a row of COLUMNS; a withdrawn one has no decision."""
    took = review.decided_at - review.opened_at if review.decided_at else None
    return [
        review.decided_at,
        review.version.app.slug,
        review.version.number,
        review.state,
        "policy" if review.is_automatic else review.decided_by.email if review.decided_by else "",
        review.submitted_by.email,
        review.opened_at,
        review.due_at,
        int(took.total_seconds()) // 3600 if took else None,
        review.risk_score,
        "yes" if review.is_automatic else "no",
        review.reason,
        review.policy_url,
        review.fix_by,
        str(review.pk),
    ]
