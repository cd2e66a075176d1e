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
# Of a price of a batch, the first to end of its list price and its rate decides, and either may be dated first.
_ENDS_ONCE = """
    IF OLD.ends_at IS NOT NULL
        AND ((to_jsonb(OLD) ->> 'list_price_id') IS NULL OR NEW.ends_at > OLD.ends_at)
        OR NEW.ends_at IS NULL
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

# A price of a batch is in force while both its list price and its rate are. Both are dated, so either may come first.
_MADE_OUT_OF = """
    INSERT INTO metering_ratecard (
        model_id, currency, input_per_mtok, cached_input_per_mtok, cache_write_per_mtok, output_per_mtok,
        reasoning_per_mtok, starts_at, ends_at, source, batch_rate_id, list_price_id
    )
    SELECT c.model_id, c.currency,
        round(c.input_per_mtok * (100 - r.off_percent) * 0.01, 18),
        round(c.cached_input_per_mtok * (100 - r.off_percent) * 0.01, 18),
        round(c.cache_write_per_mtok * (100 - r.off_percent) * 0.01, 18),
        round(c.output_per_mtok * (100 - r.off_percent) * 0.01, 18),
        round(c.reasoning_per_mtok * (100 - r.off_percent) * 0.01, 18),
        greatest(c.starts_at, r.starts_at), least(c.ends_at, r.ends_at),
        trim_scale(r.off_percent) || ' % off for batches', r.id, c.id
    FROM metering_ratecard c CROSS JOIN metering_batchrate r JOIN metering_languagemodel m ON m.id = c.model_id
    WHERE {only} AND c.batch_rate_id IS NULL AND NOT m.is_ceiling
        AND greatest(c.starts_at, r.starts_at) < coalesce(least(c.ends_at, r.ends_at), 'infinity');
    RETURN NULL;
"""
_END_TOO = """
    UPDATE metering_ratecard SET ends_at = greatest(starts_at, NEW.ends_at)
    WHERE {of} = NEW.id AND (ends_at IS NULL OR ends_at > NEW.ends_at);
    RETURN NULL;
"""


def batch_rate_is_fixed() -> pgtrigger.Trigger:
    """Build the trigger that lets a batch rate be given an end, once, and nothing else."""
    return pgtrigger.Trigger(
        name="ends_once", when=pgtrigger.Before, operation=pgtrigger.Update, func=f"{_ENDS_ONCE} RETURN NEW;"
    )


def batch_prices_of_cards() -> list[pgtrigger.Trigger]:
    """Build the triggers of list prices that make and end the prices of batches."""
    # In the body and not as a condition of the trigger, which a migration may create before the column.
    only_list_prices = "IF NEW.batch_rate_id IS NOT NULL THEN RETURN NULL; END IF;"
    return _batch_prices(only="c.id = NEW.id", of="list_price_id", first=only_list_prices)


def batch_prices_of_rates() -> list[pgtrigger.Trigger]:
    """Build the triggers of batch rates that make and end the prices of batches."""
    return _batch_prices(only="r.id = NEW.id", of="batch_rate_id")


def _batch_prices(*, only: str, of: str, first: str = "") -> list[pgtrigger.Trigger]:
    return [
        pgtrigger.Trigger(
            name="batch_prices",
            when=pgtrigger.After,
            operation=pgtrigger.Insert,
            func=first + _MADE_OUT_OF.replace("{only}", only),
        ),
        pgtrigger.Trigger(
            name="batch_prices_end",
            when=pgtrigger.After,
            operation=pgtrigger.UpdateOf("ends_at"),
            func=first + _END_TOO.replace("{of}", of),
        ),
    ]


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
