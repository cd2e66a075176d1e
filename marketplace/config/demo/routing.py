"""Route policies: one that decides, one in shadow with two weeks of figures, and a dear model that waits for a decision."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

from marketplace.accounts.access import actor_for
from marketplace.accounts.models import User
from marketplace.catalog.models import App
from marketplace.config.demo.people import Cast
from marketplace.config.demo.timeline import Timeline
from marketplace.gateway.routing import dear, policies
from marketplace.gateway.routing.policies import Draft, Mode
from marketplace.gateway.routing.table import AUTO, STRONGEST, Row
from marketplace.gateway.routing_models import RoutePolicy, RouteTally
from metering.models import DailyRollup
from metering.ratecards import PriceBook
from metering.rating import Quantities, from_atto, token_cost

DECIDES, IN_SHADOW, ASKS = "where2eat", "meeting-summarizer", "inbox-digest"
SHADOW_SINCE, SHADOW_UNTIL = 16, 2


def tell(cast: Cast, timeline: Timeline, *, book: PriceBook) -> None:
    """Tell it through the functions that everybody uses; the figures in shadow are of the usage that there is."""
    _decide(cast, timeline)
    _watch(cast, timeline, book)
    _ask(cast, timeline)


def _owner(app: App) -> User:
    return User.objects.filter(memberships__team=app.owner_team, memberships__role="creator").earliest("pk")


def _decide(cast: Cast, timeline: Timeline) -> None:
    app = App.objects.get(slug=DECIDES)
    owner = actor_for(cast.person("creator"))
    small, large = _classes(app)
    rows = (Row(small, tokens_below=512, tools=False), Row(large, tools=True), Row(AUTO))
    first = Draft(rows, mode=Mode.SHADOW, note="Try it for a week.")
    policies.save(app, first, by=owner, at=timeline.ago(20, 10))
    then = Draft(rows, mode=Mode.ALL, quality_floor=90, note="Shadow saved what we hoped; it decides now.")
    policies.save(app, then, by=owner, at=timeline.ago(12, 15))


def _watch(cast: Cast, timeline: Timeline, book: PriceBook) -> None:
    app = App.objects.get(slug=IN_SHADOW)
    small, _ = _classes(app)
    draft = Draft(
        (Row(small, intents=("summary",), tokens_below=2048), Row(STRONGEST, tokens_from=8000), Row(AUTO)),
        mode=Mode.SHADOW, note="Short meetings do not need the large model.",
    )  # fmt: skip
    saved = policies.save(app, draft, by=actor_for(_owner(app)), at=timeline.ago(SHADOW_SINCE, 9))
    would = next(name for name, its_class in policies.models_of(app).items() if its_class == small)
    _count_shadow(saved, would, timeline, book)


def _count_shadow(policy: RoutePolicy, would: str, timeline: Timeline, book: PriceBook) -> None:
    """Count the app's days as they were, with the weaker model's price beside what was paid."""
    first, last = timeline.day - timedelta(days=SHADOW_SINCE), timeline.day - timedelta(days=SHADOW_UNTIL)
    days = (
        DailyRollup.objects.filter(
            attribution__app=policy.app, attribution__model__isnull=False, day__gte=first, day__lt=last, cost__gt=0
        )
        .select_related("attribution__model")
        .order_by("day", "attribution__model__name", "pk")
    )  # fmt: skip
    sums: dict[tuple[date, str, str], list[Decimal]] = {}
    for one in days:
        at = datetime.combine(one.day, time(12), UTC)
        used = Quantities(
            input_tokens=one.input_tokens, output_tokens=one.output_tokens,
            cached_input_tokens=one.cached_input_tokens, cache_write_tokens=one.cache_write_tokens,
            reasoning_tokens=one.reasoning_tokens,
        )  # fmt: skip
        assert one.attribution.model is not None
        model = one.attribution.model.name
        other = one.cost if model == would else from_atto(token_cost(used, book.token_prices(would, at)))
        told = sums.setdefault((one.day, model, one.currency), [Decimal(0)] * 3)
        told[:] = [told[0] + one.requests, told[1] + one.cost, told[2] + other]
    RouteTally.objects.bulk_create(
        RouteTally(
            app=policy.app, day=day, policy_number=policy.number, intent="summary", model=model, would_model=would,
            currency=currency, calls=int(calls), cost=cost, would_cost=other,
        )
        for (day, model, currency), (calls, cost, other) in sums.items()
    )  # fmt: skip


def _ask(cast: Cast, timeline: Timeline) -> None:
    app = App.objects.get(slug=ASKS)
    dear.set_rule(
        classes=("large",),
        output_per_mtok_from=None,
        starts_at=timeline.ago(25, 8),
        reason="Large models cost five times as much; somebody looks at each app first.",
        by=actor_for(cast.person("operator")),
        at=timeline.ago(25, 8),
    )
    model = list(policies.models_of(app))[-1]
    dear.ask(
        app,
        model=model,
        reason="Long threads lose their decisions with the smaller model: 14 % of digests against 3 % in our bench.",
        ends_at=None,
        by=actor_for(_owner(app)),
        at=timeline.ago(1, 14),
    )


def _classes(app: App) -> tuple[str, str]:
    """Return the weakest and the strongest class that an app's version may use."""
    found = list(policies.models_of(app).values())
    return found[0], found[-1]
