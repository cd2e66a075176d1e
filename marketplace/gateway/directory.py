"""Who calls: keys, subscriptions and apps, looked up once and kept until the directory's epoch moves on."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import F, Q

from marketplace.accounts import keys
from marketplace.accounts.keys import BadKey
from marketplace.accounts.models import ApiKey, CostCenter
from marketplace.catalog.models import App, AppKey, Listing, Subscription, Version
from marketplace.catalog.owning import AppOwnership
from marketplace.core.epochs import DIRECTORY, read_epochs
from marketplace.core.errors import NotAllowed, NotFound, Unavailable
from marketplace.gateway import books, leaving
from marketplace.gateway.caching.terms import NOTHING, SavingTerms, terms_of
from marketplace.gateway.sunset import Ending, ending_of
from metering.attribution import Dimensions
from metering.inbox_models import AttributionRule, Inbox
from metering.origins import Meaning, Origins, Owner, Payer, Reporter
from quotas import incident_queries, payment_stops

MOST_REMEMBERED = 50_000
MOST_ORIGINS = 1_000
# A caller that is turned away takes part in no transaction, and so does not hear of a new epoch by itself.
TROUBLE_REMEMBERED = timedelta(seconds=1)


class AppPaused(Unavailable):
    """The app is not listed now, or an incident stopped it; nothing was called and nothing is charged."""

    code = "app_paused"

    def __init__(self, slug: str) -> None:
        super().__init__(f"The app {slug!r} is paused.", retry_after_s=300)


class SubscriptionEnded(NotAllowed):
    """The subscription is canceled or suspended."""

    code = "payment_required"

    def __init__(self, state: str) -> None:
        super().__init__(f"This subscription is {state}.")


class PaymentOverdue(SubscriptionEnded):
    """Calls of the organization are stopped until it has paid; the message says what to do."""

    def __init__(self, text: str) -> None:
        NotAllowed.__init__(self, text)


@dataclass(frozen=True, slots=True)
class AppFacts:
    """What runs: one version of an app."""

    app_id: int
    slug: str
    name: str
    kind: str
    version_id: int
    instructions: str
    prompt_template: str
    input_schema: dict[str, Any]
    allowed_models: tuple[str, ...]
    max_output_tokens: int
    endpoint_url: str
    signing_secret: str
    ending: Ending | None = None
    output_format: str = "text"
    output_schema: Mapping[str, Any] = field(default_factory=dict)
    endpoint_contract: Mapping[str, Any] = field(default_factory=dict)
    when_caller_leaves: str = ""
    documents: tuple[tuple[UUID, str], ...] = ()
    """Id and name of each."""
    passage_tokens: int = 0
    shows_sources: bool = True
    saving: SavingTerms = NOTHING


@dataclass(frozen=True, slots=True)
class Caller:
    """A subscription that calls an app: the dimensions of its usage and what it may run."""

    who: Dimensions
    app: AppFacts
    state: str
    epoch: int
    next_owner: tuple[datetime, int] | None = None
    payment_stop: str = ""
    """Why calls of the organization are stopped, and what to do; empty while they are not."""

    def who_at(self, at: datetime) -> Dimensions:
        """Return the dimensions of a call at a time: from its date on, usage is of the next owner's app."""
        if self.next_owner is None or at < self.next_owner[0]:
            return self.who
        return self.who._replace(owner_team_id=self.next_owner[1])

    @property
    def ending_headers(self) -> dict[str, str]:
        """What an answer says of the app's end; nothing while none is announced."""
        return self.app.ending.headers if self.app.ending else {}

    @property
    def may_call(self) -> bool:
        return self.state == Subscription.State.ACTIVE and not self.payment_stop

    def require_active(self) -> None:
        """Raise SubscriptionEnded unless the subscription may call, PaymentOverdue while its organization may not."""
        if self.state != Subscription.State.ACTIVE:
            raise SubscriptionEnded(self.state)
        if self.payment_stop:
            raise PaymentOverdue(self.payment_stop)


@dataclass(frozen=True, slots=True)
class _Known:
    """A key as remembered: enough to check a presented one without a query."""

    epoch: int
    secret_hash: bytes
    kind: str
    expires_at: datetime | None
    revoked_at: datetime | None
    holder: Caller | Reporter | None
    trouble: Exception | None
    looked_up_at: datetime


