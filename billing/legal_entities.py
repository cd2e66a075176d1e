"""Legal entities: founded, and what is printed of them from a date; finance of the marketplace says so."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from stdnum import bic as bic_numbers
from stdnum import iban as iban_numbers

from billing import vat_ids
from billing.countries import NAMES
from billing.models import LegalEntity, LegalEntityFacts
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.core import audit
from marketplace.core.errors import Conflict, FieldError, InvalidInput

FIELDS = LegalEntityFacts.FIELDS


class EntityThere(Conflict):
    """Codes and prefixes of numbers are of one entity each."""

    code = "legal_entity_there"

    def __init__(self) -> None:
        super().__init__("Another legal entity has this code or this prefix of numbers.")


@dataclass(frozen=True)
class Seller:
    """What is printed of who issues, as of a moment."""

    id: int | None
    number_prefix: str
    facts: Mapping[str, str]


@dataclass(frozen=True)
class Sellers:
    """Every legal entity as of a moment. ``house`` issues for whoever has no other one."""

    house: Seller
    by_id: Mapping[int, Seller]

    def of(self, entity_id: int | None) -> Seller:
        return self.by_id.get(entity_id, self.house) if entity_id else self.house


def sellers(*, at: datetime, house_name: str) -> Sellers:
    """Read all entities with what holds of them at a moment (one query); before the first one, the house's name alone."""
    rows = (
        LegalEntityFacts.objects.filter(starts_at__lte=at)
        .select_related("entity")
        .order_by("entity_id", "-starts_at")
        .distinct("entity_id")
    )
    found = {row.entity_id: _seller(row) for row in rows}
    default = next((found[row.entity_id] for row in rows if row.entity.is_default), None)
    return Sellers(default or Seller(None, "", {"name": house_name}), found)


def _seller(row: LegalEntityFacts) -> Seller:
    return Seller(row.entity_id, row.entity.number_prefix, facts_of(row))


def facts_of(row: LegalEntityFacts) -> dict[str, str]:
    """Give what is printed of an entity, without what is empty."""
    return {field: getattr(row, field) for field in FIELDS if getattr(row, field)}


def set_up(
    *, code: str, number_prefix: str, facts: Mapping[str, str], by: Actor, at: datetime, starts_at: datetime
) -> LegalEntity:
    """Found a legal entity with what holds from a moment; the first one issues for everybody who has no other.

    Raises NotAllowed, InvalidInput by field, EntityThere.
    """
    access.require_platform(by, Role.FINANCE)
    with transaction.atomic():
        try:
            with transaction.atomic():
                entity = LegalEntity.objects.create(
                    code=code,
                    number_prefix=number_prefix,
                    is_default=not LegalEntity.objects.filter(is_default=True).exists(),
                    created_at=at,
                )
        except IntegrityError as error:
            raise EntityThere from error
        new = {"code": code, "number_prefix": number_prefix}
        audit.record("billing.legal_entity.set_up", subject=entity, at=at, by=by.user, new=new)
        change(entity, facts=facts, by=by, at=at, starts_at=starts_at)
    return entity


def change(
    entity: LegalEntity, *, facts: Mapping[str, str], by: Actor, at: datetime, starts_at: datetime
) -> LegalEntityFacts:
    """Say what is printed of an entity from a moment on. What was issued stays as it is.

    Raises NotAllowed, InvalidInput by field, Conflict when something else was said for that moment.
    """
    access.require_platform(by, Role.FINANCE)
    kept = {field: str(facts.get(field, "")).strip() for field in FIELDS}
    kept |= {field: vat_ids.compact(kept[field]) for field in ("vat_id", "iban", "bic")}
    if errors := list(_wrong(kept)):
        raise InvalidInput.several(errors)
    with transaction.atomic():
        try:
            with transaction.atomic():
                row = LegalEntityFacts.objects.create(
                    entity=entity, starts_at=starts_at, set_by=by.user, set_at=at, **kept
                )
        except IntegrityError as error:
            raise Conflict("Something is said of this entity from that moment on already.") from error
        new: dict[str, Any] = {**facts_of(row), "starts_at": starts_at.isoformat()}
        audit.record("billing.legal_entity.changed", subject=entity, at=at, by=by.user, new=new)
    return row


def make_default(entity: LegalEntity, *, by: Actor, at: datetime) -> None:
    """Let an entity issue for whoever has no other one, from the next document on. Raises NotAllowed."""
    access.require_platform(by, Role.FINANCE)
    with transaction.atomic():
        rows = list(LegalEntity.objects.select_for_update().order_by("pk"))
        before = next((row for row in rows if row.is_default), None)
        LegalEntity.objects.filter(is_default=True).exclude(pk=entity.pk).update(is_default=False)
        LegalEntity.objects.filter(pk=entity.pk).update(is_default=True)
        old = {"code": before.code if before else ""}
        audit.record(
            "billing.legal_entity.made_default",
            subject=entity,
            at=at,
            by=by.user,
            old=old,
            new={"code": entity.code},
        )


def _wrong(facts: Mapping[str, str]) -> Iterable[FieldError]:
    if not facts["name"]:
        yield FieldError("name", "is needed", "required")
    country = facts["country"]
    if country and country not in NAMES["en"]:
        yield FieldError("country", "is not a country that we know, such as DE")
    if facts["vat_id"] and not country:
        yield FieldError("country", "is needed beside a VAT number", "required")
    elif facts["vat_id"] and (trouble := vat_ids.trouble_with(facts["vat_id"], country=country)):
        yield FieldError("vat_id", trouble)
    if facts["iban"] and not iban_numbers.is_valid(facts["iban"]):
        yield FieldError("iban", "is not an IBAN: a digit is wrong or missing")
    if facts["bic"] and not bic_numbers.is_valid(facts["bic"]):
        yield FieldError("bic", "is not a BIC: 8 or 11 letters and digits")


def entities() -> QuerySet[LegalEntity]:
    """Legal entities with everything that was said of them, the newest first."""
    return LegalEntity.objects.prefetch_related("facts__set_by").order_by("-is_default", "code")
