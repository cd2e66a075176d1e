"""Beginning: an empty installation gets an organization whose first person can sign in and do everything."""

import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from marketplace.accounts import access
from marketplace.accounts.founding import Founding, OrganizationExists, create_organization
from marketplace.accounts.models import Organization, User
from marketplace.core.errors import InvalidInput
from marketplace.core.models import AuditEntry
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db
MAIL = "ada@example.com"
PASSWORD = "a long enough sentence"


def asked(**fields: str) -> Founding:
    return Founding(**{"name": "Example Inc.", "admin_email": MAIL} | fields)


class TestCreateOrganization:
    def test_makes_everything_that_a_first_person_needs(self) -> None:
        founded = create_organization(asked(), at=NOW)

        assert (founded.organization.slug, founded.organization.is_platform) == ("example-inc", True)
        assert (founded.team.cost_center, founded.cost_center.owner) == (founded.cost_center, founded.person)
        actor = access.actor_for(founded.person)
        assert actor.platform_roles == {"approver", "finance", "operator"}
        assert actor.teams_as("creator") == actor.teams_as("consumer") == {founded.team.pk}

    def test_makes_only_the_first_one_the_platforms(self) -> None:
        create_organization(asked(), at=NOW)

        second = create_organization(asked(name="Second", admin_email="bob@example.com"), at=NOW)

        assert not second.organization.is_platform
        assert access.actor_for(second.person).platform_roles == frozenset()

    def test_lets_a_known_person_keep_their_password(self) -> None:
        known = factories.make_user(MAIL, password=PASSWORD)

        founded = create_organization(asked(admin_email="ADA@example.com"), at=NOW)

        assert (founded.person, founded.is_new_person) == (known, False)
        assert User.objects.get().check_password(PASSWORD)

    def test_refuses_a_second_one_of_the_same_name_and_changes_nothing(self) -> None:
        create_organization(asked(), at=NOW)

        with pytest.raises(OrganizationExists):
            create_organization(asked(admin_email="other@example.com"), at=NOW)

        assert (Organization.objects.count(), User.objects.count()) == (1, 1)

    @pytest.mark.parametrize(
        ("field", "values"),
        [
            ("name", {"name": "  "}),
            ("slug", {"name": "株式会社"}),
            ("slug", {"slug": "No Good"}),
            ("admin_email", {"admin_email": "nobody"}),
        ],
    )
    def test_says_what_is_wrong(self, field: str, values: dict[str, str]) -> None:
        with pytest.raises(InvalidInput) as refused:
            create_organization(asked(**values), at=NOW)

        assert refused.value.field == field

    def test_is_in_the_audit_trail(self) -> None:
        create_organization(asked(), at=NOW)

        entry = AuditEntry.objects.get()
        assert (entry.action, entry.new["admin"]) == ("accounts.organization.created", MAIL)


def run(**options: str) -> str:
    out = StringIO()
    call_command("create_organization", name="Example Inc.", admin_email=MAIL, stdout=out, **options)
    return out.getvalue()


class TestCommand:
    def test_prints_a_link_that_leads_to_a_signed_in_operator(self, client: Client, settings: Any) -> None:
        # As in production: an address that nobody confirmed would not get in.
        settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
        settings.PUBLIC_URL = "https://apps.example.com/"
        told = run()

        found = re.search(r"https://apps\.example\.com(/accounts/\S+)", told)
        assert found
        page = client.get(found[1], follow=True)
        assert page.status_code == 200
        client.post(page.redirect_chain[-1][0], {"password1": PASSWORD, "password2": PASSWORD})

        assert client.get("/operator/").status_code == 200
        client.post("/accounts/logout/")
        client.post("/accounts/login/", {"login": MAIL, "password": PASSWORD})
        assert client.get("/operator/").status_code == 200

    def test_prints_a_link_that_works_once(self, client: Client) -> None:
        found = re.search(r"(/accounts/password/\S+)", run())
        assert found
        page = client.get(found[1], follow=True)
        client.post(page.redirect_chain[-1][0], {"password1": PASSWORD, "password2": PASSWORD})

        again = Client().get(found[1], follow=True)

        assert "password1" not in again.content.decode()

    def test_says_in_a_sentence_what_is_wrong(self) -> None:
        run()

        with pytest.raises(CommandError, match="There is an organization 'example-inc' already"):
            run()


def add_member(**options: str) -> str:
    out = StringIO()
    values = {"email": "bob@example.com", "organization": "example-inc", "team": "", "role": "approver"}
    call_command("add_member", stdout=out, **values | options)
    return out.getvalue()


class TestAddMember:
    def test_gives_a_new_person_a_role_and_a_link(self) -> None:
        run()

        told = add_member(role="consumer", team="first-team")

        bob = User.objects.get(email="bob@example.com")
        assert access.actor_for(bob).roles == {"consumer"}
        assert "/accounts/password/reset/key/" in told

    def test_changes_nothing_the_second_time(self) -> None:
        run()
        add_member()

        told = add_member()

        assert User.objects.get(email="bob@example.com").memberships.count() == 1
        assert "/accounts/" not in told
        assert AuditEntry.objects.filter(action="accounts.membership.added").count() == 1

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"organization": "nobody"}, "There is no organization"),
            ({"team": "nowhere"}, "There is no team"),
            ({"role": "consumer"}, "a consumer acts for a team"),
            ({"email": "bob"}, "is not a mail address"),
        ],
    )
    def test_says_in_a_sentence_what_is_wrong(self, options: dict[str, str], sentence: str) -> None:
        run()

        with pytest.raises(CommandError, match=sentence):
            add_member(**options)