class Directory:
    """Keys of one process. ``epoch`` is the newest number this process knows; older entries are dropped."""

    def __init__(self) -> None:
        self.epoch = -1
        self._known: dict[str, _Known] = {}
        self._payers: dict[tuple[int, str], Payer | None] = {}
        self._cost_centers: dict[tuple[int, str], int | None] = {}
        self._origins: dict[UUID | None, Origins] = {}

    def renew(self, epoch: int) -> None:
        """Forget everything that was learned under an older epoch."""
        if epoch != self.epoch:
            self._known.clear()
            self._payers.clear()
            self._cost_centers.clear()
            self._origins = {}
            self.epoch = epoch

    def remembered(self, presented: str, *, kind: str, at: datetime) -> Caller | Reporter | None:
        """Return the holder of a key without a query, or None when it has to be looked up. Raises BadKey."""
        parsed = keys.parse(presented)
        known = self._known.get(parsed.prefix)
        if known is None or known.epoch != self.epoch:
            return None
        if parsed.kind != kind or known.kind != kind:
            raise BadKey
        if not hmac.compare_digest(known.secret_hash, parsed.secret_hash):
            raise BadKey
        if (known.expires_at and known.expires_at <= at) or (known.revoked_at and known.revoked_at <= at):
            raise BadKey
        if known.trouble is not None:
            if at - known.looked_up_at >= TROUBLE_REMEMBERED:
                return None
            raise known.trouble
        if isinstance(known.holder, Caller) and not known.holder.may_call:
            # Turned away like above: looked up again, so that calls go on soon after the payment.
            return known.holder if at - known.looked_up_at < TROUBLE_REMEMBERED else None
        return known.holder

    def look_up(self, presented: str, *, kind: str, at: datetime) -> Caller | Reporter:
        """Read the holder of a key from the database and remember it. Raises BadKey, AppPaused."""
        parsed = keys.parse(presented)
        epoch = read_epochs().get(DIRECTORY, 0)
        self.renew(epoch)
        key = ApiKey.objects.filter(prefix=parsed.prefix).first()
        if key is None or not keys.matches(key, parsed, at=at) or key.kind != kind:
            raise BadKey
        holder: Caller | Reporter | None = None
        trouble: Exception | None = None
        try:
            holder = _caller(key, epoch=epoch) if kind == ApiKey.Kind.SUB else _reporter(key, epoch=epoch)
        except AppPaused as error:
            trouble = error
        if len(self._known) > MOST_REMEMBERED:
            self._known.clear()
        self._known[parsed.prefix] = _Known(
            epoch, bytes(key.secret_hash), key.kind, key.expires_at, key.revoked_at, holder, trouble, at
        )
        if trouble is not None:
            raise trouble
        assert holder is not None
        return holder

    def origins(self, reporter: Reporter) -> Origins:
        """Return what earlier reports of a reporter looked up under its epoch, to be added to."""
        if reporter.epoch != self.epoch:
            return {}
        found = self._origins.setdefault(reporter.key_id, {})
        if len(found) > MOST_ORIGINS:
            found = self._origins[reporter.key_id] = {}
        return found

    def load_payers(self, app_id: int, ids: set[str]) -> None:
        """Look up the subscriptions that a report names."""
        for text in ids:
            if (app_id, text) not in self._payers:
                self._payers[app_id, text] = _payer(app_id, text)

    def payer(self, app_id: int, text: str) -> Payer | None:
        """Return a subscription that ``load_payers`` looked up; None when the app has no such one."""
        return self._payers.get((app_id, text))

    def load_cost_centers(self, organization_ids: set[int], codes: set[str]) -> None:
        """Look up the cost centers that a report names, in each organization that may be meant."""
        for organization_id in organization_ids:
            for code in codes:
                if (organization_id, code) not in self._cost_centers:
                    found = CostCenter.objects.filter(organization=organization_id, code=code).first()
                    self._cost_centers[organization_id, code] = found.pk if found else None

    def cost_center(self, organization_id: int, code: str) -> int | None:
        """Return the id of a cost center that ``load_cost_centers`` looked up."""
        return self._cost_centers.get((organization_id, code))


def _caller(key: ApiKey, *, epoch: int) -> Caller:
    subscription = _subscription(Q(key_links__key=key))
    if subscription is None:
        raise BadKey
    return caller_of(subscription, key_id=key.pk, epoch=epoch)


def caller_of(
    subscription: Subscription,
    *,
    key_id: UUID | None = None,
    version: Version | None = None,
    epoch: int | None = None,
) -> Caller:
    """Return a subscription as a caller of the listed version, or of ``version`` when it is tried before that.

    Raises AppPaused when nothing is listed, or an incident has stopped what is.
    """
    if epoch is None:
        epoch = read_epochs().get(DIRECTORY, 0)
    app = subscription.app
    # A version that is tried before it is listed is what may mend the app.
    is_ordinary = version is None
    version = version or _listed_version(app)
    if version is None or (is_ordinary and incident_queries.is_paused(subscription)):
        raise AppPaused(app.slug)
    owned, coming = _now_and_next(_ownerships(app.pk))
    who = Dimensions(
        app_id=app.pk,
        owner_team_id=owned.team_id,
        organization_id=subscription.team.organization_id,
        team_id=subscription.team_id,
        cost_center_id=subscription.cost_center_id,
        subscription_id=subscription.pk,
        plan_id=subscription.plan_id,
        key_id=key_id,
        environment=subscription.environment,
        model_id=None,
        model_asked="",
        instance_type="",
        feature="",
    )
    next_owner = (coming.starts_at, coming.team_id) if coming else None
    # What is measured of a version before it is listed is what its calls cost, without anything saved.
    facts = app_facts(app, version, saving=terms_of(app.pk) if is_ordinary else NOTHING)
    stop = payment_stops.standing(who.organization_id) if is_ordinary else None
    return Caller(who, facts, subscription.state, epoch, next_owner, stop.text if stop else "")


