"""From a listing to its invoice, through the pages and the interfaces that people really use."""

import csv
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BytesIO, StringIO
from pathlib import Path

import openai
import pytest
import urllib3
from playwright.sync_api import Browser, Locator, Page, expect
from pypdf import PdfReader

from billing import tasks as billing_tasks
from billing.background import CLOSE_PERIOD
from marketplace.accounts.models import CostCenter, User
from marketplace.catalog import tasks as catalog_tasks
from marketplace.catalog.check_runs import MARGIN_JOB
from marketplace.core import jobs
from marketplace.core.models import Job
from marketplace.gateway import background
from marketplace.gateway import tasks as gateway_tasks
from tests.browser.clock import Clock
from tests.browser.site import Site
from tests.browser.watching import Watch
from tests.conftest import Cast
from tests.gateway.live import make_models, running_application

assert catalog_tasks and gateway_tasks and billing_tasks, "register the work of jobs"
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

PASSWORD = "correct horse battery"
MESSAGES = [{"role": "user", "content": "Rewrite politely: send me the report."}]
SignIn = Callable[[User], Page]


@pytest.fixture
def shop(
    transactional_db: None, cast: Cast, clock: Clock, chromium: Browser, demo_provider: str
) -> Iterator[Site]:
    """The product with a company and two models, on 5 October; no app yet."""
    clock.move_to(2026, 10, 5, 9)
    CostCenter.objects.update(name="Travel")
    make_models(demo_provider)
    try:
        with running_application() as url:
            yield Site(url, chromium)
    finally:
        background.close()


@pytest.fixture
def sign_in(shop: Site) -> Iterator[SignIn]:
    """Opens a window and signs a person in by the form; at the end no page may have complained."""
    watches = []

    with ExitStack() as windows:

        def sign_in(person: User) -> Page:
            person.set_password(PASSWORD)
            person.save()
            page = windows.enter_context(shop.window()).new_page()
            watches.append(Watch(page, is_hurried=True))
            page.goto("/accounts/login/")
            page.get_by_label("Email").fill(person.email)
            page.get_by_label("Password").fill(PASSWORD)
            page.locator("main").get_by_role("button", name="Sign in").click()
            expect(page.get_by_text("Successfully signed in")).to_be_visible()
            return page

        yield sign_in
    assert [one for watch in watches for one in watch.take_complaints()] == []


def work(name: str, clock: Clock) -> None:
    """Do the oldest job of this name that waits, as a worker would."""
    job = jobs.run(Job.objects.filter(name=name, state=Job.State.QUEUED).earliest("pk").pk, at=clock.now())
    assert job is not None
    assert (job.state, job.last_error) == (Job.State.DONE, "")


def list_an_app(page: Page) -> None:
    """Fill the form of a hosted prompt app, from a template, and submit it."""
    page.goto("/creator/new/")
    page.get_by_role("link", name="Polite rewriter").click()
    typed = {
        "name": "Kind words",
        "summary": "Turns a hurried note into a kind one.",
        "owner_contact": "words@demo.example",
        "fee": "31",
        "price_per_call": "0.50",
        "free_calls": "1",
        "plan_daily_calls": "3",
        "plan_monthly_calls": "60",
        "calls": "50",
        "slo_latency_ms": "2000",
        "slo_availability_percent": "99.9",
    }
    for name, value in typed.items():
        page.locator(f"#app-form [name={name}]").fill(value)
    page.get_by_label("llm-3b").uncheck()
    page.get_by_role("button", name="Save and submit").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Checks of Kind words")


def approve(page: Page) -> None:
    page.goto("/reviews/")
    page.get_by_role("link", name="Kind words").click()
    page.get_by_label("Reason", exact=True).fill("Cheap, and it does what it says.")
    page.get_by_role("button", name="Approve and list").click()


def search(page: Page) -> Locator:
    """Type into the catalogue's search and return the links to what it finds."""
    page.goto("/catalog/")
    page.get_by_role("searchbox").fill("hurried note")
    page.get_by_role("searchbox").press("Enter")
    page.wait_for_url("**/catalog/?*hurried*")
    return page.locator("#found").get_by_role("link", name="Kind words")


def try_it(page: Page) -> None:
    page.get_by_role("button", name="Try it").click()
    expect(page.locator("#try-result")).to_contain_text("Would you please consider")
    expect(page.locator("#try-result")).to_contain_text("from the sandbox credit of Operations")


def subscribe(page: Page) -> None:
    page.get_by_role("link", name="Subscribe").click()
    page.get_by_label("Cost center").select_option(label="CC-100 Travel")
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Subscribe").click()
    expect(page.get_by_text("Operations has Kind words now")).to_be_visible()


