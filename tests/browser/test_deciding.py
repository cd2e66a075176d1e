"""Deciding by keyboard alone, and without JavaScript; dialogs and keys that the walk over all pages does not open."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.site import Site
from tests.browser.watching import COLOR_RULES, Watch

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


class TestDesk:
    @pytest.fixture
    def desk(self, site: Site) -> Iterator[Page]:
        with site.window("approver") as window:
            page = window.new_page()
            page.goto("/decisions/?show=all")
            yield page

    def test_is_used_by_keys(self, desk: Page) -> None:
        desk.keyboard.press("j")
        first = desk.locator("[data-row-link]").first
        expect(first).to_be_focused()

        desk.keyboard.press("x")
        expect(desk.locator("[data-picked]")).to_have_text("1 selected")
        expect(desk.locator("[data-pick]").first).to_be_checked()
        desk.keyboard.press("x")
        expect(desk.locator("[data-picked]")).to_have_text("Nothing selected")

        desk.keyboard.press("/")
        expect(desk.get_by_role("searchbox")).to_be_focused()

    def test_opens_a_request_where_it_is_decided(self, desk: Page) -> None:
        desk.get_by_role("link", name="Meeting Summarizer for Sales").focus()

        desk.keyboard.press("a")

        expect(desk.get_by_role("button", name="Approve")).to_be_focused()
        desk.keyboard.press("d")
        expect(desk.locator("#id_reason")).to_be_focused()

    def test_lists_its_keys_which_can_be_switched_off(self, desk: Page) -> None:
        watch = Watch(desk)
        desk.keyboard.press("?")
        dialog = desk.get_by_role("dialog", name="Keys")
        expect(dialog.get_by_role("table", name="What keys do on this page")).to_be_visible()
        assert watch.axe() == []
        desk.emulate_media(color_scheme="dark")
        assert watch.axe(only=COLOR_RULES) == []

        dialog.get_by_label("Keys are on").uncheck()
        desk.keyboard.press("Escape")
        desk.reload()
        desk.keyboard.press("?")
        expect(dialog).to_be_hidden()
        desk.keyboard.press("j")
        assert desk.locator("[data-row-link]:focus").count() == 0

        desk.locator("#main").get_by_role("link", name="Keys").click()
        dialog.get_by_label("Keys are on").check()
        desk.keyboard.press("Escape")
        desk.keyboard.press("j")
        expect(desk.locator("[data-row-link]").first).to_be_focused()


class TestWithoutJavaScript:
    def test_shows_what_another_value_would_do_and_puts_off(self, site: Site) -> None:
        with site.window("approver") as window:
            state = window.storage_state()
        plain = site.browser.new_context(base_url=site.url, java_script_enabled=False, storage_state=state)
        try:
            page = plain.new_page()
            page.goto("/decisions/?show=all")
            page.get_by_role("link", name="Meeting Summarizer for Sales").click()
            page.get_by_label("What if it were").fill("3000")
            page.get_by_role("button", name="Show", exact=True).click()
            expect(page.get_by_text("At 3,000 requests a day.")).to_be_visible()

            page.goto("/decisions/?show=all")
            page.get_by_label("Select Meeting Summarizer for Sales").check()
            page.get_by_role("button", name="Tomorrow").click()
            expect(page.get_by_role("link", name="Meeting Summarizer for Sales")).to_have_count(0)
        finally:
            plain.close()
