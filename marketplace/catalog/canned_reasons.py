"""Reasons that are often given, each with the policy it stands on; kept by operators, used by approvers."""

from datetime import datetime

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.catalog.review_models import CannedReason
from marketplace.core import audit
from marketplace.core.errors import InvalidInput

KEEPERS = (Role.OPERATOR, Role.APPROVER)


def offered() -> QuerySet[CannedReason]:
    """Return the reasons that approvers choose from."""
    return CannedReason.objects.filter(retired_at=None).order_by("title")


def add(*, title: str, text: str, policy_url: str, by: Actor, at: datetime) -> CannedReason:
    """Add a reason. Raises InvalidInput for one without words and for a title that is taken; NotAllowed."""
    access.require_platform(by, *KEEPERS)
    if not title.strip() or not text.strip():
        raise InvalidInput("title" if not title.strip() else "text", "Write something.", code="required")
    try:
        with transaction.atomic():
            canned = CannedReason.objects.create(
                title=title.strip(), text=text.strip(), policy_url=policy_url
            )
    except IntegrityError as error:
        raise InvalidInput("title", "There is a reason with this title.", code="taken") from error
    new = {"title": canned.title, "policy_url": policy_url}
    audit.record("catalog.canned_reason.added", subject=canned, at=at, by=by.user, new=new)
    return canned


def retire(canned: CannedReason, *, by: Actor, at: datetime) -> None:
    """Offer a reason no more; decisions that were made with it keep its words."""
    access.require_platform(by, *KEEPERS)
    if CannedReason.objects.filter(pk=canned.pk, retired_at=None).update(retired_at=at):
        audit.record("catalog.canned_reason.retired", subject=canned, at=at, by=by.user)


def words(canned: CannedReason | None, typed: str) -> tuple[str, str]:
    """Put a ready-made reason before what was typed; returns the words and the policy's address."""
    if canned is None:
        return typed.strip(), ""
    return "\n".join(part for part in (canned.text, typed.strip()) if part), canned.policy_url
