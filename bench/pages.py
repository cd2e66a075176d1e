"""Server time of every main page on the demo world, against a bare Django page with fifty rows from the database."""

import argparse
import time
from dataclasses import dataclass
from http.client import HTTPConnection
from urllib.parse import urlsplit

from bench import _world
from bench._report import percentile, tell
from bench._serve import application, asgi

TIMES, WARM = 60, 5
FLOOR = 3.0


@dataclass(frozen=True)
class Page:
    """A page and who looks at it."""

    role: str
    path: str


PAGES = (
    Page("consumer", "/"),
    Page("finance", "/"),
    Page("consumer", "/catalog/"),
    Page("consumer", "/subscriptions/"),
    Page("consumer", "/usage/"),
    Page("finance", "/usage/?days=30&group_by=app&compare=previous"),
    Page("finance", "/usage/?days=90&group_by=team"),
    Page("finance", "/usage/platform/"),
    Page("operator", "/usage/platform/?by=team"),
    Page("consumer", "/usage/teams/demo/team-ops/"),
    Page("finance", "/usage/cost-centers/demo/CC-100/"),
    Page("operator", "/usage/models/llm-8b/"),
    Page("creator", "/usage/apps/where2eat/"),
    Page("finance", "/usage/saved/"),
    Page("consumer", "/limits/"),
    Page("consumer", "/bills/"),
    Page("creator", "/creator/"),
    Page("creator", "/finance/earnings/"),
    Page("approver", "/reviews/"),
    Page("finance", "/finance/"),
    Page("finance", "/finance/invoices/"),
    Page("operator", "/operator/"),
    Page("operator", "/operator/jobs/"),
    Page("operator", "/operator/models/"),
    Page("operator", "/operator/rate-cards/"),
    Page("operator", "/notices/"),
)


def main() -> None:
    asked = _arguments()
    sessions = _make_world(asked.events)
    from django.conf import settings  # noqa: PLC0415  # Django must be set up first

    worst = 0.0
    with (
        asgi("bench._bare_page:application", DSN=settings.DATABASE_URL) as bare,
        application(is_quiet=True) as url,
    ):
        for page in PAGES:
            if asked.only not in page.path:
                continue
            yardstick = _milliseconds(f"{bare}/", "")
            taken = _milliseconds(url + page.path, sessions[page.role])
            name = f"pages, {page.role} {page.path}"
            tell(
                f"{name}, p50",
                percentile(taken, 50),
                "ms",
                yardstick=percentile(yardstick, 50),
                of="bare Django",
            )
            tell(f"{name}, p95", percentile(taken, 95), "ms")
            worst = max(worst, percentile(taken, 50) / percentile(yardstick, 50))
    tell("pages, worst", worst, f"times bare Django; at most {FLOOR:g}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--events", type=int, default=1_060_000, help="of the demo world (default: 1,060,000)"
    )
    parser.add_argument("--only", default="", help="pages whose path holds this")
    return parser.parse_args()


def _make_world(events: int) -> dict[str, str]:
    """Load the demo world and sign everybody in; return their session cookies."""
    _world.set_up()
    from django.core.management import call_command  # noqa: PLC0415  # Django must be set up first
    from django.test import Client  # noqa: PLC0415

    from marketplace.accounts.people import demo_person  # noqa: PLC0415

    call_command("load_demo", events=events)
    cookies = {}
    for role in sorted({page.role for page in PAGES}):
        client = Client()
        client.force_login(demo_person(role))
        cookies[role] = f"sessionid={client.cookies['sessionid'].value}"
    return cookies


def _milliseconds(url: str, cookie: str) -> list[float]:
    """Get a page one time after the other; what it takes until its last byte is there."""
    address = urlsplit(url)
    connection = HTTPConnection(address.netloc, timeout=60)
    taken = []
    for _ in range(WARM + TIMES):
        began = time.perf_counter()
        connection.request("GET", url.removeprefix(f"http://{address.netloc}"), headers={"Cookie": cookie})
        answer = connection.getresponse()
        answer.read()
        taken.append((time.perf_counter() - began) * 1000)
        if answer.status != 200:
            raise RuntimeError(f"{url}: {answer.status}")
    connection.close()
    return taken[WARM:]


if __name__ == "__main__":
    main()
