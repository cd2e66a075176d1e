"""Pages of warm pools, for operators: the list, one pool with its schedule, and the form with its preview."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.requests import PersonRequest
from marketplace.core.charts import Series, bar_chart, line_chart
from marketplace.core.errors import HalfpennyError, InvalidInput
from marketplace.gateway.pool_models import Pool, PoolReplica
from marketplace.gateway.pools import keeping, queries, tending
from marketplace.gateway.pools.configured import actuator_of
from marketplace.gateway.pools.forms import PoolForm
from marketplace.gateway.pools.keda_export import keda_yaml


@login_required
@require_safe
def pools(request: PersonRequest) -> HttpResponse:
    """List the pools: what is there, what they cost, how often they were short."""
    access.require_platform(request.actor, Role.OPERATOR)
    return render(request, "gateway/pools/list.html", {"rows": queries.rows(at=timezone.now())})


@login_required
@require_safe
def pool(request: PersonRequest, name: str) -> HttpResponse:
    """Show a pool: state, schedule, replicas, starts, what happened, and what its policy would have come to."""
    found = _pool(request, name)
    now = timezone.now()
    planned = queries.plan_view(found, at=now)
    context = {
        "pool": found,
        "heat": queries.heat(found.policy, found.learnt, at=now),
        "hours": range(24),
        "replicas": queries.replicas(found),
        "events": queries.events(found),
        "starts": queries.starts(pool=found, at=now),
        "restored": queries.starts(pool=found, is_restored=True, at=now),
        "plain": queries.starts(pool=found, is_restored=False, at=now),
        "chart": _kept_chart(found, at=now),
        "plan": planned,
        "schedule_only": queries.plan_view(found, at=now, without_bursts=True) if planned else None,
        "plan_chart": _plan_chart(planned) if planned else None,
    }
    return render(request, "gateway/pools/pool.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def add(request: PersonRequest) -> HttpResponse:
    """Show an empty form; a POST shows what the policy would do, or adds the pool."""
    access.require_platform(request.actor, Role.OPERATOR)
    return _form(request, PoolForm(request.POST or None), None)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def change(request: PersonRequest, name: str) -> HttpResponse:
    """Show a pool's form; a POST shows what the policy would do, or saves it."""
    found = _pool(request, name)
    return _form(request, PoolForm(request.POST or None, instance=found), found)


@login_required
@require_POST
def set_state(request: PersonRequest, name: str) -> HttpResponse:
    """Pause or resume a pool."""
    found = _pool(request, name)
    step = keeping.pause if request.POST.get("to") == "paused" else keeping.resume
    step(found, by=request.actor, at=timezone.now())
    messages.success(request, f"{found.name} is {found.get_state_display().lower()}.")
    return redirect("gateway:pool", found.name)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def remove(request: PersonRequest, name: str) -> HttpResponse:
    """Ask whether to remove a pool; a POST removes it."""
    found = _pool(request, name)
    if request.method != "POST":
        return render(request, "gateway/pools/remove.html", {"pool": found})
    keeping.remove(found, by=request.actor, at=timezone.now())
    messages.success(request, f"{name} is removed.")
    return redirect("gateway:pools")


@login_required
@require_POST
def interrupt(request: PersonRequest, name: str, replica_id: UUID) -> HttpResponse:
    """Take a spot replica away, as its cloud would: others are on demand for a while."""
    found = _pool(request, name)
    spot = PoolReplica.objects.filter(pool=found, is_spot=True, state__in=PoolReplica.SERVING)
    replica = access.get(spot.select_related("pool"), pk=replica_id)
    tending.interrupt(replica, actuator=actuator_of(found), at=timezone.now())
    messages.success(request, f"Replica {replica.number} finishes what it does and ends.")
    return redirect("gateway:pool", found.name)


