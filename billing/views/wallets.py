"""Pages of wallets: what is left, what moved, and what finance puts in or pays back."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from billing import wallet_queries, wallet_spending, wallets
from billing.credit_asks import read_minor
from billing.models import Wallet
from billing.wallet_forms import CreditForm, LowBalanceForm, OpenForm, RefundForm
from billing.wallets import NewCredit
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.core.csv import to_csv
from marketplace.core.errors import Conflict, InvalidInput

PAGE_SIZE = 50
MOST_IN_FILE = 10_000


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def listed(request: PersonRequest) -> HttpResponse:
    """List the wallets somebody may see; finance of the marketplace opens new ones."""
    may_open = request.actor.is_platform(Role.FINANCE)
    form = OpenForm(request.POST or None)
    if may_open and form.is_valid():
        wallet = wallets.open_wallet(**form.cleaned_data, by=request.actor, at=timezone.now())
        return redirect("billing:wallet", wallet.pk)
    found = wallet_queries.with_paid_left(wallets.visible(request.actor))
    context = {
        "page": Paginator(found, PAGE_SIZE).get_page(request.GET.get("page")),
        "form": form,
        "may_open": may_open,
    }
    return render(request, "billing/wallets.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def wallet(request: PersonRequest, wallet_id: UUID) -> HttpResponse:
    """Show one wallet; a POST puts credit in, pays money back, or says when to tell people."""
    found = access.get(wallets.visible(request.actor), pk=wallet_id)
    steps: dict[str, tuple[forms.Form, Callable[[PersonRequest, Wallet, Any], str]]] = {
        "credit": (CreditForm(_posted(request, "credit"), currency=found.currency), _credit),
        "refund": (RefundForm(_posted(request, "refund"), currency=found.currency), _refund),
        "low": (LowBalanceForm(_posted(request, "low"), wallet=found), _low_balance),
    }
    form, step = steps.get(request.POST.get("step", ""), (None, None))
    if form is not None and step is not None and form.is_valid() and _done(request, found, form, step):
        return redirect("billing:wallet", found.pk)
    now = timezone.now()
    page = Paginator(wallet_queries.movements_of(found), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "wallet": found,
        "credits": wallet_queries.credits_left(found, at=now),
        "page": page,
        "forms": {name: one for name, (one, _) in steps.items()},
        "may_fill": request.actor.is_platform(Role.FINANCE),
        "may_manage": wallets.may_manage(found, actor=request.actor),
    }
    return render(request, "billing/wallet.html", context)


@login_required
@require_safe
def wallet_csv(request: PersonRequest, wallet_id: UUID) -> HttpResponse:
    """Give the newest movements of a wallet as a file."""
    found = access.get(wallets.visible(request.actor), pk=wallet_id)
    movements = wallet_queries.movements_of(found)[:MOST_IN_FILE]
    rows = wallet_queries.movement_rows(movements, currency=found.currency)
    return HttpResponse(
        to_csv(wallet_queries.COLUMNS, rows),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="wallet-{found.pk}.csv"'},
    )


def _posted(request: PersonRequest, step: str) -> Any:
    return request.POST if request.POST.get("step") == step else None


def _done(
    request: PersonRequest, wallet: Wallet, form: Any, step: Callable[[PersonRequest, Wallet, Any], str]
) -> bool:
    try:
        messages.success(request, step(request, wallet, form))
    except InvalidInput as error:
        for one in error.errors:
            form.add_error(one.field if one.field in form.fields else None, one.message)
        return False
    except Conflict as error:
        form.add_error(None, error.message)
        return False
    return True


def _credit(request: PersonRequest, wallet: Wallet, form: CreditForm) -> str:
    typed, now = form.cleaned_data, timezone.now()
    new = NewCredit(
        typed["kind"],
        read_minor(typed["amount"], field="amount", currency=wallet.currency),
        typed["reference"].strip(),
        form.expires_at(),
    )
    wallets.add(wallet, new=new, by=request.actor, at=now)
    paid = wallet_spending.pay_open(wallet, at=now, by=request.actor.user)
    return f"It is in the wallet, and paid {paid} open bills." if paid else "It is in the wallet."


def _refund(request: PersonRequest, wallet: Wallet, form: RefundForm) -> str:
    typed = form.cleaned_data
    wallets.refund(
        wallet,
        amount_minor=read_minor(typed["amount"], field="amount", currency=wallet.currency),
        reference=typed["reference"].strip(),
        by=request.actor,
        at=timezone.now(),
    )
    return "The refund is recorded and posted."


def _low_balance(request: PersonRequest, wallet: Wallet, form: LowBalanceForm) -> str:
    below = form.cleaned_data["below"]
    minor = None if below is None else read_minor(below, field="below", currency=wallet.currency)
    wallets.set_low_balance(wallet, below_minor=minor, by=request.actor, at=timezone.now())
    return "Saved."
