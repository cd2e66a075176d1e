from decimal import Decimal

import pytest

from marketplace.catalog import benches
from marketplace.catalog.bench_models import BenchRun
from marketplace.catalog.judging import SmokeCall
from tests.catalog.test_api_apps import client_of
from tests.conftest import Cast
from tests.factories import NOW
from tests.gateway.test_bench import draft

BENCHES = "/api/v1/benches"


@pytest.mark.django_db
class TestBenches:
    def test_begin_with_what_they_may_cost_and_show_each_answer(self, cast: Cast) -> None:
        version, maker = draft(cast), client_of(cast.creator)

        begun = maker.post(BENCHES, {"app": version.app.slug, "models": ["llm-8b"]}, format="json")

        assert begun.status_code == 202
        assert Decimal(begun.json()["most_cost"]) > 0
        assert begun.json()["cases"][0]["expect"] == []
        run = BenchRun.objects.get()
        benches.note(
            run,
            model="llm-8b",
            case=0,
            call=SmokeCall(output="Kindly.", cost=Decimal("0.0001"), latency_ms=80),
        )
        shown = maker.get(f"{BENCHES}/{run.pk}").json()
        assert [(one["case"], one["output"], one["cost"]) for one in shown["results"]] == [
            (0, "Kindly.", "0.0001")
        ]

    def test_run_one_at_a_time_over_known_models(self, cast: Cast) -> None:
        version, maker = draft(cast), client_of(cast.creator)
        body = {"app": version.app.slug, "models": ["llm-8b"]}
        maker.post(BENCHES, body, format="json")

        assert maker.post(BENCHES, body, format="json").status_code == 409
        assert maker.post(BENCHES, {**body, "models": []}, format="json").status_code == 400

    @pytest.mark.parametrize("who", ["stranger", "consumer", "approver"])
    def test_are_for_makers_alone(self, cast: Cast, who: str) -> None:
        version, client = draft(cast), client_of(getattr(cast, who))
        run = benches.start(
            version, models=["llm-8b"], most_cost=Decimal(1), currency="USD", by=cast.creator, at=NOW
        )

        assert client.get(BENCHES).json()["results"] == []
        assert client.get(f"{BENCHES}/{run.pk}").status_code == 404
        assert (
            client.post(BENCHES, {"app": version.app.slug, "models": ["llm-8b"]}, format="json").status_code
            == 404
        )
