from datetime import timedelta
from decimal import Decimal

import pytest
from msgspec.structs import replace

from marketplace.core.ids import uuid7
from metering import ingest
from metering.attribution import Dimensions
from metering.ingest import Usage
from metering.rating import Quantities
from quotas import admission, usual
from quotas.admission import Admitted, Estimate, HoldRequest, Settlement
from quotas.models import Hold, Limit, LimitCounter, OverrunEntry
from quotas.usual_models import UsualUse
from tests.factories import LONG_AGO, NOW
from tests.metering.conftest import make_usage


def answers(who: Dimensions, outputs: list[int], *, model: str = "llm-8b") -> None:
    """Record calls, each of ten input tokens, with these many output tokens."""
    ingest.record(
        [
            replace(
                make_usage(
                    who, f"{model}-{number}", quantities=Quantities(input_tokens=10, output_tokens=output)
                ),
                model=model,
            )
            for number, output in enumerate(outputs)
        ],
        at=NOW,
    )


class TestLearn:
    def test_takes_quantiles_of_the_calls_of_an_app(self, who: Dimensions) -> None:
        answers(who, list(range(1, 101)))

        assert usual.learn(at=NOW) == 2

        of_model = UsualUse.objects.get(model__isnull=False)
        of_app = UsualUse.objects.get(model=None)
        # Outputs are 1 to 100, input is 10; 0.20 and 0.60 a million.
        assert (of_model.calls, of_model.output_p99) == (100, 99)
        assert (of_app.tokens_p50, of_app.tokens_p95) == (60, 105)
        assert of_app.cost_p95 == Decimal("0.000059")  # 10 x 0.20 + 95 x 0.60, a million
        book = usual.load()
        assert book.output(who.app_id, "llm-8b") == 124  # 99 and a quarter
        assert book.elsewhere(who.app_id)[0] == Estimate(105, Decimal("0.000059"))

    def test_learns_nothing_from_few_calls(self, who: Dimensions) -> None:
        answers(who, [100] * 49)

        assert usual.learn(at=NOW) == 0
        assert usual.load().output(who.app_id, "llm-8b") is None
        assert usual.load().elsewhere(who.app_id) == (usual.NOTHING, usual.NOTHING)

    def test_forgets_what_is_over_a_week_ago(self, who: Dimensions) -> None:
        answers(who, [100] * 50)
        usual.learn(at=NOW)

        usual.learn(at=NOW + timedelta(days=8))

        assert not UsualUse.objects.exists()


class TestHoldsOfAppsElsewhere:
    @pytest.fixture
    def budget(self, who: Dimensions) -> Limit:
        """At most 1,000 tokens a day; calls of the app have used 100 each."""
        answers(who, [90] * 60)
        usual.learn(at=NOW)
        Limit.objects.update(ends_at=LONG_AGO)
        return Limit.objects.create(
            team_id=who.team_id, measure="tokens", window="day", limit_value=1_000, starts_at=LONG_AGO
        )

    def ask(self, who: Dimensions) -> HoldRequest:
        most, usually = usual.load().elsewhere(who.app_id)
        hold_id = uuid7()
        usage = Usage(str(hold_id), NOW, who, "", Quantities())
        return HoldRequest(hold_id, usage, most, NOW + timedelta(minutes=5), (usually,))

    def test_keep_as_many_from_starting_as_would_not_fit(self, who: Dimensions, budget: Limit) -> None:
        decided = admission.reserve([self.ask(who) for _ in range(64)], at=NOW)

        # Held at nothing, as long as nothing was known, all 64 would have started and used 6,400.
        assert sum(isinstance(one, Admitted) for one in decided) == 10

    def test_give_back_what_was_not_used_and_book_what_came_beyond(
        self, who: Dimensions, budget: Limit
    ) -> None:
        asked = [self.ask(who), self.ask(who)]
        admission.reserve(asked, at=NOW)

        admission.settle(
            [
                Settlement(
                    one.id, replace(one.usage, model="llm-8b", quantities=Quantities(input_tokens=used))
                )
                for one, used in zip(asked, (30, 130), strict=True)
            ],
            at=NOW,
        )

        counter = LimitCounter.objects.get(limit=budget)
        assert (counter.spent, counter.held) == (160, 0)
        entry = OverrunEntry.objects.get()
        assert (entry.amount, entry.cause) == (30, "elsewhere")
        assert set(Hold.objects.values_list("state", flat=True)) == {"settled"}


class TestUtilization:
    """How much of a nearly full budget can still be used: 64 calls that come at once and write 40 tokens each."""

    FULL, USUAL = 2_010, 60
    """Input is 10; the app's own bound is 2,000 tokens of output, and 99 of 100 answers and a quarter have 50."""

    def used(self, who: Dimensions, *alternatives: Estimate) -> Decimal:
        Limit.objects.update(ends_at=LONG_AGO)
        budget = Limit.objects.create(
            team_id=who.team_id, measure="tokens", window="day", limit_value=10_000, starts_at=LONG_AGO
        )
        ended: list[Settlement] | None = None
        while ended is None or ended:
            asked = [
                HoldRequest(
                    (hold_id := uuid7()),
                    make_usage(who, str(hold_id), tokens=50),
                    Estimate(self.FULL, Decimal(0)),
                    NOW + timedelta(minutes=5),
                    alternatives,
                )
                for _ in range(64)
            ]
            decided = admission.reserve(asked, at=NOW)
            ended = [
                Settlement(one.id, one.usage)
                for one, answer in zip(asked, decided, strict=True)
                if isinstance(answer, Admitted)
            ]
            admission.settle(ended, at=NOW)
        counter = LimitCounter.objects.get(limit=budget)
        assert (counter.held, counter.overrun) == (0, 0)
        return counter.spent

    def test_is_bounded_by_the_longest_answer_where_nothing_is_learned(self, who: Dimensions) -> None:
        # The last call starts while 2,010 are left: up to 7,990 were used before it, in calls of 50.
        assert self.used(who) == 8_000

    def test_is_nearly_whole_with_answers_of_the_usual_length(self, who: Dimensions) -> None:
        # The last call starts while 60 are left.
        assert self.used(who, Estimate(self.USUAL, Decimal(0))) == 9_950
