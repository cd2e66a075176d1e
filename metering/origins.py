"""Whom reported usage belongs to: what events name, looked up once for all that name the same."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

import msgspec

from marketplace.core.errors import InvalidInput
from metering.attribution import Dimensions
from metering.ingest import named
from metering.ratecards import PriceBook, Tariff
from metering.reported import Event, Rejection

ENVIRONMENTS = frozenset({"production", "staging", "sandbox"})


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose an app is from a time on, and on which cost center its own use is booked."""

    starts_at: datetime
    team_id: int
    slug: str
    organization_id: int
    cost_center_id: int


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a rule says that an unknown name stands for; without any, it is as if it were not named."""

    payer: "Payer | None" = None
    cost_center_id: int | None = None
    # A cost center is one of its organization's payers only.
    organization_id: int | None = None


@dataclass(frozen=True, slots=True)
class Reporter:
    """Whose key sent the report: the app, its owner, and who pays when nobody else is named.

    ``owners`` are all of an app that has changed hands or will, oldest first, and empty for others. ``rules`` are by
    field and value. ``keeps`` tells that events of the app are kept in its inbox.
    """

    app_id: int
    slug: str
    owner_team_id: int
    owner_slug: str
    organization_id: int
    cost_center_id: int
    key_id: UUID | None
    environment: str
    epoch: int = 0
    owner_name: str = ""
    owners: tuple[Owner, ...] = ()
    rules: Mapping[tuple[str, str], Meaning] = field(default_factory=dict)
    keeps: bool = False

    def owned_by(self, owner: Owner) -> "Reporter":
        """Return it as it is while this owner has the app."""
        return replace(
            self,
            owner_team_id=owner.team_id,
            owner_slug=owner.slug,
            organization_id=owner.organization_id,
            cost_center_id=owner.cost_center_id,
        )


@dataclass(frozen=True, slots=True)
class Payer:
    """Whom a subscription's usage belongs to."""

    subscription_id: UUID
    plan_id: int | None
    organization_id: int
    team_id: int
    cost_center_id: int
    environment: str


class Rejected(InvalidInput):
    """One event of a report cannot be taken; the others can."""

    def __init__(self, code: str, field: str, message: str) -> None:
        super().__init__(field, message, code=code)


class Unplaceable(Rejected):
    """An event names something that we do not know; somebody may tell what it stands for."""

    def __init__(self, code: str, field: str, message: str, *, value: str) -> None:
        self.value = value
        super().__init__(code, field, message)


FindPayer = Callable[[str], Payer | None]
FindCostCenter = Callable[[int, str], int | None]


@dataclass(slots=True)
class Origin:
    """What events that name the same app, model, payer and so on have in common; looked up once for all of them.

    ``said`` is those names as their sender wrote them, in an unambiguous form.
    """

    who: Dimensions
    model: str
    tariff: Tariff
    said: str


@dataclass(slots=True)
class Nowhere:
    """What events that name the same unknown thing have in common: why they are rejected, and who they would be of."""

    rejection: Rejection
    value: str
    origin: Origin


# By what events name, in the order of ``said`` in ``check``.
Origins = dict[tuple[str | None, ...], Origin | Rejection | Nowhere]


class Owners:
    """Gives events to whoever owned the app when they occurred, with what was looked up for that owner."""

    def __init__(self, reporter: Reporter, at: datetime) -> None:
        self._now = at
        self._known: list[tuple[datetime, Reporter, Origins]]
        self._known = [(owner.starts_at, reporter.owned_by(owner), {}) for owner in reversed(reporter.owners)]

    def at(self, timestamp: datetime | None) -> "tuple[Reporter, Origins]":
        # A time without a zone is refused later on.
        moment = self._now if timestamp is None or timestamp.tzinfo is None else timestamp
        for starts_at, reporter, origins in self._known:
            if starts_at <= moment:
                return reporter, origins
        return self._known[-1][1:]


