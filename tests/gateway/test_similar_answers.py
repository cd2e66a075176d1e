"""Kept answers to similar questions: proved on the app's own traffic before any is given, stopped when they are wrong."""

import json
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

from marketplace.catalog.models import App
from marketplace.core.models import AuditEntry, Notice
from marketplace.gateway.caching import flights, similar
from marketplace.gateway.caching.judging import Measured, agree, next_state
from marketplace.gateway.saving_models import CallSaving, SimilarTrial
from metering.models import UsageEvent
from tests.conftest import Cast
from tests.factories import NOW
from tests.gateway.live import World, make_models, make_world, running_application
from tests.metering.conftest import app

__all__ = ["app"]
HOUR = timedelta(hours=1)


class TestMeasured:
    def test_is_proved_after_381_trials_without_a_wrong_one(self) -> None:
        # Wilson's upper end with none wrong is z²/(n + z²): 3.8415/383.8415 = 0.010008, 3.8415/384.8415 = 0.009982.
        assert not Measured(380, 0).is_proved
        assert Measured(381, 0).is_proved

    def test_has_the_interval_of_a_worked_example(self) -> None:
        # 3 of 100: (0.03 + 1.9207/100 ± 1.96·√(0.000291 + 0.00009604)) / 1.038415 = 0.0474 ± 0.0371.
        low, high = Measured(100, 3).interval

        assert (round(low, 4), round(high, 4)) == (0.0103, 0.0845)

    @given(st.integers(0, 2_000), st.integers(0, 2_000))
    def test_contains_its_rate(self, one: int, other: int) -> None:
        measured = Measured(max(one, other), min(one, other))

        low, high = measured.interval
        assert 0 <= low <= measured.rate + 1e-12
        assert measured.rate - 1e-12 <= high <= 1

    @pytest.mark.parametrize(
        ("state", "trials", "wrong", "to"),
        [
            ("measuring", 0, 0, "measuring"),
            ("measuring", 381, 0, "serving"),
            ("measuring", 381, 1, "measuring"),
            ("measuring", 100, 3, "stopped"),
            ("serving", 1_000, 10, "serving"),
            ("serving", 1_000, 11, "stopped"),
            ("stopped", 1_000, 0, "stopped"),
            ("off", 1_000, 0, "off"),
        ],
    )
    def test_decides_what_follows(self, state: str, trials: int, wrong: int, to: str) -> None:
        assert next_state(state, Measured(trials, wrong)) == to


class TestAgree:
    @pytest.mark.parametrize(
        ("one", "other", "agrees"),
        [
            ("Positive.", "positive", True),
            ('{"a": 1, "b": [2]}', '{"b":[2],"a":1}', True),
            ('{"a": 1}', '{"a": 2}', False),
            ("It costs $5", "It costs $6", False),
            ("minus -5", "minus 5", False),
            ("yes", "no", False),
            ("cheap", "inexpensive", False),
        ],
    )
    def test_is_strict_in_words_and_free_in_form(self, one: str, other: str, agrees: bool) -> None:
        assert agree(one, other) is agrees


