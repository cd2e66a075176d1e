"""A submission that meets what goes wrong: a scanner that is gone, credit that ends, somebody who decides faster."""

import stat
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from marketplace.accounts.models import User
from marketplace.catalog.check_runs import MARGIN_JOB
from marketplace.catalog.models import Version
from marketplace.catalog.scans import running
from quotas.models import Limit
from tests import factories
from tests.browser.clock import Clock
from tests.browser.site import Site
from tests.browser.test_journey import SignIn, list_an_app, shop, sign_in, work
from tests.conftest import Cast

__all__ = ["shop", "sign_in"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def scanners_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Scanners start in a Python that has none of their packages, until this is undone."""
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {running.sys.executable} -S "$@"\n')
    python.chmod(python.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setitem(running.run.__kwdefaults__, "python", str(python))
    return monkeypatch


def second_approver(cast: Cast) -> User:
    person = factories.make_user()
    factories.join(person, None, "approver", organization=cast.company)
    return person


def state() -> str:
    return Version.objects.get(app__slug="kind-words").state


def check(page: Page, name: str) -> Locator:
    return page.locator(f"#check-{name}")


def test_what_goes_wrong_is_said_and_made_good(
    shop: Site,
    cast: Cast,
    clock: Clock,
    sign_in: SignIn,
    scanners_gone: pytest.MonkeyPatch,
    settings: Any,
) -> None:
    settings.SANDBOX_CREDIT = Decimal("0.0005")
    creator = sign_in(cast.creator)
    list_an_app(creator)

    # A scanner that is not there has not passed anything, and says what is missing.
    for _ in range(3):
        work("catalog.run_check", clock)
    work("gateway.run_smoke", clock)
    expect(creator.get_by_text("Something could not be checked")).to_be_visible()
    expect(check(creator, "secrets")).to_contain_text("A tool is not installed: 'detect_secrets'")
    # The credit was used up in the middle of the twenty calls.
    expect(
        creator.get_by_text("could not be finished: The sandbox credit of the team is used up")
    ).to_be_visible()
    assert state() == "checking"

    # The tools are back: what could not be made is made again, and still blocks while one thing is missing.
    scanners_gone.undo()
    for name in ("hygiene", "secrets", "template"):
        check(creator, name).get_by_role("button", name="Run again").click()
        work("catalog.run_check", clock)
        expect(check(creator, name)).to_contain_text("Passed")
    expect(creator.get_by_text("Something could not be checked")).to_be_visible()
    assert state() == "checking"

    # With credit the calls go through, and the version is reviewed.
    Limit.objects.filter(subscription__environment="sandbox").update(limit_value=1)
    creator.get_by_role("button", name="Call again").click()
    work("gateway.run_smoke", clock)
    work(MARGIN_JOB, clock)
    expect(creator.get_by_text("All 20 calls succeeded.")).to_be_visible()
    assert state() == "in_review"

    # Two approvers have the same page before them; the slower one reads what it became, and nothing is done twice.
    slower, faster = sign_in(second_approver(cast)), sign_in(cast.approver)
    for page in (slower, faster):
        page.goto("/reviews/")
        page.get_by_role("link", name="Kind words").click()
    faster.get_by_label("Reason", exact=True).fill("Cheap, and it does what it says.")
    faster.get_by_role("button", name="Approve and list").click()
    expect(faster.get_by_text("is live. The catalogue finds it.")).to_be_visible()
    slower.get_by_label("Reason", exact=True).fill("The tone is not kind enough.")
    slower.get_by_role("button", name="Reject").click()
    expect(slower.get_by_text(f"Too late: it was decided before. {cast.approver} was faster")).to_be_visible()
    assert state() == "listed"
