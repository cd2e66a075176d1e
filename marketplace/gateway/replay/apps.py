"""The apps that a trace is spread over, with keys that live as long as the replay; and the proof of what arrived."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

from marketplace.accounts import keys
from marketplace.accounts.models import ApiKey
from marketplace.catalog.models import App, AppKey, Listing, Subscription, Version
from marketplace.catalog.subscriptions import issue_app_key
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.gateway.replay.events import ReplayedApp
from metering.models import UsageEvent
from metering.ratecards import price_book

KEY_NAME = "replay"
IDS_A_QUERY = 10_000


class NothingListed(Conflict):
    """There is no app that a trace could be replayed over."""

    code = "nothing_listed"

    def __init__(self) -> None:
        super().__init__("No app is listed. Load the demo world or list an app, then replay.")


def listed_apps(count: int) -> list[App]:
    """Return the first listed apps by slug; raises NothingListed."""
    listings = Listing.objects.filter(version__state=Version.State.LISTED).select_related(
        "app__owner_team__organization", "version"
    )
    apps = [listing.app for listing in listings.order_by("app__slug")[:count]]
    if not apps:
        raise NothingListed
    return apps


@contextmanager
def replayed_apps(apps: Sequence[App], *, clock: Callable[[], datetime]) -> Iterator[list[ReplayedApp]]:
    """Give every app a key of its own for as long as the block runs; afterwards the keys are revoked."""
    at = clock()
    issued: list[ApiKey] = []
    try:
        replayed = []
        for app in apps:
            key, text = issue_app_key(app, environment="production", by=None, at=at, name=KEY_NAME)
            issued.append(key)
            replayed.append(_replayed(app, text, at=at))
        yield replayed
    finally:
        for key in issued:
            keys.revoke(key, at=clock(), by=None, reason="the replay is over")


def app_of_key(text: str, *, at: datetime) -> ReplayedApp:
    """Return the one app that a given key reports for; raises BadKey, and InvalidInput for a key of another kind."""
    key = keys.authenticate(text, at=at)
    link = AppKey.objects.select_related("app").filter(key=key).first()
    if link is None:
        raise InvalidInput("key", "is no key of an app; only an app reports usage", code="wrong_kind_of_key")
    return _replayed(link.app, text, at=at)


def _replayed(app: App, key: str, *, at: datetime) -> ReplayedApp:
    return ReplayedApp(app.slug, key, model=_model_of(app, at=at), subscription=_subscription_of(app))


def _model_of(app: App, *, at: datetime) -> str:
    """Return the first model that the app's version allows and that has a price, else the first one with a price."""
    book = price_book.current()
    priced = [
        name for name, facts in sorted(book.models.items()) if any(c.ends_at is None for c in facts.cards)
    ]
    version = app.versions.filter(state=Version.State.LISTED).order_by("-number").first()
    allowed = version.allowed_models if version else []
    found = next((name for name in (*allowed, *priced) if name in priced), None)
    if found is None:
        raise Conflict("No model has a price; add rate cards (manage.py seed_catalogue), then replay.")
    return found


def _subscription_of(app: App) -> str:
    """Return the subscription with most room a day, so that a replay uses up nobody's free quota; may be none."""
    found = (
        Subscription.objects.filter(app=app, environment="production", state=Subscription.State.ACTIVE)
        .order_by("-plan__daily_calls_limit", "pk")
        .first()
    )
    return str(found.pk) if found else ""


def missing(acknowledged: Mapping[str, Sequence[str]]) -> list[str]:
    """Return what was acknowledged and is not in the database: always nothing, or the promise is broken."""
    lost = []
    for slug, ids in acknowledged.items():
        for start in range(0, len(ids), IDS_A_QUERY):
            part = ids[start : start + IDS_A_QUERY]
            found = set(
                UsageEvent.objects.filter(app__slug=slug, event_id__in=part).values_list(
                    "event_id", flat=True
                )
            )
            lost += [f"{slug}/{identity}" for identity in part if identity not in found]
    return lost
