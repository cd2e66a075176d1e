from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction

from metering import ingest
from metering.attribution import Dimensions
from metering.models import InstanceRate, LanguageModel, RateCard
from tests import factories
from tests.factories import LONG_AGO, NOW
from tests.metering.conftest import make_usage

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def run(sql: str, *values: object) -> None:
    """Run SQL behind the back of all code, and leave the test's transaction usable when it is refused."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, values)


class TestRateCards:
    @pytest.mark.parametrize(
        "change", ["output_per_mtok = 0", "starts_at = now()", "currency = 'EUR'", "source = 'another'"]
    )
    def test_never_change(self, change: str) -> None:
        factories.make_model()

        with pytest.raises(IntegrityError, match="never changes"):
            run(f"UPDATE metering_ratecard SET {change}")

    def test_are_never_deleted(self) -> None:
        factories.make_model()

        with pytest.raises(Exception, match="delete"):
            run("DELETE FROM metering_ratecard")

    def test_are_given_an_end_once(self) -> None:
        factories.make_model()
        run("UPDATE metering_ratecard SET ends_at = %s", NOW)

        for ends_at in (NOW + HOUR, None):
            with pytest.raises(IntegrityError, match="once"):
                run("UPDATE metering_ratecard SET ends_at = %s", ends_at)
        assert RateCard.objects.get().ends_at == NOW

    def test_do_not_end_together_with_another_change(self) -> None:
        factories.make_model()

        with pytest.raises(IntegrityError, match="never changes"):
            run("UPDATE metering_ratecard SET ends_at = %s, input_per_mtok = 0", NOW)

    def test_do_not_end_before_usage_that_they_rated(self, who: Dimensions) -> None:
        ingest.record([make_usage(who, "e1", at=NOW)], at=NOW)

        for ends_at in (NOW - HOUR, NOW):
            with pytest.raises(IntegrityError, match="before usage"):
                run("UPDATE metering_ratecard SET ends_at = %s", ends_at)
        run("UPDATE metering_ratecard SET ends_at = %s", NOW + timedelta(microseconds=1))

    def test_end_whatever_usage_others_rated(self, who: Dimensions) -> None:
        other = factories.make_model("llm-70b")
        ingest.record([make_usage(who, "e1", at=NOW)], at=NOW)

        run("UPDATE metering_ratecard SET ends_at = %s WHERE model_id = %s", NOW - HOUR, other.pk)

    def test_of_the_ceiling_are_never_zero(self) -> None:
        ceiling = LanguageModel.objects.create(name="unknown", is_ceiling=True, is_active=False)

        with pytest.raises(IntegrityError, match="never zero"), transaction.atomic():
            RateCard.objects.create(
                model=ceiling,
                input_per_mtok=1,
                cached_input_per_mtok=1,
                cache_write_per_mtok=1,
                output_per_mtok=0,
                reasoning_per_mtok=1,
                starts_at=LONG_AGO,
                source="test",
            )


class TestInstanceRates:
    def test_never_change_and_are_never_deleted(self) -> None:
        factories.make_instance_rate()

        with pytest.raises(IntegrityError, match="never changes"):
            run("UPDATE metering_instancerate SET price_per_hour = 0")
        with pytest.raises(Exception, match="delete"):
            run("DELETE FROM metering_instancerate")
        run("UPDATE metering_instancerate SET ends_at = %s", NOW)
        assert InstanceRate.objects.get().ends_at == NOW
