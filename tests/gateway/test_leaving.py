"""What an app's makers say about callers that leave. What it does is in test_faults."""

import pytest
from django.test import Client

from marketplace.core import audit
from marketplace.core.epochs import DIRECTORY, read_epochs
from marketplace.core.errors import InvalidInput
from marketplace.gateway import leaving
from marketplace.gateway.calling_models import AppCalling
from marketplace.gateway.directory import caller_of
from tests import factories
from tests.conftest import Cast
from tests.factories import NOW

PATH = "/creator/apps/where2eat/calling/"


class TestSetPolicy:
    def test_reaches_the_next_call_and_the_audit_trail(self, cast: Cast) -> None:
        app = factories.make_listed_app(cast.creator_team, slug="where2eat")
        subscription = factories.make_subscription(app, cast.consumer_team)
        before = read_epochs()[DIRECTORY]

        leaving.set_policy(app, when_caller_leaves="drain", by=cast.creator, at=NOW)
        leaving.set_policy(app, when_caller_leaves="drain", by=cast.creator, at=NOW)

        assert read_epochs()[DIRECTORY] > before
        assert caller_of(subscription).app.when_caller_leaves == "drain"
        (entry,) = [one for one in audit.history(app) if one.action == "gateway.app.leaving_changed"]
        assert (entry.old, entry.new) == ({"when_caller_leaves": ""}, {"when_caller_leaves": "drain"})

    def test_refuses_what_is_not_known(self, cast: Cast) -> None:
        app = factories.make_listed_app(cast.creator_team, slug="where2eat")

        with pytest.raises(InvalidInput) as refused:
            leaving.set_policy(app, when_caller_leaves="forget", by=cast.creator, at=NOW)

        assert refused.value.field == "when_caller_leaves"


class TestPage:
    def test_is_for_the_makers_alone(self, cast: Cast, client: Client) -> None:
        factories.make_listed_app(cast.creator_team, slug="where2eat")
        for person in (cast.stranger, cast.consumer):
            client.force_login(person)
            assert client.get(PATH).status_code == 404
            assert client.post(PATH, {"when_caller_leaves": "drain"}).status_code == 404
        assert not AppCalling.objects.exists()

    def test_shows_and_saves_it(self, cast: Cast, client: Client) -> None:
        factories.make_listed_app(cast.creator_team, slug="where2eat")
        client.force_login(cast.creator)
        assert "As the platform does: end the answer" in client.get(PATH).content.decode()

        answer = client.post(PATH, {"when_caller_leaves": "drain"})

        assert answer.headers["Location"] == "/creator/apps/where2eat/"
        assert AppCalling.objects.get().when_caller_leaves == "drain"
