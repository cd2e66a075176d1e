import pytest

from marketplace.accounts import keys, people
from marketplace.core.errors import NotFound
from tests.conftest import Cast
from tests.factories import NOW, make_user


class TestFindPerson:
    def test_knows_people_by_their_mail_address_in_any_case(self, cast: Cast) -> None:
        assert people.find_person("Finance@Demo.Example") == cast.finance

    def test_does_not_know_who_was_deactivated(self, cast: Cast) -> None:
        make_user("gone@demo.example", is_active=False)

        assert people.find_person("gone@demo.example") is None


class TestIssuePersonalKey:
    def test_acts_as_the_person_in_their_organization(self, cast: Cast) -> None:
        key, text = people.issue_personal_key(cast.consumer, by=cast.consumer, at=NOW, name="laptop")

        assert text.startswith("hp_pat_")
        assert keys.authenticate(text, at=NOW).user == cast.consumer
        assert (key.organization, key.name) == (cast.company, "laptop")

    def test_needs_an_organization(self, db: None) -> None:
        lonely = make_user("lonely@demo.example")

        with pytest.raises(people.NoOrganization):
            people.issue_personal_key(lonely, by=lonely, at=NOW)


class TestDemoPerson:
    def test_is_who_plays_the_role(self, cast: Cast) -> None:
        assert people.demo_person("operator") == cast.operator

    @pytest.mark.parametrize("role", ["stranger", "admin", ""])
    def test_is_nobody_for_other_words(self, cast: Cast, role: str) -> None:
        make_user("admin@demo.example")

        with pytest.raises(NotFound):
            people.demo_person(role)
