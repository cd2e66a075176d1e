"""How often a person gets which notices by mail, and when digests come."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, available_timezones

from django.core import signing
from django.db import transaction

from marketplace.accounts.models import User
from marketplace.core import audit
from marketplace.core.errors import FieldError, InvalidInput, NotFound
from marketplace.core.models import DigestTime, MailChoice, Notice
from marketplace.core.notice_kinds import ABOUT, DIGESTS, Cadence, Kind

_SALT = "accounts.mail_choices"


@dataclass(frozen=True)
class Choice:
    """What holds for one kind, chosen or by default."""

    kind: str
    label: str
    help: str
    cadence: str
    default: str


@dataclass(frozen=True)
class When:
    """When digests come: an hour of the day in a time zone, weekly ones on a weekday (0 is Monday)."""

    time_zone: str = "UTC"
    hour: int = 8
    weekday: int = 0


@dataclass(frozen=True)
class Unsubscribing:
    """What a link in a mail ends: notices of one kind, or all that come in one digest."""

    person: User
    what: str

    @property
    def label(self) -> str:
        return (
            Kind(self.what).label if self.what in Kind.values else f"{Cadence(self.what).label}: the digest"
        )


def choices_of(person: User) -> list[Choice]:
    """Return what holds for each kind (one query)."""
    chosen = dict(MailChoice.objects.filter(person=person).values_list("kind", "cadence"))
    return [
        Choice(kind, Kind(kind).label, about.help, chosen.get(kind, about.default), about.default)
        for kind, about in ABOUT.items()
    ]


def when_of(person: User) -> When:
    """Return when a person gets digests."""
    row = DigestTime.objects.filter(person=person).first()
    return When(row.time_zone, row.hour, row.weekday) if row else When()


def choose(person: User, *, cadences: Mapping[str, str], at: datetime, by: User | None = None) -> None:
    """Choose for some kinds how often they come. What waits for a digest follows; what is on its way is sent.

    Raises InvalidInput. Without ``by`` it was a link in a mail.
    """
    _check(cadences)
    with transaction.atomic():
        old = {one.kind: one.cadence for one in choices_of(person)}
        changes = {kind: cadence for kind, cadence in cadences.items() if old[kind] != cadence}
        MailChoice.objects.bulk_create(
            [
                MailChoice(person=person, kind=kind, cadence=cadence, changed_at=at)
                for kind, cadence in sorted(cadences.items())
            ],
            update_conflicts=True,
            unique_fields=["person", "kind"],
            update_fields=["cadence", "changed_at"],
        )
        for kind, cadence in sorted(changes.items()):
            _take_along(person, kind, cadence)
        if changes:
            before = {kind: old[kind] for kind in changes}
            audit.record("accounts.mail.chosen", subject=person, at=at, by=by, old=before, new=changes)


def save(person: User, *, cadences: Mapping[str, str], when: When | None, at: datetime) -> None:
    """Choose for oneself, both or nothing. Raises InvalidInput."""
    with transaction.atomic():
        if cadences:
            choose(person, cadences=cadences, at=at, by=person)
        if when is not None:
            set_time(person, when=when)


def set_time(person: User, *, when: When) -> None:
    """Choose when digests come. Raises InvalidInput."""
    if when.time_zone not in available_timezones():
        raise InvalidInput("time_zone", f"{when.time_zone!r} is not a time zone such as Europe/Berlin")
    if not 0 <= when.hour <= 23:
        raise InvalidInput("hour", "must be from 0 to 23", limit=23)
    if not 0 <= when.weekday <= 6:
        raise InvalidInput("weekday", "must be from 0 (Monday) to 6", limit=6)
    DigestTime.objects.update_or_create(
        person=person,
        defaults={
            "time_zone": ZoneInfo(when.time_zone).key,
            "hour": when.hour,
            "weekday": when.weekday,
        },
    )


def token_for(person: User, *, what: str) -> str:
    """Return what ends a kind, or a digest, without signing in; it stands in mails and never expires."""
    return signing.Signer(salt=_SALT).sign(f"{person.pk}:{what}")


def by_token(token: str) -> Unsubscribing:
    """Return whose mails of which sort a token ends; raises NotFound."""
    try:
        person_id, _, what = signing.Signer(salt=_SALT).unsign(token).partition(":")
        person = User.objects.get(pk=int(person_id))
    except (signing.BadSignature, ValueError, User.DoesNotExist) as error:
        raise NotFound("mail", token[:40]) from error
    if what not in (*Kind.values, *DIGESTS):
        raise NotFound("mail", token[:40])
    return Unsubscribing(person, what)


def unsubscribe(wanted: Unsubscribing, *, at: datetime) -> list[str]:
    """End what a link in a mail ends; returns the labels of the kinds that come no more. Safe to call twice."""
    ended = [
        one
        for one in choices_of(wanted.person)
        if (one.kind == wanted.what or one.cadence == wanted.what) and one.cadence != Cadence.OFF
    ]
    if ended:
        choose(wanted.person, cadences=dict.fromkeys((one.kind for one in ended), Cadence.OFF), at=at)
    return [one.label for one in ended]


def _check(cadences: Mapping[str, str]) -> None:
    errors = [
        FieldError(str(kind), f"is not a kind; there are {', '.join(Kind.values)}", code="unknown_choice")
        for kind in cadences
        if kind not in Kind.values
    ]
    errors += [
        FieldError(kind, f"must be one of {', '.join(Cadence.values)}", code="unknown_choice")
        for kind, cadence in cadences.items()
        if cadence not in Cadence.values
    ]
    if errors:
        raise InvalidInput.several(errors)


def _take_along(person: User, kind: str, cadence: str) -> None:
    """Let what waits for a digest follow a choice. What would now come at once stays in the digest it waits for."""
    if cadence != Cadence.INSTANT:
        waiting = Notice.objects.filter(recipient=person, kind=kind, delivery=None, mail__in=DIGESTS)
        waiting.update(mail=cadence)
