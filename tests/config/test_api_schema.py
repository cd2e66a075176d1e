"""The OpenAPI document of the management API: complete, valid, and without a name that a generator made up."""

import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command


@pytest.fixture(scope="module")
def schema() -> Any:
    """The document; a warning or an error of the generator fails every test here."""
    out = StringIO()
    call_command("spectacular", validate=True, fail_on_warn=True, format="openapi-json", stdout=out)
    return json.loads(out.getvalue())


class TestSchema:
    def test_takes_personal_keys(self, schema: Any) -> None:
        schemes = schema["components"]["securitySchemes"]

        assert schemes["personalKey"] == {"type": "http", "scheme": "bearer", "bearerFormat": "hp_pat_…"}

    def test_writes_amounts_as_text(self, schema: Any) -> None:
        fields = schema["components"]["schemas"]["RateCard"]["properties"]

        assert (fields["input_per_mtok"]["type"], fields["input_per_mtok"]["format"]) == ("string", "decimal")

    def test_gives_choices_names_that_stay(self, schema: Any) -> None:
        names = [name for name in schema["components"]["schemas"] if name.endswith("Enum")]

        assert {"InvoiceStateEnum", "InvoiceKindEnum", "BillingPeriodStateEnum"} <= set(names)
        # A made up name carries a part of a hash, such as State27bEnum.
        assert [name for name in names if any(map(str.isdigit, name))] == []
