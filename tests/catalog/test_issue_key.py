from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from marketplace.accounts import keys
from tests.conftest import Cast
from tests.factories import NOW, make_listed_app, make_subscription, make_user


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("issue_key", *arguments, stdout=out)
    return out.getvalue()


class TestIssueKey:
    def test_prints_a_person_s_key_and_nothing_else(self, cast: Cast) -> None:
        printed = run("--kind", "pat", "--user", "finance@demo.example")

        assert printed == printed.strip() + "\n"
        assert keys.authenticate(printed.strip(), at=NOW).user == cast.finance

    def test_prints_an_app_s_key_for_its_environment(self, cast: Cast) -> None:
        app = make_listed_app(cast.creator_team, slug="where2eat")

        key = keys.authenticate(
            run("--kind", "app", "--app", "where2eat", "--environment", "staging").strip(), at=NOW
        )

        assert (key.app_key.app, key.app_key.environment) == (app, "staging")

    def test_prints_a_subscription_s_key(self, cast: Cast) -> None:
        subscription = make_subscription(make_listed_app(cast.creator_team), cast.consumer_team)

        key = keys.authenticate(run("--kind", "sub", "--subscription", str(subscription.pk)).strip(), at=NOW)

        assert key.subscription_key.subscription == subscription

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["--kind", "pat", "--user", "nobody@demo.example"], "There is no person"),
            (["--kind", "pat"], "--kind pat needs --user."),
            (["--kind", "app", "--app", "nothing"], "There is no app"),
            (["--kind", "sub", "--subscription", "nothing"], "There is no subscription"),
            (
                ["--kind", "sub", "--subscription", "0192f000-0000-7000-8000-000000000000"],
                "There is no subscription",
            ),
            (["--kind", "pat", "--user", "lonely@demo.example"], "belongs to no organization"),
            (["--kind", "moon"], "invalid choice"),
        ],
    )
    def test_says_in_a_sentence_why_there_is_none(
        self, cast: Cast, arguments: list[str], sentence: str
    ) -> None:
        make_user("lonely@demo.example")

        with pytest.raises(CommandError, match=sentence):
            run(*arguments)
