import pytest

from marketplace.catalog import checks, drafts, submissions
from marketplace.catalog.inputs import Input
from marketplace.catalog.models import Listing, SmokeRun, Version
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.models import Job
from marketplace.core.transitions import IllegalTransition
from tests.catalog.making import finish_calls, make_draft, make_review, make_submitted
from tests.conftest import Cast
from tests.factories import NOW, make_listed_app, make_subscription


class TestSubmit:
    def test_queues_a_check(self, cast: Cast) -> None:
        version = make_draft(cast)

        run = submissions.submit(version, by=cast.creator, at=NOW)

        version.refresh_from_db()
        assert (version.state, version.submitted_by, version.submitted_at) == ("checking", cast.creator, NOW)
        assert (run.state, run.version, run.currency) == ("queued", version, "USD")
        job = Job.objects.get(name="gateway.run_smoke")
        assert (job.idempotency_key, job.arguments) == (f"smoke:{run.pk}", {"smoke_run_id": str(run.pk)})

    def test_is_refused_a_second_time(self, cast: Cast) -> None:
        run = make_submitted(cast)

        with pytest.raises(IllegalTransition):
            submissions.submit(run.version, by=cast.creator, at=NOW)

        assert SmokeRun.objects.count() == 1

    @pytest.mark.parametrize(
        ("changes", "field"),
        [
            ({"name": "  "}, "name"),
            ({"summary": ""}, "summary"),
            ({"owner_contact": "nobody"}, "owner_contact"),
            ({"expected_monthly_calls": 4, "slo_latency_ms": 0}, "slo_latency_ms"),
            ({"daily_calls_limit": 10, "monthly_calls_limit": 9}, "monthly_calls_limit"),
            ({"allowed_models": []}, "allowed_models"),
            ({"prompt_template": ""}, "prompt_template"),
            ({"prompt_template": "{{ nothing }}"}, "prompt_template"),
            ({"prompt_template": "{{ text|round }}"}, "prompt_template"),
            ({"example_input": {}}, "example_input.text"),
        ],
    )
    def test_names_what_is_missing(self, cast: Cast, changes: dict[str, object], field: str) -> None:
        version = make_draft(cast)
        drafts.edit(version, by=cast.creator, at=NOW, changes=changes)

        with pytest.raises(InvalidInput) as refused:
            submissions.submit(version, by=cast.creator, at=NOW)

        assert field in {error.field for error in refused.value.errors}
        assert Version.objects.get(pk=version.pk).state == "draft"

    @pytest.mark.parametrize(
        ("url", "is_taken"),
        [
            ("https://api.example.com/run", True),
            ("https://api.example.com:8443/run?x=1", True),
            ("http://api.example.com/run", False),
            ("https://user:secret@api.example.com/", False),
            ("https:///run", False),
            ("ftp://api.example.com", False),
            ("https://api.example.com/#part", False),
            ("https://api example.com/", False),
            ("https://[::1", False),
            ("https://api.example.com:99999/", False),
            ("", False),
        ],
    )
    def test_looks_at_the_shape_of_an_endpoint(self, cast: Cast, url: str, is_taken: bool) -> None:
        version = make_draft(cast, "http-app", endpoint_url=url)

        if is_taken:
            submissions.submit(version, by=cast.creator, at=NOW)
        else:
            with pytest.raises(InvalidInput) as refused:
                submissions.submit(version, by=cast.creator, at=NOW)
            assert refused.value.field == "endpoint_url"

    def test_takes_plain_http_where_it_is_allowed(self, cast: Cast) -> None:
        version = make_draft(cast, "http-app", endpoint_url="http://127.0.0.1:8001/apps/fx-convert")

        assert submissions.submit(version, by=cast.creator, at=NOW, allow_http=True)

    def test_needs_no_example_of_an_optional_input(self, cast: Cast) -> None:
        version = make_draft(cast)
        optional = Input("text", "Text", is_required=False)
        changes = {"inputs": [optional], "example_input": {}, "prompt_template": "{{ text }}"}
        drafts.edit(version, by=cast.creator, at=NOW, changes=changes)

        assert submissions.submit(version, by=cast.creator, at=NOW)


class TestCheckAgain:
    def test_follows_a_check_that_could_not_be_finished(self, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)
        finish_calls(run, [], at=NOW, stopped_because="No provider answers.")

        again = submissions.check_again(run.version, by=cast.creator, at=NOW)

        assert again.pk != run.pk
        assert Job.objects.filter(idempotency_key=f"smoke:{again.pk}").exists()

    def test_is_refused_while_one_is_under_way(self, cast: Cast) -> None:
        run = make_submitted(cast)

        with pytest.raises(Conflict, match="under way"):
            submissions.check_again(run.version, by=cast.creator, at=NOW)

    def test_replaces_one_that_was_given_up(self, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)
        Job.objects.update(state="failed")

        submissions.check_again(run.version, by=cast.creator, at=NOW)

        run.refresh_from_db()
        assert run.state == "could_not_check"
        assert run.version.smoke_runs.filter(state="queued").count() == 1

    def test_is_refused_when_the_version_does_not_wait_for_it(self, cast: Cast) -> None:
        with pytest.raises(Conflict, match="waits for its check"):
            submissions.check_again(make_draft(cast), by=cast.creator, at=NOW)


class TestWithdraw:
    def test_ends_a_queued_check(self, cast: Cast) -> None:
        run = make_submitted(cast)

        submissions.withdraw(run.version, by=cast.creator, at=NOW, reason="Wrong prompt.")

        run.refresh_from_db()
        assert (run.version.state, run.state) == ("withdrawn", "could_not_check")

    def test_ends_an_open_review(self, cast: Cast) -> None:
        review = make_review(cast)

        submissions.withdraw(review.version, by=cast.creator, at=NOW)

        review.refresh_from_db()
        assert review.state == "withdrawn"

    def test_takes_a_listed_app_out_of_the_catalogue(self, cast: Cast) -> None:
        app = make_listed_app(cast.creator_team)

        submissions.withdraw(app.versions.get(), by=cast.creator, at=NOW)

        assert not Listing.objects.exists()

    def test_is_refused_while_teams_are_subscribed(self, cast: Cast) -> None:
        app = make_listed_app(cast.creator_team)
        make_subscription(app, cast.consumer_team)

        with pytest.raises(submissions.HasSubscribers, match="1 team is subscribed"):
            submissions.withdraw(app.versions.get(), by=cast.creator, at=NOW)

        assert Listing.objects.filter(app=app, version__state="listed").exists()
