"""Worked bills: figures of other billing systems, recomputed by hand; the source stands beside each."""

from decimal import Decimal
from typing import Any

import pytest

from billing.pricing import Quote, parse_quote_request, quote
from marketplace.core.errors import InvalidInput


def quoted(body: dict[str, Any]) -> Quote:
    asked = parse_quote_request({"currency": "USD", **body})
    return quote(
        asked.charges,
        currency=asked.currency,
        usage=asked.usage,
        billed_before=asked.billed_before,
        period=asked.period,
        active=asked.active,
    )


def metered(
    charge: dict[str, Any], quantity: object, before: tuple[object, str] | None = None
) -> dict[str, int]:
    """Quote one charge named `use`; gives minor units by line code."""
    body: dict[str, Any] = {"charges": [{"code": "use", **charge}], "usage": {"use": quantity}}
    if before is not None:
        body["billed_before"] = {"use": {"quantity": before[0], "amount": before[1]}}
    return {line.code: line.amount_minor for line in quoted(body).lines}


def tiers(model: str, *rows: tuple[str | None, str, str], **more: str) -> dict[str, Any]:
    """Rows are up to, unit amount, flat amount."""
    keys = ("up_to", "unit_amount", "flat_amount")
    return {"model": model, "tiers": [dict(zip(keys, row, strict=True)) for row in rows], **more}


def refused(body: dict[str, Any]) -> dict[str, str]:
    """Quote and give the codes of the errors by field."""
    with pytest.raises(InvalidInput) as error:
        quoted(body)
    return {one.field: one.code for one in error.value.errors}


# OpenMeter rating/service/rate/tieredgraduated_test.go: 5 for 100, 5 more for 50, 5 at 5 each, the rest at 1.
W05 = tiers("graduated", ("5", "0", "100"), ("10", "0", "50"), ("15", "5", "0"), (None, "1", "0"))
# OpenMeter package_test.go
W15 = {"model": "package", "package_size": "10", "package_amount": "15"}


class TestFlat:
    def test_costs_the_same_whatever_is_used(self) -> None:
        bill = quoted({"charges": [{"code": "fee", "model": "flat", "amount": "50"}]})

        assert [(line.code, line.quantity, line.amount_minor) for line in bill.lines] == [("fee", 1, 5000)]

    @pytest.mark.parametrize(
        ("amount", "period", "active", "expected"),
        [
            # W24, Lago docs subscription.md: 50 x 22/31 = 35.4838...
            ("50", ("2026-08-01", "2026-09-01"), ("2026-08-10", "2026-09-01"), 3548),
            # 10 November to 1 December is 21 of 30 days.
            ("50", ("2026-11-01", "2026-12-01"), ("2026-11-10", "2026-12-01"), 3500),
            # A change on 16 June leaves 15 of 30 days.
            ("50", ("2026-06-01", "2026-07-01"), ("2026-06-16", "2026-07-01"), 2500),
            # What is active beyond the period is not billed twice: all of August.
            ("50", ("2026-08-01", "2026-09-01"), ("2025-01-10", "2027-01-01"), 5000),
            # W27, Flexprice docs understanding-proration.mdx: 265 of 365 days.
            ("600", ("2026-01-01", "2027-01-01"), ("2026-04-11", "2027-01-01"), 43562),
            ("1200", ("2026-01-01", "2027-01-01"), ("2026-04-11", "2027-01-01"), 87123),
        ],
    )
    def test_is_prorated_by_days(
        self, amount: str, period: tuple[str, str], active: tuple[str, str], expected: int
    ) -> None:
        bill = quoted(
            {
                "period": dict(zip(("start", "end"), period, strict=True)),
                "active": dict(zip(("start", "end"), active, strict=True)),
                "charges": [{"code": "fee", "model": "flat", "amount": amount, "prorate": True}],
            }
        )

        assert bill.total_minor == expected

    def test_stays_whole_when_the_plan_does_not_prorate(self) -> None:
        bill = quoted(
            {
                "period": {"start": "2026-11-01", "end": "2026-12-01"},
                "active": {"start": "2026-11-10", "end": "2026-12-01"},
                "charges": [{"code": "fee", "model": "flat", "amount": "50", "prorate": False}],
            }
        )

        assert bill.total_minor == 5000

    def test_gives_back_what_was_paid_ahead(self) -> None:
        # W27 as credit: 50 paid, 10 of 30 days active, 16.666... - 50 = -33.333...
        bill = quoted(
            {
                "period": {"start": "2026-11-01", "end": "2026-12-01"},
                "active": {"start": "2026-11-01", "end": "2026-11-11"},
                "charges": [{"code": "fee", "model": "flat", "amount": "50", "prorate": True}],
                "billed_before": {"fee": {"amount": "50"}},
            }
        )

        assert bill.total_minor == -3333

    def test_explains_the_days(self) -> None:
        bill = quoted(
            {
                "period": {"start": "2026-11-01", "end": "2026-12-01"},
                "active": {"start": "2026-11-10", "end": "2026-12-01"},
                "charges": [{"code": "fee", "model": "flat", "amount": "50", "prorate": True}],
            }
        )

        assert [step.label for step in bill.lines[0].explanation] == ["21 of 30 days of 50"]


