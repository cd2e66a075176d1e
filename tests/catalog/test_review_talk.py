from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import IntegrityError, ProgrammingError, transaction

from marketplace.accounts.access import actor_for
from marketplace.catalog import attachments, holidays, review_talk, reviews
from marketplace.catalog.attachments import Upload
from marketplace.catalog.models import Review
from marketplace.catalog.review_models import ReviewAttachment, ReviewNote, ReviewQuestion
from marketplace.core.errors import Conflict, InvalidInput, NotAllowed
from marketplace.core.models import Notice
from marketplace.core.transitions import IllegalTransition
from tests import factories
from tests.catalog.making import make_review
from tests.conftest import Cast
from tests.factories import NOW

HOUR = timedelta(hours=1)


def ask(review: Review, cast: Cast, *, at: datetime = NOW) -> ReviewQuestion:
    return review_talk.ask(review, question="Which languages?", by=actor_for(cast.approver), at=at)


class TestAsk:
    def test_stops_the_clock_and_tells_the_makers(self, cast: Cast) -> None:
        review = make_review(cast)

        ask(review, cast)

        assert Review.objects.get().paused_at == NOW
        assert Notice.objects.filter(recipient=cast.creator, text__contains="Which languages?").count() == 1

    def test_waits_for_the_answer_before_the_next_question(self, cast: Cast) -> None:
        review = make_review(cast)
        ask(review, cast)

        with pytest.raises(Conflict, match="asked already"):
            ask(review, cast)

    def test_is_refused_to_the_submitter_and_to_who_is_no_approver(self, cast: Cast) -> None:
        review = make_review(cast)
        factories.join(cast.creator, None, "approver", organization=cast.company)

        for person in (cast.creator, cast.consumer, cast.stranger):
            with pytest.raises(NotAllowed):
                review_talk.ask(review, question="Why?", by=actor_for(person), at=NOW)

    def test_is_too_late_once_decided(self, cast: Cast) -> None:
        review = make_review(cast)
        reviews.reject(review, by=cast.approver, at=NOW, reason="No.")

        with pytest.raises(IllegalTransition):
            ask(review, cast)


class TestAnswer:
    def test_lets_the_clock_go_on_with_what_was_left(self, cast: Cast) -> None:
        review = make_review(cast)
        # Due on Thursday noon, asked on Tuesday noon, answered on Friday noon: two days were left.
        Review.objects.filter(pk=review.pk).update(due_at=datetime(2026, 11, 19, 12, tzinfo=UTC))
        ask(review, cast, at=datetime(2026, 11, 17, 12, tzinfo=UTC))

        review_talk.answer(
            review, text="English.", by=actor_for(cast.creator), at=datetime(2026, 11, 20, 12, tzinfo=UTC)
        )

        review.refresh_from_db()
        assert (review.paused_at, review.due_at) == (None, datetime(2026, 11, 24, 12, tzinfo=UTC))
        assert Notice.objects.filter(recipient=cast.approver, text__contains="English.").count() == 1

    def test_happens_once(self, cast: Cast) -> None:
        review = make_review(cast)
        ask(review, cast)
        review_talk.answer(review, text="English.", by=actor_for(cast.creator), at=NOW)

        with pytest.raises(Conflict, match="Nothing is asked"):
            review_talk.answer(review, text="Also French.", by=actor_for(cast.creator), at=NOW)

    def test_is_for_makers(self, cast: Cast) -> None:
        review = make_review(cast)
        ask(review, cast)

        with pytest.raises(NotAllowed):
            review_talk.answer(review, text="English.", by=actor_for(cast.consumer), at=NOW)

    def test_is_not_needed_to_decide(self, cast: Cast) -> None:
        review = make_review(cast)
        ask(review, cast)

        reviews.approve(review, by=cast.approver, at=NOW)

        assert (Review.objects.get().state, Review.objects.get().paused_at) == ("approved", None)

    def test_is_whole_even_past_the_code(self, cast: Cast) -> None:
        question = ask(make_review(cast), cast)

        with pytest.raises(IntegrityError, match="review_question_answered_whole"), transaction.atomic():
            ReviewQuestion.objects.filter(pk=question.pk).update(answered_at=NOW)

    def test_is_owed_by_one_question_at_a_time_even_past_the_code(self, cast: Cast) -> None:
        review = make_review(cast)
        ask(review, cast)

        with pytest.raises(IntegrityError, match="review_question_one_open"), transaction.atomic():
            ReviewQuestion.objects.create(review=review, question="?", asked_by=cast.approver, asked_at=NOW)


