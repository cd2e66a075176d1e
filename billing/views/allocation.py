"""Pages of allocation: the tree of a month, what another rule would make of it, rules, shared costs, the goal."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from billing.allocation import allocation_files, rules, running, shared_costs, tree, unallocated, what_if
from billing.allocation_forms import (
    DecisionForm,
    GoalForm,
    ReasonForm,
    SharedCostForm,
    SplitRuleForm,
    next_month_name,
)
from billing.house import house_terms
from billing.models import AllocationRun, SplitRule
from billing.views.invoices import csv_file
from billing.views.periods import require_finance
from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.models import Organization
from marketplace.accounts.requests import PersonRequest
from marketplace.core.charts import Reference, Series, line_chart
from marketplace.core.errors import Conflict, HalfpennyError

PAGE_SIZE = 50
GET_OR_POST = ["GET", "HEAD", "POST"]


@login_required
@require_http_methods(GET_OR_POST)
def allocation(request: PersonRequest) -> HttpResponse:
    """Show who bears what of a month, one level at a time; a POST works it out anew."""
    require_finance(request.actor)
    if request.method == "POST":
        return _allocated(request)
    run = running.newest(_month_asked(request))
    by, at = _asked(request)
    context: dict[str, Any] = {
        "months": what_if.months_with_runs(),
        "run": run,
        "by": by,
        "groups": [
            tree.LEVELS[name] for name in ("cost_center", "team", "app", "environment", "organization")
        ],
        "is_platform": request.actor.is_platform(Role.FINANCE),
    }
    if run is not None:
        context |= _level(request, run, by, at)
    return render(request, "billing/allocation.html", context)


def _allocated(request: PersonRequest) -> HttpResponse:
    access.require_platform(request.actor, Role.FINANCE)
    name = request.POST.get("period", "")
    run = running.allocate(name, terms=house_terms(), at=timezone.now(), by=request.actor.user)
    messages.success(request, f"{name}: run {run.number} is what counts.")
    return redirect(f"{request.path}?{urlencode({'period': name})}")


def _level(request: PersonRequest, run: AllocationRun, by: str, at: dict[str, str]) -> dict[str, Any]:
    rows = list(tree.rows_of(run, request.actor))
    below = tree.narrowed(rows, at)
    deeper = tree.next_level(by, at)
    nodes = tree.grouped(below, deeper) if deeper else []
    base = {"period": run.period_id, "by": by}
    found: dict[str, Any] = {
        "totals": tree.totals(below),
        "level": tree.LEVELS[deeper] if deeper else None,
        "nodes": [(node, "?" + urlencode({**base, **at, deeper: node.key})) for node in nodes],
        "crumbs": _crumbs(below, at, base),
        "rows": [] if deeper else [(row, tree.ratio_text(row)) for row in below],
        "at": at,
        "query": urlencode({**base, **at}),
    }
    if not at:
        found["trend"], found["goal"] = _trend(request)
    return found


def _crumbs(rows: list[Any], at: dict[str, str], base: dict[str, str]) -> list[tuple[str, str]]:
    names = list(at)
    return [
        (text, "?" + urlencode({**base, **{key: at[key] for key in names[: place + 1]}}))
        for place, (_, text) in enumerate(tree.crumbs(rows, at))
    ]


def _trend(request: PersonRequest) -> tuple[Any, Any]:
    organization = access.organizations(request.actor).order_by("-is_platform", "pk").first()
    if organization is None:
        return None, None
    points = unallocated.trend(organization)
    goal = unallocated.goal_of(organization)
    if len(points) < 2:
        return None, goal
    target = goal.target_percent if goal else unallocated.DEFAULT_TARGET
    chart = line_chart(
        [point.period for point in points],
        [Series("Unallocated", [point.percent for point in points])],
        references=[Reference("At most", target)],
        format_value=lambda value: f"{value} %",
        format_tick=lambda value: f"{value:g} %" if isinstance(value, int) else f"{value.normalize():f} %",
        label_heading="Month",
    )
    return chart, goal


def _asked(request: PersonRequest) -> tuple[str, dict[str, str]]:
    by = tree.level(request.GET.get("by", "cost_center")).name
    order = [by, *(name for name in tree.PATH if name != by)]
    return by, {name: request.GET[name] for name in order if name in request.GET}


def _month_asked(request: PersonRequest) -> str:
    asked = request.GET.get("period", "")[:7]
    found = what_if.months_with_runs()
    return asked if asked in found else (found[0] if found else asked)


@login_required
@require_safe
def allocation_csv(request: PersonRequest) -> HttpResponse:
    """Give the rows that the page is made of as a file."""
    require_finance(request.actor)
    run = running.newest(_month_asked(request))
    _, at = _asked(request)
    rows = tree.narrowed(tree.rows_of(run, request.actor), at) if run else []
    name = f"allocation-{run.period_id}.csv" if run else "allocation.csv"
    return csv_file(name, allocation_files.COLUMNS, allocation_files.rows(rows))


@login_required
@require_safe
def compared(request: PersonRequest) -> HttpResponse:
    """Show what another rule, or waiting proposals, would have made of a past month, side by side."""
    access.require_platform(request.actor, Role.FINANCE)
    name = _month_asked(request)
    run = running.newest(name)
    is_asked = "method" in request.GET
    form = SplitRuleForm(request.GET if is_asked else None, is_what_if=True)
    others: list[SplitRule] = []
    found: list[what_if.Comparison] = []
    try:
        if is_asked and form.is_valid():
            others = [form.rule(starts_month=name)]
        elif not is_asked:
            others = _versions(request)
        if run is not None and others:
            found = what_if.compare(run, others)
    except HalfpennyError as error:
        form.refuse(error)
    context = {
        "form": form,
        "run": run,
        "months": what_if.months_with_runs(),
        "comparisons": found,
        "period": name,
    }
    return render(request, "billing/what_if.html", context)


def _versions(request: PersonRequest) -> list[SplitRule]:
    """Take the rules that the address names, such as a proposal beside its predecessors."""
    wanted = [one for one in request.GET.getlist("rule") if one.isascii() and one.isdigit()]
    return list(rules.rules(request.actor).filter(pk__in=wanted[:4]).order_by("version"))


# --- rules -----------------------------------------------------------------------------------------------


@login_required
@require_safe
def split_rules(request: PersonRequest) -> HttpResponse:
    """List rules, those that wait first, then what is in force and what was."""
    require_finance(request.actor)
    found = rules.rules(request.actor).order_by("kind", "name", "-version")
    context = {
        "waiting": [one for one in found if one.state == SplitRule.State.PROPOSED],
        "rules": [one for one in found if one.state != SplitRule.State.PROPOSED],
        "in_force": {one.pk for one in rules.in_force(f"{timezone.now():%Y-%m}").values()},
        "is_platform": request.actor.is_platform(Role.FINANCE),
    }
    return render(request, "billing/split_rules.html", context)


@login_required
@require_http_methods(GET_OR_POST)
def split_rule_new(request: PersonRequest) -> HttpResponse:
    """Show the form of a rule; a POST proposes it."""
    access.require_platform(request.actor, Role.FINANCE)
    form = SplitRuleForm(request.POST or None, initial={"starts_month": next_month_name(timezone.now())})
    if form.is_valid():
        try:
            rule = rules.propose(form.rule(), by=request.actor, at=timezone.now())
        except HalfpennyError as error:
            form.refuse(error)
        else:
            messages.success(request, "It waits for a second person.")
            return redirect("billing:split-rule", rule.pk)
    return render(request, "billing/split_rule_new.html", {"form": form})


@login_required
@require_http_methods(GET_OR_POST)
def split_rule(request: PersonRequest, rule_id: int) -> HttpResponse:
    """Show a rule with what it would have made of the last month; a POST decides."""
    require_finance(request.actor)
    rule = access.get(rules.rules(request.actor), pk=rule_id)
    form = DecisionForm(request.POST or None)
    if request.method == "POST" and form.is_valid() and _decided(request, rule, form):
        return redirect("billing:split-rule", rule.pk)
    months = what_if.months_with_runs()
    run = running.newest(months[0]) if months else None
    is_waiting = rule.state == SplitRule.State.PROPOSED
    is_platform = request.actor.is_platform(Role.FINANCE)
    context = {
        "rule": rule,
        "form": form,
        "comparisons": what_if.compare(run, [rule]) if run and is_platform else [],
        "run": run,
        "is_own": rule.proposed_by_id == request.actor.user.pk,
        "is_waiting": is_waiting,
        "may_decide": is_waiting and is_platform and rule.proposed_by_id != request.actor.user.pk,
    }
    return render(request, "billing/split_rule.html", context)


def _decided(request: PersonRequest, rule: SplitRule, form: DecisionForm) -> bool:
    decision, note = form.cleaned_data["decision"], form.cleaned_data["note"]
    now = timezone.now()
    try:
        if decision == "approve":
            rules.approve(rule, by=request.actor, at=now, note=note)
        elif decision == "reject":
            rules.reject(rule, by=request.actor, at=now, note=note)
        else:
            rules.withdraw(rule, by=request.actor, at=now)
    except HalfpennyError as error:
        form.refuse(error)
        return False
    return True


# --- shared costs and the goal ---------------------------------------------------------------------------


@login_required
@require_http_methods(GET_OR_POST)
def shared(request: PersonRequest) -> HttpResponse:
    """List shared costs with the months that bear them; a POST enters one."""
    require_finance(request.actor)
    is_platform = request.actor.is_platform(Role.FINANCE)
    form = SharedCostForm(request.POST or None, currency=house_terms().currency)
    if request.method == "POST" and form.is_valid():
        try:
            entry, key = form.entry(), form.cleaned_data["key"]
            cost = shared_costs.enter(entry, by=request.actor, at=timezone.now(), source_key=f"entered:{key}")
        except HalfpennyError as error:
            form.refuse(error)
        else:
            messages.success(request, f"{cost.name} is entered.")
            return redirect("billing:shared-costs")
    found = shared_costs.shared_costs(request.actor).prefetch_related("parts").order_by("-entered_at", "-pk")
    page = Paginator(found, PAGE_SIZE).get_page(request.GET.get("page"))
    context = {"page": page, "form": form if is_platform else None, "is_platform": is_platform}
    return render(request, "billing/shared_costs.html", context)


@login_required
@require_http_methods(GET_OR_POST)
def take_back(request: PersonRequest, cost_id: UUID) -> HttpResponse:
    """Ask why a shared cost is taken back; a POST does it."""
    access.require_platform(request.actor, Role.FINANCE)
    cost = access.get(shared_costs.shared_costs(request.actor), pk=cost_id)
    form = ReasonForm(request.POST or None)
    if form.is_valid():
        try:
            reason = form.cleaned_data["reason"]
            shared_costs.take_back(cost, reason=reason, by=request.actor, at=timezone.now())
        except Conflict as error:
            form.refuse(error)
        else:
            messages.success(request, f"{cost.name} is taken back.")
            return redirect("billing:shared-costs")
    return render(request, "billing/shared_cost_back.html", {"cost": cost, "form": form})


@login_required
@require_http_methods(GET_OR_POST)
def goal(request: PersonRequest) -> HttpResponse:
    """Say who looks after what is unallocated of the marketplace's own organization, and how much it may be."""
    access.require_platform(request.actor, Role.FINANCE)
    organization = access.get(Organization.objects.all(), is_platform=True)
    there = unallocated.goal_of(organization)
    initial = {
        "owner": there.owner_id if there else request.actor.user.pk,
        "target_percent": there.target_percent if there else unallocated.DEFAULT_TARGET,
    }
    form = GoalForm(request.POST or None, candidates=unallocated.candidates(organization), initial=initial)
    if form.is_valid():
        unallocated.set_goal(
            organization,
            owner=form.cleaned_data["owner"],
            target_percent=form.cleaned_data["target_percent"],
            by=request.actor,
            at=timezone.now(),
        )
        return redirect("billing:allocation")
    return render(request, "billing/unallocated_goal.html", {"form": form, "organization": organization})
