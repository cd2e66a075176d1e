"""Runs that a person makes from a form: who may pay for one, and making it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from time import perf_counter

from django.db import transaction

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import Team, User
from marketplace.catalog import kept_runs, queries, subscriptions
from marketplace.catalog.kept_runs import Result
from marketplace.catalog.models import App, Environment, Subscription
from marketplace.catalog.run_models import KeptRun
from marketplace.core.errors import HalfpennyError, InvalidInput, NotFound
from marketplace.gateway import app_runs, background, books
from marketplace.gateway.directory import caller_of_id
from marketplace.gateway.routing import feedback

SANDBOX = "sandbox-"


@dataclass(frozen=True)
class Payer:
    """Who can pay for a run: a subscription, or the sandbox credit of a team."""

    value: str
    label: str
    team: Team
    subscription: Subscription | None

    @property
    def is_billed(self) -> bool:
        return self.subscription is not None


def payers(actor: Actor, app: App) -> list[Payer]:
    """Return who may pay for a person's run of an app: their teams' subscriptions first, then sandboxes."""
    teams = list(access.own_teams(actor, role=Role.CONSUMER).order_by("name"))
    visible = queries.visible_subscriptions(actor).filter(app=app, team__in=teams)
    active = visible.filter(state=Subscription.State.ACTIVE, environment=Environment.PRODUCTION)
    billed = [
        Payer(str(one.pk), f"{one.team.name}, billed to {one.cost_center}", one.team, one)
        for one in active.order_by("team__name")
    ]
    return billed + [
        Payer(f"{SANDBOX}{team.pk}", f"{team.name}, from sandbox credit", team, None) for team in teams
    ]


def chosen_payer(found: Sequence[Payer], value: str) -> Payer:
    """Return the payer that was chosen; raises NotFound for one that is not offered."""
    for payer in found:
        if payer.value == value:
            return payer
    raise NotFound("subscription", value)


def subscription_of(payer: Payer, app: App, *, actor: Actor, at: datetime, credit: Decimal) -> Subscription:
    """Return the subscription that a run goes under; a sandbox is made when there is none yet."""
    if payer.subscription is not None:
        return payer.subscription
    return subscriptions.sandbox_for(app, team=payer.team, by=actor.user, at=at, credit=credit)


def make(run: KeptRun) -> None:
    """Make a run that was begun, through the real pipeline, and write what it brought.

    What the domain refuses is kept as the run's failure, with the words its person reads.
    """
    find = partial(caller_of_id, run.subscription_id)
    started = perf_counter()
    try:
        answer = background.call(
            lambda gateway: app_runs.run(gateway, lambda: gateway.read(find), data=run.data, call_id=run.pk)
        )
    except HalfpennyError as error:
        kept_runs.end(run, result=None, failure=error.message, at=books.now())
        return
    result = Result(
        output=answer.output,
        problems=answer.problems,
        cost=answer.served.cost,
        currency=answer.served.currency,
        model=answer.served.model,
        latency_ms=int((perf_counter() - started) * 1000),
    )
    kept_runs.end(run, result=result, at=books.now())


def rate(run: KeptRun, *, rating: str, by: User, at: datetime) -> None:
    """Keep what a person thought of a run's answer, from which the app's routing learns; the newest counts.

    Raises InvalidInput for what is no rating and for an answer that no model gave, NotFound for a run whose call is not
    recorded any more.
    """
    if rating not in KeptRun.Rating.values:
        raise InvalidInput("rating", "`up` or `down`.")
    with transaction.atomic():
        feedback.give(
            app_id=run.app_id,
            subscription_id=run.subscription_id,
            request_id=str(run.pk),
            is_good=rating == KeptRun.Rating.UP,
            by=by,
            at=at,
        )
        KeptRun.objects.filter(pk=run.pk).update(rating=rating)