class TestPaused:
    def test_is_only_what_is_open(self, cast: Cast) -> None:
        review = make_review(cast)
        reviews.reject(review, by=cast.approver, at=NOW, reason="No.")

        with pytest.raises(IntegrityError, match="review_paused_is_open"), transaction.atomic():
            Review.objects.filter(pk=review.pk).update(paused_at=NOW)


class TestAddNote:
    def test_tells_the_makers_of_a_public_one_only(self, cast: Cast) -> None:
        review = make_review(cast)
        approver = actor_for(cast.approver)

        review_talk.add_note(review, text="Looks fine.", by=approver, at=NOW)
        review_talk.add_note(review, text="I doubt it.", by=approver, at=NOW, is_private=True)

        told = Notice.objects.filter(recipient=cast.creator).values_list("text", flat=True)
        assert any("Looks fine." in text for text in told)
        assert not any("I doubt it." in text for text in told)

    def test_keeps_files_as_they_came(self, cast: Cast) -> None:
        review = make_review(cast)

        review_talk.add_note(
            review, text="", by=actor_for(cast.creator), at=NOW, files=[Upload("log.txt", b"line\n")]
        )

        kept = ReviewAttachment.objects.get()
        assert (kept.file_name, kept.content_type, bytes(kept.content)) == (
            "log.txt",
            "text/plain",
            b"line\n",
        )

    def test_keeps_private_ones_to_approvers(self, cast: Cast) -> None:
        with pytest.raises(NotAllowed):
            review_talk.add_note(
                make_review(cast), text="Psst.", by=actor_for(cast.creator), at=NOW, is_private=True
            )

    def test_needs_words_or_a_file(self, cast: Cast) -> None:
        with pytest.raises(InvalidInput):
            review_talk.add_note(make_review(cast), text="  ", by=actor_for(cast.approver), at=NOW)

    def test_never_changes(self, cast: Cast) -> None:
        note = review_talk.add_note(
            make_review(cast),
            text="Fine.",
            by=actor_for(cast.approver),
            at=NOW,
            files=[Upload("a.txt", b"a")],
        )

        for rows, change in (
            (ReviewNote.objects.filter(pk=note.pk), {"text": "Bad."}),
            (ReviewAttachment.objects.filter(note=note), {"file_name": "b.txt"}),
        ):
            with pytest.raises(ProgrammingError), transaction.atomic():
                rows.update(**change)

    @pytest.mark.parametrize(
        ("field", "value", "constraint"),
        [
            ("size_bytes", attachments.MAX_FILE_BYTES + 1, "review_attachment_bounded"),
            ("content_type", "text/html", "review_attachment_known_type"),
        ],
    )
    def test_bounds_files_even_past_the_code(
        self, cast: Cast, field: str, value: object, constraint: str
    ) -> None:
        note = review_talk.add_note(make_review(cast), text="x", by=actor_for(cast.approver), at=NOW)
        values = {
            "note": note,
            "file_name": "a",
            "content_type": "text/plain",
            "size_bytes": 1,
            "content": b"a",
        }

        with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
            ReviewAttachment.objects.create(**values | {field: value})


class TestHolidays:
    def test_move_the_due_date_of_what_comes(self, cast: Cast) -> None:
        plain = make_review(cast)
        for offset in range(1, 8):
            holidays.add(
                cast.company,
                day=(NOW + timedelta(days=offset)).date(),
                name="Closed",
                by=actor_for(cast.approver),
                at=NOW,
            )

        shifted = make_review(cast)

        assert shifted.due_at > plain.due_at
        assert shifted.due_at > NOW + timedelta(days=8)

    def test_are_set_by_approvers_of_the_organization_only(self, cast: Cast) -> None:
        for person in (cast.creator, cast.stranger):
            with pytest.raises(NotAllowed):
                holidays.add(cast.company, day=date(2026, 12, 24), name="x", by=actor_for(person), at=NOW)
