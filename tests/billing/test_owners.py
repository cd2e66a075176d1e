from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.models import InvoiceLine
from billing.owners import Tenure, _Used, split_line

OLD, NEW = 1, 2
MOVED_AT = datetime(2026, 10, 11, tzinfo=UTC)
OCTOBER = (datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC))
TENURES = [Tenure(OLD, None, MOVED_AT), Tenure(NEW, MOVED_AT, None)]


def line(code: str, creator_minor: int, **fields: Any) -> InvoiceLine:
    values = {"service_starts_at": OCTOBER[0], "service_ends_at": OCTOBER[1], "app_id": 7}
    return InvoiceLine(code=code, creator_minor=creator_minor, **values | fields)


def used(old: _Used, new: _Used) -> Any:
    return {(7, None, None, OCTOBER[0]): {OLD: old, NEW: new}}


class TestSplitLine:
    def test_gives_an_only_owner_all(self) -> None:
        assert split_line(line("fee", 99), [TENURES[0]], {}) == {OLD: 99}

    def test_splits_a_fee_by_days(self) -> None:
        # 10 of 31 days of 31.00.
        assert split_line(line("fee", 31_00), TENURES, used(_Used(1), _Used(99))) == {OLD: 10_00, NEW: 21_00}

    def test_splits_calls_by_calls_and_cost_by_cost(self) -> None:
        found = used(_Used(3, Decimal(1)), _Used(1, Decimal(3)))

        assert split_line(line("calls", 8_00), TENURES, found) == {OLD: 6_00, NEW: 2_00}
        assert split_line(line("cost:minimum", 8_00), TENURES, found) == {OLD: 2_00, NEW: 6_00}

    def test_splits_by_days_what_nobody_used(self) -> None:
        assert split_line(line("calls", 31_00), TENURES, {}) == {OLD: 10_00, NEW: 21_00}
        nothing = used(_Used(0), _Used(0))
        assert split_line(line("calls", 31_00), TENURES, nothing) == {OLD: 10_00, NEW: 21_00}

    @pytest.mark.parametrize(("month", "owner"), [(9, OLD), (11, NEW)])
    def test_gives_all_of_a_month_before_or_after_to_its_owner(self, month: int, owner: int) -> None:
        starts_at = datetime(2026, month, 1, tzinfo=UTC)
        ends_at = datetime(2026, month + 1, 1, tzinfo=UTC)

        found = split_line(line("fee", 50, service_starts_at=starts_at, service_ends_at=ends_at), TENURES, {})

        assert found == {owner: 50}

    @given(
        st.integers(-(10**9), 10**9),
        st.sampled_from(["fee", "calls", "cost", "cost:minimum"]),
        st.lists(st.integers(0, 10**6), min_size=4, max_size=4),
    )
    def test_loses_no_unit(self, creator_minor: int, code: str, weights: list[int]) -> None:
        old, new = _Used(weights[0], Decimal(weights[1])), _Used(weights[2], Decimal(weights[3]))

        parts = split_line(line(code, creator_minor), TENURES, used(old, new))

        assert sum(parts.values()) == creator_minor
        assert all(part * creator_minor >= 0 for part in parts.values())