def find_origin(
    event: Event,
    said: tuple[str | None, ...],
    *,
    reporter: Reporter,
    book: PriceBook,
    find_payer: FindPayer,
    find_cost_center: FindCostCenter,
) -> Origin | Rejection | Nowhere:
    """Look up what an event names; what is wrong with it is wrong with all that name the same."""
    try:
        if event.app_id != reporter.slug and ("app_id", event.app_id) not in reporter.rules:
            message = f"This key may not report usage of {event.app_id!r}."
            raise Unplaceable("unknown_app", "app_id", message, value=event.app_id)
        if "\x00" in (event.feature or ""):
            raise Rejected("invalid_field", "feature", "A text may not contain the character NUL.")
        if (
            event.owner is not None
            and event.owner != reporter.owner_slug
            and ("owner", event.owner) not in reporter.rules
        ):
            message = f"{event.owner!r} does not own this app."
            raise Unplaceable("wrong_owner", "owner", message, value=event.owner)
        tariff = book.tariff(event.model or "", event.instance_type or "")
        who = _who(event, reporter=reporter, find_payer=find_payer, find_cost_center=find_cost_center)
        who = named(who, tariff)
    except Unplaceable as error:
        return _nowhere(error, event, said, reporter=reporter, book=book)
    except InvalidInput as error:
        return rejection_for(error)
    environment = event.environment or "production"
    return Origin(who, event.model or "", tariff, repr((*said[:2], environment, *said[3:])))


def _nowhere(
    error: Unplaceable, event: Event, said: tuple[str | None, ...], *, reporter: Reporter, book: PriceBook
) -> Rejection | Nowhere:
    """Say whose usage it would be if nothing were named; a plain rejection when even then something is wrong."""
    rejection = rejection_for(error)
    bare = msgspec.structs.replace(
        event, app_id=reporter.slug, owner=None, subscription=None, cost_center=None
    )
    origin = find_origin(
        bare,
        said,
        reporter=reporter,
        book=book,
        find_payer=lambda text: None,
        find_cost_center=lambda organization_id, code: None,
    )
    return Nowhere(rejection, error.value, origin) if isinstance(origin, Origin) else rejection


def rejection_for(error: InvalidInput) -> Rejection:
    return Rejection(error.code, error.field, error.errors[0].message)


def _who(
    event: Event, *, reporter: Reporter, find_payer: FindPayer, find_cost_center: FindCostCenter
) -> Dimensions:
    environment = event.environment or reporter.environment
    if environment not in ENVIRONMENTS:
        raise Rejected("invalid_field", "environment", "The environment is production, staging or sandbox.")
    if reporter.environment != "production" and environment != reporter.environment:
        raise Rejected(
            "wrong_environment", "environment", f"This key reports {reporter.environment} usage only."
        )
    payer = None
    if event.subscription is not None:
        payer = find_payer(event.subscription)
        if payer is None:
            meaning = reporter.rules.get(("subscription", event.subscription))
            if meaning is None:
                message = "This app has no such subscription."
                raise Unplaceable("unknown_subscription", "subscription", message, value=event.subscription)
            payer = meaning.payer
    organization_id = payer.organization_id if payer else reporter.organization_id
    cost_center_id = payer.cost_center_id if payer else reporter.cost_center_id
    if event.cost_center is not None:
        found = find_cost_center(organization_id, event.cost_center)
        meaning = None if found else reporter.rules.get(("cost_center", event.cost_center))
        if meaning is not None and meaning.organization_id in (None, organization_id):
            found = meaning.cost_center_id or cost_center_id
        if found is None:
            message = "The payer has no such cost center."
            raise Unplaceable("unknown_cost_center", "cost_center", message, value=event.cost_center)
        cost_center_id = found
    return Dimensions(
        app_id=reporter.app_id,
        owner_team_id=reporter.owner_team_id,
        organization_id=organization_id,
        team_id=payer.team_id if payer else reporter.owner_team_id,
        cost_center_id=cost_center_id,
        subscription_id=payer.subscription_id if payer else None,
        plan_id=payer.plan_id if payer else None,
        key_id=reporter.key_id,
        environment=payer.environment if payer and payer.environment == "sandbox" else environment,
        model_id=None,
        model_asked="",
        instance_type=event.instance_type or "",
        feature=event.feature or "",
    )
