"""What the database itself holds about prices: what was made never changes, and what was used does not end before it."""

import pgtrigger

# Looked up from the roll-ups of the hours since, so that only partitions and apps that have usage there are read.
_USED_AFTER = """
    IF EXISTS (
        SELECT FROM (
            SELECT DISTINCT a.app_id FROM metering_usagerollup r JOIN metering_attribution a ON a.id = r.attribution_id
            WHERE r.hour >= date_trunc('hour', NEW.ends_at, 'UTC')
        ) used JOIN metering_usageevent e ON e.app_id = used.app_id AND e.occurred_at >= NEW.ends_at
        WHERE e.{column} = NEW.id
    ) THEN
        RAISE EXCEPTION 'a price cannot end before usage that was rated with it' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
"""
_ENDS_ONCE = """
    IF OLD.ends_at IS NOT NULL OR NEW.ends_at IS NULL
        OR (to_jsonb(NEW) - 'ends_at') IS DISTINCT FROM (to_jsonb(OLD) - 'ends_at')
    THEN
        RAISE EXCEPTION 'a price never changes: it can only be given an end, once' USING ERRCODE = 'check_violation';
    END IF;
"""
_CEILING_COSTS = """
    IF least(
        NEW.input_per_mtok, NEW.cached_input_per_mtok, NEW.cache_write_per_mtok, NEW.output_per_mtok,
        NEW.reasoning_per_mtok
    ) <= 0 AND EXISTS (SELECT FROM metering_languagemodel m WHERE m.id = NEW.model_id AND m.is_ceiling) THEN
        RAISE EXCEPTION 'a ceiling price is never zero' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
"""


def fixed_price(*, used_in: str) -> list[pgtrigger.Trigger]:
    """Build the triggers of a table of dated prices; ``used_in`` is the column of events that names its rows.

    Rows are never deleted; of a row only ``ends_at`` is ever set, once, and not before an event that used it.
    """
    return [
        pgtrigger.Protect(name="never_deleted", operation=pgtrigger.Delete),
        pgtrigger.Trigger(
            name="ends_once",
            when=pgtrigger.Before,
            operation=pgtrigger.Update,
            func=_ENDS_ONCE + _USED_AFTER.replace("{column}", used_in),
        ),
    ]


def ceiling_costs() -> pgtrigger.Trigger:
    """Build the trigger that refuses a ceiling price of zero, for any class of tokens."""
    return pgtrigger.Trigger(
        name="ceiling_costs", when=pgtrigger.Before, operation=pgtrigger.Insert, func=_CEILING_COSTS
    )
