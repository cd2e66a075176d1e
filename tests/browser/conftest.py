"""A real Chromium, and the whole product behind a real socket for it.

Playwright's synchronous interface keeps an event loop in this thread for as long as it runs. So it lives no longer
than this folder's tests: code of later tests that starts a loop of its own would be refused.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from playwright.sync_api import Browser, Playwright, expect, sync_playwright

from marketplace.config.cli.test import find_chromium
from marketplace.gateway import background
from tests.browser import worlds
from tests.browser.clock import Clock, moving_clock
from tests.browser.site import Site
from tests.gateway.conftest import demo_provider
from tests.gateway.live import running_application

__all__ = ["demo_provider"]

# WhiteNoise hands Django an open file, which it cannot read piece by piece under ASGI: it reads it whole, and says so.
STATIC_FILES = "ignore:StreamingHttpResponse must consume synchronous iterators:Warning"
# And a page that is left before its style sheet came leaves that file to the garbage collector.
LEFT_FILES = (
    "ignore:Exception ignored in. <_io.FileIO name=.*/static/:pytest.PytestUnraisableExceptionWarning"
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder, before it is chosen by its marks."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")
            item.add_marker(pytest.mark.filterwarnings(STATIC_FILES, LEFT_FILES))


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    # Inside that loop Django has other connections than outside; one left open here would be found dead afterwards, when
    # the database it is of has been replaced.
    connection.close()
    with sync_playwright() as playwright, pytest.MonkeyPatch.context() as patch:
        # Django sees the loop in this thread and would refuse the database. No code of ours runs inside that loop.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        yield playwright


@pytest.fixture(scope="package")
def chromium(playwright: Playwright, browser_type_launch_args: dict[str, Any]) -> Iterator[Browser]:
    """The Chromium that the machine has; Playwright's own is not downloaded."""
    found = find_chromium()
    if found is None:
        pytest.fail("Browser tests need Chromium (Debian, Ubuntu: apt-get install chromium).")
    # What a page fetches may take its time on a machine that does other things too.
    expect.set_options(timeout=20_000)
    browser = playwright.chromium.launch(executable_path=found, **browser_type_launch_args)
    yield browser
    browser.close()


@pytest.fixture
def clock() -> Iterator[Clock]:
    """The product's time, for a story that moves it."""
    with moving_clock() as clock:
        yield clock


@pytest.fixture(scope="module")
def site(
    django_db_setup: None, django_db_blocker: Any, chromium: Browser, demo_provider: str
) -> Iterator[Site]:
    """A small demo world, committed and served, for all tests of a module: they change nothing that others look at.

    Those tests are marked ``django_db``, without which there is no test database.
    """
    with (
        django_db_blocker.unblock(),
        override_settings(DEMO_PROVIDER_URL=demo_provider),
        moving_clock() as clock,
    ):
        assert str(connection.settings_dict["NAME"]).startswith("test_"), "this would be emptied below"
        clock.move_to(2026, 11, 23, 12)
        try:
            worlds.fill(worlds.name_of_run())
            with running_application() as url:
                yield Site(url, chromium)
        finally:
            background.close()
            call_command("flush", interactive=False, verbosity=0, inhibit_post_migrate=True)
