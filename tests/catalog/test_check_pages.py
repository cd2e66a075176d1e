import base64
import io
import json

import pytest
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from marketplace.accounts.access import actor_for
from marketplace.catalog import check_runs, submissions, waivers
from marketplace.catalog.check_models import CheckFinding, CheckRun, CheckWaiver, CodeArchive
from marketplace.catalog.models import Version
from marketplace.catalog.scans.findings import Found, Report
from tests.catalog.making import finish_calls, make_draft
from tests.catalog.test_scans import zipped
from tests.catalog.test_waivers import MONTH, REASON, submit_with
from tests.conftest import Cast
from tests.factories import NOW

BUDGET = 12
FOUND = Found("injection.override", "high", "prompt", "Drops instructions: “ignore”", "ignore", 2)


@pytest.fixture
def finding(cast: Cast) -> CheckFinding:
    return submit_with(cast, FOUND)


@pytest.fixture
def creator(client: Client, cast: Cast) -> Client:
    client.force_login(cast.creator)
    return client


@pytest.fixture
def under_way(cast: Cast) -> Version:
    return submissions.submit(make_draft(cast), by=cast.creator, at=NOW).version


def address(version: Version, name: str = "checks") -> str:
    return reverse(f"catalog:{name}", args=[version.app.slug, version.number])


class TestChecks:
    def test_follows_along_while_they_are_under_way(self, creator: Client, under_way: Version) -> None:
        html = creator.get(address(under_way)).content.decode()

        assert "0 of 5 done" in html
        assert 'hx-trigger="every 1s"' in html
        fragment = creator.get(address(under_way), headers={"HX-Request": "true"}).content.decode()
        assert fragment.lstrip().startswith('<div id="checks"')

    def test_shows_findings_with_what_to_do_and_the_rule(
        self, creator: Client, finding: CheckFinding
    ) -> None:
        html = creator.get(address(finding.run.version)).content.decode()

        assert "prompt:2" in html
        assert "Say what the model is to do" in html
        assert f"{reverse('catalog:check-rules')}#injection-override" in html
        assert "hx-trigger" not in html[html.index('id="checks"') :]
        assert "Ask for a waiver" in html

    def test_escapes_what_strangers_wrote(self, creator: Client, cast: Cast) -> None:
        evil = submit_with(cast, Found("bandit.B602", "high", "<img src=x>", "<script>alert(1)</script>"))

        html = creator.get(address(evil.run.version)).content.decode()

        assert "<script>alert" not in html
        assert "<img src=x>" not in html

    def test_makes_one_again_or_cancels_it(self, creator: Client, under_way: Version) -> None:
        run = under_way.check_runs.get(name="secrets")
        creator.post(reverse("catalog:scan-cancel", args=[run.pk]))
        assert "Canceled by" in creator.get(address(under_way)).content.decode()

        for _ in range(2):
            creator.post(reverse("catalog:scan-again", args=[run.pk]))

        assert under_way.check_runs.filter(name="secrets", state="queued").count() == 1

    def test_says_when_one_was_given_up(self, creator: Client, under_way: Version) -> None:
        from marketplace.core.models import Job  # noqa: PLC0415

        Job.objects.filter(name=check_runs.SCAN_JOB).update(state="failed")

        assert "given up. Run it again." in creator.get(address(under_way)).content.decode()

    def test_are_downloaded_as_a_report(self, creator: Client, finding: CheckFinding) -> None:
        response = creator.get(address(finding.run.version, "checks-report"))

        report = json.loads(response.content)
        (template,) = [one for one in report["checks"] if one["check"] == "template"]
        assert (report["state"], template["state"]) == ("failed", "failed")
        assert template["findings"][0]["fingerprint"] == finding.fingerprint
        assert "attachment" in response["Content-Disposition"]

    def test_are_for_makers_and_approvers(self, client: Client, cast: Cast, finding: CheckFinding) -> None:
        version = finding.run.version
        for person, status in ((cast.approver, 200), (cast.stranger, 404), (cast.consumer, 404)):
            client.force_login(person)
            assert client.get(address(version)).status_code == status
            assert client.get(address(version, "checks-report")).status_code == status
            for name in ("scan-again", "scan-cancel"):
                url = reverse(f"catalog:{name}", args=[finding.run_id])
                assert client.post(url).status_code == (302 if status == 200 else 404)

    def test_need_few_queries(
        self, creator: Client, finding: CheckFinding, django_assert_max_num_queries
    ) -> None:  # type: ignore[no-untyped-def]
        with django_assert_max_num_queries(BUDGET):
            creator.get(address(finding.run.version))


