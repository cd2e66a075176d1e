from collections.abc import Callable
from typing import Any

import pytest

from marketplace.catalog import check_runs, submissions
from marketplace.core import jobs
from marketplace.core.models import Job
from marketplace.gateway import endpoint_checks, tasks
from tests.catalog.making import make_draft
from tests.conftest import Cast
from tests.factories import NOW

assert tasks, "registers the work of jobs"


@pytest.fixture
def name_service(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets every name lead to an address; an empty one: the name service is away."""

    def lead_to(address: str) -> None:
        def look_up(*_: Any, **__: Any) -> list[Any]:
            if not address:
                raise OSError(-3, "Temporary failure in name resolution")
            return [(0, 0, 0, "", (address, 443))]

        monkeypatch.setattr(endpoint_checks.egress.socket, "getaddrinfo", look_up)

    return lead_to


class TestLookAt:
    @pytest.mark.parametrize(
        "address", ["10.0.0.7", "127.0.0.1", "169.254.169.254", "192.168.1.1", "::1", "fd00:ec2::254"]
    )
    def test_catches_names_that_lead_into_private_networks(
        self, address: str, name_service: Callable[[str], None]
    ) -> None:
        name_service(address)

        (found,) = endpoint_checks.look_at("https://app.example.com/run", allowed=()).findings

        assert (found.rule, found.severity) == ("endpoint.private", "high")

    def test_catches_the_metadata_address_as_written(self) -> None:
        (found,) = endpoint_checks.look_at("https://169.254.169.254/latest", allowed=()).findings

        assert found.rule == "endpoint.private"

    def test_catches_what_is_no_endpoint(self) -> None:
        (found,) = endpoint_checks.look_at("http://app.example.com/", allowed=()).findings

        assert found.rule == "endpoint.invalid"

    def test_passes_public_addresses_and_what_an_operator_allowed(
        self, name_service: Callable[[str], None]
    ) -> None:
        name_service("93.184.216.34")

        assert endpoint_checks.look_at("https://app.example.com/run", allowed=()).findings == ()
        assert endpoint_checks.look_at("http://127.0.0.1:9000/run", allowed=["127.0.0.1:9000"]).findings == ()


@pytest.mark.django_db
class TestRun:
    def check(self, cast: Cast) -> Any:
        version = make_draft(cast, template="http-app", endpoint_url="https://app.example.com/run")
        run = submissions.submit(version, by=cast.creator, at=NOW).version.check_runs.get(name="endpoint")
        job = jobs.run(Job.objects.get(name=check_runs.ENDPOINT_JOB).pk, at=NOW)
        assert job is not None
        assert (job.state, job.last_error) == ("done", "")
        run.refresh_from_db()
        return run

    def test_fails_a_name_that_leads_inside(self, cast: Cast, name_service: Callable[[str], None]) -> None:
        name_service("10.0.0.7")

        run = self.check(cast)

        assert (run.state, run.findings.get().rule) == ("failed", "endpoint.private")

    def test_has_not_checked_what_cannot_be_looked_up(
        self, cast: Cast, name_service: Callable[[str], None]
    ) -> None:
        name_service("")

        run = self.check(cast)

        assert run.state == "could_not_check"
        assert "could not be looked up" in run.reason