def make_key(page: Page) -> str:
    """Make a key of the subscription that is open, and return its text, which no other page shows."""
    address = page.url
    page.get_by_label("What is it for?").fill("laptop")
    page.get_by_role("button", name="Make key").click()
    key = page.locator("#new-key").inner_text()
    page.goto(address)
    expect(page.locator("main")).to_contain_text("laptop")
    assert key.startswith("hp_sub_") and key not in page.content()
    return key


def call(url: str, key: str) -> None:
    """Use the app as programs do, once in each of three ways; the plan has no fourth call a day."""
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
        chat = client.chat.completions
        whole = chat.create(model="auto", messages=MESSAGES)
        stream = chat.create(model="auto", messages=MESSAGES, stream=True)
        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
        assert whole.choices[0].message.content == streamed != ""

        run = urllib3.request(
            "POST",
            f"{url}/apps/kind-words/run",
            json={"input": {"text": "Send the report.", "tone": "polite"}},
            headers={"Authorization": f"Bearer {key}"},
        )
        assert (run.status, run.json()["model"]) == (200, "llm-8b")

        with pytest.raises(openai.RateLimitError) as refused:
            chat.create(model="auto", messages=MESSAGES)
    assert "The limit of 3 requests a day of this subscription is reached" in refused.value.message
    assert "resets at 2026-10-06T00:00:00Z" in refused.value.message


def close_october(page: Page, clock: Clock) -> None:
    page.goto("/finance/")
    page.get_by_role("link", name="Close October 2026").click()
    page.get_by_role("button", name="Close October 2026").click()
    work(CLOSE_PERIOD, clock)
    page.get_by_role("link", name="ST-2026-000001").click()


def document(page: Page) -> str:
    """Return the text of the open invoice's PDF, which a browser shows itself."""
    address = page.get_by_role("link", name="PDF").get_attribute("href")
    answer = page.request.get(str(address))
    assert answer.headers["content-type"] == "application/pdf"
    return "".join(part.extract_text() for part in PdfReader(BytesIO(answer.body())).pages)


def downloaded_rows(page: Page) -> list[dict[str, str]]:
    """Download the open invoice's lines as CSV."""
    with page.expect_download() as waiting:
        page.get_by_role("link", name="CSV").click()
    assert waiting.value.suggested_filename == "ST-2026-000001.csv"
    text = Path(waiting.value.path()).read_text(encoding="utf-8-sig")
    return list(csv.DictReader(StringIO(text)))


def test_from_listing_to_invoice(shop: Site, cast: Cast, clock: Clock, sign_in: SignIn) -> None:
    creator, consumer, approver = map(sign_in, (cast.creator, cast.consumer, cast.approver))

    # The creator lists an app; its check really calls it, and the page that waits for it shows what a call costs.
    list_an_app(creator)
    for _ in range(3):
        work("catalog.run_check", clock)
    work("gateway.run_smoke", clock)
    work(MARGIN_JOB, clock)
    expect(creator.get_by_text("All checks have passed")).to_be_visible()
    creator.get_by_role("link", name="Calls in detail").click()
    # 78 tokens in at 0.20 and 35 out at 0.60 per million.
    measured = creator.get_by_role("region", name="Measured")
    expect(measured).to_contain_text("Cost per call $0.0000366")
    expect(measured).to_contain_text("78 in, 35 out")

    # Nobody finds it before the approver decides, everybody from then on.
    expect(search(consumer)).to_have_count(0)
    approve(approver)
    expect(search(consumer)).to_have_count(1)

    # The consumer tries it, subscribes, and calls it from programs until the day's calls are used up.
    search(consumer).click()
    try_it(consumer)
    subscribe(consumer)
    key = make_key(consumer)
    call(shop.url, key)
    consumer.reload()
    expect(consumer.get_by_text("3 of 3")).to_be_visible()
    expect(consumer.get_by_text("used up: calls are refused")).to_be_visible()
    expect(consumer.get_by_text("3 in total")).to_be_visible()

    # A month later finance closes October: 27 of 31 days of a fee of 31, and two calls of 0.50 beyond the free one.
    clock.move_to(2026, 11, 2, 9)
    finance = sign_in(cast.finance)
    close_october(finance, clock)
    totals = finance.get_by_role("region", name="Totals")
    expect(totals).to_contain_text("Total $28.00")
    # The creator gets 80 % of it; what the models cost is less than a cent.
    expect(totals).to_contain_text("To creators $22.40")
    assert "$28.00" in document(finance)
    assert [row["amount"] for row in downloaded_rows(finance)] == ["27.00", "1.00"]