class TestRules:
    def test_are_all_explained(self, creator: Client) -> None:
        html = creator.get(reverse("catalog:check-rules")).content.decode()

        for anchor in ("secrets-model-key", "bandit-B602", "margin-negative", "endpoint-private"):
            assert f'id="{anchor}"' in html


class TestWaiverPages:
    def ask(self, client: Client, finding: CheckFinding, **given: str) -> str:
        from datetime import timedelta  # noqa: PLC0415

        from django.utils import timezone  # noqa: PLC0415

        day = (timezone.now() + timedelta(days=20)).date().isoformat()
        url = reverse("catalog:waive", args=[finding.pk])
        return client.post(url, {"reason": REASON, "ends_on": day} | given, follow=True).content.decode()

    def test_are_asked_for_and_accepted_by_another(
        self, client: Client, cast: Cast, finding: CheckFinding
    ) -> None:
        client.force_login(cast.creator)
        assert "An approver decides" in self.ask(client, finding)
        waiver = CheckWaiver.objects.get()
        url = reverse("catalog:waiver", args=[waiver.pk])
        assert (
            "Nobody decides what they asked for"
            in client.post(url, {"decision": "approve"}, follow=True).content.decode()
        )

        client.force_login(cast.approver)
        assert "Refuse" in client.get(url).content.decode()
        html = client.post(url, {"decision": "approve"}, follow=True).content.decode()

        assert "Accepted by" in html
        waiver.refresh_from_db()
        assert (waiver.state, waiver.decided_by) == ("approved", cast.approver)

    def test_keep_what_was_typed_when_something_is_wrong(
        self, client: Client, cast: Cast, finding: CheckFinding
    ) -> None:
        client.force_login(cast.creator)

        html = self.ask(client, finding, ends_on="2030-01-01")

        assert "at most 180 days" in html
        assert REASON in html

    def test_are_not_there_for_strangers(self, client: Client, cast: Cast, finding: CheckFinding) -> None:
        waiver = waivers.propose(finding, reason=REASON, ends_at=MONTH, by=cast.creator, at=NOW)
        client.force_login(cast.stranger)

        assert client.get(reverse("catalog:waive", args=[finding.pk])).status_code == 404
        assert (
            client.post(reverse("catalog:waiver", args=[waiver.pk]), {"decision": "approve"}).status_code
            == 404
        )


class TestMaterial:
    def test_attaches_and_removes_code(self, creator: Client, cast: Cast) -> None:
        version = make_draft(cast)
        url = reverse("catalog:creator-material", args=[version.app.slug])
        file = io.BytesIO(base64.b64decode(zipped(app__py="x = 1")))
        file.name = "app.zip"

        html = creator.post(url, {"action": "attach", "archive": file}, follow=True).content.decode()

        assert "app.zip" in html
        version.refresh_from_db()
        assert version.archive_id == CodeArchive.objects.get().pk
        creator.post(url, {"action": "detach"})
        version.refresh_from_db()
        assert version.archive_id is None

    def test_adds_and_removes_examples(self, creator: Client, cast: Cast) -> None:
        version = make_draft(cast)
        url = reverse("catalog:creator-material", args=[version.app.slug])
        given = {f"input_{name}": str(value) for name, value in version.example_input.items()}
        assert "at least one thing" in creator.post(url, given | {"action": "add"}).content.decode()

        creator.post(url, given | {"action": "add", "words": "Dear", "max_length": "400"})

        version.refresh_from_db()
        assert version.examples[0]["expect"] == [
            {"kind": "contains", "value": "Dear"},
            {"kind": "max_length", "value": 400},
        ]
        creator.post(url, {"action": "remove-0"})
        version.refresh_from_db()
        assert version.examples == []

    def test_is_closed_to_strangers_and_once_submitted(
        self, client: Client, cast: Cast, under_way: Version
    ) -> None:
        url = reverse("catalog:creator-material", args=[under_way.app.slug])
        client.force_login(cast.stranger)
        assert client.get(url).status_code == 404
        client.force_login(cast.creator)
        assert client.get(url).status_code == 200
        assert client.post(url, {"action": "detach"}).status_code == 409


