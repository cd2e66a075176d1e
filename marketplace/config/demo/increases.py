"""Who asked for more, what became of it, and the policy by which it was judged; told in the order in which it happened."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from marketplace.accounts.access import Actor, actor_for
from marketplace.catalog.models import Subscription
from marketplace.config.demo.people import Cast
from marketplace.config.demo.timeline import Timeline
from marketplace.core.models import Job, Notice
from marketplace.core.money import to_text
from quotas import decision_mails, grants, increase_decisions, increase_policies, increase_routine, increases
from quotas.approvals import Terms
from quotas.increase_assessing import Wish
from quotas.increase_decisions import Offer
from quotas.increase_models import IncreaseRequest
from quotas.increase_subjects import Subject, standing
from quotas.owners import Owner, owner_of

TERMS = Terms(
    currency="USD",
    auto_max_percent=Decimal(25),
    auto_max_monthly_cost=Decimal(5),
    auto_min_head_room_percent=Decimal(20),
    auto_max_days=90,
    cost_review_above=Decimal(2),
    capacity_review_above_percent=Decimal(50),
)
READ_UNTIL_DAYS_AGO = 4


@dataclass(frozen=True)
class Asked:
    """A wish of a team: so many times the calls it has now, for so many days from then on."""

    app: str
    team: str
    window: str
    times: Decimal
    days_ago: int
    days: int
    reason: str
    monthly_calls: int
    monthly_cost: int
    begins_in_days: int = 0


End = Callable[["Told", IncreaseRequest, datetime], None]


@dataclass(frozen=True)
class Told:
    """Who decides in the story."""

    finance: Actor
    approver: Actor
    operator: Actor

    def approve(self, request: IncreaseRequest, at: datetime) -> None:
        """Approve on every level that the request needs: finance the cost, an operator the capacity."""
        while request.is_under_review:
            by = self.finance if request.state == "cost_review" else self.operator
            increase_decisions.approve(request, by=by, at=at, snapshot=_shown(request, at=at))
            at += timedelta(hours=3)

    def approve_half(self, request: IncreaseRequest, at: datetime) -> None:
        """Approve half of what is more."""
        more = (request.requested - request.current_value) / 2
        half = Offer(granted=(request.current_value + more).to_integral_value())
        by = self.finance if request.state == "cost_review" else self.operator
        increase_decisions.approve(
            request, offer=half, reason="Let us see a month of this first.", by=by, at=at
        )
        self.approve(request, at + timedelta(hours=2))

    def deny(self, request: IncreaseRequest, at: datetime) -> None:
        """Deny it."""
        reason = "A pilot of two weeks fits the free plan. Subscribe to the standard one if it works out."
        increase_decisions.deny(
            request, reason=reason, by=self.approver, at=at, snapshot=_shown(request, at=at)
        )

    def ask(self, request: IncreaseRequest, at: datetime) -> None:
        """Ask what is not clear."""
        question = "Which offices come on top, and do they stay after December?"
        increase_decisions.ask(
            request, question=question, by=self.approver, at=at, snapshot=_shown(request, at=at)
        )

    def approve_cost(self, request: IncreaseRequest, at: datetime) -> None:
        """Approve what it costs; capacity still waits."""
        if request.state == "cost_review":
            shown = _shown(request, at=at)
            increase_decisions.approve(
                request, reason="Within the budget.", by=self.finance, at=at, snapshot=shown
            )

    def revoke(self, request: IncreaseRequest, at: datetime) -> None:
        """Approve it, and take it back two days later."""
        self.approve(request, at)
        reason = "The nightly batch moved to its own subscription."
        grants.revoke(request.grant, by=self.operator, at=at + timedelta(days=2), reason=reason)

    def withdraw(self, request: IncreaseRequest, at: datetime) -> None:
        """Let who asked take it back."""
        increases.withdraw(request, by=actor_for(request.requester), at=at, reason="The event was canceled.")

    def leave(self, request: IncreaseRequest, at: datetime) -> None:
        """Leave it waiting."""


STORY: tuple[tuple[Asked, End], ...] = (
    (Asked("translator", "team-support", "day", Decimal("2.5"), 60, 30, "Manuals of the autumn release, in six languages.", 40_000, 6), Told.approve),
    (Asked("tone-rewriter", "team-people", "day", Decimal(2), 50, 20, "Answers to everybody who applied.", 9_000, 2), Told.leave),
    (Asked("inbox-digest", "team-legal", "day", Decimal(5), 33, 60, "A pilot for the whole department.", 8_000, 4), Told.deny),
    (Asked("sentiment-labeler", "team-ux", "day", Decimal("1.5"), 33, 80, "Interviews of the study come in every night.", 14_000, 2), Told.revoke),
    (Asked("translator", "team-sales", "month", Decimal("1.8"), 25, 30, "The tender in Portuguese and Polish.", 50_000, 9), Told.approve),
    (Asked("meeting-summarizer", "team-data", "day", Decimal("1.2"), 25, 60, "Two more weekly meetings are recorded.", 5_000, 3), Told.leave),
    (Asked("tone-rewriter", "team-support", "day", Decimal(3), 14, 45, "Every answer is to be checked, not every third.", 45_000, 7), Told.approve_half),
    (Asked("fx-convert", "team-sales", "day", Decimal(2), 14, 14, "The fair in Singapore.", 9_000, 1), Told.withdraw),
    (Asked("policy-qa", "team-ops", "day", Decimal(2), 6, 60, "The new policy on travel brings questions.", 3_000, 1), Told.leave),
    (Asked("policy-qa", "team-ops", "day", Decimal(3), 6, 60, "More questions than we thought.", 4_500, 2), Told.approve),
    (Asked("sql-helper", "team-data", "day", Decimal("2.2"), 4, 20, "Close of the quarter.", 40_000, 5, begins_in_days=7), Told.approve),
    (Asked("where2eat", "team-ops", "day", Decimal(2), 3, 90, "Two more offices get the kitchen display.", 34_000, 4), Told.ask),
    (Asked("ticket-classifier", "team-support", "day", Decimal("1.6"), 3, 60, "The web form of the new product.", 190_000, 18), Told.approve_cost),
    (Asked("meeting-summarizer", "team-sales", "day", Decimal("2.5"), 1, 90, "Every call with a customer is to be summarized.", 24_000, 12), Told.leave),
    (Asked("translator", "team-ops", "day", Decimal("1.5"), 0, 90, "Signs and menus for the visitors.", 12_000, 3), Told.leave),
)  # fmt: skip


def ask_for_more(cast: Cast, timeline: Timeline) -> None:
    """Tell the story through the same functions as everybody; needs the usage, by which costs are projected."""
    told = Told(*(actor_for(cast.person(role)) for role in ("finance", "approver", "operator")))
    _set_policy(told, timeline)
    for number, (asked, end) in enumerate(STORY):
        # What is asked on one day is asked in one hour, so that what was served until then is read once.
        at = (
            timeline.ago(asked.days_ago, 8, 2 * number)
            if asked.days_ago
            else timeline.at - timedelta(hours=1)
        )
        # What was left waiting until now has expired where its time was over.
        increase_routine.tend(at=at)
        grants.follow_time(at=at)
        request = _ask(asked, cast, at=at)
        if request.is_under_review:
            end(told, request, min(at + timedelta(hours=4), timeline.at))
    _draft_and_lower(cast, timeline)
    increase_routine.tend(at=timeline.at)
    grants.follow_time(at=timeline.at)
    grants.warn_of_ends(at=timeline.at)
    _propose_policy(told, timeline)
    long_ago = timeline.ago(READ_UNTIL_DAYS_AGO)
    ours = Notice.objects.filter(path__startswith="/increases/", created_at__lt=long_ago)
    ours.update(read_at=long_ago)
    # Nobody in this story reads mail: what it would have sent is not sent now.
    Job.objects.filter(name=decision_mails.SEND).delete()


def _shown(request: IncreaseRequest, *, at: datetime) -> dict[str, Any]:
    """Return what the page showed to who decided: the consequences as they were when it was submitted."""
    kept = {name: request.verdict[name] for name in ("projection", "head_room", "rules", "policy")}
    return {"granted": to_text(request.requested), "at": at.isoformat(), **kept}


def _set_policy(told: Told, timeline: Timeline) -> None:
    reason = "Small raises should not wait for anybody; whatever costs or is steep is looked at."
    policy = increase_policies.propose(TERMS, reason=reason, by=told.operator, at=timeline.ago(82))
    increase_policies.activate(policy, by=told.finance, at=timeline.ago(81), note="As agreed in the round.")


def _propose_policy(told: Told, timeline: Timeline) -> None:
    wider = replace(TERMS, auto_max_percent=Decimal(60), auto_max_monthly_cost=Decimal(8))
    reason = "Half of what waits is less than sixty percent and costs little."
    increase_policies.propose(wider, reason=reason, by=told.operator, at=timeline.ago(1, 15))


def _ask(asked: Asked, cast: Cast, *, at: datetime) -> IncreaseRequest:
    owner = _owner(asked.app, asked.team)
    current = standing(Subject(owner, "requests", asked.window), at=at).value
    starts_at = at + timedelta(days=asked.begins_in_days) if asked.begins_in_days else None
    wish = Wish(
        measure="requests",
        window=asked.window,
        requested=(current * asked.times).to_integral_value(),
        reason=asked.reason,
        monthly_calls=Decimal(asked.monthly_calls),
        monthly_cost=Decimal(asked.monthly_cost),
        currency="USD",
        starts_at=starts_at,
        ends_at=(starts_at or at) + timedelta(days=asked.days),
    )
    return increases.create(owner, wish=wish, by=_requester(asked.team, cast), at=at).request


def _draft_and_lower(cast: Cast, timeline: Timeline) -> None:
    """Keep a draft of the demo's consumer, and lower a limit that was too high."""
    at = timeline.at - timedelta(hours=1)
    by = actor_for(cast.person("consumer"))
    draft = Wish(
        "requests", "month", Decimal(60_000), "Before the season.", Decimal(55_000), Decimal(8), "USD"
    )
    increases.draft(_owner("where2eat", "team-ops"), wish=draft, by=by, at=at)
    lower = Wish(
        "requests",
        "day",
        Decimal(90),
        "Ninety are enough; a loop would be stopped sooner.",
        Decimal(900),
        Decimal(1),
        "USD",
    )
    increases.create(_owner("invoice-extractor", "team-ops"), wish=lower, by=by, at=at)


def _requester(team: str, cast: Cast) -> Actor:
    return actor_for(cast.person("consumer") if team == "team-ops" else cast.subscriber(team))


def _owner(app: str, team: str) -> Owner:
    found = Subscription.objects.select_related("team__organization", "cost_center", "app__owner_team")
    return owner_of(
        "subscription", found.get(app__slug=app, team__slug=team, environment="production", state="active")
    )
