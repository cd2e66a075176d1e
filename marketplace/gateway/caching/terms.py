"""What an app's owner has agreed to, as a call sees it."""

from dataclasses import dataclass

from marketplace.gateway.saving_models import CallSaving


@dataclass(frozen=True, slots=True)
class SavingTerms:
    """How calls of an app are saved; as it stands, not at all."""

    ttl_s: int = 0
    any_temperature: bool = False
    generation: int = 0
    is_batchable: bool = False


NOTHING = SavingTerms()


def terms_of(app_id: int) -> SavingTerms:
    """Read how calls of an app are saved (one query)."""
    found = CallSaving.objects.filter(app=app_id).first()
    if found is None:
        return NOTHING
    return SavingTerms(found.ttl_s or 0, found.any_temperature, found.generation, found.is_batchable)
