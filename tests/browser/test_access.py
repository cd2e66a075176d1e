"""The ways of people who use no mouse, or no JavaScript."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.site import Site

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

MOST_STOPS = 90


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until this has the focus, and see that the focus shows on the way."""
    expect(target).to_have_count(1)
    for _ in range(MOST_STOPS):
        page.keyboard.press("Tab")
        assert page.locator(":focus-visible").count() == 1
        if target.evaluate("one => one === document.activeElement"):
            return
    pytest.fail(f"{target} is not reached in {MOST_STOPS} stops")


class TestKeyboard:
    @pytest.fixture
    def desk(self, site: Site) -> Iterator[Page]:
        with site.window("creator") as window:
            yield window.new_page()

    def test_skips_to_the_content(self, desk: Page) -> None:
        desk.goto("/creator/")

        desk.keyboard.press("Tab")
        expect(desk.get_by_role("link", name="Skip to content")).to_be_focused()
        expect(desk.get_by_role("link", name="Skip to content")).to_be_in_viewport()
        desk.keyboard.press("Enter")
        expect(desk.locator("#main")).to_be_focused()
        desk.keyboard.press("Tab")

        assert desk.locator("#main :focus").count() == 1

    def test_lists_an_app(self, desk: Page) -> None:
        desk.goto("/creator/new/")
        tab_to(desk, desk.get_by_role("link", name="Polite rewriter"))
        desk.keyboard.press("Enter")
        desk.wait_for_url("**/creator/new/rewriter/")

        tab_to(desk, desk.locator("#id_name"))
        desk.keyboard.press("Control+A")
        desk.keyboard.type("Without a mouse")
        # Of the last field this form cannot do without.
        tab_to(desk, desk.locator("#id_monthly_calls_limit"))
        tab_to(desk, desk.get_by_role("button", name="Save and submit"))
        desk.keyboard.press("Enter")

        expect(desk.get_by_role("heading", level=1)).to_have_text("Checks of Without a mouse")

    def test_corrects_what_the_form_refuses(self, desk: Page) -> None:
        desk.goto("/creator/new/rewriter/")
        tab_to(desk, desk.locator("#id_name"))
        desk.keyboard.press("Control+A")
        desk.keyboard.press("Delete")
        desk.keyboard.press("Enter")

        expect(desk.locator("[data-error-summary]")).to_be_focused()
        desk.keyboard.press("Tab")
        desk.keyboard.press("Enter")

        expect(desk.locator("#id_name")).to_be_focused()
        expect(desk.locator("#id_name")).to_have_attribute("aria-invalid", "true")


class TestWithoutJavaScript:
    def test_a_consumer_finds_an_app_subscribes_and_makes_a_key(self, site: Site) -> None:
        with site.window("consumer", java_script_enabled=False) as window:
            page = window.new_page()
            page.goto("/catalog/")
            page.get_by_role("searchbox").fill("sql helper")
            page.get_by_role("searchbox").press("Enter")
            page.locator("#found").get_by_role("link", name="SQL Helper", exact=True).click()
            page.get_by_role("link", name="Subscribe").click()
            page.get_by_role("button", name="Continue").click()
            page.get_by_role("button", name="Subscribe").click()
            expect(page.get_by_text("Workplace operations has SQL Helper now")).to_be_visible()
            page.get_by_label("What is it for?").fill("laptop")
            page.get_by_role("button", name="Make key").click()

            assert page.locator("#new-key").inner_text().startswith("hp_sub_")

    def test_a_consumer_tries_an_app(self, site: Site) -> None:
        with site.window("consumer", java_script_enabled=False) as window:
            page = window.new_page()
            page.goto("/catalog/tone-rewriter/")
            page.get_by_role("button", name="Try it").click()

            expect(page.get_by_text("Cost of this call")).to_be_visible()
