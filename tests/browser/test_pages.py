"""Every page, as everybody who may see it: nothing refused, nothing missing, readable in light and dark, narrow enough."""

import re
from collections.abc import Iterator
from hashlib import sha256

import pytest
from django.urls import reverse
from playwright.sync_api import APIResponse, Browser, BrowserContext

from tests.browser.addresses import DETAILS, NO_PAGES, main_pages, names_with_arguments
from tests.browser.site import DESK, GUEST, PHONE, ROLES, Site
from tests.browser.watching import COLOR_RULES, Watch

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

CONTENT = re.compile(r"<main\b.*</main>", re.DOTALL)
# Swagger's own page: it has to work under our policy, how it looks is not ours.
NOT_OURS = {"/api/docs/"}


class Inspector:
    """Opens pages and notes what is wrong with them; pages and texts that look alike are looked at once."""

    def __init__(self) -> None:
        self.seen: dict[str, set[str]] = {}
        self._known_texts: set[str] = set()
        self._known: set[str] = set()

    def inspect(self, window: BrowserContext, paths: list[str], *, role: str) -> list[str]:
        """Return the findings of all these pages that this person may open."""
        watch = Watch(window.new_page())
        findings = []
        for path in paths:
            answer = window.request.get(path, max_redirects=0)
            if not is_page(answer):
                continue
            self.seen.setdefault(path, set()).add(role)
            if self._is_known(answer.text()):
                continue
            watch.open(path)
            found = [*watch.take_complaints(), *self._look(watch, path)]
            findings += [f"{role} {path}: {one}" for one in found]
        return findings

    def _look(self, watch: Watch, path: str) -> Iterator[str]:
        if path in NOT_OURS:
            return
        page = watch.page
        yield from watch.axe_structure()
        yield from watch.axe_colors(self._known_texts)
        page.emulate_media(color_scheme="dark")
        yield from (f"dark: {one}" for one in watch.axe_colors(self._known_texts))
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(PHONE)
        yield from (f"wider than a phone: {one}" for one in watch.overflow())
        page.set_viewport_size(DESK)

    def _is_known(self, html: str) -> bool:
        """Tell whether the same content was looked at before, but for who is signed in and the form's token.

        What is around the content is another for each person; the first page has it, and nobody else sees that one.
        """
        content = CONTENT.search(html)
        html = content[0] if content else html
        digest = sha256(re.sub(r'value="\w{64}"|[\w.]+@[\w.]+', "", html).encode()).hexdigest()
        is_known = digest in self._known
        self._known.add(digest)
        return is_known


@pytest.fixture(scope="module")
def inspector() -> Inspector:
    return Inspector()


def is_page(answer: APIResponse) -> bool:
    """Tell whether this is a whole page for this person, not a file, a fragment, a redirect or a refusal."""
    is_html = answer.headers.get("content-type", "").startswith("text/html")
    return answer.status == 200 and is_html and answer.text().lstrip()[:9].lower() == "<!doctype"


class TestPages:
    @pytest.mark.parametrize("role", [GUEST, *ROLES])
    def test_have_no_fault(self, site: Site, inspector: Inspector, role: str) -> None:
        own = [reverse(one.name, args=one.arguments()) for one in DETAILS if one.role == role]

        with site.window(role) as window:
            findings = inspector.inspect(window, [*main_pages(), *own], role=role)

        assert findings == []
        assert set(own) <= set(inspector.seen)

    def test_are_all_known(self) -> None:
        assert {one.name for one in DETAILS} | NO_PAGES == names_with_arguments()

    @pytest.mark.parametrize("path", ["/nothing/here/", "/finance/"])
    def test_of_errors_have_no_fault(self, site: Site, path: str) -> None:
        with site.window("consumer") as window:
            watch = Watch(window.new_page())
            watch.open(path)

            assert watch.axe() == []
            watch.page.emulate_media(color_scheme="dark")
            assert watch.axe(only=COLOR_RULES) == []
            watch.page.set_viewport_size(PHONE)
            assert watch.overflow() == []


class TestWatch:
    """What looks at the pages sees faults, in both schemes, and looks at what it knows once."""

    FAINT = "<html lang=en><title>A</title><main><h1 class=a>Faint</h1><h1>Black</h1></main>"
    STYLE = "body { background: #fff } .a { color: #ddd } @media (prefers-color-scheme: dark) { .a { color: #000 } }"

    def test_finds_faint_text_where_it_is_new(self, chromium: Browser) -> None:
        watch, known = Watch(chromium.new_page()), set[str]()
        watch.page.set_content(f"{self.FAINT}<style>{self.STYLE}</style>")

        found = watch.axe_colors(known)

        assert [one.partition(":")[0] for one in found] == ["color-contrast"]
        assert "Faint" in found[0]
        assert watch.axe_colors(known) == []
        watch.page.set_content(f"{self.FAINT}<style>{self.STYLE.replace('#fff', '#eee')}</style>")
        assert len(watch.axe_colors(known)) == 1
        watch.page.close()

    def test_finds_what_is_wrong_without_colors_and_what_is_too_wide(self, chromium: Browser) -> None:
        watch = Watch(chromium.new_page())
        watch.page.set_content(f"{self.FAINT}<img src='data:,'><style>.a {{ width: 5000px }}</style>")

        assert "image-alt" in {one.partition(":")[0] for one in watch.axe_structure()}
        assert watch.overflow()
        watch.page.close()
