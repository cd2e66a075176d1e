"""Walk the tour of the README in a browser and take its pictures: `python docs/make_screenshots.py ADDRESS`.

Wants a fresh demo world, which it changes: an app is listed, a team subscribes, a month is closed. So use a data folder
of its own: `python3 manage.py up --data /tmp/tour --port 8300`. Every step is that of the README; a button that is not
there ends it with an error.
"""

import re
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

IMAGES = Path(__file__).with_name("images")
LARGEST_BYTES = 200_000
CHECK_TIMEOUT_MS = 90_000
CLOSE_TIMEOUT_MS = 90_000


def main(address: str) -> int:
    """Take all pictures, each in the light theme at 1440 x 900."""
    IMAGES.mkdir(exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        context = browser.new_context(
            base_url=address, viewport={"width": 1440, "height": 900}, color_scheme="light"
        )
        tour = Tour(context.new_page())
        tour.consumer_looks_around()
        name = tour.creator_lists_an_app()
        tour.approver_decides(name)
        tour.consumer_subscribes(name)
        tour.finance_closes_a_month()
        tour.operator_looks()
        browser.close()
    return 0


class Tour:
    """The steps, in the order of the README; each leaves the browser where the next one enters anew."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def consumer_looks_around(self) -> None:
        """Take the catalogue, an app, and usage, while all of it is as the demo world made it."""
        self._enter("consumer")
        self._open("Catalogue")
        expect(self.page.locator("#count")).to_have_text(re.compile(r"^\d+ apps$"))
        self._take("catalogue")
        self.page.get_by_role("link", name="Where2Eat").click()
        self._take("app")
        self._enter("operator")
        self._open("Usage")
        self._take("usage")

    def creator_lists_an_app(self) -> str:
        """List an app from the first template and wait for its check; return its name."""
        self._enter("creator")
        self._open("My apps")
        self.page.get_by_role("link", name="New app").click()
        self.page.get_by_role("link", name="Summarizer").click()
        name = self.page.get_by_label("Name", exact=False).first.input_value()
        self.page.get_by_role("button", name="Save and submit").click()
        expect(self.page.get_by_text("Cost per 1,000 calls")).to_be_visible(timeout=CHECK_TIMEOUT_MS)
        return name

    def approver_decides(self, name: str) -> None:
        """Approve it, with the page of the decision as a picture."""
        self._enter("approver")
        self._open("Reviews")
        self.page.get_by_role("row", name=re.compile(f"{name}.*Product design")).get_by_role(
            "link"
        ).first.click()
        self._take("review")
        self.page.get_by_role("button", name="Approve and list").click()
        expect(self.page).to_have_url(re.compile("/reviews/$"))

    def consumer_subscribes(self, name: str) -> None:
        """Find it, try it, subscribe, and make a key."""
        self._enter("consumer")
        self._open("Catalogue")
        self.page.get_by_placeholder("What should it do?").fill(name)
        self.page.get_by_role("button", name="Search").click()
        self.page.get_by_role("link", name=name, exact=True).first.click()
        self._try_it()
        self.page.get_by_role("link", name="Subscribe", exact=True).click()
        self.page.get_by_role("button", name="Subscribe", exact=True).click()
        self.page.get_by_label("What is it for?").fill("tour")
        self.page.get_by_role("button", name="Make key").click()
        expect(self.page.get_by_text("hp_sub_").first).to_be_visible()

    def finance_closes_a_month(self) -> None:
        """Look at what the next month to close will bill, close it, open a document, compare the totals."""
        self._enter("finance")
        self._open("Months")
        close = self.page.get_by_role("link", name=re.compile("^Close "))
        self.page.get_by_role(
            "link", name=close.inner_text().removeprefix("Close ").strip(), exact=True
        ).click()
        expect(self.page.get_by_text("Total in USD")).to_be_visible()
        self._take("month")
        close.click()
        self.page.get_by_role("button", name=re.compile("^Close ")).click()
        expect(self.page.get_by_text("Invoices and statements")).to_be_visible(timeout=CLOSE_TIMEOUT_MS)
        self.page.get_by_role("link", name=re.compile("^ST-")).first.click()
        self.page.get_by_text("How it came about").first.click()
        expect(self.page.get_by_role("link", name="PDF")).to_be_visible()
        self._open("Months")
        self.page.get_by_role("link", name="Compare totals").click()
        self.page.get_by_role("button", name="Compare now").click()
        expect(self.page.get_by_text("all agree")).to_be_visible(timeout=CLOSE_TIMEOUT_MS)

    def operator_looks(self) -> None:
        """Open the operator's pages."""
        self._enter("operator")
        self._open("Today")
        self._take("today")

    def _enter(self, role: str) -> None:
        self.page.context.clear_cookies()
        self.page.goto("/")
        self.page.get_by_role("button", name=f"Enter as {role}").click()
        self.page.wait_for_load_state("networkidle")

    def _open(self, label: str) -> None:
        self.page.get_by_role("navigation").get_by_role("link", name=re.compile(f"^{label}")).first.click()
        self.page.wait_for_load_state("networkidle")

    def _try_it(self) -> None:
        self.page.get_by_role("button", name="Try it").click()
        expect(self.page.get_by_text("Cost of this call")).to_be_visible(timeout=CHECK_TIMEOUT_MS)

    def _take(self, name: str) -> None:
        self.page.wait_for_load_state("networkidle")
        self.page.evaluate("window.scrollTo(0, 0)")
        path = IMAGES / f"{name}.png"
        self.page.screenshot(path=path, animations="disabled")
        size = path.stat().st_size
        print(f"{path.name:<16}{size:>8} bytes")
        if size > LARGEST_BYTES:
            raise SystemExit(f"{path} is larger than {LARGEST_BYTES} bytes.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8300"))
