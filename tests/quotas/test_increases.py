from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from marketplace.accounts.access import Actor, actor_for
from marketplace.core import audit
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.models import Notice
from marketplace.core.transitions import IllegalTransition
from quotas import increase_assessing, increases, queries
from quotas.capacity import HeadRoom
from quotas.increase_models import Grant, IncreaseDecision, IncreaseRequest
from quotas.increase_rights import visible_requests
from quotas.increase_subjects import NothingToRaise
from quotas.increases import KeyReused
from quotas.owners import Owner
from tests.conftest import Cast
from tests.factories import NOW
from tests.quotas.increase_world import DAY, make_policy, make_request, make_wish


@pytest.fixture
def consumer(cast: Cast) -> Actor:
    return actor_for(cast.consumer)


def daily_calls(owner: Owner, *, at: Any = NOW) -> Decimal:
    return queries.effective(owner, at=at)["requests", "day", ""].value


class TestCreate:
    def test_goes_to_the_review_of_the_cost_and_tells_who_decides_there(
        self, cast: Cast, owner: Owner, consumer: Actor
    ) -> None:
        make_policy(cast)

        request = increases.create(owner, wish=make_wish(), by=consumer, at=NOW).request

        # 400 % more is over the 25 % that are granted by themselves and the 100 % up to which nobody looks at capacity.
        assert (request.state, request.levels) == ("cost_review", ["cost_review", "capacity_review"])
        assert (request.current_value, request.granted) == (1000, None)
        told = Notice.objects.filter(idempotency_key=f"increase:{request.pk}:cost_review")
        assert {notice.recipient for notice in told} == {cast.finance, cast.approver}

    def test_is_granted_by_itself_inside_the_policy(
        self, cast: Cast, owner: Owner, consumer: Actor, room: None
    ) -> None:
        policy = make_policy(cast)

        request = increases.create(owner, wish=make_wish(1250), by=consumer, at=NOW).request

        decision = IncreaseDecision.objects.get()
        assert (request.state, request.granted) == ("auto_approved", 1250)
        assert (decision.level, decision.decider, decision.policy) == ("policy", None, policy)
        assert [rule["rule"] for rule in decision.snapshot["rules"]] == [
            "increase", "cost", "head_room", "duration",
        ]  # fmt: skip
        assert all(rule["passed"] for rule in decision.snapshot["rules"])
        assert daily_calls(owner) == 1250

    @pytest.mark.parametrize(
        ("fields", "broken"),
        [
            ({"requested": "1251"}, "increase"),
            ({"monthly_cost": Decimal("100.01")}, "cost"),
            ({"ends_at": NOW + 91 * DAY}, "duration"),
            ({"ends_at": None}, "duration"),
        ],
    )
    def test_is_reviewed_when_one_rule_of_the_policy_does_not_hold(
        self, cast: Cast, owner: Owner, consumer: Actor, room: None, fields: dict[str, Any], broken: str
    ) -> None:
        make_policy(cast)

        request = increases.create(
            owner, wish=make_wish(**{"requested": "1250"} | fields), by=consumer, at=NOW
        ).request

        assert request.state == "cost_review"
        assert [rule["rule"] for rule in request.verdict["rules"] if not rule["passed"]] == [broken]
        assert not Grant.objects.exists()

    def test_counts_capacity_that_nobody_knows_as_not_free(
        self, cast: Cast, owner: Owner, consumer: Actor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(increase_assessing, "head_room", lambda owner, **asked: HeadRoom(None, None))
        make_policy(cast)

        request = increases.create(owner, wish=make_wish(1250), by=consumer, at=NOW).request

        assert request.state == "cost_review"
        assert [rule["rule"] for rule in request.verdict["rules"] if not rule["passed"]] == ["head_room"]

    def test_is_reviewed_on_both_levels_without_a_policy(self, owner: Owner, consumer: Actor) -> None:
        request = increases.create(owner, wish=make_wish(1001), by=consumer, at=NOW).request

        assert (request.state, request.levels) == ("cost_review", ["cost_review", "capacity_review"])

    def test_supersedes_the_open_one_of_the_same_subject(
        self, cast: Cast, owner: Owner, consumer: Actor
    ) -> None:
        first = make_request(owner, cast.consumer)
        other_window = make_request(owner, cast.consumer, wish=make_wish(30_000, window="month"))

        second = increases.create(owner, wish=make_wish(6000), by=consumer, at=NOW).request

        states = dict(IncreaseRequest.objects.values_list("pk", "state"))
        assert states == {first.pk: "superseded", other_window.pk: "cost_review", second.pk: "cost_review"}

    def test_lowers_at_once_what_asks_for_less(self, cast: Cast, owner: Owner, consumer: Actor) -> None:
        make_policy(cast)

        request = increases.create(owner, wish=make_wish(400), by=consumer, at=NOW).request

        assert (request.state, request.granted) == ("auto_approved", 400)
        assert daily_calls(owner) == 400
        assert not Grant.objects.exists()

    def test_gives_back_a_grant_for_less_than_it_granted(
        self, cast: Cast, owner: Owner, consumer: Actor, room: None
    ) -> None:
        make_policy(cast)
        make_request(owner, cast.consumer, wish=make_wish(1250))

        increases.create(owner, wish=make_wish(1000), by=consumer, at=NOW + DAY)

        assert Grant.objects.get().state == "revoked"
        assert daily_calls(owner, at=NOW + DAY) == 1000

    def test_returns_the_first_result_for_the_same_key(self, owner: Owner, consumer: Actor) -> None:
        first = increases.create(owner, wish=make_wish(), by=consumer, at=NOW, idempotency_key="k1")
        again = increases.create(owner, wish=make_wish(), by=consumer, at=NOW + DAY, idempotency_key="k1")

        assert (first.is_new, again.is_new) == (True, False)
        assert first.request == again.request
        with pytest.raises(KeyReused):
            increases.create(owner, wish=make_wish(6000), by=consumer, at=NOW, idempotency_key="k1")

    @pytest.mark.parametrize(
        ("fields", "field"),
        [
            ({"requested": "1.5"}, "requested"),
            ({"requested": "-1"}, "requested"),
            ({"measure": "calls"}, "measure"),
            ({"window": "year"}, "window"),
            ({"reason": " "}, "reason"),
            ({"monthly_calls": Decimal(-1)}, "projection.monthly_calls"),
            ({"monthly_cost": Decimal(-1)}, "projection.monthly_cost"),
            ({"ends_at": NOW}, "ends_at"),
            ({"starts_at": NOW + 9 * DAY, "ends_at": NOW + 8 * DAY}, "ends_at"),
        ],
    )
    def test_names_what_is_wrong(
        self, owner: Owner, consumer: Actor, fields: dict[str, Any], field: str
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            increases.create(owner, wish=make_wish(**{"requested": "5000"} | fields), by=consumer, at=NOW)

        assert refused.value.field == field
        assert not IncreaseRequest.objects.exists()

    def test_refuses_where_no_limit_stands_in_the_way(self, owner: Owner, consumer: Actor) -> None:
        with pytest.raises(NothingToRaise):
            increases.create(owner, wish=make_wish(measure="tokens"), by=consumer, at=NOW)

    def test_is_for_those_whose_limit_it_is(self, cast: Cast, owner: Owner) -> None:
        for who in (cast.stranger, cast.approver):
            with pytest.raises(NotAllowed):
                increases.create(owner, wish=make_wish(), by=actor_for(who), at=NOW)


class TestSubmit:
    def test_follows_a_draft_that_only_its_author_sees(
        self, cast: Cast, owner: Owner, consumer: Actor
    ) -> None:
        request = increases.draft(owner, wish=make_wish(), by=consumer, at=NOW)
        increases.edit(request, wish=make_wish(7000), by=consumer, at=NOW)

        assert not visible_requests(actor_for(cast.operator)).exists()
        with pytest.raises(NotAllowed):
            increases.submit(request, by=actor_for(cast.operator), at=NOW)
        increases.submit(request, by=consumer, at=NOW + DAY)
        assert (request.state, request.requested, request.submitted_at) == ("cost_review", 7000, NOW + DAY)
        assert visible_requests(actor_for(cast.operator)).get() == request

    def test_happens_once(self, owner: Owner, consumer: Actor) -> None:
        request = increases.draft(owner, wish=make_wish(), by=consumer, at=NOW)
        seen_before = IncreaseRequest.objects.get()
        increases.submit(request, by=consumer, at=NOW)

        with pytest.raises(IllegalTransition):
            increases.submit(seen_before, by=consumer, at=NOW)


class TestWithdraw:
    def test_is_for_who_asked(self, cast: Cast, owner: Owner, consumer: Actor) -> None:
        request = make_request(owner, cast.consumer)

        with pytest.raises(NotAllowed):
            increases.withdraw(request, by=actor_for(cast.operator), at=NOW)
        increases.withdraw(request, by=consumer, at=NOW)

        assert request.state == "withdrawn"
        assert audit.history(request)[-1].action == "quotas.increase.withdrawn"


class TestRequests:
    """What the database holds, whoever writes."""

    def test_never_change_once_they_are_submitted(self, cast: Cast, owner: Owner) -> None:
        request = make_request(owner, cast.consumer)

        for change in ({"requested": 9000}, {"reason": "Other."}, {"needs_two_people": False}):
            with (
                pytest.raises(IntegrityError, match="increase_asked_once"),
                transaction.atomic(),
            ):
                IncreaseRequest.objects.filter(pk=request.pk).update(**change)

    def test_never_leave_a_final_state(self, cast: Cast, owner: Owner, consumer: Actor) -> None:
        request = make_request(owner, cast.consumer)
        increases.withdraw(request, by=consumer, at=NOW)

        with (
            pytest.raises(IntegrityError, match="increase_state_is_final"),
            transaction.atomic(),
        ):
            IncreaseRequest.objects.filter(pk=request.pk).update(state="cost_review")

    def test_are_open_once_for_each_subject(self, cast: Cast, owner: Owner) -> None:
        first = make_request(owner, cast.consumer)

        with pytest.raises(IntegrityError, match="increase_one_open_of_subject"), transaction.atomic():
            first.pk = None
            IncreaseRequest.objects.create(
                **{
                    field.attname: getattr(first, field.attname)
                    for field in IncreaseRequest._meta.concrete_fields
                    if field.name != "id"
                }
            )

    def test_are_granted_at_most_what_is_asked(self, cast: Cast, owner: Owner) -> None:
        request = make_request(owner, cast.consumer)

        with (
            pytest.raises(IntegrityError, match="increase_grants_at_most_what_is_asked"),
            transaction.atomic(),
        ):
            IncreaseRequest.objects.filter(pk=request.pk).update(state="approved", granted=5001)
        with pytest.raises(IntegrityError, match="increase_granted_has_value"), transaction.atomic():
            IncreaseRequest.objects.filter(pk=request.pk).update(state="approved")
