import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.apps import apps
from django.core.paginator import Paginator
from django.db.models import TextChoices
from django.template import Context, Template
from django.test import RequestFactory
from django_cotton.compiler_regex import CottonCompiler

from marketplace.core.charts import Chart, Series, bar_chart, line_chart
from marketplace.core.templatetags.money import amount, change, compact, money, number, percent
from marketplace.core.templatetags.ui import (
    STATE_TONES,
    ago,
    duration,
    icon,
    initials,
    page_numbers,
    state_icon,
    state_label,
    state_tone,
)

NOW = datetime(2026, 10, 23, 14, 5, tzinfo=UTC)


def render(source: str, **context: object) -> str:
    """Render a piece of a template, components included; they are compiled by the loader of files otherwise."""
    compiled = CottonCompiler().process("{% load ui money charts %}" + source)
    return Template(compiled).render(Context(context))


class TestMoney:
    def test_shows_minor_units_of_a_currency(self) -> None:
        assert render('{{ cents|money:"USD" }}', cents=123_450) == "$1,234.50"
        assert money(500, "JPY") == "¥500"
        assert money(-500, "USD") == "-$5.00"

    def test_shows_a_dash_for_nothing(self) -> None:
        assert money(None, "USD") == amount(None, "USD") == number(None) == percent(None) == "–"


class TestAmount:
    def test_keeps_six_telling_digits_of_a_very_small_price(self) -> None:
        assert amount(Decimal("0.00001234567"), "USD") == "$0.0000123457"

    def test_cuts_a_larger_amount_to_six_decimals(self) -> None:
        assert amount(Decimal("12.34567891"), "USD") == "$12.345679"

    def test_keeps_the_decimals_of_the_currency(self) -> None:
        assert amount(Decimal("12.5"), "USD") == "$12.50"
        assert amount(Decimal(0), "USD") == "$0.00"
        assert amount(Decimal(1200), "EUR") == "€1,200.00"


class TestNumber:
    def test_separates_thousands(self) -> None:
        assert number(1_234_567) == "1,234,567"
        assert number(Decimal("1234.50")) == "1,234.5"
        assert number(Decimal("1E+3")) == "1,000"

    def test_refuses_floats(self) -> None:
        with pytest.raises(TypeError):
            number(0.5)  # type: ignore[arg-type]


class TestCompact:
    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            (0, "0"),
            (950, "950"),
            (1_000, "1k"),
            (12_340, "12.3k"),
            (123_400, "123k"),
            (999_400, "999k"),
            (999_950, "1M"),
            (4_000_000, "4M"),
            (-12_340, "-12.3k"),
            (2_500_000_000, "2.5B"),
        ],
    )
    def test_keeps_three_digits(self, value: int, shown: str) -> None:
        assert compact(value) == shown


class TestPercent:
    def test_shows_a_ratio(self) -> None:
        assert percent(Decimal("0.065"), 1) == "6.5\u202f%"
        assert percent(1) == "100\u202f%"


class TestChange:
    def test_has_a_sign_and_whole_percent(self) -> None:
        assert change(Decimal("0.065")) == "+7\u202f%"
        assert change(Decimal("-0.004")) == "0\u202f%"
        assert change(Decimal("-1")) == "-100\u202f%"
        assert change(14) == "+1,400\u202f%"
        assert change(None) == "–"


class TestStates:
    @pytest.mark.parametrize(
        "states",
        [
            pytest.param(model.State, id=model.__name__)
            for model in apps.get_models()
            if hasattr(model, "State")
        ],
    )
    def test_have_a_tone_for_every_state_of_every_thing(self, states: type[TextChoices]) -> None:
        known = {state for states in STATE_TONES.values() for state in states}

        assert set(states.values) <= known

    def test_mean_different_things_on_different_things(self) -> None:
        assert state_tone("open", "incident") == "danger"
        assert state_tone("open", "billing_period") == "info"

    def test_are_neutral_when_unknown(self) -> None:
        assert state_tone("never_heard_of") == "neutral"

    def test_are_written_in_words(self) -> None:
        assert state_label("could_not_check") == "Could not check"

    def test_have_an_icon_that_can_be_drawn(self) -> None:
        for states in STATE_TONES.values():
            assert all(icon(state_icon(state)).startswith("<svg") for state in states)


