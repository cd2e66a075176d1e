"""Pages beside a decision: claims, questions, notes with files, second looks, rules, auto-approval."""

from datetime import timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from marketplace.catalog import (
    appeals,
    auto_approvals,
    canned_reasons,
    review_claims,
    review_talk,
    reviews,
    takedowns,
)
from marketplace.catalog.attachments import Upload
from marketplace.catalog.auto_approval_models import AutoApprovalPolicy, PostReview
from marketplace.catalog.models import App, Review
from marketplace.catalog.review_models import CannedReason, Holiday, ReviewClaim, SavedReviewFilter
from marketplace.catalog.takedown_models import Appeal, Takedown
from tests import factories
from tests.catalog.making import make_live, make_review
from tests.conftest import Cast
from tests.factories import NOW

BUDGET = 12


def signed_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


@pytest.fixture
def approver(cast: Cast) -> Client:
    return signed_in(cast.approver)


@pytest.fixture
def creator(cast: Cast) -> Client:
    return signed_in(cast.creator)


@pytest.fixture
def colleague(cast: Cast) -> User:
    person = factories.make_user("bea@demo.example")
    factories.join(person, None, "approver", organization=cast.company)
    return person


@pytest.fixture
def review(cast: Cast) -> Review:
    return make_review(cast)


def path(name: str, *args: object) -> str:
    return reverse(f"catalog:{name}", args=args)