class TestPerUnit:
    @pytest.mark.parametrize(
        ("unit_amount", "quantity", "expected"),
        [
            # W01, Lago docs charges/price-models, Flexprice billing-models/flat-fee.mdx
            ("0.05", "1000", 5000),
            # W45, killbill #1124; half-even would give 368.
            ("0.067", "55", 369),
            ("10.125", "1", 1013),
            ("10.275", "1", 1028),
            ("0.0002", "0", 0),
            # Integers are exact in JSON.
            (2, 3, 600),
        ],
    )
    def test_multiplies_and_rounds_once(self, unit_amount: object, quantity: object, expected: int) -> None:
        assert metered({"model": "per_unit", "unit_amount": unit_amount}, quantity) == {"use": expected}

    def test_gives_free_units_once_per_period(self) -> None:
        # W47, OpenMeter discountusage_test.go: 10 free, 5 of them used before, 15 now: 10 billable.
        charge = {"model": "per_unit", "unit_amount": "1", "free_units": "10"}

        assert metered(charge, "15", before=("5", "0")) == {"use": 1000}

    def test_corrects_late_usage_by_difference(self) -> None:
        # W39, OpenMeter periodpreserving README: price 10, 5 billed for 50; now 7, then 10 in all.
        charge = {"model": "per_unit", "unit_amount": "10"}

        assert metered(charge, "2", before=("5", "50")) == {"use": 2000}
        assert metered(charge, "3", before=("7", "70")) == {"use": 3000}


class TestProgressiveBilling:
    """W36, Lago progressive_billing_spec.rb: 0.0002 a unit, a fee of 31 in arrears, 200 billed on day 6."""

    charge = {"code": "use", "model": "per_unit", "unit_amount": "0.0002"}

    def test_bills_the_threshold_on_the_day_it_is_reached(self) -> None:
        assert quoted({"charges": [self.charge], "usage": {"use": "1000000"}}).total_minor == 20000

    def test_bills_the_rest_at_month_end(self) -> None:
        # 31 + 400 - 200
        bill = quoted(
            {
                "charges": [{"code": "fee", "model": "flat", "amount": "31"}, self.charge],
                "usage": {"use": "1000000"},
                "billed_before": {"use": {"quantity": "1000000", "amount": "200"}},
            }
        )

        assert [line.amount_minor for line in bill.lines] == [3100, 20000]
        assert bill.subtotal_minor == bill.total_minor == 23100

    def test_bills_only_the_fee_when_it_ended_early(self) -> None:
        # 31 x 18/31 + 200 - 200
        bill = quoted(
            {
                "period": {"start": "2026-10-01", "end": "2026-11-01"},
                "active": {"start": "2026-10-01", "end": "2026-10-19"},
                "charges": [{"code": "fee", "model": "flat", "amount": "31", "prorate": True}, self.charge],
                "usage": {"use": "0"},
                "billed_before": {"use": {"quantity": "1000000", "amount": "200"}},
            }
        )

        assert bill.total_minor == 1800


