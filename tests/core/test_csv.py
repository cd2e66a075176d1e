from datetime import UTC, datetime
from decimal import Decimal

import pytest

from marketplace.core.csv import to_csv


class TestToCsv:
    def test_writes_machine_formats(self) -> None:
        row = ("Ada, Ltd.", 7, Decimal("0.000000000000000001"), datetime(2026, 11, 1, 9, tzinfo=UTC), None)

        lines = list(to_csv(["name", "n", "cost", "at", "none"], [row]))

        assert lines == [
            "name,n,cost,at,none\r\n",
            '"Ada, Ltd.",7,0.000000000000000001,2026-11-01T09:00:00Z,\r\n',
        ]

    @pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
    def test_defuses_what_a_spreadsheet_would_run(self, text: str) -> None:
        assert list(to_csv([], [[text]]))[1].lstrip('"').startswith("'")

    def test_leaves_negative_numbers_alone(self) -> None:
        assert list(to_csv([], [[-5, Decimal("-1.50")]]))[1] == "-5,-1.50\r\n"
