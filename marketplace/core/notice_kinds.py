"""What notices are about, and how often each kind comes by mail unless a person says otherwise."""

from dataclasses import dataclass

from django.db import models


class Kind(models.TextChoices):
    """What a notice is about."""

    DECISIONS = "decisions", "Decisions"
    LIMITS = "limits", "Limits and budgets"
    INCIDENTS = "incidents", "Incidents"
    APPS = "apps", "Your apps"
    CATALOGUE = "catalogue", "Catalogue"
    USAGE = "usage", "Usage and prices"
    WORK = "work", "Batches and jobs"
    BILLING = "billing", "Billing"
    SECURITY = "security", "Security"
    OTHER = "other", "Everything else"


class Cadence(models.TextChoices):
    """How often something comes by mail."""

    INSTANT = "instant", "At once"
    DAILY = "daily", "Once a day"
    WEEKLY = "weekly", "Once a week"
    OFF = "off", "Never"


DIGESTS = (Cadence.DAILY, Cadence.WEEKLY)


@dataclass(frozen=True)
class About:
    """What people read of a kind, and what holds until they choose."""

    help: str
    default: Cadence


ABOUT: dict[str, About] = {
    Kind.DECISIONS: About("What waits for you, and what became of what you asked for.", Cadence.INSTANT),
    Kind.LIMITS: About("A limit or budget is nearly used up, reached, or refuses calls.", Cadence.INSTANT),
    Kind.INCIDENTS: About("An app brings far more than usual, is slowed or paused.", Cadence.INSTANT),
    Kind.APPS: About("Checks, findings, ratings and owners of apps that you make.", Cadence.INSTANT),
    Kind.CATALOGUE: About("New apps for your searches, and apps that people wish for.", Cadence.DAILY),
    Kind.USAGE: About("Reports, usage that waits to be attributed, prices.", Cadence.DAILY),
    Kind.WORK: About("A batch or job of yours has ended.", Cadence.DAILY),
    Kind.BILLING: About("Months, invoices and statements.", Cadence.INSTANT),
    Kind.SECURITY: About("Who decides for whom; channels that were switched off.", Cadence.INSTANT),
    Kind.OTHER: About("What is none of the above.", Cadence.DAILY),
}


def default_of(kind: str) -> str:
    """Return how often a kind comes by mail to who has not chosen."""
    return ABOUT[kind].default