class TestGraduated:
    @pytest.mark.parametrize(
        ("quantity", "expected"),
        [("0", 200), ("1", 1200), ("10", 10200), ("11", 11000), ("12", 11500), ("20", 15500), ("21", 16300)],
    )
    def test_adds_the_flat_amount_of_each_tier_reached(self, quantity: str, expected: int) -> None:
        # W04, Lago spec/services/charge_models/graduated_service_spec.rb; 20: 115 + 8 x 5 = 155; 21: + 5 + 3.
        charge = tiers("graduated", ("10", "10", "2"), ("20", "5", "3"), (None, "5", "3"))

        assert metered(charge, quantity) == {"use": expected}

    def test_takes_tiers_of_flat_amounts_only(self) -> None:
        # W05: 100 + 50 + 5 x 5 + 7
        assert metered(W05, "22") == {"use": 18200}

    def test_charges_an_increment_in_the_tiers_it_crosses(self) -> None:
        # W05: from 12 to 22, 3 x 5 + 7 x 1; 160 was billed for 12.
        assert metered(W05, "10", before=("12", "160")) == {"use": 2200}

    def test_explains_the_increment(self) -> None:
        bill = quoted(
            {
                "charges": [{"code": "use", **W05}],
                "usage": {"use": "10"},
                "billed_before": {"use": {"quantity": "12", "amount": "160"}},
            }
        )

        steps = [(str(step.starts_from), str(step.up_to), step.amount) for step in bill.lines[0].explanation]
        assert steps == [("12", "15", 15), ("15", "22", 7)]

    def test_counts_tiers_after_free_units(self) -> None:
        # 100 free, then 10 at 10 + 2 and 1 at 5 + 3.
        charge = tiers("graduated", ("10", "10", "2"), (None, "5", "3"), free_units="100")

        assert metered(charge, "111") == {"use": 11000}

    def test_splits_fractions_at_the_bound(self) -> None:
        # 10 x 1 + 0.5 x 2
        assert metered(tiers("graduated", ("10", "1", "0"), (None, "2", "0")), "10.5") == {"use": 1100}

    def test_charges_the_first_flat_amount_once(self) -> None:
        charge = tiers("graduated", ("10", "10", "2"), (None, "5", "3"))

        assert metered(charge, "0", before=("0", "2")) == {"use": 0}
        assert metered(charge, "0", before=("0", "0")) == {"use": 200}


class TestVolume:
    @pytest.mark.parametrize(
        ("quantity", "expected"), [("1", 700), ("5", 3500), ("6", 3900), ("20", 12000), ("25", 15000)]
    )
    def test_prices_all_units_at_the_tier_reached(self, quantity: str, expected: int) -> None:
        # W02, docs.stripe.com tiered-pricing
        charge = tiers("volume", ("5", "7", "0"), ("10", "6.5", "0"), (None, "6", "0"))

        assert metered(charge, quantity) == {"use": expected}

    @pytest.mark.parametrize(
        ("quantity", "expected"),
        [
            ("0", 10000),
            ("3", 10000),
            ("5", 10000),
            ("14", 14000),
            ("15", 15000),
            ("16", 8000),
            ("100", 50000),
        ],
    )
    def test_adds_the_flat_amount_of_the_tier_reached(self, quantity: str, expected: int) -> None:
        # W08, OpenMeter tieredvolume_test.go
        charge = tiers("volume", ("5", "0", "100"), ("10", "0", "150"), ("15", "10", "0"), (None, "5", "0"))

        assert metered(charge, quantity) == {"use": expected}

    def test_gives_back_what_a_cheaper_tier_saves(self) -> None:
        # 15 units cost 150; the 16th makes all of them 5: 80 - 150.
        charge = tiers("volume", ("15", "10", "0"), (None, "5", "0"))

        assert metered(charge, "1", before=("15", "150")) == {"use": -7000}

    def test_is_what_others_call_a_package_at_a_fixed_price_of_the_range(self) -> None:
        # Flexprice billing-models/package.mdx prints this as "package": 4,500 -> 200. It is volume.
        charge = tiers("volume", ("1000", "0", "50"), ("5000", "0", "200"), (None, "0", "500"))

        assert metered(charge, "4500") == {"use": 20000}