def caller_of_id(
    subscription_id: UUID, *, key_id: UUID | None = None, version: Version | None = None
) -> Caller:
    """Read a subscription and return it as a caller, see ``caller_of``. Raises NotFound, AppPaused."""
    epoch = read_epochs().get(DIRECTORY, 0)
    subscription = _subscription(Q(pk=subscription_id))
    if subscription is None:
        raise NotFound("subscription", subscription_id)
    return caller_of(subscription, key_id=key_id, version=version, epoch=epoch)


def _subscription(where: Q) -> Subscription | None:
    return Subscription.objects.select_related("app", "team").filter(where).first()


def _ownerships(app_id: int) -> list[AppOwnership]:
    found = AppOwnership.objects.filter(app=app_id).select_related("team").order_by("starts_at")
    return list(found)


def _now_and_next(ownerships: list[AppOwnership]) -> tuple[AppOwnership, AppOwnership | None]:
    """Tell who owns an app now, by the dated rows, and who will next."""
    owned, *others = ownerships
    at = books.now()
    for one in others:
        if one.starts_at > at:
            return owned, one
        owned = one
    return owned, None


def _listed_version(app: App) -> Version | None:
    listing = Listing.objects.select_related("version").filter(app=app).first()
    return listing.version if listing and listing.version.state == Version.State.LISTED else None


def app_facts(app: App, version: Version, *, saving: SavingTerms = NOTHING) -> AppFacts:
    """Return what runs when a version is called."""
    return AppFacts(
        app_id=app.pk,
        slug=app.slug,
        name=app.name,
        kind=app.kind,
        version_id=version.pk,
        instructions=version.instructions,
        prompt_template=version.prompt_template,
        input_schema=version.input_schema,
        allowed_models=tuple(version.allowed_models),
        max_output_tokens=version.max_output_tokens,
        endpoint_url=version.endpoint_url,
        signing_secret=version.signing_secret,
        ending=ending_of(app),
        output_format=version.output_format,
        output_schema=version.output_schema,
        endpoint_contract=version.endpoint_contract,
        when_caller_leaves=leaving.policy_of(app),
        documents=tuple((UUID(row["id"]), row["name"]) for row in version.documents),
        passage_tokens=version.passage_tokens,
        shows_sources=version.shows_sources,
        saving=saving,
    )


def _reporter(key: ApiKey, *, epoch: int) -> Reporter:
    link = AppKey.objects.filter(key=key).select_related("app").first()
    if link is None:
        raise BadKey
    return reporter_of(link.app, key_id=key.pk, environment=link.environment, epoch=epoch)


def reporter_of(app: App, *, key_id: UUID | None, environment: str, epoch: int) -> Reporter:
    """Return who reports usage of an app: its owner now and every other one, and the rules that hold for it."""
    ownerships = _ownerships(app.pk)
    owned, _ = _now_and_next(ownerships)
    now = _owner(owned)
    return Reporter(
        app_id=app.pk,
        slug=app.slug,
        owner_team_id=now.team_id,
        owner_slug=now.slug,
        organization_id=now.organization_id,
        cost_center_id=now.cost_center_id,
        key_id=key_id,
        environment=environment,
        epoch=epoch,
        owner_name=owned.team.name,
        owners=tuple(_owner(one) for one in ownerships) if len(ownerships) > 1 else (),
        rules=_rules(app.pk, organization_id=now.organization_id),
        keeps=Inbox.objects.filter(app=app.pk).exists(),
    )


def _owner(owned: AppOwnership) -> Owner:
    team = owned.team
    return Owner(owned.starts_at, team.pk, team.slug, team.organization_id, team.cost_center_id)


def _rules(app_id: int, *, organization_id: int) -> dict[tuple[str, str], Meaning]:
    """Read the rules in force for an app; one of its own goes before one of its organization."""
    scope = Q(app=app_id) | Q(app=None)
    found = AttributionRule.objects.filter(scope, organization=organization_id, ends_at=None)
    wider_first = found.select_related("cost_center").order_by(F("app").asc(nulls_first=True))
    return {(one.field, one.value): _meaning(one, app_id) for one in wider_first}


def _meaning(rule: AttributionRule, app_id: int) -> Meaning:
    payer = _payer(app_id, str(rule.subscription_id)) if rule.subscription_id else None
    center = rule.cost_center
    return Meaning(payer, center.pk if center else None, center.organization_id if center else None)


def _payer(app_id: int, text: str) -> Payer | None:
    try:
        subscription_id = UUID(text)
    except ValueError:
        return None
    subscription = _subscription(Q(pk=subscription_id, app=app_id))
    if subscription is None:
        return None
    return Payer(
        subscription_id=subscription.pk,
        plan_id=subscription.plan_id,
        organization_id=subscription.team.organization_id,
        team_id=subscription.team_id,
        cost_center_id=subscription.cost_center_id,
        environment=subscription.environment,
    )
