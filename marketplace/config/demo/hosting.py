"""What people of the story did with hosted apps: runs they kept and shared, a bench, a form begun and left."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from marketplace.catalog import benches, kept_runs, unfinished
from marketplace.catalog.bench_models import BenchResult, BenchRun
from marketplace.catalog.forms import app_form
from marketplace.catalog.kept_runs import Result
from marketplace.catalog.models import App, Subscription
from marketplace.catalog.templates_library import get_template
from marketplace.config.demo.people import Cast
from marketplace.config.demo.timeline import Timeline

BEGUN = UUID("b0a7f1de-0000-4000-8000-000000000001")
KEEP_DAYS = 30
# app, days ago, input, output, problems, cost, model, milliseconds
RUNS: tuple[tuple[str, int, Mapping[str, str], object, tuple[str, ...], str, str, int], ...] = (
    (
        "where2eat", 9, {"city": "Boston", "cuisine": "Italian", "occasion": "lunch with a customer"},
        "Try the small room at Porto Vecchio: quiet, ten minutes from the harbor, and it takes groups of four.",
        (), "0.000412", "llm-8b", 840,
    ),
    ("translator", 4, {"text": "Thank you for your patience.", "language": "German"}, "Vielen Dank für Ihre Geduld.", (), "0.000051", "llm-8b", 420),
    ("where2eat", 1, {"city": "Oslo", "cuisine": "Vegetarian", "occasion": "dinner for two"}, "Bord 7 by the water has a table at eight.", (), "0.000398", "llm-8b", 910),
)  # fmt: skip
BENCHED = ("llm-8b", "llm-70b")


def tell(cast: Cast, apps: Mapping[str, App], timeline: Timeline) -> None:
    """Write all of it, after the apps and their subscriptions."""
    _run(cast, apps, timeline)
    _bench(cast, timeline)
    _begin(cast, timeline)


def _run(cast: Cast, apps: Mapping[str, App], timeline: Timeline) -> None:
    """Let the consumer use apps of their team, and share the oldest run."""
    person = cast.person("consumer")
    for number, (slug, days, data, output, problems, cost, model, latency_ms) in enumerate(RUNS):
        at = timeline.ago(days, 11, number)
        paid = Subscription.objects.filter(app=apps[slug], team__slug="team-ops", environment="production")
        subscription = paid.select_related("app__listing__version").earliest("starts_at")
        run, _ = kept_runs.begin(
            UUID(f"b0a7f1de-0000-4000-8000-0000000001{number:02}"),
            subscription=subscription,
            version=subscription.app.listing.version,
            data=data,
            by=person,
            at=at,
            keep_days=KEEP_DAYS,
        )
        result = Result(output, problems, Decimal(cost), "USD", model, latency_ms)
        kept_runs.end(run, result=result, at=at + timedelta(milliseconds=latency_ms))
        if not number:
            kept_runs.share(run, days=KEEP_DAYS, by=person, at=at + timedelta(minutes=5))


def _bench(cast: Cast, timeline: Timeline) -> None:
    """Let the creator compare two models on the draft of the survey digest."""
    at = timeline.ago(1, 15)
    app = App.objects.get(slug="survey-digest")
    version = app.versions.get()
    version.examples = [
        {
            "input": {"answers": "The coffee is cold.\nThe coffee is always cold.\nNice chairs."},
            "expect": [{"kind": "contains", "value": "coffee"}, {"kind": "max_cost", "value": "0.0005"}],
        }
    ]
    version.save(update_fields=["examples"])
    run = BenchRun.objects.create(
        version=version,
        model_names=list(BENCHED),
        cases=benches.cases_of(version),
        most_cost=Decimal("0.004812"),
        currency="USD",
        created_by=cast.person("creator"),
        created_at=at,
        ended_at=at + timedelta(seconds=9),
    )
    said = "Most answers are about the coffee, which people find too cold; some like the chairs."
    costs = {"llm-8b": Decimal("0.000089"), "llm-70b": Decimal("0.000612")}
    dear = "1 of 1 answers do not keep what is expected: costs at most 0.0005."
    BenchResult.objects.bulk_create(
        BenchResult(
            run=run,
            model=model,
            case=case,
            output=said
            if case
            else "The canteen is liked, lunch takes too long, and more vegan food is wanted.",
            missed=None if not case else [] if model == "llm-8b" else [dear],
            cost=costs[model],
            latency_ms=640 if model == "llm-8b" else 1_720,
        )
        for model in BENCHED
        for case in (0, 1)
    )


def _begin(cast: Cast, timeline: Timeline) -> None:
    """Let the creator begin an app and be called away."""
    template = get_template("batch-labeler")
    creator = cast.person("creator")
    team = cast.teams["team-ux"]
    initial = app_form.initial_of_template(template, contact=creator.email, team=None)
    typed = {name: _sent(value) for name, value in initial.items() if value not in ("", None)}
    rows = app_form.rows_of_template(template)
    typed |= {
        "team": [str(team.pk)],
        "name": ["Review labeler"],
        "summary": ["Sorts what guests write about us."],
        "inputs-TOTAL_FORMS": [str(len(rows))],
        "inputs-INITIAL_FORMS": ["0"],
    }
    for number, row in enumerate(rows):
        given = {name: value for name, value in row.items() if value not in ("", None, False)}
        typed |= {f"inputs-{number}-{name}": _sent(value) for name, value in given.items()}
    unfinished.keep(BEGUN, typed, template="batch-labeler", by=creator, at=timeline.ago(0, 9))


def _sent(value: object) -> list[str]:
    """Return a value as a browser sends it."""
    if isinstance(value, list):
        return [str(one) for one in value]
    return ["on"] if value is True else [str(value)]
