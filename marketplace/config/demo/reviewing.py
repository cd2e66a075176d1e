"""What goes on around reviews: ready-made reasons, notes, second looks, a price that rises, an app that ends."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

from marketplace.accounts.access import Actor, actor_for
from marketplace.accounts.models import Membership, User
from marketplace.catalog import (
    appeals,
    auto_approvals,
    canned_reasons,
    deprecations,
    drafts,
    holidays,
    price_changes,
    review_queue,
    review_talk,
    reviews,
    takedowns,
)
from marketplace.catalog.attachments import Upload
from marketplace.catalog.auto_rules import Terms
from marketplace.catalog.models import App, Review
from marketplace.catalog.plan_terms import terms_of
from marketplace.catalog.plans import plan_of
from marketplace.catalog.version_models import PriceChange
from marketplace.config.demo.apps import AppBuilder
from marketplace.config.demo.listed_apps import LISTED
from marketplace.config.demo.people import Cast
from marketplace.config.demo.timeline import Timeline

POLICY = "https://example.com/policies/apps"
REASONS = (
    (
        "Data that is not needed",
        "The prompt asks for personal data that the answer does not need. Ask for less.",
        "data",
    ),
    (
        "Declared cost is off",
        "What a call costs was declared too low. Declare what the check measured.",
        "cost",
    ),
    ("More than one job", "An app does one small job. Please split it.", "scope"),
)
NOTICE_DAYS = 30
TERMS = Terms(max_risk=20, max_monthly_cost=Decimal(50), currency="USD", sample_percent=100)
SECOND = "grace.moreau@demo.example"


class Reviewing:
    """Tells the story of those who review; ``builder`` hands versions in as their makers would."""

    def __init__(self, cast: Cast, builder: AppBuilder, timeline: Timeline) -> None:
        self.cast, self.builder, self.timeline = cast, builder, timeline
        self.approver = actor_for(cast.person("approver"))
        self.operator = actor_for(cast.person("operator"))

    def tell(self) -> None:
        self.second = self._second_approver()
        self._keep_rules()
        self._talk()
        self._approve_by_itself("invoice-extractor")
        self._raise_price("sentiment-labeler")
        self._appeal("tone-rewriter")
        self._propose_takedown("policy-qa")
        self._end("release-notes", successor="meeting-summarizer")

    def _second_approver(self) -> Actor:
        """Four eyes need a second pair."""
        at = self.timeline.ago(80, 9)
        organization = self.cast.teams["team-ux"].organization
        person = User.objects.create(email=SECOND, first_name="Grace", last_name="Moreau")
        person.set_unusable_password()
        person.save()
        Membership.objects.create(
            user=person, organization=organization, role=Membership.Role.APPROVER, created_at=at
        )
        return actor_for(person)

    def _keep_rules(self) -> None:
        at = self.timeline.ago(60, 10)
        for title, text, anchor in REASONS:
            canned_reasons.add(
                title=title, text=text, policy_url=f"{POLICY}#{anchor}", by=self.operator, at=at
            )
        year = self.timeline.at.year
        organization = self.cast.teams["team-ux"].organization
        for day, name in ((date(year, 12, 25), "Christmas Day"), (date(year + 1, 1, 1), "New Year's Day")):
            holidays.add(organization, day=day, name=name, by=self.approver, at=at)
        review_queue.keep(self.approver.user, name="Look twice", query="show=all&grade=high")

    def _talk(self) -> None:
        review = Review.objects.select_related("version__app__owner_team").get(state="open")
        creator = actor_for(self.cast.creator(review.version.app.owner_team.slug))
        log = Upload("checked.txt", b"Twelve contracts of last year, all summaries read by legal.\n")
        at = self.timeline.ago(1, 10)
        review_talk.add_note(review, text="We tried it on twelve contracts.", by=creator, at=at, files=[log])
        review_talk.add_note(
            review,
            text="Legal wants to see the sample before this goes live.",
            by=self.approver,
            at=self.timeline.ago(1, 14),
            is_private=True,
        )

    def _approve_by_itself(self, slug: str) -> None:
        """A policy was on for a week; what it approved waits for a look."""
        first = auto_approvals.propose(
            TERMS, reason="Small changes wait for days.", by=self.operator, at=self.timeline.ago(14, 10)
        )
        auto_approvals.activate(first, by=self.approver, at=self.timeline.ago(13, 10))
        self._hand_in(slug, days_ago=9, changes={"max_output_tokens": 640})
        auto_approvals.switch_off(
            by=self.approver,
            at=self.timeline.ago(6, 9),
            reason="Until somebody has looked at the first ones.",
        )
        auto_approvals.propose(
            replace(TERMS, max_risk=10, sample_percent=50),
            reason="Stricter, with half of them looked at.",
            by=self.operator,
            at=self.timeline.ago(1, 11),
        )

    def _raise_price(self, slug: str) -> None:
        plan = plan_of(self._live(slug).listing.version)
        assert plan is not None
        dearer = replace(terms_of(plan), fee=Decimal(32))
        review = self._hand_in(slug, days_ago=5, changes={"plan": dearer})
        reviews.approve(
            review,
            by=self.approver.user,
            at=self.timeline.ago(4, 10),
            reason="The price needs a second person.",
        )
        change = PriceChange.objects.select_related("app__owner_team", "version", "new_plan").get(
            version=review.version
        )
        price_changes.approve(
            change,
            by=self.second,
            at=self.timeline.ago(3, 15),
            notice_days=NOTICE_DAYS,
            note="Still below what others ask.",
        )

    def _appeal(self, slug: str) -> None:
        review = self._hand_in(
            slug, days_ago=6, changes={"instructions": "Rewrite the mail, and sum it up in one line."}
        )
        reviews.reject(
            review,
            by=self.approver.user,
            at=self.timeline.ago(4, 16),
            reason="An app does one small job. Please split it.",
            policy_url=f"{POLICY}#scope",
        )
        creator = actor_for(self.cast.creator(review.version.app.owner_team.slug))
        text = "The line is the subject of the mail: nobody sends one without the other."
        appeals.of_rejection(review, text=text, by=creator, at=self.timeline.ago(2, 9))

    def _propose_takedown(self, slug: str) -> None:
        takedowns.propose(
            self._live(slug),
            reason="Two teams report answers from policies that are no longer in force.",
            policy_url=f"{POLICY}#truth",
            fix_by=self.timeline.at + timedelta(days=14),
            by=self.second,
            at=self.timeline.ago(1, 9),
        )

    def _end(self, slug: str, *, successor: str) -> None:
        app = self._live(slug)
        deprecations.announce(
            app,
            ends_at=self.timeline.at + timedelta(days=75),
            reason="The summarizer writes release notes as well, at half the cost.",
            by=actor_for(self.cast.creator(app.owner_team.slug)),
            at=self.timeline.ago(2, 13),
            notice_days=NOTICE_DAYS,
            successor=self._live(successor),
        )

    def _hand_in(self, slug: str, *, days_ago: int, changes: dict[str, object]) -> Review:
        """Start the next version of an app, change it, and let it pass its check."""
        facts = next(facts for facts in LISTED if facts.slug == slug)
        began = self.timeline.ago(days_ago + 1, 10)
        app = self._live(slug)
        creator = self.cast.creator(app.owner_team.slug)
        version = drafts.start_next_version(app, by=creator, at=began)
        drafts.edit(version, by=creator, at=began, changes=changes)
        return self.builder.submit(version, facts, at=self.timeline.ago(days_ago, 9))

    def _live(self, slug: str) -> App:
        related = ("owner_team__organization", "listing__version__plan")
        return App.objects.select_related(*related).get(slug=slug)