class TestQueue:
    def test_is_narrowed_by_the_address(self, approver: Client, cast: Cast, review: Review) -> None:
        Review.objects.update(risk_score=60, risk_reasons=[[60, "negative margin"]])
        shown = {
            query: "Polite rewriter" in approver.get(f"{path('reviews')}?{query}").content.decode()
            for query in (
                "grade=high", "grade=low", "risk=margin", "risk=endpoint", "category=writing", "category=finance",
                "text=polite", "text=zebra", "show=mine", "show=free", "show=paused", "show=odd&grade=odd",
            )
        }  # fmt: skip

        assert [query for query, is_shown in shown.items() if is_shown] == [
            "grade=high",
            "risk=margin",
            "category=writing",
            "text=polite",
            "show=free",
            "show=odd&grade=odd",
        ]

    def test_shows_with_whom_each_is_until_it_ends(
        self, approver: Client, colleague: User, review: Review
    ) -> None:
        review_claims.take(review, by=colleague, at=timezone.now())
        assert "bea@demo.example" in approver.get(path("reviews")).content.decode()
        assert "Polite rewriter" not in approver.get(f"{path('reviews')}?show=free").content.decode()

        ReviewClaim.objects.update(
            claimed_at=timezone.now() - timedelta(days=2), ends_at=timezone.now() - timedelta(days=1)
        )

        assert "Polite rewriter" in approver.get(f"{path('reviews')}?show=free").content.decode()

    def test_keeps_filters_of_each_person(
        self, approver: Client, cast: Cast, colleague: User, review: Review
    ) -> None:
        approver.post(path("review-filter-keep"), {"name": "Grave ones", "query": "grade=high"})

        assert "?grade=high" in approver.get(path("reviews")).content.decode()
        saved = SavedReviewFilter.objects.get()
        assert signed_in(colleague).post(path("review-filter-forget", saved.pk)).status_code == 404
        approver.post(path("review-filter-forget", saved.pk))
        assert not SavedReviewFilter.objects.exists()

    def test_fits_its_budget_with_many(
        self, approver: Client, cast: Cast, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for _ in range(3):
            review_claims.take(make_review(cast), by=cast.approver, at=timezone.now())

        with django_assert_max_num_queries(BUDGET):
            approver.get(path("reviews"))


class TestClaim:
    def test_is_taken_and_given_back(self, approver: Client, cast: Cast, review: Review) -> None:
        approver.post(path("review-claim", review.pk), {"act": "take"})
        assert ReviewClaim.objects.get().person == cast.approver

        approver.post(path("review-claim", review.pk), {"act": "release"})
        assert not ReviewClaim.objects.exists()

    def test_says_who_has_it(self, approver: Client, cast: Cast, colleague: User, review: Review) -> None:
        review_claims.take(review, by=colleague, at=timezone.now())

        html = approver.post(path("review-claim", review.pk), {"act": "take"}, follow=True).content.decode()

        assert "bea@demo.example took it" in html
        assert ReviewClaim.objects.get().person == colleague

    def test_says_who_is_looking(self, approver: Client, colleague: User, review: Review) -> None:
        signed_in(colleague).get(path("review-looking", review.pk))

        assert "bea@demo.example" in approver.get(path("review-looking", review.pk)).content.decode()

    def test_is_for_approvers(self, creator: Client, cast: Cast, review: Review) -> None:
        for client in (creator, signed_in(cast.stranger)):
            assert client.get(path("review-looking", review.pk)).status_code == 404
            assert client.post(path("review-claim", review.pk), {"act": "take"}).status_code == 404


class TestTalk:
    def test_goes_to_the_makers_and_back(self, approver: Client, creator: Client, review: Review) -> None:
        typed = {"decision": "ask", "reason": "Which languages?"}
        assert "is asked" in approver.post(path("review", review.pk), typed, follow=True).content.decode()
        assert "Waits for an answer" in creator.get(path("review", review.pk)).content.decode()
        assert "Which languages?" in creator.get(path("review-talk", review.pk)).content.decode()
        assert "Polite rewriter" in approver.get(f"{path('reviews')}?show=paused").content.decode()

        creator.post(path("review-answer", review.pk), {"text": "English."})

        assert "English." in approver.get(path("review-talk", review.pk)).content.decode()
        assert Review.objects.get().paused_at is None

    def test_keeps_private_notes_and_their_files_from_makers(
        self, approver: Client, creator: Client, review: Review
    ) -> None:
        file = SimpleUploadedFile("secret.txt", b"who complained")
        approver.post(path("review-talk", review.pk), {"text": "Psst.", "is_private": "on", "attached": file})
        note = review.notes.get()
        address = path("review-file", review.pk, note.attachments.get().pk)

        assert "Psst." in approver.get(path("review-talk", review.pk)).content.decode()
        assert "Psst." not in creator.get(path("review-talk", review.pk)).content.decode()
        assert approver.get(address).status_code == 200
        assert creator.get(address).status_code == 404

    def test_gives_files_as_downloads_that_run_nothing(
        self, approver: Client, cast: Cast, review: Review
    ) -> None:
        note = review_talk.add_note(
            review,
            text="",
            by=actor_for(cast.creator),
            at=NOW,
            files=[Upload("x.html", b"<script>alert(1)</script>")],
        )

        answer = approver.get(path("review-file", review.pk, note.attachments.get().pk))

        assert answer["Content-Type"] == "text/plain"
        assert answer["Content-Disposition"] == 'attachment; filename="x.html"'
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert "sandbox" in answer["Content-Security-Policy"]

    def test_refuses_other_kinds_of_files_at_the_field(self, approver: Client, review: Review) -> None:
        file = SimpleUploadedFile("run.exe", b"MZ\x90\x00")

        html = approver.post(path("review-talk", review.pk), {"text": "", "attached": file}).content.decode()

        assert "no PNG, JPEG, PDF or plain text" in html
        assert not review.notes.exists()

    @pytest.mark.parametrize("who", ["stranger", "consumer"])
    def test_is_unknown_to_others(self, cast: Cast, review: Review, who: str) -> None:
        client = signed_in(getattr(cast, who))

        assert client.get(path("review-talk", review.pk)).status_code == 404
        assert client.post(path("review-talk", review.pk), {"text": "Hi."}).status_code == 404
        assert client.post(path("review-answer", review.pk), {"text": "Hi."}).status_code == 404


class TestReasons:
    def test_are_put_before_what_is_typed_with_their_policy(
        self, approver: Client, cast: Cast, review: Review
    ) -> None:
        canned = canned_reasons.add(
            title="Too broad",
            text="An app does one small job.",
            policy_url="https://example.com/policy",
            by=actor_for(cast.operator),
            at=NOW,
        )

        approver.post(
            path("review", review.pk),
            {"decision": "request_changes", "reason": "Yours does four.", "canned": canned.pk},
        )

        review.refresh_from_db()
        assert review.reason == "An app does one small job.\nYours does four."
        assert review.policy_url == "https://example.com/policy"

    def test_can_have_a_date(self, approver: Client, review: Review) -> None:
        day = (timezone.now() + timedelta(days=7)).date()

        approver.post(
            path("review", review.pk),
            {"decision": "request_changes", "reason": "Name them.", "fix_by": day.isoformat()},
        )

        review.refresh_from_db()
        assert review.fix_by is not None
        # The day itself still counts.
        assert review.fix_by.date() == day + timedelta(days=1)

    def test_refuse_a_date_that_is_past(self, approver: Client, review: Review) -> None:
        typed = {"decision": "request_changes", "reason": "Name them.", "fix_by": "2020-01-01"}

        assert "must lie ahead" in approver.post(path("review", review.pk), typed).content.decode()
        assert Review.objects.get().state == "open"

    def test_are_kept_by_operators(self, cast: Cast, approver: Client) -> None:
        operator = signed_in(cast.operator)
        operator.post(path("review-rules"), {"what": "reason", "title": "Too broad", "text": "One job."})
        assert "One job." in approver.get(path("review-rules")).content.decode()

        operator.post(path("reason-retire", CannedReason.objects.get().pk))
        assert "One job." not in approver.get(path("review-rules")).content.decode()

    def test_are_not_for_others(self, cast: Cast, creator: Client) -> None:
        assert creator.get(path("review-rules")).status_code == 403
        stranger = signed_in(cast.stranger)
        typed = {"what": "reason", "title": "Too broad", "text": "One job."}
        assert stranger.post(path("review-rules"), typed).status_code == 403


class TestHolidays:
    def test_are_set_and_removed(self, approver: Client, cast: Cast) -> None:
        day = (timezone.now() + timedelta(days=30)).date().isoformat()
        typed = {"what": "holiday", "organization": cast.company.pk, "day": day, "name": "Closed"}

        approver.post(path("review-rules"), typed)
        assert "Closed" in approver.get(path("review-rules")).content.decode()

        stranger = signed_in(cast.stranger)
        assert "Closed" not in stranger.get(path("review-rules")).content.decode()
        assert stranger.post(path("holiday-remove", Holiday.objects.get().pk)).status_code == 404
        approver.post(path("holiday-remove", Holiday.objects.get().pk))
        assert not Holiday.objects.exists()


class TestLog:
    def test_is_a_file_too(self, approver: Client, cast: Cast, review: Review) -> None:
        reviews.reject(review, by=cast.approver, at=NOW, reason="=1+1")

        answer = approver.get(f"{path('review-log-csv')}?outcome=rejected")
        lines = b"".join(answer.streaming_content).decode().splitlines()  # type: ignore[attr-defined]

        assert lines[0].startswith("decided_at,app,version,outcome,decided_by")
        assert ",polite-rewriter,1,rejected,approver@demo.example,creator@demo.example," in lines[1]
        # No formula for a spreadsheet.
        assert ",'=1+1," in lines[1]

    def test_is_for_approvers(self, creator: Client) -> None:
        assert creator.get(path("review-log-csv")).status_code == 403


class TestTakedownPages:
    @pytest.fixture
    def app(self, cast: Cast) -> App:
        return make_live(cast)

    def test_need_two_people(self, approver: Client, colleague: User, app: App) -> None:
        approver.post(path("takedown-propose", app.slug), {"reason": "It leaks names."})
        takedown = Takedown.objects.get()
        page = path("takedown", takedown.pk)
        assert "You proposed it" in approver.get(page).content.decode()
        assert approver.post(page, {"decision": "approve"}).status_code == 403

        second = signed_in(colleague)
        assert "It leaks names." in second.get(path("second-looks")).content.decode()
        second.post(page, {"decision": "approve"})

        takedown.refresh_from_db()
        assert (takedown.state, app.versions.get().state) == ("done", "suspended")

    def test_lead_to_an_appeal(self, cast: Cast, creator: Client, colleague: User, app: App) -> None:
        takedown = takedowns.propose(app, reason="It leaks.", by=actor_for(cast.approver), at=timezone.now())
        assert creator.get(path("takedown", takedown.pk)).status_code == 404
        takedowns.approve(takedown, by=actor_for(colleague), at=timezone.now())

        assert "It leaks." in creator.get(path("takedown", takedown.pk)).content.decode()
        creator.get(path("takedown-appeal", takedown.pk))
        creator.post(path("takedown-appeal", takedown.pk), {"text": "It does not."})

        appeal = Appeal.objects.get()
        html = signed_in(cast.approver).get(path("appeal", appeal.pk)).content.decode()
        assert "Not yours to decide" in html
        assert 'value="grant"' not in html

    def test_are_unknown_to_strangers(self, cast: Cast, app: App) -> None:
        takedown = takedowns.propose(app, reason="It leaks.", by=actor_for(cast.approver), at=timezone.now())
        client = signed_in(cast.stranger)

        assert client.get(path("takedown", takedown.pk)).status_code == 404
        assert client.post(path("takedown", takedown.pk), {"decision": "approve"}).status_code == 404
        assert client.get(path("takedown-propose", app.slug)).status_code == 404
        assert "It leaks." not in client.get(path("second-looks")).content.decode()


class TestAppealPages:
    def test_go_from_rejection_to_the_queue(
        self, cast: Cast, creator: Client, colleague: User, review: Review
    ) -> None:
        reviews.reject(review, by=cast.approver, at=timezone.now(), reason="We have three.")
        assert "Appeal: let somebody else" in creator.get(path("review", review.pk)).content.decode()
        assert "We have three." in creator.get(path("review-appeal", review.pk)).content.decode()

        creator.post(path("review-appeal", review.pk), {"text": "None is polite."})
        appeal = Appeal.objects.get()
        signed_in(colleague).post(path("appeal", appeal.pk), {"decision": "grant", "note": "True."})

        assert Review.objects.get(state="open").not_by == cast.approver
        html = (
            signed_in(cast.approver).get(path("review", Review.objects.get(state="open").pk)).content.decode()
        )
        assert "You rejected this version before" in html

    def test_are_unknown_to_strangers(self, cast: Cast, review: Review) -> None:
        reviews.reject(review, by=cast.approver, at=timezone.now(), reason="We have three.")
        appeal = appeals.of_rejection(review, text="No.", by=actor_for(cast.creator), at=timezone.now())
        client = signed_in(cast.stranger)

        assert client.get(path("appeal", appeal.pk)).status_code == 404
        assert client.get(path("review-appeal", review.pk)).status_code == 404


class TestAutoApprovalPage:
    TERMS = {"max_risk": "20", "max_monthly_cost": "5", "sample_percent": "25", "allows_first": "on"}

    def test_tries_terms_on_what_people_decided(self, approver: Client, cast: Cast, review: Review) -> None:
        reviews.reject(review, by=cast.approver, at=timezone.now(), reason="No.")

        html = approver.get(path("auto-approval"), self.TERMS).content.decode()

        assert "Would have approved 1 of 1 by itself; people decided 1 of them otherwise." in html
        assert not AutoApprovalPolicy.objects.exists()

    def test_needs_two_people_to_be_on(self, approver: Client, cast: Cast) -> None:
        approver.post(path("auto-approval"), self.TERMS | {"reason": "Small things wait."})
        policy = AutoApprovalPolicy.objects.get()
        act = {"act": "activate", "number": policy.number}
        own = approver.post(path("auto-approval"), act, follow=True).content.decode()
        assert "Nobody decides what they proposed" in own

        signed_in(cast.operator).post(path("auto-approval"), act)

        assert auto_approvals.in_force() == policy
        approver.post(path("auto-approval"), {"act": "off", "note": "Too many."})
        assert auto_approvals.in_force() is None

    def test_is_not_for_creators(self, creator: Client, cast: Cast) -> None:
        assert creator.get(path("auto-approval")).status_code == 403
        stranger = signed_in(cast.stranger)
        assert stranger.post(path("auto-approval"), self.TERMS | {"reason": "x"}).status_code == 403

    def test_leads_to_looks(self, approver: Client, cast: Cast, review: Review) -> None:
        reviews.approve_automatically(review, at=timezone.now(), reason="Every rule holds.")
        look = PostReview.objects.create(review=review, due_at=timezone.now())
        assert "Approved by itself" in approver.get(path("second-looks")).content.decode()
        assert signed_in(cast.stranger).get(path("post-review", look.pk)).status_code == 404

        page = path("post-review", look.pk)
        approver.post(page, {"decision": "no", "note": "It rambles."})

        look.refresh_from_db()
        assert (look.would_approve, look.note) == (False, "It rambles.")
