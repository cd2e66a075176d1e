"""What routing knows of every app, as a snapshot at an epoch of the directory: policies, approvals, what was learned."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID
from zlib import crc32

from django.db.models import F

from marketplace.catalog.models import Listing
from marketplace.core import epochs
from marketplace.core.snapshots import Snapshot
from marketplace.gateway.router import Offer
from marketplace.gateway.routing import intents, table
from marketplace.gateway.routing.table import Row
from marketplace.gateway.routing_models import DearModel, DearRule, RouteLearning, RoutePolicy
from metering.rating import to_atto

MODE = RoutePolicy.Mode
SPLIT = RoutePolicy.Split


@dataclass(frozen=True, slots=True)
class Policy:
    """A version in force."""

    id: UUID
    number: int
    rows: tuple[Row, ...]
    mode: str
    percent: int
    split_by: str
    quality_floor: int

    def acts_on(self, *, subscription_id: UUID | None, call_id: UUID) -> bool:
        """Tell whether it decides this call: the same answer for a subscription, or a call, each time."""
        if self.mode == MODE.SHADOW:
            return False
        if self.mode == MODE.ALL:
            return True
        of = call_id if self.split_by == SPLIT.REQUEST or subscription_id is None else subscription_id
        return crc32(self.id.bytes + of.bytes) % 100 < self.percent

    @property
    def asks_budget(self) -> bool:
        return any(row.budget_left_below is not None for row in self.rows)


@dataclass(frozen=True, slots=True)
class Learned:
    """What feedback has taught of an app."""

    offset: int = 0
    is_strong_only: bool = False
    quality: int | None = None


@dataclass(frozen=True, slots=True)
class Bound:
    """From when on which models are dear."""

    starts_at: datetime
    classes: frozenset[str]
    output_from: int | None
    """Atto units per million tokens of output; None: only classes count."""

    def is_dear(self, *, model_class: str, output_price: int) -> bool:
        over = self.output_from is not None and output_price >= self.output_from
        return over or model_class in self.classes


@dataclass(frozen=True, slots=True)
class RouteBook:
    """Everything that routing knows, at one epoch."""

    policies: dict[int, Policy]
    learned: dict[int, Learned]
    intents: dict[int, str]
    bounds: tuple[Bound, ...]
    approvals: dict[tuple[int, str], datetime | None]

    def bound(self, *, at: datetime) -> Bound | None:
        """Return the rule in force: the newest that has begun."""
        return next((one for one in reversed(self.bounds) if one.starts_at <= at), None)

    def is_approved(self, app_id: int, model: str, *, at: datetime) -> bool:
        """Tell whether an app has an approval of a dear model that has not ended."""
        if (app_id, model) not in self.approvals:
            return False
        ends_at = self.approvals[app_id, model]
        return ends_at is None or at < ends_at

    def withheld(
        self, app_id: int, allowed: Collection[str], offers: Collection[Offer], *, at: datetime
    ) -> frozenset[str]:
        """Return the models of ``allowed`` that are dear and that nobody approved for this app."""
        bound = self.bound(at=at)
        if bound is None:
            return frozenset()
        return frozenset(
            offer.model
            for offer in offers
            if offer.model in allowed
            and bound.is_dear(model_class=offer.model_class, output_price=offer.prices.output)
            and not self.is_approved(app_id, offer.model, at=at)
        )


def load_route_book() -> RouteBook:
    """Read policies in force, approvals and what was learned; four small queries."""
    policies = {
        one.app_id: Policy(
            one.pk, one.number, table.stored(one.rows), one.mode, one.percent, one.split_by, one.quality_floor
        )
        for one in RoutePolicy.objects.filter(state=RoutePolicy.State.IN_FORCE)
    }
    learned = {
        one.app_id: Learned(one.offset, one.is_strong_only, one.quality)
        for one in RouteLearning.objects.all()
    }
    listed = Listing.objects.filter(app__in=list(policies)).values_list(
        "app_id", "version__template", "app__category"
    )
    bounds = [
        Bound(one.starts_at, frozenset(one.model_classes), _atto(one.output_per_mtok_from))
        for one in DearRule.objects.order_by("starts_at", "pk")
    ]
    approved = DearModel.objects.filter(state=DearModel.State.APPROVED).annotate(name=F("model__name"))
    return RouteBook(
        policies,
        learned,
        {app_id: intents.of_app(template, category) for app_id, template, category in listed},
        tuple(bounds),
        {(one.app_id, one.name): one.ends_at for one in approved},
    )


def _atto(price: Decimal | None) -> int | None:
    return None if price is None else to_atto(price)


route_book: Snapshot[RouteBook] = Snapshot(epochs.DIRECTORY, load_route_book)