class TestAgo:
    @pytest.mark.parametrize(
        ("distance", "words"),
        [
            (timedelta(seconds=-20), "just now"),
            (timedelta(seconds=-130), "2 minutes ago"),
            (timedelta(hours=-1), "1 hour ago"),
            (timedelta(days=-45), "1 month ago"),
            (timedelta(days=2, hours=3), "in 2 days"),
            (timedelta(seconds=30), "in a moment"),
        ],
    )
    def test_names_the_largest_whole_unit(self, distance: timedelta, words: str) -> None:
        assert words in ago(NOW + distance, NOW)

    def test_keeps_the_exact_moment_with_its_zone_on_hover(self) -> None:
        shown = render("{{ at|ago:now }}", at=NOW - timedelta(minutes=5), now=NOW)

        assert shown == (
            '<time datetime="2026-10-23T14:00:00+00:00" title="23 Oct 2026, 14:00:00 UTC">5 minutes ago</time>'
        )

    def test_says_never_for_nothing(self) -> None:
        assert ago(None, NOW) == "never"


class TestDuration:
    def test_grows_with_its_unit(self) -> None:
        assert duration(850) == "850 ms"
        assert duration(12_400) == "12.4 s"
        assert duration(59_980) == "1 min 0 s"
        assert duration(75_000) == "1 min 15 s"
        assert duration(None) == "–"


class TestInitials:
    def test_take_first_and_last_word(self) -> None:
        assert initials("Ada King Lovelace") == "AL"
        assert initials("grace.hopper@example.com") == "gh"
        assert initials("") == "?"


class TestPagination:
    def test_links_the_ends_and_the_neighbors(self) -> None:
        pages = Paginator(range(100), 10)

        assert page_numbers(pages.get_page(5)) == [1, 0, 4, 5, 6, 0, 10]
        assert page_numbers(pages.get_page(1)) == [1, 2, 0, 10]
        assert page_numbers(pages.get_page(3)) == [1, 2, 3, 4, 0, 10]

    def test_keeps_every_other_filter_in_the_address(self) -> None:
        request = RequestFactory().get("/apps/?q=a%26b&page=2&tag=x&tag=y")

        assert render('{% page_url "page" 3 %}', request=request) == "?q=a%26b&amp;page=3&amp;tag=x&amp;tag=y"


class TestSparklineTag:
    def test_says_what_it_shows(self) -> None:
        shown = render('{% sparkline values "Calls per day" %}', values=[1, 2, 3])

        assert 'role="img" aria-label="Calls per day"' in shown

    def test_draws_nothing_without_data(self) -> None:
        assert render('{% sparkline values "Calls" %}', values=[]).strip() == ""


class TestChartTags:
    @pytest.mark.parametrize("draw", [line_chart, bar_chart])
    def test_escape_names_in_points_and_rows(self, draw: Callable[..., Chart]) -> None:
        names = ["<script>a</script>", "<em>"]
        chart = draw(
            names, [Series('"x" & <i>', [1, 2]), Series("<u>", [3, 4])], format_value=lambda n: f"<{n}>"
        )

        shown = render('<c-chart :chart="chart" title="Names" />', chart=chart)

        assert not re.search(r"<(script|em|i|u|[0-9])>", shown)
        assert "<td>&lt;script&gt;a&lt;/script&gt;</td>" in shown
        assert shown.count('<g class="point">') == 2


class TestComponents:
    def test_escape_what_people_typed(self) -> None:
        shown = render('<c-card :title="name">{{ name }}</c-card>', name="<script>alert(1)</script>")

        assert "<script>" not in shown

    def test_do_not_pick_up_names_of_the_page_around_them(self) -> None:
        shown = render(
            "<c-callout>Text</c-callout>", title="The page's title", tone="danger", icon="nonsense"
        )

        assert "The page" not in shown
        assert "tone-info" in shown
