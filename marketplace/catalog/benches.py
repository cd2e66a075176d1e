"""Benches: begun with the cost that was shown, filled call by call, judged as the check judges, compared by model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from statistics import median_low
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import User
from marketplace.catalog import subjects
from marketplace.catalog.bench_models import BenchResult, BenchRun
from marketplace.catalog.check_models import CheckRun
from marketplace.catalog.judging import SmokeCall
from marketplace.catalog.models import App, Version
from marketplace.catalog.scans import running
from marketplace.catalog.scans.running import ToolFailed
from marketplace.core import audit, jobs
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.money import exact, to_text

JOB = "gateway.run_bench"
MAX_MODELS = 5
GIVEN_UP_AFTER = timedelta(hours=1)
# An app that runs elsewhere chooses its models itself.
ELSEWHERE = ""


class BenchUnderWay(Conflict):
    """One bench of a version runs at a time."""

    code = "bench_under_way"

    def __init__(self) -> None:
        super().__init__("A bench of this version is under way. Wait for it; its page shows how far it is.")


@dataclass(frozen=True)
class Column:
    """What one model came to over all cases."""

    model: str
    passed: int
    judged: int
    failed: int
    mean_cost: Decimal | None
    median_latency_ms: int | None
    cells: Sequence[BenchResult | None]


def cases_of(version: Version) -> list[dict[str, Any]]:
    """Return what a bench runs: the app's own example, which is expected nothing of, then the maker's examples."""
    return [{"input": version.example_input, "expect": []}, *version.examples]


def check_models(version: Version, names: Sequence[str]) -> list[str]:
    """Return the models of a bench as they are asked for; raises InvalidInput."""
    if version.app.kind == App.Kind.HTTP:
        return [ELSEWHERE]
    chosen = list(dict.fromkeys(names))
    if not chosen:
        raise InvalidInput("models", "must name at least one", code="required")
    if len(chosen) > MAX_MODELS:
        raise InvalidInput("models", f"may be at most {MAX_MODELS}", limit=MAX_MODELS)
    return chosen


@transaction.atomic
def start(
    version: Version, *, models: Sequence[str], most_cost: Decimal, currency: str, by: User, at: datetime
) -> BenchRun:
    """Begin a bench of a version's examples and queue its calls. Raises BenchUnderWay."""
    stale = BenchRun.objects.filter(version=version, ended_at=None, created_at__lt=at - GIVEN_UP_AFTER)
    stale.update(ended_at=at, stopped_because="It was given up after several tries.")
    try:
        with transaction.atomic():
            run = BenchRun.objects.create(
                version=version,
                model_names=list(models),
                cases=cases_of(version),
                most_cost=most_cost,
                currency=currency,
                created_by=by,
                created_at=at,
            )
    except IntegrityError as error:
        raise BenchUnderWay from error
    jobs.enqueue(JOB, idempotency_key=f"bench:{run.pk}", at=at, by=by, bench_run_id=str(run.pk))
    new = {"models": list(models), "most_cost": to_text(most_cost)}
    audit.record("catalog.bench.started", subject=version, at=at, by=by, new=new)
    return run


def missing(run: BenchRun) -> list[tuple[str, int]]:
    """Return the calls that are still to be made: model and number of the case."""
    made = set(run.results.values_list("model", "case"))
    wanted = [(model, case) for model in run.model_names for case in range(len(run.cases))]
    return [one for one in wanted if one not in made]


def note(run: BenchRun, *, model: str, case: int, call: SmokeCall) -> None:
    """Write what one call brought; a second result of the same call is dropped."""
    result = BenchResult(
        run=run,
        model=model,
        case=case,
        output=(call.output or "").replace("\x00", ""),
        failure=call.error,
        cost=call.cost,
        latency_ms=call.latency_ms,
    )
    BenchResult.objects.bulk_create([result], ignore_conflicts=True)


def finish(run: BenchRun, *, stopped_because: str, at: datetime) -> None:
    """Judge the answers of each model and end the bench; what cannot be judged stays unjudged, with the reason."""
    reasons = [stopped_because] if stopped_because else []
    for model in run.model_names:
        try:
            _judge(run, model)
        except ToolFailed as error:
            reasons.append(f"The answers could not be judged: {error.message}")
            break
    BenchRun.objects.filter(pk=run.pk, ended_at=None).update(ended_at=at, stopped_because=" ".join(reasons))


def _judge(run: BenchRun, model: str) -> None:
    """Hold a model's answers against what is expected, in the same process apart as the check does."""
    results = list(run.results.filter(model=model).order_by("case"))
    answered = [one for one in results if not one.failure]
    subject = replace(
        subjects.subject_of(run.version, "behavior"),
        examples=tuple(run.cases),
        outputs=tuple((one.case, one.output) for one in answered),
        costs=tuple((one.case, to_text(one.cost)) for one in answered),
    )
    report = running.run(CheckRun.Name.BEHAVIOR, subject)
    for one in results:
        place = f"example {one.case + 1}"
        missed = [found.message for found in report.findings if found.place == place]
        one.missed = missed if run.cases[one.case]["expect"] else None
    BenchResult.objects.bulk_update(results, ["missed"])


def visible(actor: Actor) -> QuerySet[BenchRun]:
    """Return the benches of the apps that this person makes, with their results (one more query)."""
    found = BenchRun.objects.filter(version__app__owner_team__in=actor.teams_as(Role.CREATOR))
    return found.select_related("version__app", "created_by").prefetch_related("results")


def newest(version: Version) -> BenchRun | None:
    """Return the newest bench of a version."""
    return version.bench_runs.order_by("-created_at").first()


def columns(run: BenchRun) -> list[Column]:
    """Lay the results of a bench out side by side, a column for each model."""
    by_place: Mapping[tuple[str, int], BenchResult] = {
        (one.model, one.case): one for one in run.results.all()
    }
    return [
        _column(model, [by_place.get((model, case)) for case in range(len(run.cases))])
        for model in run.model_names
    ]


def _column(model: str, cells: list[BenchResult | None]) -> Column:
    made = [one for one in cells if one is not None]
    answered = [one for one in made if not one.failure]
    judged = [one for one in made if one.missed is not None]
    with exact():
        mean = sum((one.cost for one in answered), Decimal(0)) / len(answered) if answered else None
    return Column(
        model=model,
        passed=sum(not one.missed for one in judged),
        judged=len(judged),
        failed=sum(bool(one.failure) for one in made),
        mean_cost=mean,
        median_latency_ms=median_low([one.latency_ms for one in answered]) if answered else None,
        cells=cells,
    )
