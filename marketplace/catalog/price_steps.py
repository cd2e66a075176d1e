"""Whether one price is dearer than another, for whoever stays. Pure."""

from decimal import Decimal

from marketplace.catalog.plan_terms import PlanTerms


def is_dearer(old: PlanTerms, new: PlanTerms) -> bool:
    """Tell whether somebody could pay more: any part that is dearer makes it a rise, whatever else became cheaper."""
    if new.fee > old.fee or new.price_per_call > old.price_per_call:
        return True
    if _passed_on(new.markup) > _passed_on(old.markup):
        return True
    return new.price_per_call > 0 and new.free_calls < old.free_calls


def _passed_on(markup: Decimal | None) -> Decimal:
    """Return what each unit of cost is multiplied with; cost that is not passed on costs nothing."""
    return Decimal(0) if markup is None else 1 + markup