class TestPackage:
    def test_counts_packages_after_free_units(self) -> None:
        # W11, Lago docs package.md: 201 - 100 = 101, 2 packages of 5.
        charge = {"model": "package", "package_size": "100", "package_amount": "5", "free_units": "100"}

        assert metered(charge, "201") == {"use": 1000}

    @pytest.mark.parametrize(
        ("rounding", "quantity", "expected"),
        [
            # W13, Flexprice internal/ee/service/price_test.go
            ("up", "0", 0),
            ("up", "2", 100),
            ("up", "99", 100),
            ("up", "100", 100),
            ("up", "101", 200),
            ("up", "150", 200),
            ("up", "300", 300),
            ("down", "50", 0),
            ("down", "250", 200),
        ],
    )
    def test_rounds_to_whole_packages(self, rounding: str, quantity: str, expected: int) -> None:
        charge = {"model": "package", "package_size": "100", "package_amount": "1", "rounding": rounding}

        assert metered(charge, quantity) == {"use": expected}

    def test_fills_a_package_begun_on_an_earlier_bill(self) -> None:
        # W15: 17 are 2 packages, 22 are 3.
        assert metered(W15, "5", before=("17", "30")) == {"use": 1500}
        assert metered(W15, "3", before=("17", "30")) == {"use": 0}

    def test_keeps_to_the_maximum_over_several_bills(self) -> None:
        # W15: 60 billed for 90; 50 more are 5 packages, 75; 90 + 75 - 100 = 65 too much.
        assert metered({**W15, "maximum": "100"}, "50", before=("60", "90")) == {
            "use": 7500,
            "use:maximum": -6500,
        }


class TestPercentage:
    values = ("50", "100", "250", "400")
    charge = {"model": "percentage", "rate": "1.3", "fixed_amount": "2"}

    def test_adds_a_fixed_amount_per_transaction(self) -> None:
        # W20, Lago percentage_service_spec.rb: 800 x 0.013 + 4 x 2
        assert metered(self.charge, list(self.values)) == {"use": 1840}

    def test_uses_up_both_allowances_together(self) -> None:
        # W20: (800 - 250) x 0.013 + 2 x 2; the third transaction goes beyond the free 250.
        charge = {**self.charge, "free_units": "250", "free_transactions": 3}

        assert metered(charge, list(self.values)) == {"use": 1115}

    def test_ends_free_value_with_the_last_free_transaction(self) -> None:
        # One transaction of 50 is free: 750 x 0.013 + 3 x 2
        charge = {**self.charge, "free_units": "250", "free_transactions": 1}

        assert metered(charge, list(self.values)) == {"use": 1575}

    def test_frees_whole_transactions_without_a_bound_on_value(self) -> None:
        # 400 x 0.013 + 1 x 2
        assert metered({**self.charge, "free_transactions": 3}, list(self.values)) == {"use": 720}

    def test_frees_value_without_a_bound_on_transactions(self) -> None:
        # 550 x 0.013 + 2 x 2
        assert metered({**self.charge, "free_units": "250"}, list(self.values)) == {"use": 1115}

    def test_takes_one_number_as_one_transaction(self) -> None:
        assert metered(self.charge, "800") == {"use": 1240}
        assert metered(self.charge, "0") == {"use": 0}

    @pytest.mark.parametrize(
        ("rate", "fixed", "expected"),
        [
            # W44, Polar docs/merchant-of-record/fees.mdx: 37.50 with VAT, lines rounded, 1.5 % is 0.56.
            ("5", "0.50", [238, 56]),
            ("3.8", "0.40", [183, 56]),
            ("3.6", "0.35", [170, 56]),
            ("3.4", "0.30", [158, 56]),
        ],
    )
    def test_prices_platform_fees(self, rate: str, fixed: str, expected: list[int]) -> None:
        bill = quoted(
            {
                "charges": [
                    {"code": "platform", "model": "percentage", "rate": rate, "fixed_amount": fixed},
                    {"code": "card", "model": "percentage", "rate": "1.5"},
                ],
                "usage": {"platform": ["37.50"], "card": ["37.50"]},
            }
        )

        assert [line.amount_minor for line in bill.lines] == expected
        assert bill.total_minor == sum(expected)

    def test_continues_with_the_transactions_billed_before(self) -> None:
        # 18.40 for all less 2 x 2 + 150 x 0.013 = 5.95 for the first two.
        assert metered(self.charge, ["250", "400"], before=(["50", "100"], "5.95")) == {"use": 1245}


