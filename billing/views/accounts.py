"""Pages of the chart of accounts, one account, one entry, and which fact posts what."""

from datetime import UTC, datetime, time, timedelta
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from billing import queries
from billing.ledger import account_pages, fact_index
from billing.ledger.balances import trial_balance
from billing.ledger.chart import ACCOUNTS, BY_CODE
from billing.run_forms import AsOfForm
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest

PAGE_SIZE = 50


@login_required
@require_safe
def chart(request: PersonRequest) -> HttpResponse:
    """Show every account with its balance, of now or as of the end of a day."""
    access.require_platform(request.actor, Role.FINANCE)
    form = AsOfForm(request.GET or None)
    balance = trial_balance(until=_end_of(form))
    by_code = {code: [row for row in balance.rows if row.account.code == code] for code in BY_CODE}
    context = {
        "form": form,
        "day": form.day(),
        "balance": balance,
        "rows": [(one, by_code[one.code]) for one in ACCOUNTS],
    }
    return render(request, "billing/chart.html", context)


@login_required
@require_safe
def account(request: PersonRequest, code: str) -> HttpResponse:
    """Show the postings of one account in one currency, each with the balance after it."""
    access.require_platform(request.actor, Role.FINANCE)
    if code not in BY_CODE:
        raise Http404
    form = AsOfForm(request.GET or None)
    until = _end_of(form)
    standings = account_pages.standings(BY_CODE[code], until=until)
    asked = request.GET.get("currency", "")
    chosen = next((one for one in standings if one.currency == asked), standings[0] if standings else None)
    rows = account_pages.running(BY_CODE[code], currency=chosen.currency if chosen else "", until=until)
    context = {
        "account": BY_CODE[code],
        "form": form,
        "standings": standings,
        "chosen": chosen,
        "page": Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page")),
    }
    return render(request, "billing/account.html", context)


@login_required
@require_safe
def entry(request: PersonRequest, entry_id: UUID) -> HttpResponse:
    """Show one entry with its postings, the document it comes from, and what corrects it."""
    access.require_platform(request.actor, Role.FINANCE)
    shown = access.get(queries.entries().select_related("credit_note", "period", "corrects"), pk=entry_id)
    context = {
        "entry": shown,
        "title": fact_index.title_of(shown.kind),
        "corrections": shown.corrections.order_by("posted_at", "pk"),
    }
    return render(request, "billing/entry.html", context)


@login_required
@require_safe
def facts(request: PersonRequest) -> HttpResponse:
    """Show which fact posts what, and how often it did."""
    access.require_platform(request.actor, Role.FINANCE)
    return render(request, "billing/facts.html", {"facts": fact_index.in_use()})


def _end_of(form: AsOfForm) -> datetime | None:
    day = form.day()
    return datetime.combine(day + timedelta(days=1), time(), UTC) if day else None
