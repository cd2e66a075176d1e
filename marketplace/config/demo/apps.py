"""The apps, from draft to listing: made by the same functions that people use, at the times the story says."""

from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

from billing.models import RevenueShareAgreement
from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from marketplace.catalog import checks, drafts, ownership, reviews, submissions
from marketplace.catalog.judging import SmokeCall
from marketplace.catalog.models import App, Plan, Review, SmokeRun, Version
from marketplace.catalog.templates_library import get_template
from marketplace.config.demo import documents, scans
from marketplace.config.demo.app_facts import AppFacts, ModelUse, PlanFacts
from marketplace.config.demo.apps_in_the_making import CONTRACT_SUMMARY, PALETTE_NAMER, SURVEY_DIGEST
from marketplace.config.demo.listed_apps import LISTED
from marketplace.config.demo.people import Cast
from marketplace.config.demo.timeline import Timeline
from marketplace.core.models import Job, Notice
from marketplace.core.transitions import move
from metering.ratecards import PriceBook
from metering.rating import Quantities, rate

SMOKE_CALLS = 20
# App, the team that took it over, and how long ago.
MOVED = ("release-notes", "team-ux", 40)
# A free plan says so on the bill.
NO_CHARGE = [{"code": "fee", "model": "flat", "amount": "0", "prorate": True}]
APPROVED = "Measured cost and promised latency agree. The prompt asks for nothing that is not in the input."
TOO_LARGE = (
    "A name for a palette does not need the largest model: llm-8b does it for a twentieth of the cost. "
    "Please allow the smaller models and declare what a call costs then."
)


