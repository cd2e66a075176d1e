from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from marketplace.catalog import check_runs, live_findings, queries_checks, rescans, reviews
from marketplace.catalog.check_models import CheckRun
from marketplace.catalog.models import Version
from marketplace.catalog.scans.findings import Found, Report
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.models import Notice
from tests.catalog.making import make_review
from tests.conftest import Cast
from tests.factories import NOW

NIGHT = NOW + timedelta(days=1)
OLD = Found("secrets.guess", "medium", "prompt", "May be a secret", "abc")
NEW = Found("injection.reveal", "high", "prompt", "Asks for instructions", "reveal")


@pytest.fixture
def live(cast: Cast) -> Version:
    """A listed version whose checks passed."""
    review = make_review(cast)
    reviews.approve(review, by=cast.approver, at=NOW)
    return Version.objects.get(pk=review.version_id)


def known(value: str) -> Callable[[str], str]:
    return lambda name: f"{name} {value}"


def rescan(live: Version, *found: Found, name: str = "template") -> CheckRun:
    made = check_runs.run_again(live, name=name, by=None, at=NIGHT, is_rescan=True)
    run = check_runs.start(made.pk, at=NIGHT)
    check_runs.finish(run, Report(found, "test"), at=NIGHT, rules_hash=f"{name} 2")
    live_findings.tell(run, at=NIGHT)
    return run


class TestQueue:
    def test_takes_live_versions_whose_rules_changed(self, live: Version) -> None:
        for name in ("hygiene", "secrets"):
            CheckRun.objects.filter(name=name).update(rules_hash=f"{name} 1")

        # Of the three that read a prompt, two are as they were; code and dependencies it has none.
        assert rescans.queue_due(at=NIGHT, hash_of=known("1")) == 1
        assert CheckRun.objects.get(is_rescan=True).name == "template"

    def test_does_not_take_them_twice(self, live: Version) -> None:
        assert rescans.queue_due(at=NIGHT, hash_of=known("2")) == 3
        assert rescans.queue_due(at=NIGHT, hash_of=known("2")) == 0

    def test_leaves_what_is_not_live(self, cast: Cast) -> None:
        make_review(cast)

        assert rescans.queue_due(at=NIGHT, hash_of=known("2")) == 0


class TestFindings:
    def test_of_a_live_app_go_to_its_makers_and_approvers_and_take_nothing_down(
        self, cast: Cast, live: Version
    ) -> None:
        run = rescan(live, OLD, NEW)

        told = Notice.objects.filter(idempotency_key=f"rescan:{run.pk}")
        assert set(told.values_list("recipient__email", flat=True)) == {
            "creator@demo.example",
            "approver@demo.example",
        }
        assert "2 new findings" in told[0].text
        assert Version.objects.get(pk=live.pk).state == "listed"
        assert list(live_findings.unseen(CheckRun.objects.all())) == [run]

    def test_that_are_known_tell_nobody(self, live: Version) -> None:
        rescan(live, OLD)
        again = rescan(live, OLD)

        assert not Notice.objects.filter(idempotency_key=f"rescan:{again.pk}").exists()

    def test_that_hold_nothing_up_tell_nobody(self, live: Version) -> None:
        rescan(live, Found("template.unused", "low", "prompt", "x"))

        assert not live_findings.unseen(CheckRun.objects.all()).exists()

    def test_are_looked_at_once_with_a_note(self, cast: Cast, live: Version) -> None:
        run = rescan(live, NEW)
        with pytest.raises(InvalidInput):
            live_findings.mark_seen(run, note=" ", by=cast.approver, at=NIGHT)

        live_findings.mark_seen(run, note="A new version comes on Friday.", by=cast.approver, at=NIGHT)

        with pytest.raises(Conflict):
            live_findings.mark_seen(run, note="Again.", by=cast.approver, at=NIGHT)
        assert not live_findings.unseen(CheckRun.objects.all()).exists()
        assert Notice.objects.filter(recipient=cast.creator, text__contains="comes on Friday").exists()


class TestPage:
    def test_lists_them_and_keeps_the_note(self, client: Client, cast: Cast, live: Version) -> None:
        run = rescan(live, NEW)
        client.force_login(cast.approver)
        assert "Asks for instructions" in client.get(reverse("catalog:live-findings")).content.decode()

        url = reverse("catalog:live-finding-seen", args=[run.pk])
        assert "Say what happens now" in client.post(url, follow=True).content.decode()
        html = client.post(url, {"note": "Owner called."}, follow=True).content.decode()

        assert "Nothing new in live apps" in html
        assert client.post(url, {"note": "x"}).status_code == 404

    def test_is_for_approvers_of_the_organization(self, client: Client, cast: Cast, live: Version) -> None:
        run = rescan(live, NEW)
        client.force_login(cast.creator)
        assert client.get(reverse("catalog:live-findings")).status_code == 403
        client.force_login(cast.stranger)

        assert "Asks for instructions" not in client.get(reverse("catalog:live-findings")).content.decode()
        assert (
            client.post(reverse("catalog:live-finding-seen", args=[run.pk]), {"note": "x"}).status_code == 404
        )

    def test_needs_few_queries(
        self, client: Client, cast: Cast, live: Version, django_assert_max_num_queries
    ) -> None:  # type: ignore[no-untyped-def]
        for name in ("template", "secrets", "hygiene"):
            rescan(live, NEW, OLD, name=name)
        client.force_login(cast.approver)

        with django_assert_max_num_queries(12):
            client.get(reverse("catalog:live-findings"))
        assert queries_checks.CALLS
