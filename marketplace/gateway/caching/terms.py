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
    similar: str = "off"
    threshold: float = 1.0

    @property
    def compares(self) -> bool:
        """Whether similar questions are looked for, to measure or to answer."""
        return self.similar in (CallSaving.Similar.MEASURING, CallSaving.Similar.SERVING)

    @property
    def serves_similar(self) -> bool:
        """Whether answers to similar questions are given."""
        return self.similar == CallSaving.Similar.SERVING


NOTHING = SavingTerms()


def terms_of(app_id: int) -> SavingTerms:
    """Read how calls of an app are saved (one query)."""
    found = CallSaving.objects.filter(app=app_id).first()
    if found is None:
        return NOTHING
    return SavingTerms(
        ttl_s=found.ttl_s or 0,
        any_temperature=found.any_temperature,
        generation=found.generation,
        is_batchable=found.is_batchable,
        similar=found.similar,
        threshold=float(found.similar_threshold),
    )