class AppBuilder:
    """Makes the apps of the demo world, and remembers them by slug."""

    def __init__(
        self, cast: Cast, timeline: Timeline, *, book: PriceBook, provider_url: str, share: Decimal
    ) -> None:
        self.cast = cast
        self.timeline = timeline
        self.book = book
        self.provider_url = provider_url
        self.share = share
        self.rng = Random(f"{timeline.seed}:apps")
        self.apps: dict[str, App] = {}

    def build(self) -> dict[str, App]:
        """Write all apps; returns those of the catalogue by slug."""
        for facts in LISTED:
            self.apps[facts.slug] = self._list(facts)
        self._move(*MOVED)
        self._hand_in(CONTRACT_SUMMARY, days_ago=2)
        review = self._hand_in(PALETTE_NAMER, days_ago=6)
        reviews.request_changes(
            review, by=self.cast.person("approver"), at=self.timeline.ago(4, 15), reason=TOO_LARGE
        )
        self._tell_of_scans()
        self._draft(SURVEY_DIGEST, at=self.timeline.ago(1, 16))
        return self.apps

    def _tell_of_scans(self) -> None:
        approver = self.cast.person("approver")
        app = App.objects.get(slug=CONTRACT_SUMMARY.slug)
        creator = self.cast.creator(CONTRACT_SUMMARY.team)
        scans.accept_one(app, creator=creator, approver=approver, timeline=self.timeline)
        scans.know_advisories(at=self.timeline.ago(2, 8), by=self.cast.person("operator"))
        scans.find_in_live(App.objects.get(slug="where2eat"), at=self.timeline.ago(1, 2))

    def _list(self, facts: AppFacts) -> App:
        """Bring an app into the catalogue, and its better version if there is one."""
        review = self._hand_in(facts, days_ago=facts.listed_days_ago + 2)
        listed_at = self.timeline.ago(facts.listed_days_ago, 11)
        reviews.approve(review, by=self.cast.person("approver"), at=listed_at, reason=APPROVED)
        app = review.version.app
        for plan in facts.more_plans:
            add_plan(app, plan, at=listed_at)
        RevenueShareAgreement.objects.create(
            app=app, basis=facts.basis, share=Decimal(facts.share), starts_at=listed_at
        )
        if facts.improved_days_ago:
            self._improve(app, facts)
        return App.objects.select_related("owner_team__organization", "owner_team__cost_center").get(
            pk=app.pk
        )

    def _improve(self, app: App, facts: AppFacts) -> None:
        creator = self.cast.creator(facts.team)
        began = self.timeline.ago(facts.improved_days_ago + 2, 10)
        version = drafts.start_next_version(app, by=creator, at=began)
        drafts.edit(version, by=creator, at=began, changes={"instructions": facts.improved_instructions})
        review = self.submit(version, facts, at=began + timedelta(hours=2))
        at = self.timeline.ago(facts.improved_days_ago, 14)
        reviews.approve(
            review, by=self.cast.person("approver"), at=at, reason="Better instructions, same cost."
        )

    def _move(self, slug: str, team: str, days_ago: int) -> None:
        """Let an app change hands: its owner offers it, somebody of the other team accepts."""
        app = self.apps[slug]
        offered = ownership.propose(
            app,
            to_team=self.cast.teams[team],
            starts_at=self.timeline.ago(days_ago, 0),
            reason="Product design writes all texts for customers from now on.",
            by=actor_for(self.cast.creator(app.owner_team.slug)),
            at=self.timeline.ago(days_ago + 4, 10),
        )
        by = actor_for(self.cast.creator(team))
        ownership.accept(offered, by=by, at=self.timeline.ago(days_ago + 3, 15), note="Gladly.")
        ownership.catch_up(at=self.timeline.ago(days_ago, 0))
        Notice.objects.filter(created_at__lte=self.timeline.ago(days_ago, 0), read_at=None).filter(
            idempotency_key__startswith="app-"
        ).update(read_at=self.timeline.ago(days_ago, 9))
        self.apps[slug] = App.objects.select_related(
            "owner_team__organization", "owner_team__cost_center"
        ).get(pk=app.pk)

    def _draft(self, facts: AppFacts, *, at: datetime) -> Version:
        creator = self.cast.creator(facts.team)
        version = drafts.create_from_template(
            get_template(facts.template),
            team=self.cast.teams[facts.team],
            by=creator,
            at=at,
            slug=facts.slug,
            changes=facts.changes(provider_url=self.provider_url),
        )
        if facts.has_handbook:
            documents.attach(version, by=creator, at=at)
        return version

    def _hand_in(self, facts: AppFacts, *, days_ago: int) -> Review:
        version = self._draft(facts, at=self.timeline.ago(days_ago + 1, 10))
        return self.submit(version, facts, at=self.timeline.ago(days_ago, 9))

    def submit(self, version: Version, facts: AppFacts, *, at: datetime) -> Review:
        """Hand a version in and tell what its smoke test measured."""
        run = self._check(version, by=self.cast.creator(facts.team), at=at)
        scans.end(run.version, at=at)
        calls = [self._smoke_call(facts, number, at) for number in range(SMOKE_CALLS)]
        ended_at = at + timedelta(seconds=40)
        scans.keep_calls(run, calls, at=at)
        checks.finish(run, calls, at=ended_at)
        scans.judge_margin(version, share=self.share, at=ended_at + timedelta(seconds=1))
        Job.objects.create(
            name=submissions.JOB,
            arguments={"smoke_run_id": str(run.pk)},
            idempotency_key=f"smoke:{run.pk}",
            state=Job.State.DONE,
            attempts=1,
            run_at=at,
            done_steps=SMOKE_CALLS,
            total_steps=SMOKE_CALLS,
            created_by=version.submitted_by,
            created_at=at,
            ended_at=ended_at,
        )
        return Review.objects.select_related("version__app").get(smoke_run=run)

    def _check(self, version: Version, *, by: User, at: datetime) -> SmokeRun:
        """Do what handing in does, but queue nothing: no worker shall run a test of long ago."""
        submissions.check_complete(version, allow_http=True)
        for state, changes in (("submitted", {"submitted_by": by, "submitted_at": at}), ("checking", {})):
            move(
                version,
                Version.TRANSITIONS,
                to=state,
                action=f"catalog.version.{state}",
                at=at,
                by=by,
                changes=changes,
            )
        scans.queue(version, by=by, at=at)
        run = SmokeRun.objects.create(
            version=version, currency=version.app.owner_team.organization.currency, created_at=at
        )
        return checks.start(run.pk, at=at + timedelta(seconds=2))

    def _smoke_call(self, facts: AppFacts, number: int, at: datetime) -> SmokeCall:
        use = _use_of_call(facts.uses, number * 100 // SMOKE_CALLS)
        spread = self.rng.randint(85, 115)
        used = Quantities(
            input_tokens=use.input_tokens * spread // 100,
            output_tokens=use.output_tokens * spread // 100,
            duration_ms=use.latency_ms if use.instance_type else 0,
        )
        instance = self.book.instance_price(use.instance_type, at) if use.instance_type else None
        return SmokeCall(
            cost=rate(used, self.book.token_prices(use.model, at), instance).cost,
            input_tokens=used.input_tokens,
            output_tokens=used.output_tokens,
            latency_ms=use.latency_ms * self.rng.randint(80, 130) // 100,
            output=facts.sample_output,
            model=use.model or use.instance_type,
        )


def add_plan(app: App, facts: PlanFacts, *, at: datetime) -> Plan:
    """Offer another plan of a listed app."""
    return Plan.objects.create(
        app=app,
        code=facts.code,
        name=facts.name,
        currency=app.owner_team.organization.currency,
        charges=facts.terms.charges or NO_CHARGE,
        daily_calls_limit=facts.terms.daily_calls_limit,
        monthly_calls_limit=facts.terms.monthly_calls_limit,
        trial_days=facts.terms.trial_days,
        created_at=at,
    )


def _use_of_call(uses: tuple[ModelUse, ...], percentile: int) -> ModelUse:
    """Return which model serves a call, of a hundred in the order of the models' parts."""
    reached = 0
    for use in uses:
        reached += use.percent
        if percentile < reached:
            return use
    return uses[-1]
