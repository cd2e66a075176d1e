import pytest
from pytest_django import DjangoAssertNumQueries

from marketplace.accounts import queries
from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from tests.conftest import Cast
from tests.factories import join, make_cost_center, make_team


def seen(person: User) -> dict[str, tuple[list[str], list[str]]]:
    return {
        view.organization.slug: ([t.slug for t in view.teams], [c.code for c in view.cost_centers])
        for view in queries.organization_views(actor_for(person))
    }


class TestOrganizationViews:
    def test_show_a_member_their_own_teams(self, cast: Cast) -> None:
        assert seen(cast.consumer) == {"demo": (["team-ops"], ["CC-100"])}

    def test_show_a_stranger_nothing_of_the_company(self, cast: Cast) -> None:
        strangers_center = cast.stranger_team.cost_center.code

        assert seen(cast.stranger) == {"other": (["strangers"], [strangers_center])}

    @pytest.mark.parametrize("role", ["finance", "operator"])
    def test_show_those_who_serve_the_platform_everything(self, cast: Cast, role: str) -> None:
        shown = seen(getattr(cast, role))

        assert set(shown) == {"demo", "other"}
        assert shown["demo"][0] == ["team-ops", "team-ux"]
        assert shown["other"][0] == ["strangers"]

    def test_leave_out_a_cost_center_owned_in_a_foreign_organization(self, cast: Cast) -> None:
        make_cost_center(cast.stranger_team.organization, owner=cast.consumer)

        assert set(seen(cast.consumer)) == {"demo"}

    def test_take_five_queries_however_many_teams_there_are(
        self, cast: Cast, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        for number in range(5):
            join(cast.consumer, make_team(cast.company, slug=f"extra-{number}"), "consumer")
        actor = actor_for(cast.consumer)

        with django_assert_num_queries(5):
            for view in queries.organization_views(actor):
                for team in view.teams:
                    assert str(team.cost_center) and queries.people_of(team)


class TestPeopleOf:
    def test_gather_the_roles_of_each_person(self, cast: Cast) -> None:
        join(cast.consumer, cast.consumer_team, "creator")

        [view] = queries.organization_views(actor_for(cast.consumer))

        assert queries.people_of(view.teams[0]) == [(cast.consumer, ["consumer", "creator"])]
