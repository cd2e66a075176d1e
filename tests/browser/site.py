"""The served demo world, and one browser window for each of its people."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, BrowserContext

ROLES = ("creator", "consumer", "approver", "finance", "operator")
GUEST = "guest"
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@dataclass(frozen=True)
class Site:
    """Where the product answers, and the browser to look at it with."""

    url: str
    browser: Browser

    @contextmanager
    def window(self, role: str = GUEST, **options: Any) -> Iterator[BrowserContext]:
        """Open a window of one's own, entered from the first page as the person who plays this role."""
        context = self.browser.new_context(
            base_url=self.url, reduced_motion="reduce", viewport=DESK, **options
        )
        try:
            if role != GUEST:
                page = context.new_page()
                page.goto("/")
                page.get_by_role("button", name=f"Enter as {role}").click()
                page.get_by_role("heading", level=1).wait_for()
                page.close()
            yield context
        finally:
            context.close()