class TestCostPlus:
    def test_marks_up_cost(self) -> None:
        # W16, OpenMeter dynamic_test.go: 10 x 1.33333
        assert metered({"model": "cost_plus", "markup": "0.33333"}, "10") == {"use": 1333}

    def test_keeps_to_the_maximum_in_rounded_amounts(self) -> None:
        # W16: 70 x 1.33333 = 93.3331; then 50 x 1.33333 = 66.6665, and 93.33 + 66.67 - 100 = 60.00.
        charge = {"model": "cost_plus", "markup": "0.33333", "maximum": "100"}

        assert metered(charge, "70") == {"use": 9333}
        assert metered(charge, "50", before=("70", "93.33")) == {"use": 6667, "use:maximum": -6000}

    def test_prices_a_two_part_tariff(self) -> None:
        # Design, rules of the economy: 50 + 10 x 13 for 10,000 calls that cost 10 per 1,000, multiplier 1.3.
        bill = quoted(
            {
                "charges": [
                    {"code": "fee", "model": "flat", "amount": "50"},
                    {"code": "cost", "model": "cost_plus", "markup": "0.30"},
                ],
                "usage": {"cost": "100"},
            }
        )

        assert bill.total_minor == 18000


class TestMinimum:
    def test_adds_a_line_after_the_price(self) -> None:
        # W06, OpenMeter: 2 units are the flat 100 of the first tier, 900 are missing.
        assert metered({**W05, "minimum": "1000"}, "2") == {"use": 10000, "use:minimum": 90000}

    def test_counts_what_was_billed_before(self) -> None:
        # W06: the 100 were billed earlier.
        assert metered({**W05, "minimum": "1000"}, "0", before=("2", "100")) == {
            "use": 0,
            "use:minimum": 90000,
        }

    def test_is_silent_when_it_is_reached(self) -> None:
        assert metered({"model": "per_unit", "unit_amount": "1", "minimum": "10"}, "10") == {"use": 1000}

    def test_takes_back_what_an_earlier_bill_added_too_much(self) -> None:
        # 100 were lifted to 1000; 50 more are covered by that, 950 more reach 1050.
        charge = {"model": "per_unit", "unit_amount": "1", "minimum": "1000"}

        assert metered(charge, "50", before=("100", "1000")) == {"use": 5000, "use:minimum": -5000}
        assert metered(charge, "950", before=("100", "1000")) == {"use": 95000, "use:minimum": -90000}

    def test_is_prorated_with_the_period(self) -> None:
        # 100 x 21/30 = 70, less 5 used.
        bill = quoted(
            {
                "period": {"start": "2026-11-01", "end": "2026-12-01"},
                "active": {"start": "2026-11-10", "end": "2026-12-01"},
                "charges": [{"code": "use", "model": "per_unit", "unit_amount": "0.05", "minimum": "100"}],
                "usage": {"use": "100"},
            }
        )

        assert [line.amount_minor for line in bill.lines] == [500, 6500]

    def test_is_met_to_the_cent_by_rounded_lines(self) -> None:
        # 33.335 is 33.34; lifting by the unrounded 66.665 would make 100.01.
        assert metered({"model": "per_unit", "unit_amount": "33.335", "minimum": "100"}, "1") == {
            "use": 3334,
            "use:minimum": 6666,
        }


