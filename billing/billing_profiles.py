"""Billing profiles: how an organization wants its invoices; its finance says so, or the marketplace's.

Until somebody does, what is known of the organization stands in: its legal name, its address as text, its VAT number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from billing import vat_ids
from billing.countries import EU, NAMES
from billing.models import BillingProfile, ExemptionCertificate, LegalEntity
from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import Organization
from marketplace.core import audit
from marketplace.core.errors import Conflict, FieldError, InvalidInput

MOST_EMAILS = 10
LONGEST_TERMS_DAYS = 180
OWN_FIELDS = BillingProfile.FIELDS
_LONGEST = {
    "legal_name": 160,
    "street": 160,
    "postal_code": 20,
    "city": 80,
    "vat_id": 20,
    "purchase_order": 40,
    "buyer_reference": 60,
}


@dataclass(frozen=True)
class Buyer:
    """Whom a document is made out to, as of now. ``address_text`` is what is known of an address that has no parts yet."""

    name: str
    street: str = ""
    postal_code: str = ""
    city: str = ""
    country: str = ""
    vat_id: str = ""
    language: str = "en"
    emails: tuple[str, ...] = ()
    purchase_order: str = ""
    buyer_reference: str = ""
    payment_days: int | None = None
    entity_id: int | None = None
    address_text: str = ""


def buyer_of(organization: Organization, profile: BillingProfile | None) -> Buyer:
    """Say whom documents of an organization are made out to; without a profile, what is known of it."""
    if profile is None:
        return Buyer(
            name=organization.legal_name or organization.name,
            vat_id=vat_ids.compact(organization.vat_id),
            address_text=organization.address,
        )
    return Buyer(
        name=profile.legal_name,
        emails=tuple(profile.emails),
        payment_days=profile.payment_days,
        entity_id=profile.entity_id,
        **{field: getattr(profile, field) for field in OWN_FIELDS if field not in ("legal_name", "emails")},
    )


def require_keeper(organization: Organization, *, actor: Actor) -> None:
    """Raise NotAllowed unless a person does the finance of an organization, or of the marketplace."""
    access.require(
        may_keep(organization, actor=actor), message="This is for finance of the organization only."
    )


def may_keep(organization: Organization, *, actor: Actor) -> bool:
    """Tell whether a person may change the billing profile of an organization."""
    return actor.is_platform(Role.FINANCE) or organization.pk in actor.organizations_as(Role.FINANCE)


def billed(actor: Actor) -> QuerySet[Organization]:
    """Organizations whose billing profile a person sees: those whose finance they do, or all of them."""
    found = Organization.objects.select_related("billing_profile__entity").order_by("name")
    if actor.is_platform(Role.FINANCE):
        return found
    return found.filter(pk__in=actor.organizations_as(Role.FINANCE))


def profile_of(organization: Organization) -> BillingProfile | None:
    """Return the profile of an organization, if somebody has set one."""
    return BillingProfile.objects.select_related("entity").filter(organization=organization).first()


def set_profile(
    organization: Organization, *, facts: Mapping[str, Any], by: Actor, at: datetime
) -> BillingProfile:
    """Set how an organization wants its invoices, from the next document on; what is left out of ``facts`` stays.

    Raises NotAllowed, InvalidInput by field.
    """
    require_keeper(organization, actor=by)
    before = profile_of(organization)
    known = buyer_of(organization, before)
    kept = {field: facts.get(field, getattr(known, _NAMES.get(field, field))) for field in OWN_FIELDS}
    kept = {field: _cleaned(field, value) for field, value in kept.items()}
    if errors := _wrong(kept):
        raise InvalidInput.several(errors)
    return _write(organization, kept, before=before, by=by, at=at, action="billing.profile.set")


_NAMES = {"legal_name": "name"}


def _cleaned(field: str, value: Any) -> Any:
    if field == "emails":
        return list(dict.fromkeys(str(one).strip().lower() for one in value if str(one).strip()))
    if field == "vat_id":
        return vat_ids.compact(str(value))
    return str(value).strip()


def agree_terms(
    organization: Organization,
    *,
    payment_days: int | None,
    entity: LegalEntity | None,
    by: Actor,
    at: datetime,
) -> BillingProfile:
    """Set what only the marketplace's finance may: days to pay, and which legal entity issues. Raises NotAllowed, InvalidInput."""
    access.require_platform(by, Role.FINANCE)
    if payment_days is not None and not 0 <= payment_days <= LONGEST_TERMS_DAYS:
        limit = LONGEST_TERMS_DAYS
        raise InvalidInput("payment_days", f"must be between 0 and {limit}", limit=limit, code="out_of_range")
    before = profile_of(organization)
    known = buyer_of(organization, before)
    kept = {field: getattr(known, _NAMES.get(field, field)) for field in OWN_FIELDS}
    kept |= {"emails": list(known.emails), "payment_days": payment_days, "entity": entity}
    return _write(organization, kept, before=before, by=by, at=at, action="billing.profile.terms_agreed")


