"""What people may see of earnings and payouts."""

from django.db.models import Q, QuerySet

from billing.models import BankFile, Payout, PayoutPlan, SelfBill
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import Team


def earning_teams(actor: Actor) -> QuerySet[Team]:
    """Teams whose earnings a person sees: where they create, of organizations whose finance they do, or all."""
    teams = Team.objects.select_related("organization", "cost_center")
    if actor.is_platform(Role.FINANCE):
        return teams
    served = Q(organization__in=actor.organizations_as(Role.FINANCE))
    return teams.filter(Q(pk__in=actor.teams_as(Role.CREATOR)) | served)


def payouts(actor: Actor) -> QuerySet[Payout]:
    """Payouts of the teams whose earnings a person sees."""
    found = Payout.objects.select_related(
        "team__organization", "plan", "file", "approved_by", "second_by", "entry"
    )
    return found.filter(team__in=earning_teams(actor).values("pk"))


def plans(actor: Actor) -> QuerySet[PayoutPlan]:
    """How the teams are paid whose earnings a person sees."""
    found = PayoutPlan.objects.select_related("team__organization", "consented_by")
    return found.filter(team__in=earning_teams(actor).values("pk"))


def self_bills(actor: Actor) -> QuerySet[SelfBill]:
    """Self-billed documents of the teams whose earnings a person sees, newest first."""
    found = SelfBill.objects.select_related("team__organization")
    return found.filter(team__in=earning_teams(actor).values("pk")).order_by("-issued_at", "-pk")


def bank_files(actor: Actor) -> QuerySet[BankFile]:
    """Files of bank transfers, for the marketplace's finance."""
    found = BankFile.objects.select_related("made_by").order_by("-made_at", "-pk")
    return found if actor.is_platform(Role.FINANCE) else found.none()