class TestMaximum:
    def test_adds_a_discount_line(self) -> None:
        assert metered({"model": "per_unit", "unit_amount": "1", "maximum": "10"}, "12") == {
            "use": 1200,
            "use:maximum": -200,
        }

    def test_discounts_everything_once_it_was_reached(self) -> None:
        charge = {"model": "per_unit", "unit_amount": "1", "maximum": "10"}

        assert metered(charge, "5", before=("12", "10")) == {"use": 500, "use:maximum": -500}

    def test_stays_whole_in_a_short_period(self) -> None:
        bill = quoted(
            {
                "period": {"start": "2026-11-01", "end": "2026-12-01"},
                "active": {"start": "2026-11-10", "end": "2026-12-01"},
                "charges": [{"code": "use", "model": "per_unit", "unit_amount": "1", "maximum": "100"}],
                "usage": {"use": "90"},
            }
        )

        assert bill.total_minor == 9000

    def test_gives_a_discount_back_when_volume_prices_fall(self) -> None:
        # 150 were cut to 100; at 16 units everything costs 80, so 20 come back: -70 for the units, +50.
        charge = tiers("volume", ("15", "10", "0"), (None, "5", "0"), maximum="100")

        assert metered(charge, "1", before=("15", "100")) == {"use": -7000, "use:maximum": 5000}


class TestCurrencies:
    @pytest.mark.parametrize(("currency", "expected"), [("JPY", 2), ("USD", 150), ("KWD", 1500)])
    def test_round_to_their_own_minor_unit(self, currency: str, expected: int) -> None:
        bill = quoted(
            {
                "currency": currency,
                "charges": [{"code": "use", "model": "per_unit", "unit_amount": "0.5"}],
                "usage": {"use": "3"},
            }
        )

        assert bill.total_minor == expected


class TestQuote:
    def test_is_written_as_the_contract_says(self) -> None:
        bill = quoted(
            {
                "charges": [{"code": "use", **tiers("graduated", ("5", "7", "0"), (None, "6.5", "0"))}],
                "usage": {"use": "20.0"},
            }
        )

        # 5 x 7 + 15 x 6.5 = 132.5
        assert bill.as_json() == {
            "lines": [
                {
                    "code": "use",
                    "quantity": "20",
                    "amount": "132.5",
                    "amount_minor": 13250,
                    "explanation": [
                        {
                            "label": "tier 1",
                            "from": "0",
                            "to": "5",
                            "units": "5",
                            "unit_amount": "7",
                            "flat_amount": "0",
                            "amount": "35",
                        },
                        {
                            "label": "tier 2",
                            "from": "5",
                            "to": "20",
                            "units": "15",
                            "unit_amount": "6.5",
                            "flat_amount": "0",
                            "amount": "97.5",
                        },
                    ],
                }
            ],
            "subtotal_minor": 13250,
            "total_minor": 13250,
            "currency": "USD",
        }

    def test_keeps_the_amount_unrounded(self) -> None:
        bill = quoted(
            {
                "charges": [{"code": "use", "model": "per_unit", "unit_amount": "0.0002"}],
                "usage": {"use": "3"},
            }
        )

        assert (bill.lines[0].amount, bill.lines[0].amount_minor) == (Decimal("0.0006"), 0)

    def test_sums_rounded_lines(self) -> None:
        # 0.005 twice: 0.01 + 0.01, and not 0.010.
        charges = [{"code": code, "model": "per_unit", "unit_amount": "0.005"} for code in ("a", "b")]

        assert quoted({"charges": charges, "usage": {"a": "1", "b": "1"}}).total_minor == 2

    def test_loses_no_digit_of_large_bills(self) -> None:
        # (10^20 - 1) x 10^-18 x 10^18 units, plus one at the last decimal.
        charge = {"model": "per_unit", "unit_amount": "99999999999999999999.000000000000000001"}

        assert metered(charge, "1000000000000000000") == {"use": 9999999999999999999900000000000000000100}


