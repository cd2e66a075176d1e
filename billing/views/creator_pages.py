"""Pages of creators: what their apps earned, statements by month, and how they are paid."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from billing.creators import balances, documents, plans, queries, statements
from billing.creators.earnings import earnings as earnings_of
from billing.creators.forms import PlanForm
from billing.house import house_terms, payout_terms
from billing.views.invoices import csv_file
from marketplace.accounts import access
from marketplace.accounts.models import Team
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import InvalidInput
from marketplace.core.money import minor_exponent
from marketplace.core.periods import parse_month

PAGE_SIZE = 50
MOST_PAYOUTS = 10


@login_required
@require_safe
def earnings(request: PersonRequest) -> HttpResponse:
    """Show what apps earned by month, what waits, what can be paid, and when."""
    teams = {team.pk: team for team in queries.earning_teams(request.actor)}
    there = balances.balances_of(list(teams))
    chosen = list(queries.plans(request.actor))
    now = timezone.now()
    ahead = balances.outlooks(chosen, there, on=now.date(), least_hold_days=payout_terms().least_hold_days)
    cards = [
        {"team": teams[one.team_id], "balance": one, "outlook": ahead.get((one.team_id, one.currency))}
        for one in there
    ]
    rows = earnings_of(list(teams))
    context = {
        "cards": cards[:PAGE_SIZE],
        "page": Paginator(rows, PAGE_SIZE).get_page(request.GET.get("page")),
        "totals": _totals(rows),
        "months": len({row.month for row in rows}),
        "payouts": queries.payouts(request.actor).order_by("-due_date", "-pk")[:MOST_PAYOUTS],
        "self_bills": queries.self_bills(request.actor)[:MOST_PAYOUTS],
        "unpaid_teams": _without_plan(request, teams, there),
    }
    return render(request, "billing/earnings.html", context)


def _totals(rows: list[Any]) -> list[dict[str, Any]]:
    names = ("earned_minor", "taken_minor", "net_minor", "released_minor", "held_minor")
    currencies = sorted({row.currency for row in rows})
    return [
        {
            "currency": currency,
            **{name: sum(getattr(row, name) for row in rows if row.currency == currency) for name in names},
        }
        for currency in currencies
    ]


def _without_plan(request: PersonRequest, teams: dict[int, Team], there: list[Any]) -> list[Team]:
    """Give the person's own teams that earned nothing yet, so that they can say how they want to be paid."""
    earned = {one.team_id for one in there}
    return [
        team for team in teams.values() if team.pk not in earned and plans.may_keep(team, actor=request.actor)
    ]


@login_required
@require_safe
def statement(request: PersonRequest, team_id: int, currency: str, month: str) -> HttpResponse:
    """Show a month of a team: opening, every movement, closing."""
    found = _statement(request, team_id, currency, month)
    context = {
        "statement": found,
        "page": Paginator(found.movements, PAGE_SIZE).get_page(request.GET.get("page")),
        "is_over": found.month.ends_at <= timezone.now(),
        "words": statements.WORDS,
        "previous": found.month.starts_at.replace(day=1),
    }
    return render(request, "billing/creator_statement.html", context)


@login_required
@require_safe
def statement_csv(request: PersonRequest, team_id: int, currency: str, month: str) -> HttpResponse:
    """Give a statement as rows."""
    found = _statement(request, team_id, currency, month)
    name = f"statement-{found.team.slug}-{currency}-{month}.csv"
    return csv_file(name, statements.COLUMNS, statements.csv_rows(found))


@login_required
@require_safe
def statement_pdf(request: PersonRequest, team_id: int, currency: str, month: str) -> HttpResponse:
    """Give a statement as PDF."""
    found = _statement(request, team_id, currency, month)
    pdf = documents.statement_pdf(found, issuer=house_terms().legal_entity)
    headers = {"Content-Disposition": f'inline; filename="statement-{found.team.slug}-{month}.pdf"'}
    return HttpResponse(pdf, content_type="application/pdf", headers=headers)


def _statement(request: PersonRequest, team_id: int, currency: str, month: str) -> statements.Statement:
    team = access.get(queries.earning_teams(request.actor), pk=team_id)
    minor_exponent(currency)
    return statements.statement_of(team, currency=currency, month=parse_month(month))


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def plan(request: PersonRequest, team_id: int, currency: str) -> HttpResponse:
    """Show how a team is paid; a POST changes it, or agrees to self-billing."""
    team = access.get(queries.earning_teams(request.actor), pk=team_id)
    minor_exponent(currency)
    found = plans.find(team, currency)
    if request.method == "POST" and "consent" in request.POST and found is not None:
        return _consented(request, team, found)
    form = PlanForm(request.POST or None, plan=found, choice=plans.default_choice(team), currency=currency)
    if form.is_valid() and _chosen(request, team, form):
        messages.success(request, f"How {team} is paid in {currency} is saved.")
        return redirect("billing:payout-plan", team.pk, currency)
    context = {
        "team": team,
        "currency": currency,
        "plan": found,
        "form": form,
        "may_keep": plans.may_keep(team, actor=request.actor),
        "consent": plans.CONSENT,
        "next_date": plans.next_date(found, after=timezone.now().date()) if found else None,
        "masked": plans.masked(found.iban) if found else "",
    }
    return render(request, "billing/payout_plan.html", context)


def _consented(request: PersonRequest, team: Team, found: Any) -> HttpResponse:
    decide = plans.consent if request.POST["consent"] == "yes" else plans.revoke_consent
    decide(found, by=request.actor, at=timezone.now())
    return redirect("billing:payout-plan", team.pk, found.currency)


def _chosen(request: PersonRequest, team: Team, form: PlanForm) -> bool:
    try:
        plans.choose(team, currency=form.currency, choice=form.choice(), by=request.actor, at=timezone.now())
    except InvalidInput as error:
        for one in error.errors:
            name = "how" if one.field == "method" else one.field
            form.add_error(name if name in form.fields else None, one.message)
        return False
    return True


@login_required
@require_safe
def self_bill(request: PersonRequest, bill_id: UUID) -> HttpResponse:
    """Give a self-billed invoice or credit note as PDF."""
    found = access.get(queries.self_bills(request.actor), pk=bill_id)
    headers = {"Content-Disposition": f'inline; filename="{found.number}.pdf"'}
    return HttpResponse(documents.self_bill_pdf(found), content_type="application/pdf", headers=headers)
