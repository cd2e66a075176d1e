"""Batches: calls of a file made in the background, each once, whatever happens to its worker."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db.models import Sum
from django.utils import timezone

from marketplace.accounts import keys
from marketplace.accounts.access import actor_for
from marketplace.catalog.models import Subscription, Version
from marketplace.core.errors import InvalidInput, NotFound
from marketplace.core.models import Notice
from marketplace.core.transitions import IllegalTransition
from marketplace.gateway import background, books
from marketplace.gateway.batch_models import Batch, BatchLine, CheapHours
from marketplace.gateway.batches import calling, finishing, lines, making, taking, working
from marketplace.gateway.batches.calling import Turn
from marketplace.gateway.batches.making import Wanted
from marketplace.gateway.idempotency import KeyReused
from marketplace.gateway.models import Provider
from marketplace.gateway.pipeline import Gateway
from metering import batch_rates, rollups
from metering.models import RateCard, UsageEvent
from quotas import holds
from quotas.models import Hold, Limit, LimitCounter
from tests import factories
from tests.conftest import Cast
from tests.factories import LONG_AGO
from tests.gateway.batching import CHAT, chat_line, jsonl, make_batch, means, read, store, work
from tests.gateway.live import make_models

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def subscription(transactional_db: None, cast: Cast, demo_provider: str) -> Iterator[Subscription]:
    make_models(demo_provider)
    app = factories.make_listed_app(cast.creator_team, slug="where2eat")
    yield factories.make_subscription(app, cast.consumer_team, created_by=cast.consumer)
    background.close()


def halve(cast: Cast) -> None:
    batch_rates.put_in_force(
        Decimal(50), starts_at=None, reason="cheap hours", by=actor_for(cast.operator), at=timezone.now()
    )


def cost_of_events() -> Decimal:
    return UsageEvent.objects.aggregate(sum=Sum("cost"))["sum"] or Decimal(0)


class TestWork:
    def test_answers_every_line_and_fails_only_the_one_that_is_wrong(
        self, cast: Cast, subscription: Subscription
    ) -> None:
        halve(cast)
        wrong = chat_line("b") | {"body": {"model": "auto", "messages": []}}
        batch = make_batch(subscription.pk, [chat_line("a"), wrong, chat_line("c")])

        work(batch)

        assert (batch.state, batch.total_lines, batch.done_lines, batch.failed_lines) == (
            "completed",
            3,
            2,
            1,
        )
        answers, (failed,) = read(batch.output_file), read(batch.error_file)
        assert [one["custom_id"] for one in answers] == ["a", "c"]
        assert all(one["response"]["body"]["choices"][0]["message"]["content"] for one in answers)
        assert (failed["custom_id"], failed["response"]["status_code"]) == ("b", 400)
        assert failed["response"]["body"]["error"]["param"] == "messages"
        events = UsageEvent.objects.all()
        assert {event.event_id for event in events} == {one["response"]["request_id"] for one in answers}
        assert batch.cost == cost_of_events() == batch.list_cost / 2
        assert all(event.rate_card.batch_rate_id for event in events)
        assert not Hold.objects.filter(state="held").exists()
        assert rollups.differences() == []
        assert not batch.lines.exclude(answer=None).exists()
        notice = Notice.objects.get(recipient=cast.consumer)
        said = f"A batch of {subscription.app.name} is completed: 2 of 3 calls answered."
        assert (notice.text, notice.kind) == (said, "work")

    def test_makes_embeddings(self, subscription: Subscription) -> None:
        for change in (
            {"state": "draft"},
            {"allowed_models": ["llm-8b", "embed-small"]},
            {"state": "listed"},
        ):
            Version.objects.filter(app=subscription.app).update(**change)
        url = "/v1/embeddings"
        body = {"model": "embed-small", "input": "Where to eat?"}
        line = {"custom_id": "a", "method": "POST", "url": url, "body": body}
        batch = make_batch(subscription.pk, [line], endpoint=url)

        work(batch)

        (answer,) = read(batch.output_file)
        assert answer["response"]["body"]["data"][0]["embedding"]

    def test_names_what_is_wrong_with_a_file_and_calls_none_of_it(self, subscription: Subscription) -> None:
        content = [
            chat_line("a"),
            chat_line("a"),
            chat_line("b") | {"method": "GET"},
            chat_line("c") | {"url": "/v1/embeddings"},
            chat_line("d", stream=True),
            chat_line("") | {"more": 1},
        ]
        batch = make_batch(subscription.pk, content)

        work(batch)

        assert (batch.state, batch.total_lines, batch.lines.count()) == ("failed", 0, 0)
        assert [(one["line"], one["code"], one["param"]) for one in batch.problems] == [
            (2, "duplicate_custom_id", "custom_id"),
            (3, "invalid_method", "method"),
            (4, "invalid_url", "url"),
            (5, "invalid_stream", "body.stream"),
            (6, "invalid_json_line", None),
        ]
        assert not Hold.objects.exists()

    def test_stops_at_a_hard_limit_and_says_which_for_the_rest(
        self, subscription: Subscription, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # A limit of a day is soon over in the evening, and would be waited for.
        monkeypatch.setattr(calling, "PATIENCE", timedelta())
        Limit.objects.filter(subscription=subscription, measure="requests", window="day").update(
            limit_value=2
        )
        batch = make_batch(subscription.pk, [chat_line(name) for name in "abcde"])

        work(batch, lines_at_once=1)

        assert (batch.state, batch.done_lines, batch.failed_lines) == ("completed", 2, 3)
        assert batch.stop_code == "quota_exceeded"
        left = read(batch.error_file)
        assert [one["custom_id"] for one in left] == ["c", "d", "e"]
        assert all(one["error"]["code"] == "quota_exceeded" for one in left)
        assert "The limit of 2 requests a day of this subscription is reached" in left[0]["error"]["message"]
        assert UsageEvent.objects.count() == 2

    def test_makes_calls_one_at_a_time_where_holds_take_the_room(self, subscription: Subscription) -> None:
        # A call holds 20 output tokens and its prompt, some 35 in all, and uses less than that; two do not fit at once.
        Limit.objects.create(
            subscription=subscription, measure="tokens", window="month", limit_value=70, starts_at=LONG_AGO
        )
        batch = make_batch(subscription.pk, [chat_line(name, text="Hi") for name in "abcdefgh"])

        work(batch, lines_at_once=4)

        used = UsageEvent.objects.aggregate(sum=Sum("input_tokens") + Sum("output_tokens"))["sum"]
        assert (batch.state, batch.stop_code) == ("completed", "quota_exceeded")
        assert 1 < batch.done_lines < 8
        assert 35 < used <= 70

    def test_fails_only_the_line_that_no_model_fits(self, subscription: Subscription) -> None:
        batch = make_batch(subscription.pk, [chat_line("a", text="word " * 9_000), chat_line("b")])
        for _ in range(6):
            Batch.objects.update(run_at=timezone.now())
            work(batch, lines_at_once=1)
        assert (batch.state, batch.done_lines, batch.failed_lines) == ("completed", 1, 1)
        (failed,) = read(batch.error_file)
        assert (failed["custom_id"], failed["response"]["body"]["error"]["code"]) == ("a", "no_route")

    def test_waits_for_a_limit_that_has_room_again_soon(self, subscription: Subscription) -> None:
        Limit.objects.create(
            subscription=subscription, measure="requests", window="minute", limit_value=1, starts_at=LONG_AGO
        )
        batch = make_batch(subscription.pk, [chat_line("a"), chat_line("b")])

        work(batch, lines_at_once=1)

        assert (batch.state, batch.done_lines) == ("in_progress", 1)
        assert batch.run_at > timezone.now()
        assert "requests a minute" in batch.wait_reason
        assert batch.lines.get(custom_id="b").state == "waiting"

    def test_ends_with_its_subscription(self, subscription: Subscription) -> None:
        batch = make_batch(subscription.pk, [chat_line("a")])
        Subscription.objects.filter(pk=subscription.pk).update(state="suspended")

        work(batch)

        assert (batch.state, batch.stop_code) == ("completed", "payment_required")
        assert [one["error"]["code"] for one in read(batch.error_file)] == ["payment_required"]

    def test_ends_with_its_key(self, cast: Cast, subscription: Subscription) -> None:
        key, _ = keys.issue(kind="sub", organization=cast.company, at=LONG_AGO, by=None)
        batch = make_batch(subscription.pk, [chat_line("a")], key_id=key.pk)
        type(key).objects.filter(pk=key.pk).update(revoked_at=timezone.now())
        assert (work(batch).state, batch.stop_code) == ("completed", "key_ended")

    def test_is_refused_where_a_limit_has_no_room_for_it_until_it_is_due(
        self, subscription: Subscription
    ) -> None:
        Limit.objects.filter(subscription=subscription, measure="requests", window="month").update(
            limit_value=2
        )
        # A month ends after the window unless it is its last hour.
        batch = make_batch(subscription.pk, [chat_line(name) for name in "abc"], window="1h")

        work(batch)

        (problem,) = batch.problems
        assert (batch.state, problem["code"]) == ("failed", "quota_exceeded")
        assert (
            "The file has 3 lines, but the limit of 2 requests a month of this subscription"
            in (problem["message"])
        )
        assert not Hold.objects.exists()

    def test_writes_an_answer_of_several_lines_as_one(self, subscription: Subscription) -> None:
        batch = make_batch(subscription.pk, [chat_line("a")])
        working.work_once(means=means())
        BatchLine.objects.update(
            state="done", status=200, answer=b'{\n  "a": 0.10\n}', ended_at=timezone.now()
        )
        Batch.objects.update(state="finalizing")
        (answer,) = read(work(batch).output_file)
        assert answer["response"]["body"] == {"a": 0.1}

    def test_waits_for_a_provider_that_is_away(self, subscription: Subscription) -> None:
        Provider.objects.update(base_url="http://127.0.0.1:9/v1")
        batch = make_batch(subscription.pk, [chat_line("a")])

        work(batch)

        assert batch.state == "in_progress"
        assert batch.wait_reason.startswith("waits: Provider demo")
        assert not UsageEvent.objects.exists()

    def test_expires_with_what_was_done(self, subscription: Subscription) -> None:
        batch = make_batch(subscription.pk, [chat_line("a"), chat_line("b")])
        working.work_once(means=means())
        long_ago = timezone.now() - timedelta(hours=30)
        Batch.objects.update(created_at=long_ago, due_at=long_ago + timedelta(hours=24))

        work(batch)

        assert (batch.state, batch.failed_lines, batch.output_file) == ("expired", 2, None)
        assert {one["error"]["code"] for one in read(batch.error_file)} == {"batch_expired"}


class TestCancel:
    def test_keeps_what_was_done(self, cast: Cast, subscription: Subscription) -> None:
        Limit.objects.create(
            subscription=subscription, measure="requests", window="minute", limit_value=1, starts_at=LONG_AGO
        )
        batch = make_batch(subscription.pk, [chat_line("a"), chat_line("b")])
        work(batch, lines_at_once=1)

        making.cancel(batch, at=timezone.now(), by=cast.consumer)
        work(batch)

        assert (batch.state, batch.done_lines, batch.failed_lines) == ("cancelled", 1, 1)
        assert [one["custom_id"] for one in read(batch.output_file)] == ["a"]
        assert [one["error"]["code"] for one in read(batch.error_file)] == ["batch_cancelled"]
        with pytest.raises(IllegalTransition):
            making.cancel(batch, at=timezone.now())

    def test_ends_one_whose_file_nobody_has_looked_at(self, subscription: Subscription) -> None:
        batch = make_batch(subscription.pk, [chat_line("a")])
        making.cancel(batch, at=timezone.now())
        assert (work(batch).state, batch.output_file, batch.error_file) == ("cancelled", None, None)


class TestRecover:
    """What a next worker makes of lines that one left when it died."""

    def left(self, subscription: Subscription) -> tuple[Batch, BatchLine]:
        make_batch(subscription.pk, [chat_line("a")])
        working.work_once(means=means())
        taken = taking.take(at=timezone.now(), at_once=1)
        assert taken is not None
        (line,) = lines.begin(taken, most=5, at=timezone.now())
        return taken, line

    def release_lease(self) -> None:
        Batch.objects.update(locked_until=timezone.now() - timedelta(seconds=1))

    def test_calls_one_again_that_was_never_sent(self, subscription: Subscription) -> None:
        batch, line = self.left(subscription)
        self.release_lease()

        work(batch)

        assert (batch.state, batch.done_lines) == ("completed", 1)
        assert UsageEvent.objects.get().event_id != str(lines.call_id(line))

    def test_settles_an_answer_that_was_kept_and_sends_nothing(
        self, subscription: Subscription, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        batch, line = self.left(subscription)
        sent = call_until_kept(batch, line, monkeypatch)
        self.release_lease()
        assert Hold.objects.get().state == "held"

        work(batch)

        assert (batch.state, batch.done_lines) == ("completed", 1)
        (answer,) = read(batch.output_file)
        assert answer["response"]["request_id"] == str(lines.call_id(line)) == str(Hold.objects.get().pk)
        assert batch.cost == UsageEvent.objects.get().cost > 0
        assert sent == [1]

    def test_leaves_out_one_of_a_batch_that_was_stopped_meanwhile(self, subscription: Subscription) -> None:
        batch, line = self.left(subscription)
        hold_only(batch, line)
        Batch.objects.update(state="finalizing", stop_code="budget_exceeded", stop_reason="Nothing is left.")
        self.release_lease()

        work(batch)

        assert (batch.state, batch.failed_lines, batch.cost) == ("completed", 1, 0)
        assert read(batch.error_file)[0]["error"]["code"] == "budget_exceeded"

    def test_charges_nothing_for_an_answer_that_comes_after_another_worker_has_taken_over(
        self, subscription: Subscription, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        batch, line = self.left(subscription)
        hold_only(batch, line)
        self.release_lease()

        work(batch)

        assert (batch.state, batch.done_lines) == ("completed", 1)
        assert Hold.objects.get(pk=lines.call_id(line)).state == "released"
        with pytest.raises(lines.LineLost):
            lines.keep(line, body=b"{}", status=200, used={})
        assert batch.cost == UsageEvent.objects.get().cost

    def test_does_not_repeat_what_the_sweep_has_booked(self, subscription: Subscription) -> None:
        batch, line = self.left(subscription)
        hold_only(batch, line)
        holds.sweep(at=timezone.now() + timedelta(days=1))
        self.release_lease()

        work(batch)

        assert (batch.state, batch.failed_lines) == ("completed", 1)
        (failed,) = read(batch.error_file)
        assert failed["error"]["code"] == "worker_lost"
        assert batch.cost == UsageEvent.objects.get().cost > 0


def hold_only(batch: Batch, line: BatchLine) -> None:
    """Do what a worker does that dies before the provider has answered."""

    async def hold(gateway: Any) -> None:
        turn = Turn(batch, gateway, at_once=1)
        await gateway.admit(turn._find, lambda caller: turn._ask(line, caller), call_id=lines.call_id(line))

    background.call(hold)


def call_until_kept(batch: Batch, line: BatchLine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Do what a worker does that dies after the answer was kept and before it is settled."""
    sent: list[int] = []

    class Died(Exception):
        pass

    async def die(self: Gateway, *_: object, **__: object) -> None:
        sent.append(1)
        raise Died

    async def call(gateway: Gateway) -> None:
        turn = Turn(batch, gateway, at_once=1)
        with pytest.raises(Died):
            await turn._call(line)

    with monkeypatch.context() as patched:
        patched.setattr(Gateway, "_settle", die)
        background.call(call)
    return sent


