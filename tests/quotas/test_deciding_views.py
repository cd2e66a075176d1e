"""Pages of those who decide, seen by each who may and by each who may not."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from marketplace.core.models import AuditEntry, Job, Notice
from quotas import commitments, decision_links, decision_mails, delegations, increase_decisions
from quotas.decision_mails import Sender
from quotas.increase_models import IncreaseDecision, IncreaseRequest
from quotas.models import Delegation, DeskGlance, DeskMark, ModelCapacity, SavedDesk
from quotas.owners import Owner
from tests import factories
from tests.conftest import Cast
from tests.quotas.increase_world import DAY, make_policy, make_request, make_wish, owner_of_subscription

D = Decimal
BUDGET = 12
# The page of a decision gathers from usage, limits, capacity and earlier requests; it is no list.
BUDGET_OF_DECISION = 24


@pytest.fixture
def asked(cast: Cast, owner: Owner) -> IncreaseRequest:
    make_policy(cast)
    now = timezone.now()
    return make_request(owner, cast.consumer, at=now, wish=make_wish(ends_at=now + 30 * DAY))


@pytest.fixture
def bea(cast: Cast) -> User:
    """A colleague without any role of her own."""
    person = factories.make_user("bea@demo.example", first_name="Bea")
    factories.join(person, cast.creator_team, "creator")
    return person


@pytest.fixture
def look(client: Client) -> Any:
    def get(person: User, path: str) -> Any:
        client.force_login(person)
        return client.get(path)

    return get


@pytest.fixture
def post(client: Client) -> Any:
    def send(person: User, path: str, /, **typed: Any) -> Any:
        client.force_login(person)
        return client.post(path, typed)

    return send


def text(answer: Any) -> str:
    assert answer.status_code == 200, (answer.status_code, answer.headers.get("Location"))
    content: str = answer.content.decode()
    return content


def path_of(asked: IncreaseRequest) -> str:
    return f"/increases/{asked.pk}/decide/"


def let_decide(cast: Cast, person: User, *, for_whom: User, scope: str = "all") -> Delegation:
    now = timezone.now()
    return delegations.delegate(
        for_whom,
        to=person,
        scope=scope,
        starts_at=now,
        ends_at=now + 7 * DAY,
        by=actor_for(for_whom),
        at=now,
    )


def sealed(page: str) -> str:
    return page.split('name="shown" value="')[1].split('"')[0]


class TestDecide:
    def test_shows_all_that_a_decision_needs(self, cast: Cast, asked: IncreaseRequest, look: Any) -> None:
        page = text(look(cast.finance, path_of(asked)))

        for words in (
            "Cost a month, projected",
            "Left of the budget after it",
            "Capacity free after it",
            "Auto-approval refused because of this",
            "No capacity is set for llm-8b.",
            "Their first request.",
            "two people decide, neither of them consumer@demo.example",
            "The campaign begins on Monday.",
        ):
            assert words in page
        assert 'value="approve" id="approve"' in page.replace('id="approve" ', "") or 'id="approve"' in page

    def test_approves_and_keeps_what_was_on_the_page(
        self, cast: Cast, asked: IncreaseRequest, look: Any, post: Any
    ) -> None:
        page = text(look(cast.finance, path_of(asked)))

        answer = post(
            cast.finance,
            path_of(asked),
            decision="approve",
            level="cost_review",
            shown=sealed(page),
            granted="5000",
        )

        assert answer.headers["Location"] == "/decisions/"
        asked.refresh_from_db()
        decision = IncreaseDecision.objects.get(request=asked)
        assert (asked.state, decision.decider, decision.granted) == ("capacity_review", cast.finance, 5000)
        assert decision.snapshot["projection"]["method"].startswith("Less than a week of use")
        assert decision.snapshot["head_room"]["why"] == "No capacity is set for llm-8b."
        assert decision.snapshot["record"] == {
            "granted": 0, "denied": 0, "other": 0, "mean_cost_error_percent": None,
        }  # fmt: skip

    def test_keeps_nothing_that_was_not_on_the_page(
        self, cast: Cast, asked: IncreaseRequest, look: Any, post: Any
    ) -> None:
        """Something made up, or signed for somebody else, is not stored; what is true now is."""
        shown = sealed(text(look(cast.approver, path_of(asked))))

        post(
            cast.finance,
            path_of(asked),
            decision="approve",
            level="cost_review",
            shown=shown,
            granted="5000",
        )

        assert "record" not in IncreaseDecision.objects.get(request=asked).snapshot

    def test_gives_less_for_a_while_with_a_reason(
        self, cast: Cast, asked: IncreaseRequest, post: Any
    ) -> None:
        typed = {"decision": "approve", "level": "cost_review", "granted": "2000"}
        last = (timezone.now() + 10 * DAY).date()

        refused = text(post(cast.finance, path_of(asked), **typed))
        post(cast.finance, path_of(asked), **typed, reason="Half first.", last_day=str(last))

        assert "Say why it is less than was asked for." in refused
        decision = IncreaseDecision.objects.get(request=asked)
        assert (decision.granted, decision.reason) == (2000, "Half first.")
        assert decision.ends_at is not None
        assert decision.ends_at.date() == last + timedelta(days=1)

    def test_denies_with_a_reason_only(self, cast: Cast, asked: IncreaseRequest, post: Any) -> None:
        typed = {"decision": "deny", "level": "cost_review", "granted": "5000"}

        assert "Say why: whoever asked reads it." in text(post(cast.finance, path_of(asked), **typed))
        post(cast.finance, path_of(asked), **typed, reason="Policy 1: too dear.")

        asked.refresh_from_db()
        assert asked.state == "denied"

    def test_asks_and_waits_for_the_answer(
        self, cast: Cast, asked: IncreaseRequest, look: Any, post: Any
    ) -> None:
        post(
            cast.finance,
            path_of(asked),
            decision="ask",
            level="cost_review",
            granted="5000",
            reason="For how many users?",
        )

        asked.refresh_from_db()
        assert asked.state == "needs_info"
        page = text(look(cast.finance, path_of(asked)))
        assert "Waits for an answer" in page
        assert "For how many users?" in page

    def test_tells_who_was_faster(self, cast: Cast, asked: IncreaseRequest, post: Any) -> None:
        increase_decisions.deny(
            IncreaseRequest.objects.get(pk=asked.pk),
            reason="Too dear.",
            by=actor_for(cast.approver),
            at=timezone.now(),
        )

        page = text(
            post(cast.finance, path_of(asked), decision="approve", level="cost_review", granted="5000")
        )

        assert "approver@demo.example denied this request at" in page
        assert 'id="approve"' not in page
        assert IncreaseDecision.objects.filter(request=asked).count() == 1

    def test_does_not_decide_another_level_than_was_on_the_page(
        self, cast: Cast, asked: IncreaseRequest, post: Any
    ) -> None:
        increase_decisions.approve(
            IncreaseRequest.objects.get(pk=asked.pk), by=actor_for(cast.finance), at=timezone.now()
        )

        page = text(
            post(cast.approver, path_of(asked), decision="approve", level="cost_review", granted="5000")
        )

        asked.refresh_from_db()
        assert asked.state == "capacity_review"
        assert "while you looked at it" in page

    def test_tells_the_requester_why_it_is_not_theirs(
        self, cast: Cast, asked: IncreaseRequest, look: Any, post: Any
    ) -> None:
        factories.join(cast.consumer, None, "finance", organization=cast.company)

        page = text(look(cast.consumer, path_of(asked)))
        post(cast.consumer, path_of(asked), decision="approve", level="cost_review", granted="5000")

        assert "Nobody decides their own request" in page
        assert 'id="approve"' not in page
        asked.refresh_from_db()
        assert asked.state == "cost_review"

    def test_is_not_there_for_the_stranger(
        self, cast: Cast, asked: IncreaseRequest, look: Any, post: Any
    ) -> None:
        assert look(cast.stranger, path_of(asked)).status_code == 404
        answer = post(cast.stranger, path_of(asked), decision="approve", level="cost_review", granted="5000")
        assert answer.status_code == 404
        assert look(cast.stranger, f"{path_of(asked)}looking/").status_code == 404

    def test_leads_those_who_never_decide_to_the_page_of_the_request(
        self, cast: Cast, asked: IncreaseRequest, look: Any, post: Any
    ) -> None:
        """What the page tells of budgets, capacity and other people is for those who decide."""
        typed = {"decision": "approve", "level": "cost_review", "granted": "5000"}
        for answer in (look(cast.consumer, path_of(asked)), post(cast.consumer, path_of(asked), **typed)):
            assert answer.headers["Location"] == f"/increases/{asked.pk}/"
        assert look(cast.consumer, f"{path_of(asked)}looking/").status_code == 403
        assert not IncreaseDecision.objects.exists()

    def test_shows_what_was_on_the_page_once_it_is_decided(
        self, cast: Cast, asked: IncreaseRequest, look: Any, post: Any
    ) -> None:
        page = text(look(cast.finance, path_of(asked)))
        post(
            cast.finance,
            path_of(asked),
            decision="deny",
            level="cost_review",
            granted="5000",
            reason="Too dear.",
            shown=sealed(page),
        )
        commitments.set_capacity(
            factories.LanguageModel.objects.get(name="llm-8b"),
            provider="demo",
            requests_per_minute=100,
            tokens_per_minute=None,
            note="contract",
            by=actor_for(cast.operator),
            at=timezone.now(),
        )

        decided = text(look(cast.finance, path_of(asked)))

        assert "as they were on the page when it was decided" in decided
        assert "No capacity is set for llm-8b." in decided

    def test_shows_the_consequences_of_another_value(
        self, cast: Cast, asked: IncreaseRequest, look: Any
    ) -> None:
        page = text(look(cast.finance, f"{path_of(asked)}?granted=2000"))

        assert "At 2,000 requests a day." in page
        assert 'name="granted" value="2000"' in page
        assert "At 5,000 requests a day." in text(look(cast.finance, f"{path_of(asked)}?granted=9e99"))

    def test_says_who_else_is_looking(self, cast: Cast, asked: IncreaseRequest, look: Any) -> None:
        look(cast.approver, f"{path_of(asked)}looking/")

        assert "approver@demo.example has this on the screen" in " ".join(
            text(look(cast.finance, f"{path_of(asked)}looking/")).split()
        )
        assert DeskGlance.objects.count() == 2

    def test_keeps_to_its_budget_of_queries(
        self,
        cast: Cast,
        asked: IncreaseRequest,
        client: Client,
        django_assert_max_num_queries: DjangoAssertNumQueries,
    ) -> None:
        client.force_login(cast.finance)
        client.get(path_of(asked))

        with django_assert_max_num_queries(BUDGET_OF_DECISION):
            client.get(path_of(asked))


class TestDelegatedDecision:
    def test_keeps_both_names(
        self, cast: Cast, asked: IncreaseRequest, bea: User, look: Any, post: Any
    ) -> None:
        let_decide(cast, bea, for_whom=cast.finance)

        page = text(look(bea, path_of(asked)))
        post(bea, path_of(asked), decision="approve", level="cost_review", granted="5000")

        assert "You decide for finance@demo.example" in page
        decision = IncreaseDecision.objects.get(request=asked)
        assert (decision.decider, decision.acting_for) == (bea, cast.finance)
        entry = AuditEntry.objects.get(action="quotas.increase.passed_cost_review")
        assert (entry.actor, entry.acting_for) == (bea, cast.finance)

    def test_ends_with_the_delegation(
        self, cast: Cast, asked: IncreaseRequest, bea: User, look: Any, post: Any
    ) -> None:
        made = let_decide(cast, bea, for_whom=cast.finance)
        delegations.end(made, by=actor_for(cast.finance), at=timezone.now())

        assert look(bea, path_of(asked)).status_code == 404
        answer = post(bea, path_of(asked), decision="approve", level="cost_review", granted="5000")
        assert answer.status_code == 404

    def test_is_for_its_kind_of_review(
        self, cast: Cast, asked: IncreaseRequest, bea: User, look: Any
    ) -> None:
        let_decide(cast, bea, for_whom=cast.approver, scope="capacity_review")

        assert 'id="approve"' not in text(look(bea, path_of(asked)))

    def test_is_not_for_what_the_delegate_asked_for(
        self, cast: Cast, asked: IncreaseRequest, look: Any, post: Any
    ) -> None:
        let_decide(cast, cast.consumer, for_whom=cast.finance)

        page = text(look(cast.consumer, path_of(asked)))
        post(cast.consumer, path_of(asked), decision="approve", level="cost_review", granted="5000")

        assert "You asked for this" in page
        asked.refresh_from_db()
        assert asked.state == "cost_review"

    def test_is_not_a_second_person_for_who_decided_before(
        self, cast: Cast, asked: IncreaseRequest, look: Any
    ) -> None:
        let_decide(cast, cast.finance, for_whom=cast.operator)
        increase_decisions.approve(
            IncreaseRequest.objects.get(pk=asked.pk), by=actor_for(cast.finance), at=timezone.now()
        )

        assert "a second person here" in text(look(cast.finance, path_of(asked)))


class TestPassOn:
    def test_gives_it_to_somebody_who_may(
        self, cast: Cast, asked: IncreaseRequest, look: Any, post: Any
    ) -> None:
        post(cast.finance, f"{path_of(asked)}pass-on/", person=cast.approver.pk, note="You know the team.")

        assert DeskMark.objects.get().assignee == cast.approver
        told = Notice.objects.get(recipient=cast.approver, text__contains="passed on")
        assert told.path == path_of(asked)
        assert "with approver@demo.example" in text(look(cast.finance, path_of(asked)))

    def test_is_not_to_or_by_who_may_not(self, cast: Cast, asked: IncreaseRequest, post: Any) -> None:
        post(cast.finance, f"{path_of(asked)}pass-on/", person=cast.consumer.pk)

        assert post(cast.consumer, f"{path_of(asked)}pass-on/", person=cast.finance.pk).status_code == 403
        assert post(cast.stranger, f"{path_of(asked)}pass-on/", person=cast.finance.pk).status_code == 404
        assert not DeskMark.objects.exists()


class TestDesk:
    def test_shows_requests_and_apps_together(self, cast: Cast, asked: IncreaseRequest, look: Any) -> None:
        page = text(look(cast.approver, "/decisions/?show=all"))

        assert f"/increases/{asked.pk}/decide/" in page
        assert "1,000 → 5,000 requests a day" in page
        assert "capacity not known" in page

    def test_shows_what_is_due_first(self, cast: Cast, asked: IncreaseRequest, look: Any) -> None:
        """Escalated after three days: not due within two, so the usual view says what comes."""
        page = text(look(cast.approver, "/decisions/"))

        assert "Nothing due. 1 due next week." in page

    def test_leaves_out_ones_own_and_what_is_not_for_one(
        self, cast: Cast, asked: IncreaseRequest, look: Any
    ) -> None:
        factories.join(cast.consumer, None, "finance", organization=cast.company)

        assert str(asked.pk) not in text(look(cast.consumer, "/decisions/?show=all"))
        # At this level it waits for the cost; the operator reviews the capacity.
        assert str(asked.pk) not in text(look(cast.operator, "/decisions/?show=all"))
        assert str(asked.pk) not in text(look(cast.stranger, "/decisions/?show=all"))

    def test_is_for_those_who_decide(self, cast: Cast, asked: IncreaseRequest, bea: User, look: Any) -> None:
        assert look(bea, "/decisions/").status_code == 403
        let_decide(cast, bea, for_whom=cast.finance)

        page = text(look(bea, "/decisions/?show=all"))

        assert str(asked.pk) in page
        assert "for finance@demo.example" in page

    def test_narrows(self, cast: Cast, asked: IncreaseRequest, look: Any) -> None:
        for query, is_there in (
            ("kind=increase", True),
            ("kind=review", False),
            ("grade=medium", True),
            ("grade=high", False),
            ("text=consumer", True),
            ("text=nobody-like-that", False),
            ("kind=nonsense", True),
        ):
            page = text(look(cast.approver, f"/decisions/?show=all&{query}"))
            assert (str(asked.pk) in page) is is_there, query

    def test_takes_gives_back_and_puts_off(
        self, cast: Cast, asked: IncreaseRequest, look: Any, post: Any
    ) -> None:
        item = f"increase:{asked.pk}"

        post(cast.approver, "/decisions/act/", item=item, act="claim")
        assert str(asked.pk) in text(look(cast.approver, "/decisions/?show=mine"))
        assert str(asked.pk) not in text(look(cast.approver, "/decisions/?show=free"))

        post(cast.approver, "/decisions/act/", item=item, act="assign", person=cast.finance.pk)
        assert str(asked.pk) in text(look(cast.finance, "/decisions/?show=mine"))

        post(cast.finance, "/decisions/act/", item=item, act="release")
        assert not DeskMark.objects.exists()

        post(cast.finance, "/decisions/act/", item=item, act="snooze:week")
        assert str(asked.pk) not in text(look(cast.finance, "/decisions/?show=all"))
        assert str(asked.pk) in text(look(cast.finance, "/decisions/?show=snoozed"))
        assert str(asked.pk) in text(look(cast.approver, "/decisions/?show=all"))

    def test_gives_nothing_to_who_may_not_decide_it(
        self, cast: Cast, asked: IncreaseRequest, post: Any
    ) -> None:
        """The operator reviews capacities; this one waits for its cost."""
        item = f"increase:{asked.pk}"

        post(cast.approver, "/decisions/act/", item=item, act="assign", person=cast.operator.pk)

        assert not DeskMark.objects.exists()

    def test_acts_on_nothing_that_does_not_wait_for_one(
        self, cast: Cast, asked: IncreaseRequest, post: Any
    ) -> None:
        for person in (cast.operator, cast.stranger, cast.consumer):
            post(person, "/decisions/act/", item=f"increase:{asked.pk}", act="claim")
            post(person, "/decisions/act/", item=f"increase:{asked.pk}", act="approve")

        assert not DeskMark.objects.exists()
        assert not IncreaseDecision.objects.exists()

    def test_approves_what_is_plain_and_says_what_is_not(
        self, cast: Cast, asked: IncreaseRequest, post: Any
    ) -> None:
        """Without a capacity it is not plain; with one it is: 4,000 more a day are three a minute."""
        item = f"increase:{asked.pk}"
        left = text(post(cast.approver, "/decisions/act/", item=item, act="approve"))
        commitments.set_capacity(
            factories.LanguageModel.objects.get(name="llm-8b"),
            provider="demo",
            requests_per_minute=100,
            tokens_per_minute=None,
            note="contract",
            by=actor_for(cast.operator),
            at=timezone.now(),
        )
        approved = text(post(cast.approver, "/decisions/act/", item=item, act="approve"))

        assert "0 of 1 approved" in left
        assert "Left for you to look at: capacity is not known." in left
        assert "1 of 1 approved" in approved
        decision = IncreaseDecision.objects.get(request=asked)
        assert (decision.decider, decision.snapshot["in_bulk"]) == (cast.approver, True)

    def test_keeps_and_forgets_filters(self, cast: Cast, look: Any, post: Any) -> None:
        post(cast.approver, "/decisions/keep/", name="Grave ones", query="show=all&grade=high")

        assert "/decisions/?show=all&amp;grade=high" in text(look(cast.approver, "/decisions/"))
        saved = SavedDesk.objects.get()
        assert post(cast.finance, f"/decisions/keep/{saved.pk}/forget/").status_code == 404
        post(cast.approver, f"/decisions/keep/{saved.pk}/forget/")
        assert not SavedDesk.objects.exists()

    def test_keeps_to_its_budget_of_queries(
        self,
        cast: Cast,
        asked: IncreaseRequest,
        bea: User,
        client: Client,
        django_assert_max_num_queries: DjangoAssertNumQueries,
    ) -> None:
        let_decide(cast, bea, for_whom=cast.finance)
        for _ in range(4):
            now = timezone.now()
            other = factories.make_subscription(
                factories.make_listed_app(cast.creator_team), cast.consumer_team
            )

            make_request(
                owner_of_subscription(other), cast.consumer, at=now, wish=make_wish(ends_at=now + DAY)
            )
        for person in (cast.approver, bea):
            client.force_login(person)
            with django_assert_max_num_queries(BUDGET):
                client.get("/decisions/?show=all")


class TestLog:
    def test_finds_decisions_by_person_outcome_and_words(
        self, cast: Cast, asked: IncreaseRequest, look: Any
    ) -> None:
        increase_decisions.deny(asked, reason="Too dear.", by=actor_for(cast.finance), at=timezone.now())

        for query, is_there in (
            ("", True),
            ("person=finance", True),
            ("person=nobody", False),
            ("outcome=denied", True),
            ("outcome=approved", False),
            ("kind=review", False),
            ("text=dear", True),
        ):
            assert (str(asked.pk) in text(look(cast.approver, f"/decisions/log/?{query}"))) is is_there, query

    def test_is_a_file_too(self, cast: Cast, asked: IncreaseRequest, look: Any) -> None:
        increase_decisions.deny(asked, reason="Too dear.", by=actor_for(cast.finance), at=timezone.now())

        answer = look(cast.approver, "/decisions/log.csv?person=finance")
        lines = b"".join(answer.streaming_content).decode().splitlines()

        assert lines[0].startswith("decided_at,kind,subject,detail,outcome,level,decider")
        assert len(lines) == 2
        assert ",denied,cost_review,finance@demo.example,,consumer@demo.example," in lines[1]
        assert ",0,,Too dear.," in lines[1]

    def test_shows_the_stranger_nothing_of_others(
        self, cast: Cast, asked: IncreaseRequest, look: Any
    ) -> None:
        increase_decisions.deny(asked, reason="Too dear.", by=actor_for(cast.finance), at=timezone.now())

        assert str(asked.pk) not in text(look(cast.stranger, "/decisions/log/"))
        assert look(cast.consumer, "/decisions/log/").status_code == 403

    def test_keeps_to_its_budget_of_queries(
        self,
        cast: Cast,
        asked: IncreaseRequest,
        client: Client,
        django_assert_max_num_queries: DjangoAssertNumQueries,
    ) -> None:
        increase_decisions.deny(asked, reason="Too dear.", by=actor_for(cast.finance), at=timezone.now())
        client.force_login(cast.approver)

        with django_assert_max_num_queries(BUDGET):
            client.get("/decisions/log/")


class TestDelegations:
    PATH = "/decisions/delegates/"

    def typed(self, cast: Cast, to: User, **fields: Any) -> dict[str, Any]:
        last = str((timezone.now() + 7 * DAY).date())
        values = {"delegator": cast.finance.pk, "delegate": to.pk, "scope": "all", "last_day": last}
        return values | fields

    def test_previews_what_moves_and_warns_of_what_the_delegate_asked_for(
        self, cast: Cast, asked: IncreaseRequest, bea: User, post: Any
    ) -> None:
        moved = text(post(cast.finance, self.PATH, **self.typed(cast, bea), preview="1"))
        own = text(post(cast.finance, self.PATH, **self.typed(cast, cast.consumer), preview="1"))

        assert "What would move to Bea" in moved
        assert "no: asked for it" not in moved
        assert "no: asked for it" in own
        assert "1 would stay" in own
        assert not Delegation.objects.exists()

    def test_makes_and_ends_one(self, cast: Cast, bea: User, look: Any, post: Any) -> None:
        post(cast.finance, self.PATH, **self.typed(cast, bea, note="holiday"))

        made = Delegation.objects.get()
        assert (made.delegate, made.delegator, made.note) == (bea, cast.finance, "holiday")
        assert "holiday" in text(look(bea, self.PATH))
        assert post(cast.approver, f"{self.PATH}{made.pk}/end/").status_code == 404
        assert post(bea, f"{self.PATH}{made.pk}/end/").status_code == 403
        post(cast.operator, f"{self.PATH}{made.pk}/end/")
        made.refresh_from_db()
        assert made.ended_by == cast.operator

    def test_says_that_it_leads_in_a_circle(self, cast: Cast, post: Any) -> None:
        let_decide(cast, cast.finance, for_whom=cast.approver)

        page = text(post(cast.finance, self.PATH, **self.typed(cast, cast.approver)))

        assert "This leads in a circle: finance@demo.example → approver@demo.example" in page

    def test_is_not_for_others_to_set(self, cast: Cast, bea: User, look: Any, post: Any) -> None:
        typed = self.typed(cast, bea)

        assert "Select a valid choice" in text(post(cast.approver, self.PATH, **typed))
        assert "Select a valid choice" in text(post(cast.stranger, self.PATH, **typed))
        assert look(bea, self.PATH).status_code == 403
        assert not Delegation.objects.exists()

    def test_keeps_to_its_budget_of_queries(
        self,
        cast: Cast,
        bea: User,
        client: Client,
        django_assert_max_num_queries: DjangoAssertNumQueries,
    ) -> None:
        let_decide(cast, bea, for_whom=cast.finance)
        client.force_login(cast.operator)

        with django_assert_max_num_queries(BUDGET):
            client.get(self.PATH)


class TestCapacity:
    def test_shows_and_simulates(self, cast: Cast, asked: IncreaseRequest, look: Any) -> None:
        page = text(look(cast.operator, "/capacity/"))
        simulated = text(look(cast.approver, "/capacity/?simulate=all"))

        assert "llm-8b" in page
        assert "If all 1 pending were approved" in page
        assert "Set a capacity" in page
        assert "Simulation: what is used" in simulated
        assert "Set a capacity" not in simulated

    def test_is_set_and_ended_by_operators(self, cast: Cast, asked: IncreaseRequest, post: Any) -> None:
        typed = {"model": "llm-8b", "provider": "demo", "requests_per_minute": "60", "note": "contract"}

        assert post(cast.finance, "/capacity/", **typed).status_code == 403
        assert post(cast.stranger, "/capacity/", **typed).status_code == 403
        post(cast.operator, "/capacity/", **typed)

        made = ModelCapacity.objects.get()
        assert (made.requests_per_minute, made.set_by) == (60, cast.operator)
        assert post(cast.stranger, f"/capacity/{made.pk}/end/").status_code == 403
        post(cast.operator, f"/capacity/{made.pk}/end/")
        made.refresh_from_db()
        assert made.ends_at is not None

    def test_says_what_is_wrong(self, cast: Cast, asked: IncreaseRequest, post: Any) -> None:
        page = text(post(cast.operator, "/capacity/", model="llm-8b", provider="demo", note="contract"))

        assert "Give requests or tokens a minute, or both." in page

    def test_keeps_to_its_budget_of_queries(
        self,
        cast: Cast,
        asked: IncreaseRequest,
        client: Client,
        django_assert_max_num_queries: DjangoAssertNumQueries,
    ) -> None:
        client.force_login(cast.operator)

        with django_assert_max_num_queries(BUDGET):
            client.get("/capacity/")


class TestByMail:
    @pytest.fixture
    def path(self, cast: Cast, asked: IncreaseRequest) -> str:
        token = decision_links.token_for(asked, person=cast.finance, level="cost_review")
        return f"/increases/by-mail/{token}/"

    def test_asks_before_it_does_anything(self, asked: IncreaseRequest, path: str, client: Client) -> None:
        page = text(client.get(path))

        assert "You decide as finance@demo.example" in page
        assert not IncreaseDecision.objects.exists()

    def test_decides_as_its_person_once(
        self, cast: Cast, asked: IncreaseRequest, path: str, client: Client
    ) -> None:
        done = text(client.post(path, {"decision": "approve"}))
        again = text(client.post(path, {"decision": "deny", "reason": "No."}))

        assert "The cost is approved" in done
        assert "Nothing to decide" in again
        decision = IncreaseDecision.objects.get()
        assert (decision.decider, decision.verdict) == (cast.finance, "approved")

    def test_needs_a_reason_to_deny(self, asked: IncreaseRequest, path: str, client: Client) -> None:
        assert "Say why" in text(client.post(path, {"decision": "deny"}))
        client.post(path, {"decision": "deny", "reason": "Too dear."})

        asked.refresh_from_db()
        assert asked.state == "denied"

    def test_ends_with_the_right(self, cast: Cast, asked: IncreaseRequest, path: str, client: Client) -> None:
        cast.cost_center.owner = cast.operator
        cast.cost_center.save()
        cast.finance.memberships.all().delete()

        assert "Not yours to decide any more" in text(client.get(path))
        client.post(path, {"decision": "approve"})
        assert not IncreaseDecision.objects.exists()

    def test_is_for_its_person_alone(
        self, cast: Cast, asked: IncreaseRequest, path: str, client: Client
    ) -> None:
        client.force_login(cast.approver)

        assert client.get(path).status_code == 403
        assert client.post(path, {"decision": "approve"}).status_code == 403

    def test_is_not_there_when_it_is_damaged_or_too_old(
        self, path: str, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert client.get(f"{path[:-2]}x/").status_code == 404
        monkeypatch.setattr(decision_links, "VALID", timedelta(seconds=-1))
        assert client.get(path).status_code == 404


class TestMail:
    SENDER = Sender("from@example.com", "https://halfpenny.example", "Halfpenny")

    def test_is_queued_for_everybody_who_may_decide_and_their_delegates(
        self, cast: Cast, owner: Owner, bea: User
    ) -> None:
        let_decide(cast, bea, for_whom=cast.finance)
        now = timezone.now()
        make_request(owner, cast.consumer, at=now, wish=make_wish(ends_at=now + DAY))

        queued = Job.objects.filter(name=decision_mails.SEND)

        assert {job.arguments["person_id"] for job in queued} == {
            cast.finance.pk,
            cast.approver.pk,
            bea.pk,
        }

    def test_has_a_link_for_its_person(self, cast: Cast, asked: IncreaseRequest) -> None:
        is_sent = decision_mails.send(
            request_id=asked.pk,
            person_id=cast.finance.pk,
            level="cost_review",
            at=timezone.now(),
            sender=self.SENDER,
        )

        assert is_sent
        letter = mail.outbox[0]
        assert letter.to == ["finance@demo.example"]
        link = next(
            line
            for line in str(letter.body).splitlines()
            if line.startswith("https://") and "by-mail" in line
        )
        token = link.rstrip("/").rpartition("/")[2]
        found = decision_links.by_token(token)
        assert (found.person, found.level, found.request) == (cast.finance, "cost_review", asked)

    def test_is_not_sent_when_it_does_not_wait_any_more(self, cast: Cast, asked: IncreaseRequest) -> None:
        for person, level in ((cast.finance, "capacity_review"), (cast.consumer, "cost_review")):
            is_sent = decision_mails.send(
                request_id=asked.pk,
                person_id=person.pk,
                level=level,
                at=timezone.now(),
                sender=self.SENDER,
            )
            assert not is_sent
        assert mail.outbox == []