class TestRefusals:
    per_unit = {"code": "use", "model": "per_unit", "unit_amount": "1"}

    def test_a_quantity_is_missing(self) -> None:
        assert refused({"charges": [self.per_unit], "usage": {}}) == {"usage.use": "required"}
        assert refused({"charges": [self.per_unit]}) == {"usage.use": "required"}

    def test_a_quantity_is_for_no_charge(self) -> None:
        body = {"charges": [self.per_unit], "usage": {"use": "1", "uze": "2"}}

        assert refused(body) == {"usage.uze": "unknown_field"}

    def test_a_bounded_last_tier_is_exceeded(self) -> None:
        charge = {"code": "use", **tiers("graduated", ("5", "7", "0"), ("10", "6", "0"))}

        assert refused({"charges": [charge], "usage": {"use": "10.1"}}) == {
            "charges[0].tiers[1].up_to": "beyond_last_tier"
        }
        assert quoted({"charges": [charge], "usage": {"use": "10"}}).total_minor == 6500

    def test_a_bounded_last_tier_is_exceeded_together_with_an_earlier_bill(self) -> None:
        charge = {"code": "use", **tiers("volume", ("10", "6", "0"))}
        before = {"use": {"quantity": "8", "amount": "48"}}

        assert refused({"charges": [charge], "usage": {"use": "3"}, "billed_before": before}) == {
            "charges[0].tiers[0].up_to": "beyond_last_tier"
        }

    @pytest.mark.parametrize(
        ("bounds", "field"),
        [
            (["10", "5", None], "charges[0].tiers[1].up_to"),
            (["5", "5", None], "charges[0].tiers[1].up_to"),
            (["0", None], "charges[0].tiers[0].up_to"),
            ([None, "5", None], "charges[0].tiers[0].up_to"),
        ],
    )
    def test_tiers_are_out_of_order(self, bounds: list[str | None], field: str) -> None:
        charge = {"code": "use", **tiers("volume", *((bound, "1", "0") for bound in bounds))}

        assert refused({"charges": [charge], "usage": {"use": "1"}}) == {field: "tiers_out_of_order"}

    @pytest.mark.parametrize(
        ("change", "field", "code"),
        [
            ({"unit_amount": "-1"}, "charges[0].unit_amount", "negative"),
            ({"unit_amount": 1.5}, "charges[0].unit_amount", "float_not_allowed"),
            ({"unit_amount": None}, "charges[0].unit_amount", "required"),
            ({"unit_amount": "1e3"}, "charges[0].unit_amount", "not_a_number"),
            ({"free_units": "-1"}, "charges[0].free_units", "negative"),
            ({"minimum": "2", "maximum": "1"}, "charges[0].minimum", "invalid"),
            ({"model": "per_unti"}, "charges[0].model", "unknown_choice"),
            ({"model": ["per_unit"]}, "charges[0].model", "unknown_choice"),
            ({"model": None}, "charges[0].model", "required"),
            ({"tiers": []}, "charges[0].tiers", "unknown_field"),
            ({"code": None}, "charges[0].code", "required"),
            ({"code": "a:minimum"}, "charges[0].code", "invalid"),
            ({"code": ""}, "charges[0].code", "invalid"),
        ],
    )
    def test_a_charge_is_wrong(self, change: dict[str, Any], field: str, code: str) -> None:
        body = {"charges": [{**self.per_unit, **change}], "usage": {"use": "1"}}

        assert refused(body) == {field: code}

    @pytest.mark.parametrize(
        ("charge", "field"),
        [
            ({"model": "flat"}, "amount"),
            ({"model": "flat", "amount": "1", "prorate": "yes"}, "prorate"),
            ({"model": "flat", "amount": "1", "free_units": "3"}, "free_units"),
            ({"model": "graduated", "tiers": []}, "tiers"),
            ({"model": "graduated", "tiers": [{"up_to": None}]}, "tiers[0].unit_amount"),
            ({"model": "graduated", "tiers": ["5"]}, "tiers[0]"),
            ({"model": "volume"}, "tiers"),
            ({"model": "volume", "tiers": [{"up_to": None, "unit_amount": 0.1}]}, "tiers[0].unit_amount"),
            ({"model": "package", "package_size": "0", "package_amount": "1"}, "package_size"),
            ({"model": "package", "package_amount": "1"}, "package_size"),
            ({"model": "package", "package_size": "1", "package_amount": "1", "rounding": "x"}, "rounding"),
            ({"model": "percentage", "rate": "1", "free_transactions": "1.5"}, "free_transactions"),
            ({"model": "cost_plus", "markup": "-0.1"}, "markup"),
        ],
    )
    def test_a_shape_is_wrong(self, charge: dict[str, Any], field: str) -> None:
        errors = refused({"charges": [{"code": "use", **charge}], "usage": {"use": "1"}})

        assert f"charges[0].{field}" in errors

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"currency": "usd"}, "currency"),
            ({"currency": None}, "currency"),
            ({"charges": []}, "charges"),
            ({"charges": {}}, "charges"),
            ({"charges": [per_unit, per_unit]}, "charges[1].code"),
            ({"usage": []}, "usage"),
            ({"usage": {"use": ["1"]}}, "usage.use"),
            ({"usage": {"use": "-1"}}, "usage.use"),
            ({"usage": {"use": 0.5}}, "usage.use"),
            ({"period": {"start": "2026-11-01"}}, "period.end"),
            ({"period": {"start": "2026-11-01", "end": "2026-11-01"}}, "period.end"),
            ({"active": {"start": "2026-11-01", "end": "2026-11-02"}}, "period"),
            ({"billed_before": {"use": {"amount": "1"}}}, "billed_before.use.quantity"),
            ({"billed_before": {"use": {"quantity": "1"}}}, "billed_before.use.amount"),
            ({"billed_before": {"other": {}}}, "billed_before.other"),
            ({"coupon": "10"}, "coupon"),
        ],
    )
    def test_a_request_is_wrong(self, change: dict[str, Any], field: str) -> None:
        body = {"charges": [self.per_unit], "usage": {"use": "1"}, **change}

        assert field in refused(body)

    def test_the_active_part_lies_outside_the_period(self) -> None:
        body = {
            "charges": [self.per_unit],
            "usage": {"use": "1"},
            "period": {"start": "2026-11-01", "end": "2026-12-01"},
            "active": {"start": "2026-12-01", "end": "2026-12-02"},
        }

        assert refused(body) == {"active": "invalid"}

    @pytest.mark.parametrize("body", [None, [], "text", 5])
    def test_the_body_is_no_object(self, body: object) -> None:
        with pytest.raises(InvalidInput):
            parse_quote_request(body)

    def test_all_errors_of_a_request_are_told_at_once(self) -> None:
        body = {
            "currency": "XXX",
            "charges": [
                {**self.per_unit, "unit_amount": "-1"},
                {"code": "b", "model": "flat", "amount": 0.5},
            ],
        }

        assert list(refused(body)) == ["charges[0].unit_amount", "charges[1].amount", "currency"]

    def test_a_transaction_is_named_by_its_place(self) -> None:
        charge = {"code": "use", "model": "percentage", "rate": "1"}

        assert refused({"charges": [charge], "usage": {"use": ["1", "x"]}}) == {
            "usage.use[1]": "not_a_number"
        }