class TestTake:
    def test_gives_a_batch_to_one_worker_until_it_is_given_back(self, subscription: Subscription) -> None:
        make_batch(subscription.pk, [chat_line("a")])
        now = timezone.now()
        batch = taking.take(at=now, at_once=3)
        assert batch is not None
        assert taking.take(at=now, at_once=3) is None
        later = now + taking.LEASE
        assert taking.renew(batch, at=now)
        again = taking.take(at=later, at_once=3)
        assert again is not None
        assert not taking.renew(batch, at=later)
        assert lines.begin(batch, most=1, at=later) == []

    def test_takes_no_more_than_so_many_at_once(self, subscription: Subscription) -> None:
        make_batch(subscription.pk, [chat_line("a")])
        make_batch(subscription.pk, [chat_line("b")])
        assert taking.take(at=timezone.now(), at_once=1)
        assert taking.take(at=timezone.now(), at_once=1) is None
        assert taking.take(at=timezone.now(), at_once=2)


class TestCheapHours:
    def test_are_waited_for_and_an_operator_may_not_wait(
        self, cast: Cast, subscription: Subscription, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # A Sunday at noon; cheap is Sunday from 22:00 on.
        noon = datetime(2026, 11, 15, 12, tzinfo=timezone.now().tzinfo)
        CheapHours.objects.create(weekday=6, from_hour=22, to_hour=24)
        monkeypatch.setattr(books, "now", lambda: noon)
        batch = make_batch(subscription.pk, [chat_line("a")], at=noon)

        work(batch)

        assert (batch.state, batch.run_at.hour, batch.wait_reason) == (
            "in_progress", 22, "waits for cheap hours",
        )  # fmt: skip
        making.hurry(batch, at=noon, by=cast.operator)
        assert work(batch).state == "completed"

    def test_are_not_waited_for_when_it_would_be_too_late(
        self, subscription: Subscription, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        noon = datetime(2026, 11, 15, 12, tzinfo=timezone.now().tzinfo)
        CheapHours.objects.create(weekday=6, from_hour=22, to_hour=24)
        monkeypatch.setattr(books, "now", lambda: noon)
        batch = make_batch(subscription.pk, [chat_line("a")], window="10h", at=noon)
        assert work(batch).state == "completed"


class TestMake:
    def test_gives_the_same_batch_for_an_idempotency_key(self, subscription: Subscription) -> None:
        file = store(subscription.pk, jsonl([chat_line("a")]))
        ask = Wanted(file.pk, CHAT, "24h")
        at = timezone.now()
        first = making.make(ask, subscription_id=subscription.pk, key_id=None, idempotency_key="k", at=at)
        again = making.make(ask, subscription_id=subscription.pk, key_id=None, idempotency_key="k", at=at)
        assert first.pk == again.pk
        with pytest.raises(KeyReused):
            making.make(
                Wanted(file.pk, CHAT, "2h"),
                subscription_id=subscription.pk,
                key_id=None,
                idempotency_key="k",
                at=at,
            )

    @pytest.mark.parametrize(
        ("endpoint", "window", "field"),
        [
            ("/v1/images", "24h", "endpoint"),
            (CHAT, "0h", "completion_window"),
            (CHAT, "8d", "completion_window"),
            (CHAT, "soon", "completion_window"),
        ],
    )
    def test_names_what_is_wrong(
        self, subscription: Subscription, endpoint: str, window: str, field: str
    ) -> None:
        file = store(subscription.pk, jsonl([chat_line("a")]))
        with pytest.raises(InvalidInput) as caught:
            making.make(
                Wanted(file.pk, endpoint, window),
                subscription_id=subscription.pk,
                key_id=None,
                at=timezone.now(),
            )
        assert caught.value.field == field

    def test_does_not_know_a_file_of_another_subscription(
        self, cast: Cast, subscription: Subscription
    ) -> None:
        other = factories.make_subscription(subscription.app, cast.stranger_team)
        file = store(other.pk, jsonl([chat_line("a")]))
        with pytest.raises(NotFound):
            making.make(
                Wanted(file.pk, CHAT, "24h"), subscription_id=subscription.pk, key_id=None, at=timezone.now()
            )


class TestPurge:
    def test_forgets_what_ended_long_ago_and_keeps_its_usage(self, subscription: Subscription) -> None:
        batch = make_batch(subscription.pk, [chat_line("a")])
        work(batch)
        now = timezone.now()
        assert finishing.purge(at=now + timedelta(days=29), keep_days=30) == 0
        assert finishing.purge(at=now + timedelta(days=31), keep_days=30) == 1
        assert (batch.lines.count(), Batch.objects.count()) == (0, 1)
        finishing.purge(at=now + timedelta(days=401), keep_days=30)
        assert not Batch.objects.exists()
        assert UsageEvent.objects.count() == 1
        assert RateCard.objects.exists()
        assert LimitCounter.objects.filter(held__gt=0).count() == 0