@pytest.mark.django_db
class TestJudgeAll:
    def measure(self, app: App, *, trials: int, wrong: int, state: str = "measuring") -> CallSaving:
        SimilarTrial.objects.bulk_create(
            SimilarTrial(
                app=app,
                event_id=str(number),
                at=NOW + HOUR,
                similar_permille=970,
                was_wrong=number < wrong,
            )
            for number in range(trials)
        )
        return CallSaving.objects.create(app=app, ttl_s=600, similar=state, similar_since=NOW, changed_at=NOW)

    def test_serves_once_it_is_proved_and_tells_its_makers(self, app: App, cast: Cast) -> None:
        saving = self.measure(app, trials=381, wrong=0)

        assert similar.judge_all(at=NOW + 2 * HOUR) == 1
        assert similar.judge_all(at=NOW + 2 * HOUR) == 0

        saving.refresh_from_db()
        assert saving.similar == "serving"
        entry = AuditEntry.objects.get(action="gateway.call_saving.serving")
        assert (entry.actor, entry.reason) == (None, "0 of 381 answers to similar questions were wrong")
        assert Notice.objects.get(recipient=cast.creator).text.startswith(f"{app.name}: kept answers")

    def test_stops_what_is_wrong_too_often(self, app: App) -> None:
        saving = self.measure(app, trials=400, wrong=5, state="serving")

        similar.judge_all(at=NOW + 2 * HOUR)

        saving.refresh_from_db()
        assert saving.similar == "stopped"

    def test_looks_at_nothing_from_before_it_was_begun(self, app: App) -> None:
        saving = self.measure(app, trials=381, wrong=0)
        SimilarTrial.objects.update(at=NOW - HOUR)

        assert similar.judge_all(at=NOW + 2 * HOUR) == 0
        assert similar.measured(saving) == Measured(0, 0)

    def test_deletes_trials_that_count_for_nothing_any_more(self, app: App) -> None:
        self.measure(app, trials=2, wrong=0)

        assert similar.purge_trials(at=NOW + HOUR + timedelta(days=90)) == 0
        assert similar.purge_trials(at=NOW + 2 * HOUR + timedelta(days=90)) == 2


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
class TestCalls:
    ONE = "Please repeat exactly this sentence: the harbor is quiet in the early morning."
    NEAR = "Please repeat exactly this sentence - the harbor is quiet in the early morning!"

    @pytest.fixture
    def world(self, transactional_db: None, cast: Cast, demo_provider: str) -> Iterator[World]:
        make_models(demo_provider)
        with running_application() as url:
            yield make_world(cast, url)

    def set(self, world: World, state: str) -> None:
        CallSaving.objects.create(
            app=world.app,
            ttl_s=600,
            similar=state,
            similar_since=NOW,
            similar_permille=900,
            changed_at=NOW,
        )

    def ask(self, world: World, text: str) -> urllib3.BaseHTTPResponse:
        body = {"model": "auto", "temperature": 0, "messages": [{"role": "user", "content": text}]}
        answer = urllib3.request(
            "POST",
            f"{world.url}/v1/chat/completions",
            body=json.dumps(body),
            headers={"Authorization": f"Bearer {world.sub_key}", "Content-Type": "application/json"},
            retries=False,
        )
        assert answer.status == 200, answer.data
        return answer

    def test_are_bought_and_compared_while_it_is_measured(self, world: World) -> None:
        self.set(world, "measuring")

        self.ask(world, self.ONE)
        second = self.ask(world, self.NEAR)

        assert second.headers["x-halfpenny-cache"] == "miss"
        assert UsageEvent.objects.filter(cost__gt=0).count() == 2
        # Written beside the call: the application ends it before it closes.
        trial = _waited(lambda: SimilarTrial.objects.first())
        assert trial.event_id == second.headers["x-request-id"]
        assert trial.similar_permille >= 900

    def test_are_answered_once_it_serves(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(flights, "TRIED", 0)
        self.set(world, "serving")

        first = self.ask(world, self.ONE)
        second = self.ask(world, self.NEAR)
        other = self.ask(world, "Which invoices of last month are overdue?")

        assert second.headers["x-halfpenny-cache"] == "hit"
        assert second.headers["x-halfpenny-route"] == "kept answer to a similar question"
        assert second.data == first.data
        assert other.headers["x-halfpenny-cache"] == "miss"
        tags = UsageEvent.objects.get(event_id=second.headers["x-request-id"]).tags
        assert tags["halfpenny.saved_by"] == "similar"

    def test_are_not_found_where_it_is_off(self, world: World) -> None:
        CallSaving.objects.create(app=world.app, ttl_s=600, changed_at=NOW)

        self.ask(world, self.ONE)

        assert self.ask(world, self.NEAR).headers["x-halfpenny-cache"] == "miss"
        assert not SimilarTrial.objects.exists()


def _waited(look: Callable[[], SimilarTrial | None]) -> SimilarTrial:
    """Look until there is something: it is written beside the call, which does not wait for it."""
    for _ in range(2_000):
        found = look()
        if found is not None:
            return found
    raise AssertionError("nothing was written")
