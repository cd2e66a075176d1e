"""The bench of an app: its examples side by side over several models, with the cost before and after."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.catalog import about, benches, language_models, queries_creator
from marketplace.catalog.models import App, Subscription, Version
from marketplace.core.errors import HalfpennyError
from marketplace.gateway import bench


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def app_bench(request: PersonRequest, slug: str) -> HttpResponse:
    """Show the newest bench and what another one would cost; a POST starts it."""
    version = queries_creator.newest_version(access.get(queries_creator.owned_apps(request.actor), slug=slug))
    if request.method == "POST":
        return _start(request, version)
    context = _results(request, version)
    if request.htmx and not request.htmx.boosted:
        return render(request, "gateway/_bench_results.html", context)
    return render(request, "gateway/bench.html", context | _choice(request, version))


def _start(request: PersonRequest, version: Version) -> HttpResponse:
    now = timezone.now()
    chosen = benches.check_models(version, request.POST.getlist("models"))
    benches.start(
        version,
        models=chosen,
        most_cost=bench.most_cost(version, chosen, at=now),
        currency=settings.CURRENCY,
        by=request.actor.user,
        at=now,
    )
    messages.success(request, "The bench is under way. You may leave this page.")
    return redirect("gateway:bench", version.app.slug)


def _choice(request: PersonRequest, version: Version) -> dict[str, object]:
    """What a bench may run over, and what the chosen models would cost at most."""
    is_http = version.app.kind == App.Kind.HTTP
    known = [] if is_http else language_models.choosable()
    names = {model.name for model in known}
    asked = request.GET.getlist("models")
    chosen = [name for name in asked or version.allowed_models if name in names][: benches.MAX_MODELS]
    context: dict[str, object] = {
        "known": known,
        "chosen": chosen,
        "cases": benches.cases_of(version),
        "calls": len(benches.cases_of(version)) * (1 if is_http else len(chosen)),
        "is_http": is_http,
        "max_models": benches.MAX_MODELS,
        "sandbox": _sandbox(version),
        "credit": settings.SANDBOX_CREDIT,
    }
    try:
        if problem := bench.why_not(version):
            return context | {"problem": problem}
        most = bench.most_cost(version, benches.check_models(version, chosen), at=timezone.now())
    except HalfpennyError as error:
        return context | {"problem": error.message}
    return context | {"most_cost": most}


def _sandbox(version: Version) -> Subscription | None:
    """Return the sandbox that pays, once there is one; it is made when something first runs."""
    own = Subscription.objects.filter(app=version.app, team=version.app.owner_team_id, environment="sandbox")
    return own.exclude(state=Subscription.State.CANCELED).first()


def _results(request: PersonRequest, version: Version) -> dict[str, object]:
    run = benches.newest(version)
    columns = benches.columns(run) if run else []
    rows = (
        [(case, [column.cells[number] for column in columns]) for number, case in enumerate(run.cases)]
        if run
        else []
    )
    return {
        "version": version,
        "app": version.app,
        "about": about.of_version(version),
        "run": run,
        "columns": columns,
        "rows": rows,
        "done": sum(cell is not None for column in columns for cell in column.cells),
        "total": len(columns) * len(rows),
        "currency": settings.CURRENCY,
    }
