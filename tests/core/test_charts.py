from decimal import Decimal

from marketplace.core.charts import Reference, Series, bar_chart, line_chart, sparkline
from marketplace.core.charts.scale import scale_for

DAYS = ["1 Oct", "2 Oct", "3 Oct"]


class TestScale:
    def test_ends_on_a_round_number_above_the_highest_value(self) -> None:
        assert scale_for([12, 87], height=100).steps() == [100, 75, 50, 25, 0]

    def test_keeps_fractions_out_of_whole_numbers(self) -> None:
        # A quarter of 3 is 0.75 and a quarter of 10 is 2.5: both would put half a call on the axis.
        assert scale_for([3], height=100).steps() == [3, 2, 1, 0]
        assert scale_for([10], height=100).steps() == [10, 5, 0]

    def test_has_small_steps_for_small_money(self) -> None:
        steps = scale_for([Decimal("0.3")], height=100).steps()

        assert [str(step) for step in steps] == ["0.3", "0.2", "0.1", "0"]

    def test_reaches_below_zero_in_whole_steps(self) -> None:
        # The span of 384.60 in four is 96.15, so the step is 100.
        steps = scale_for([Decimal("-120.50"), Decimal("264.10")], height=100).steps()

        assert steps == [300, 200, 100, 0, -100, -200]

    def test_stands_when_everything_is_zero_or_missing(self) -> None:
        assert scale_for([], height=100).steps() == [1, 0]
        assert scale_for([0, 0], height=100).steps() == [1, 0]


class TestLineChart:
    def test_maps_values_to_the_plot(self) -> None:
        chart = line_chart(DAYS, [Series("Calls", [0, 50, 100])], height=100)

        assert chart.series[0].path == "M0 100L500 50L1000 0"
        assert chart.series[0].area == "M0 100L500 50L1000 0L1000 100L0 100Z"
        assert [point.x for point in chart.points] == ["0%", "50%", "100%"]
        # The readout strip of 28 pixels is above the plot.
        assert [(tick.y, tick.label) for tick in chart.ticks] == [
            ("28", "100"),
            ("53", "75"),
            ("78", "50"),
            ("103", "25"),
            ("128", "0"),
        ]

    def test_covers_the_whole_width_with_places_to_point_at(self) -> None:
        chart = line_chart(DAYS, [Series("Calls", [1, 2, 3])])

        assert [(point.hit_x, point.hit_width) for point in chart.points] == [
            ("0%", "25%"),
            ("25%", "50%"),
            ("75%", "25%"),
        ]

    def test_leaves_a_gap_where_a_value_is_missing(self) -> None:
        chart = line_chart(["a", "b", "c", "d"], [Series("Calls", [4, None, 4, 0])], height=100)

        assert chart.series[0].path == "M0 0M666.7 0L1000 100"
        assert chart.points[1].dots == ()
        assert chart.points[1].title == "b: –"
        assert chart.rows[1].cells == ("–",)

    def test_dashes_estimates_from_the_last_known_point(self) -> None:
        chart = line_chart(DAYS, [Series("Spend", [0, 4, 4], estimated_from=2)], height=100)

        assert chart.series[0].path == "M0 100L500 0"
        assert chart.series[0].estimate_path == "M500 0L1000 0"
        assert chart.points[2].title == "3 Oct: 4 (estimate)"

    def test_makes_room_for_a_reference_above_all_values(self) -> None:
        chart = line_chart(
            DAYS, [Series("Spend", [1, 2, 3])], references=[Reference("Budget", 8)], height=100
        )

        assert chart.ticks[0].label == "8"
        assert (chart.references[0].y, chart.references[0].label) == ("28", "Budget")

    def test_draws_a_single_value_in_the_middle(self) -> None:
        assert line_chart(["1 Oct"], [Series("Calls", [7])]).points[0].x == "50%"

    def test_says_so_when_there_is_nothing_to_draw(self) -> None:
        assert line_chart([], [Series("Spend", [])]).summary == "No data in this period."
        assert line_chart(["1 Oct"], [Series("Spend", [None])]).summary == "No data in this period."


