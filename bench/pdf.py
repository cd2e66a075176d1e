"""Invoices of ten lines as PDF/A-3 with their data inside, a second and core; against Typst alone on the same sheets."""

import argparse
import json
from collections.abc import Callable
from time import perf_counter
from typing import Any

import typst

from bench import _world
from bench._report import tell

COUNT, LINES = 200, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=COUNT)
    count = parser.parse_args().count
    _world.set_up()
    from billing.documents import invoice_pdf, printed  # noqa: PLC0415  # Django must be set up first
    from billing.einvoice.document import of_invoice  # noqa: PLC0415

    invoice = _invoice()
    sheet = printed(of_invoice(invoice), note="")
    alone = _typst_alone()
    # Caches warm on both sides; each sheet has a number of its own, so that Typst remembers none of it.
    invoice_pdf(invoice)
    alone(sheet | {"number": "warm"})
    whole_s = sum(_timed(_set, invoice_pdf, _numbered, invoice, place) for place in range(count))
    alone_s = sum(_timed(_set, alone, _renumbered, sheet, count + place) for place in range(count))
    name = f"pdf, {LINES} lines, with data"
    tell(name, count / whole_s, "PDFs/s per core", yardstick=count / alone_s, of="Typst alone, PDFs/s")


def _timed(call: Callable[..., object], *given: object) -> float:
    started = perf_counter()
    call(*given)
    return perf_counter() - started


def _set(typeset: Callable[[Any], bytes], numbered: Callable[[Any, int], Any], what: Any, place: int) -> None:
    typeset(numbered(what, place))


def _numbered(invoice: Any, place: int) -> Any:
    """Read the invoice anew, as a request does, under another number."""
    found = type(invoice).objects.select_related("period").get(pk=invoice.pk)
    found.number = f"INV-2026-{place:06d}"
    return found


def _renumbered(sheet: dict[str, Any], place: int) -> Any:
    number = f"INV-2026-{place:06d}"
    return json.loads(json.dumps(sheet).replace(str(sheet["number"]), number))


def _typst_alone() -> Callable[[Any], bytes]:
    """Give what sets a sheet and nothing else: no data inside, no database."""
    from billing.documents import _FONTS, _TEMPLATE  # noqa: PLC0415

    compiler = typst.Compiler(str(_TEMPLATE), font_paths=[str(_FONTS)], ignore_system_fonts=True)
    return lambda sheet: compiler.compile(
        sys_inputs={"invoice": json.dumps(sheet)}, pdf_standards=["a-3b"], timestamp=1_793_000_000
    )


def _invoice() -> Any:
    """Close a month of a customer in Germany with five subscriptions, of a fee and calls each."""
    from billing.close import close_period  # noqa: PLC0415
    from billing.models import Invoice  # noqa: PLC0415
    from marketplace.accounts.models import CostCenter  # noqa: PLC0415
    from tests import factories  # noqa: PLC0415
    from tests.billing import parties  # noqa: PLC0415
    from tests.billing.test_close import AT, COST, FEE, TERMS  # noqa: PLC0415
    from tests.billing.usage import use  # noqa: PLC0415

    platform = factories.make_organization(is_platform=True)
    cast = _Finance(platform, factories.make_user())
    factories.join(cast.finance, None, "finance", organization=platform)
    parties.approve_rate(cast, "DE", "19")  # type: ignore[arg-type]
    parties.set_up_seller(cast)  # type: ignore[arg-type]
    team = factories.make_team(parties.buyer(cast))  # type: ignore[arg-type]
    center: CostCenter = team.cost_center
    for _ in range(LINES // 2):
        app = factories.make_app(factories.make_team(platform))
        plan = factories.make_plan(app, charges=[FEE, COST])
        subscription = factories.make_subscription(app, team, plan=plan, cost_center=center)
        use(subscription, requests=1_000, cost="12.35")
    close_period("2026-10", at=AT, terms=TERMS)
    return Invoice.objects.get(kind="invoice")


class _Finance:
    """The two things of a cast that parties need."""

    def __init__(self, company: object, finance: object) -> None:
        self.company, self.finance = company, finance


if __name__ == "__main__":
    main()