class TestApi:
    def test_lists_makes_again_and_waives(self, cast: Cast, finding: CheckFinding) -> None:
        api = APIClient()
        api.force_login(cast.creator)
        (row,) = api.get("/api/v1/checks", {"check": "template"}).json()["results"]
        assert (row["state"], row["findings"][0]["rule"]) == ("failed", "injection.override")
        assert api.post(f"/api/v1/checks/{row['id']}/again").status_code == 409

        body = {"fingerprint": finding.fingerprint, "reason": REASON, "ends_at": "2020-01-01T00:00:00Z"}
        assert api.post(f"/api/v1/checks/{row['id']}/waive", body).status_code == 400
        waiver = waivers.propose(finding, reason=REASON, ends_at=MONTH, by=cast.creator, at=NOW)
        assert api.post(f"/api/v1/check-waivers/{waiver.pk}/approve").status_code == 403
        api.force_login(cast.approver)
        assert (
            api.post(f"/api/v1/check-waivers/{waiver.pk}/reject", {"reason": "No."}).json()["state"]
            == "rejected"
        )

    def test_cancels(self, cast: Cast, under_way: Version) -> None:
        api = APIClient()
        api.force_login(cast.creator)
        run = under_way.check_runs.get(name="hygiene")

        assert api.post(f"/api/v1/checks/{run.pk}/cancel").json()["state"] == "could_not_check"
        assert api.post(f"/api/v1/checks/{run.pk}/again").status_code == 202

    def test_is_not_there_for_strangers(self, cast: Cast, finding: CheckFinding) -> None:
        waiver = waivers.propose(finding, reason=REASON, ends_at=MONTH, by=cast.creator, at=NOW)
        api = APIClient()
        api.force_login(cast.stranger)

        assert api.get("/api/v1/checks").json()["results"] == []
        for path in (f"checks/{finding.run_id}", f"check-waivers/{waiver.pk}"):
            assert api.get(f"/api/v1/{path}").status_code == 404
        for path in (f"checks/{finding.run_id}/again", f"check-waivers/{waiver.pk}/approve"):
            assert api.post(f"/api/v1/{path}").status_code == 404

    def test_needs_few_queries(
        self, cast: Cast, finding: CheckFinding, django_assert_max_num_queries
    ) -> None:  # type: ignore[no-untyped-def]
        api = APIClient()
        api.force_login(cast.creator)

        with django_assert_max_num_queries(BUDGET):
            api.get("/api/v1/checks")


class TestNewStillFixed:
    def test_compares_with_the_version_approved_last(self, creator: Client, cast: Cast) -> None:
        from marketplace.catalog import drafts, reviews  # noqa: PLC0415

        medium, gone = (Found("secrets.guess", "medium", "prompt", "x", mark) for mark in ("stays", "goes"))
        first = submissions.submit(make_draft(cast), by=cast.creator, at=NOW)
        self._end(first.version, medium, gone)
        from tests.catalog.making import GOOD_CALLS, pass_scans  # noqa: PLC0415

        from marketplace.catalog import checks  # noqa: PLC0415  # isort: skip

        pass_scans(first.version)
        finish_calls(checks.start(first.pk, at=NOW), GOOD_CALLS, at=NOW)
        reviews.approve(first.version.reviews.get(), by=cast.approver, at=NOW)
        draft = drafts.start_next_version(first.version.app, by=cast.creator, at=NOW)
        second = submissions.submit(draft, by=cast.creator, at=NOW).version
        self._end(second, medium, Found("secrets.guess", "medium", "prompt", "x", "comes"))

        report = json.loads(creator.get(address(second, "checks-report")).content)

        (secrets,) = [one for one in report["checks"] if one["check"] == "secrets"]
        assert sorted(one["status"] for one in secrets["findings"]) == ["new", "still"]
        assert [one["rule"] for one in secrets["fixed"]] == ["secrets.guess"]
        assert report["compared_with"] == 1

    def _end(self, version: Version, *found: Found) -> None:
        run: CheckRun = check_runs.start(version.check_runs.get(name="secrets").pk, at=NOW)
        check_runs.finish(run, Report(found, "test"), at=NOW)
        assert actor_for(version.app.created_by)