def _write(
    organization: Organization,
    kept: Mapping[str, Any],
    *,
    before: BillingProfile | None,
    by: Actor,
    at: datetime,
    action: str,
) -> BillingProfile:
    old = {field: _as_json(getattr(before, field)) for field in kept} if before else {}
    with transaction.atomic():
        profile, _ = BillingProfile.objects.update_or_create(
            organization=organization, defaults={**kept, "updated_at": at, "updated_by": by.user}
        )
        new = {field: _as_json(value) for field, value in kept.items()}
        changed = [field for field in new if old.get(field) != new[field]]
        audit.record(
            action,
            subject=profile,
            at=at,
            by=by.user,
            old={field: old[field] for field in changed if field in old},
            new={field: new[field] for field in changed},
        )
    return profile


def _as_json(value: Any) -> Any:
    return value.code if isinstance(value, LegalEntity) else value


def _wrong(facts: Mapping[str, Any]) -> list[FieldError]:
    errors = []
    if not facts["legal_name"]:
        errors.append(FieldError("legal_name", "is needed", "required"))
    for field, most in _LONGEST.items():
        if field != "vat_id" and len(facts[field]) > most:
            errors.append(FieldError(field, f"has more than {most} characters", "too_long", str(most)))
    if facts["country"] and facts["country"] not in NAMES["en"]:
        errors.append(FieldError("country", "is not a country that we know, such as DE"))
    if facts["language"] not in BillingProfile.Language.values:
        errors.append(FieldError("language", f"is one of {', '.join(BillingProfile.Language.values)}"))
    if trouble := _vat_trouble(facts["vat_id"], facts["country"]):
        errors.append(FieldError("vat_id", trouble))
    return errors + _wrong_emails(facts["emails"])


def _vat_trouble(vat_id: str, country: str) -> str:
    """Say what is wrong with a buyer's number. Outside the EU numbers are printed as they come: nothing hangs on them."""
    if not vat_id or country not in EU:
        return f"has more than {_LONGEST['vat_id']} characters" if len(vat_id) > _LONGEST["vat_id"] else ""
    return vat_ids.trouble_with(vat_id, country=country)


def _wrong_emails(emails: Sequence[str]) -> list[FieldError]:
    if len(emails) > MOST_EMAILS:
        return [FieldError("emails", f"are at most {MOST_EMAILS}", "too_many", str(MOST_EMAILS))]
    errors = []
    for email in emails:
        try:
            validate_email(email)
        except ValidationError:
            errors.append(FieldError("emails", f"has {email!r}, which is no mail address"))
    return errors


def record_exemption(
    organization: Organization,
    *,
    number: str,
    reason: str,
    starts_date: date,
    ends_date: date,
    by: Actor,
    at: datetime,
) -> ExemptionCertificate:
    """Record a certificate by which an organization pays no tax on what is issued from day to day.

    Raises NotAllowed for who is not the marketplace's finance, InvalidInput by field, Conflict when it is there.
    """
    access.require_platform(by, Role.FINANCE)
    if ends_date < starts_date:
        raise InvalidInput("ends_date", "is before the first day")
    for field, value in (("number", number), ("reason", reason)):
        if not value.strip():
            raise InvalidInput(field, "is needed", code="required")
    with transaction.atomic():
        try:
            with transaction.atomic():
                made = ExemptionCertificate.objects.create(
                    organization=organization,
                    number=number.strip(),
                    reason=reason.strip(),
                    starts_date=starts_date,
                    ends_date=ends_date,
                    recorded_by=by.user,
                    recorded_at=at,
                )
        except IntegrityError as error:
            raise Conflict("This certificate is recorded already.") from error
        new = {"number": made.number, "reason": made.reason, "ends_date": ends_date.isoformat()}
        audit.record("billing.exemption.recorded", subject=made, at=at, by=by.user, new=new)
    return made