@login_required
@require_safe
def keda(request: PersonRequest, name: str) -> HttpResponse:
    """Give the policy as a ScaledObject of KEDA, for clusters that scale by themselves."""
    found = _pool(request, name)
    answer = HttpResponse(keda_yaml(found), content_type="application/yaml")
    answer["Content-Disposition"] = f'attachment; filename="{found.name}.yaml"'
    return answer


@login_required
@require_safe
def cold_starts(request: PersonRequest, slug: str) -> HttpResponse:
    """Tell how long an app's models take to start when they have to (fragment of the app's page)."""
    classes = queries.classes_of_app(request.actor, slug)
    now = timezone.now()
    rows = [(name, queries.starts(model_class=name, at=now)) for name in classes]
    return render(request, "gateway/_cold_starts.html", {"rows": [one for one in rows if one[1].count]})


def _form(request: PersonRequest, form: PoolForm, found: Pool | None) -> HttpResponse:
    context: dict[str, Any] = {"form": form, "pool": found, "hours": range(24)}
    if form.is_valid():
        try:
            if "preview" in request.POST:
                keeping.check(form.instance)
                preview = queries.preview(form.instance, at=timezone.now())
                before = queries.plan_view(_again(found), at=timezone.now()) if found else None
                context |= {"preview": preview, "before": before}
            else:
                saved = _save(request, form, found)
                messages.success(request, f"{saved.name} is saved, and followed from the next round on.")
                return redirect("gateway:pool", saved.name)
        except InvalidInput as error:
            for one in error.errors:
                form.add_error(one.field if one.field in form.fields else None, one.message)
        except HalfpennyError as error:
            form.add_error(None, error.message)
    return render(request, "gateway/pools/form.html", context)


def _save(request: PersonRequest, form: PoolForm, found: Pool | None) -> Pool:
    now = timezone.now()
    if found is not None:
        keeping.change(found, facts=form.facts(), by=request.actor, at=now)
        return found
    typed = form.cleaned_data
    return keeping.add(
        typed["name"], model_class=typed["model_class"], facts=form.facts(), by=request.actor, at=now
    )


def _again(found: Pool) -> Pool:
    """The form has put what was typed onto the pool; read it as it is in force."""
    return Pool.objects.get(pk=found.pk)


def _pool(request: PersonRequest, name: str) -> Pool:
    access.require_platform(request.actor, Role.OPERATOR)
    return access.get(Pool.objects.select_related("provider"), name=name)


def _kept_chart(found: Pool, *, at: Any) -> Any:
    """Draw the hours that replicas were kept, by day."""
    days: dict[str, list[int]] = {}
    for hour in queries.kept(found, at=at):
        sums = days.setdefault(f"{hour.hour:%-d %b}", [0, 0])
        sums[0] += hour.on_demand_ms
        sums[1] += hour.spot_ms
    if not days:
        return None
    tenths = [[-(-part // 360_000) for part in sums] for sums in days.values()]
    series = [Series("On demand", [one[0] for one in tenths])]
    if any(one[1] for one in tenths):
        series.append(Series("Spot", [one[1] for one in tenths]))
    return bar_chart(list(days), series, format_value=_hours, format_tick=_hours)


def _plan_chart(planned: queries.PlanView) -> Any:
    """Draw what was needed and what the policy would have had ready, by the highest of each six hours."""
    windows = planned.plan.windows
    groups = [windows[start : start + 6] for start in range(0, len(windows), 6)]
    labels = [f"{group[0].at:%-d %b %H:00}" for group in groups]
    needed = Series("Needed", [max(one.needed for one in group) for group in groups])
    ready = Series("Ready", [max(one.ready for one in group) for group in groups])
    flat = Series("Flat", [planned.plan.flat] * len(groups), tone="neutral")
    return line_chart(labels, [needed, ready, flat], label_heading="Six hours from")


def _hours(tenths: Any) -> str:
    return f"{int(tenths) // 10}.{int(tenths) % 10} h"
