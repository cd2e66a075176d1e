"""Connected accounts of teams: opened here, filled in on the processor's page, and ready when the processor says so."""

from datetime import datetime
from typing import Any

from django.db import transaction

from billing.models import ConnectedAccount
from billing.payments.processor import Processor
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import Team
from marketplace.core import audit
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.transitions import IllegalTransition, move

State = ConnectedAccount.State
# Where Stripe opens accounts for who is paid by us.
COUNTRIES = (
    "AT", "AU", "BE", "BG", "CA", "CH", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GB", "GR", "HR", "HU", "IE", "IT",
    "JP", "LT", "LU", "LV", "MT", "NL", "NO", "NZ", "PL", "PT", "RO", "SE", "SG", "SI", "SK", "US",
)  # fmt: skip


def require_creator(team: Team, *, by: Actor) -> None:
    """Raise NotAllowed unless a person makes apps for a team, or does the finance of its organization."""
    is_creator = team.pk in by.teams_as(Role.CREATOR)
    if not is_creator and team.organization_id not in by.organizations_as(Role.FINANCE):
        raise NotAllowed(f"This is for creators of {team} and the finance of {team.organization} only.")


def open_account(team: Team, *, country: str, by: Actor, at: datetime) -> ConnectedAccount:
    """Return the team's connected account, made when it is missing; nobody is called. Raises NotAllowed, InvalidInput."""
    require_creator(team, by=by)
    if country not in COUNTRIES:
        raise InvalidInput("country", "is not one in which the payment processor opens accounts")
    with transaction.atomic():
        account, is_new = ConnectedAccount.objects.get_or_create(
            team=team,
            defaults={
                "name": team.organization.legal_name or team.organization.name,
                "country": country,
                "created_by": by.user,
                "created_at": at,
            },
        )
        if is_new:
            audit.record("billing.connected_account.opened", subject=account, at=at, by=by.user)
    return account


def known(account: ConnectedAccount, *, processor: Processor) -> str:
    """Return the account's id at the processor, which opens it once. Raises ProcessorAway, ProcessorRefused."""
    if account.account_id is None:
        made = processor.write(
            "accounts.create",
            key=f"connected-account:{account.pk}",
            country=account.country,
            controller={
                "stripe_dashboard": {"type": "express"},
                "fees": {"payer": "application"},
                "losses": {"payments": "application"},
            },
            capabilities={"transfers": {"requested": True}},
            business_profile={"name": account.name},
            metadata={"connected_account": str(account.pk)},
        )
        ConnectedAccount.objects.filter(pk=account.pk).update(account_id=made["id"])
        account.account_id = made["id"]
    return str(account.account_id)


def onboarding_url(
    account: ConnectedAccount,
    *,
    refresh_url: str,
    return_url: str,
    processor: Processor,
    by: Actor,
    at: datetime,
) -> str:
    """Return the processor's page on which the owner tells who they are and where money goes; good for minutes.

    Raises NotAllowed, ProcessorAway, ProcessorRefused.
    """
    require_creator(account.team, by=by)
    link = processor.write(
        "account_links.create",
        key=f"account-link:{account.pk}:{int(at.timestamp())}",
        account=known(account, processor=processor),
        type="account_onboarding",
        refresh_url=refresh_url,
        return_url=return_url,
    )
    return str(link["url"])


def refresh(account: ConnectedAccount, *, processor: Processor, at: datetime) -> ConnectedAccount:
    """Ask the processor how an account stands, and note that down. Raises ProcessorAway, ProcessorRefused."""
    if account.account_id is None:
        return account
    # Locked while it is asked: accounts go to and fro, so of two answers the later one has to be written last.
    with transaction.atomic():
        locked = ConnectedAccount.objects.select_for_update(of=("self",)).get(pk=account.pk)
        found = processor.read("accounts.retrieve", account.account_id)
        _apply(locked, found, at=at)
    account.refresh_from_db()
    return account


def _apply(account: ConnectedAccount, found: dict[str, Any], *, at: datetime) -> None:
    wanted = found.get("requirements") or {}
    missing = sorted({*(wanted.get("currently_due") or ()), *(wanted.get("past_due") or ())})
    ConnectedAccount.objects.filter(pk=account.pk).update(missing=missing, read_at=at)
    to = _state_of(found, missing)
    if to == account.state:
        return
    try:
        move(
            account, ConnectedAccount.TRANSITIONS, to=to, action=f"billing.connected_account.{to}", at=at
        )  # fmt: skip
    except IllegalTransition:
        account.refresh_from_db()


def _state_of(found: dict[str, Any], missing: list[str]) -> str:
    can_receive = (found.get("capabilities") or {}).get("transfers") == "active"
    if can_receive and found.get("payouts_enabled"):
        return State.READY
    if not found.get("details_submitted"):
        return State.INCOMPLETE
    return State.RESTRICTED if missing else State.IN_REVIEW