class TestBarChart:
    def test_stacks_upwards_and_negative_values_downwards(self) -> None:
        # The axis runs from -1 to 3, 25 pixels a unit; zero is at 28 + 75.
        chart = bar_chart(["a", "b"], [Series("A", [1, 3]), Series("B", [2, -1])], height=100)

        drawn = [[(bar.y, bar.height) for bar in point.bars] for point in chart.points]

        assert drawn == [[("78", "25"), ("28", "50")], [("28", "75"), ("103", "25")]]
        assert chart.baseline_y == "103"

    def test_centers_bars_and_keeps_few_of_them_narrow(self) -> None:
        chart = bar_chart(["a", "b"], [Series("A", [1, 3])])

        assert [(point.bars[0].x, point.bars[0].width) for point in chart.points] == [
            ("21.5%", "7%"),
            ("71.5%", "7%"),
        ]

    def test_draws_nothing_for_zero_and_a_hairline_for_very_little(self) -> None:
        chart = bar_chart(DAYS, [Series("A", [0, 1, 100_000])])

        assert chart.points[0].bars == ()
        assert chart.points[1].bars[0].height == "1"

    def test_puts_totals_of_exact_values_under_the_table(self) -> None:
        series = [Series("Cost", [Decimal("0.1"), Decimal("0.2"), None])]

        chart = bar_chart(DAYS, series)

        assert chart.totals == ("0.3",)
        assert [row.cells for row in chart.rows] == [("0.1",), ("0.2",), ("–",)]


class TestSummary:
    def test_tells_total_and_extremes_of_one_series(self) -> None:
        chart = bar_chart(DAYS, [Series("Calls", [5, 9, 2])])

        assert chart.summary == "Calls, 1 Oct to 3 Oct: 16 in total, highest 9 (2 Oct), lowest 2 (3 Oct)."

    def test_tells_the_latest_value_where_adding_up_makes_no_sense(self) -> None:
        chart = line_chart(DAYS, [Series("p50", [5, 9, 7])], format_value=lambda value: f"{value} ms")

        assert chart.summary == "p50, 1 Oct to 3 Oct: latest 7 ms, highest 9 ms (2 Oct), lowest 5 ms (1 Oct)."

    def test_names_every_series_when_there_are_several(self) -> None:
        chart = bar_chart(DAYS, [Series("Input", [1, 2, 3]), Series("Output", [0, 1, 1])])

        assert chart.summary == "1 Oct to 3 Oct, in total: Input 6, Output 2."

    def test_does_not_call_a_flat_line_highest_and_lowest(self) -> None:
        assert line_chart(DAYS, [Series("Limit", [4, 4, 4])]).summary == (
            "Limit, 1 Oct to 3 Oct: latest 4, 4 throughout."
        )


class TestAxisLabels:
    def test_are_few_and_every_second_one_can_be_left_out(self) -> None:
        # 30 labels, at most seven shown: every fifth.
        chart = bar_chart([str(day) for day in range(1, 31)], [Series("Calls", [1] * 30)])

        assert [(label.text, label.is_minor) for label in chart.axis_labels] == [
            ("1", False),
            ("6", True),
            ("11", False),
            ("16", True),
            ("21", False),
            ("26", True),
        ]

    def test_stay_inside_the_edges_of_a_line(self) -> None:
        chart = line_chart(DAYS, [Series("Calls", [1, 2, 3])])

        assert [label.anchor for label in chart.axis_labels] == ["start", "middle", "end"]


class TestSparkline:
    def test_fits_its_box(self) -> None:
        spark = sparkline([0, 10], title="Calls")

        assert spark.path == "M0 30L100 2"
        assert spark.area == "M0 30L100 2L100 32L0 32Z"

    def test_draws_nothing_from_one_value(self) -> None:
        assert sparkline([5]).path == ""
