"""Runs that people keep and share: the domain, the pages, the API."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from marketplace.accounts.access import actor_for
from marketplace.catalog import kept_runs
from marketplace.catalog.kept_runs import Result
from marketplace.catalog.models import Version
from marketplace.catalog.run_models import KeptRun
from marketplace.core.errors import Conflict, InvalidInput
from tests import factories
from tests.catalog.test_api_apps import client_of
from tests.conftest import Cast
from tests.factories import make_listed_app, make_subscription

ROW = {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]}
DAY = timedelta(days=1)


def result(output: Any = "Done.", problems: tuple[str, ...] = ()) -> Result:
    return Result(output, problems, Decimal("0.0004"), "USD", "llm-8b", 320)


def begun(cast: Cast, *, run_id: UUID | None = None, **version_fields: Any) -> KeptRun:
    app = make_listed_app(cast.creator_team)
    subscription = make_subscription(app, cast.consumer_team)
    version = app.listing.version
    if version_fields:
        version = factories.make_version(app, number=2, **version_fields)
    run, _ = kept_runs.begin(
        run_id or uuid4(), subscription=subscription, version=version, data={"text": "Send it."}, by=cast.consumer,
        at=timezone.now(), keep_days=30,
    )  # fmt: skip
    return run


def ended(cast: Cast, output: Any = "Done.", problems: tuple[str, ...] = (), **fields: Any) -> KeptRun:
    run = begun(cast, **fields)
    kept_runs.end(run, result=result(output, problems), at=timezone.now())
    return run


class TestBegin:
    def test_is_one_run_however_often_the_form_is_sent(self, cast: Cast) -> None:
        run = begun(cast)

        again, is_new = kept_runs.begin(
            run.pk, subscription=run.subscription, version=run.version, data={}, by=cast.consumer,
            at=timezone.now(), keep_days=30,
        )  # fmt: skip

        assert (again.pk, is_new, again.data) == (run.pk, False, {"text": "Send it."})

    def test_refuses_the_id_of_somebody_else(self, cast: Cast) -> None:
        run = begun(cast)

        with pytest.raises(Conflict):
            kept_runs.begin(
                run.pk, subscription=run.subscription, version=run.version, data={}, by=cast.creator,
                at=timezone.now(), keep_days=30,
            )  # fmt: skip


class TestEnd:
    def test_counts_once(self, cast: Cast) -> None:
        run = ended(cast)

        kept_runs.end(run, result=None, failure="Too late.", at=timezone.now())

        assert (run.output, run.failure) == ("Done.", "")

    def test_keeps_no_letter_that_no_column_can_hold(self, cast: Cast) -> None:
        assert ended(cast, {"a\x00": ["b\x00\ud800"]}).output == {"a": ["b?"]}

    def test_has_a_cost_or_a_failure(self, cast: Cast) -> None:
        run = begun(cast)

        with pytest.raises(IntegrityError, match="kept_run_has_cost_or_failure"), transaction.atomic():
            KeptRun.objects.filter(pk=run.pk).update(ended_at=timezone.now())


class TestForgetExpired:
    def test_deletes_what_is_over_and_nothing_else(self, cast: Cast) -> None:
        old, new = ended(cast), ended(cast)
        long_ago = timezone.now() - 60 * DAY
        KeptRun.objects.filter(pk=old.pk).update(created_at=long_ago, expires_at=long_ago + 30 * DAY)

        assert kept_runs.forget_expired(at=timezone.now()) == 1
        assert list(KeptRun.objects.all()) == [new]

    def test_is_not_waited_for(self, cast: Cast) -> None:
        run = ended(cast)

        shown = kept_runs.own(actor_for(cast.consumer), at=run.expires_at)

        assert not shown.exists()


class TestShare:
    def test_replaces_an_earlier_link(self, cast: Cast) -> None:
        run, now = ended(cast), timezone.now()
        first = kept_runs.share(run, days=7, by=cast.consumer, at=now)

        second = kept_runs.share(run, days=1, by=cast.consumer, at=now)

        assert kept_runs.share_in_force(run, at=now) == second
        assert first.pk != second.pk

    def test_ends_with_the_run_at_the_latest(self, cast: Cast) -> None:
        run = ended(cast)

        assert kept_runs.share(run, days=90, by=cast.consumer, at=timezone.now()).ends_at == run.expires_at

    def test_refuses_a_run_without_answer_and_endless_links(self, cast: Cast) -> None:
        with pytest.raises(kept_runs.NotEnded):
            kept_runs.share(begun(cast), days=7, by=cast.consumer, at=timezone.now())
        with pytest.raises(InvalidInput, match="1 to 90"):
            kept_runs.share(ended(cast), days=91, by=cast.consumer, at=timezone.now())


class TestPages:
    def test_show_a_run_to_its_person_alone(self, cast: Cast, client: Client) -> None:
        run = ended(cast)
        address = reverse("catalog:run", args=[run.pk])

        client.force_login(cast.consumer)
        assert "Done." in client.get(address).content.decode()
        for other in (cast.creator, cast.operator, cast.stranger):
            client.force_login(other)
            assert client.get(address).status_code == 404
            assert client.post(reverse("catalog:run-share", args=[run.pk]), {"days": "7"}).status_code == 404
            assert client.post(reverse("catalog:run-delete", args=[run.pk])).status_code == 404

    def test_say_what_does_not_fit(self, cast: Cast, client: Client) -> None:
        run = ended(
            cast,
            [{"label": 1}],
            ("answer[0].label: 1 is not a text",),
            output_format="table",
            output_schema=ROW,
        )
        client.force_login(cast.consumer)

        page = client.get(reverse("catalog:run", args=[run.pk])).content.decode()

        assert "The answer is not what this app promises" in page
        assert "answer[0].label: 1 is not a text" in page

    def test_give_a_table_as_a_file_without_formulas(self, cast: Cast, client: Client) -> None:
        run = ended(cast, [{"label": "=1+1"}], output_format="table", output_schema=ROW)
        client.force_login(cast.consumer)

        given = client.get(reverse("catalog:run-output", args=[run.pk, "csv"]))

        assert given.content == b"label\r\n'=1+1\r\n"
        assert client.get(reverse("catalog:run-output", args=[run.pk, "txt"])).status_code == 404

    def test_list_runs_in_few_queries(
        self, cast: Cast, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for _ in range(4):
            ended(cast)
        client.force_login(cast.consumer)

        with django_assert_max_num_queries(12):
            page = client.get(reverse("catalog:runs")).content.decode()

        assert page.count("answered") == 4

    def test_share_with_the_organization_until_taken_back(self, cast: Cast, client: Client) -> None:
        run = ended(cast)
        client.force_login(cast.consumer)
        client.post(reverse("catalog:run-share", args=[run.pk]), {"days": "7"})
        link = run.shares.get()
        address = reverse("catalog:shared-run", args=[link.pk])

        assert address in client.get(reverse("catalog:run", args=[run.pk])).content.decode()
        client.force_login(cast.creator)
        assert "Done." in client.get(address).content.decode()
        client.force_login(cast.stranger)
        assert client.get(address).status_code == 404
        client.force_login(cast.consumer)
        client.post(reverse("catalog:run-share", args=[run.pk]), {"action": "revoke"})
        client.force_login(cast.creator)
        assert client.get(address).status_code == 404

    def test_end_a_link_at_its_time(self, cast: Cast, client: Client) -> None:
        run = ended(cast)
        link = kept_runs.share(run, days=1, by=cast.consumer, at=timezone.now() - 2 * DAY)
        client.force_login(cast.creator)

        assert client.get(reverse("catalog:shared-run", args=[link.pk])).status_code == 404


class TestApi:
    def test_shows_shares_and_deletes_own_runs(self, cast: Cast) -> None:
        run = ended(cast, {"a": 1}, output_format="json", output_schema={"type": "object"})
        consumer, creator = client_of(cast.consumer), client_of(cast.creator)

        shown = consumer.get(f"/api/v1/runs/{run.pk}").json()
        link = consumer.post(f"/api/v1/runs/{run.pk}/share", {"days": 7}, format="json").json()

        assert (shown["output"], shown["cost"], shown["input"]) == ({"a": 1}, "0.0004", {"text": "Send it."})
        assert creator.get(f"/api/v1/shared-runs/{link['id']}").json()["output"] == {"a": 1}
        assert consumer.delete(f"/api/v1/runs/{run.pk}/share").status_code == 204
        assert creator.get(f"/api/v1/shared-runs/{link['id']}").status_code == 404
        assert consumer.delete(f"/api/v1/runs/{run.pk}").status_code == 204
        assert consumer.get("/api/v1/runs").json()["results"] == []

    def test_tells_a_stranger_nothing(self, cast: Cast) -> None:
        run = ended(cast)
        link = kept_runs.share(run, days=7, by=cast.consumer, at=timezone.now())
        stranger = client_of(cast.stranger)

        assert stranger.get(f"/api/v1/runs/{run.pk}").status_code == 404
        assert stranger.post(f"/api/v1/runs/{run.pk}/share").status_code == 404
        assert stranger.get(f"/api/v1/shared-runs/{link.pk}").status_code == 404


def test_an_answer_format_is_part_of_what_was_reviewed(cast: Cast) -> None:
    app = make_listed_app(cast.creator_team)

    with pytest.raises(Exception, match="Cannot update"), transaction.atomic():
        Version.objects.filter(app=app).update(output_format="json")
