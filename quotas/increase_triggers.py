"""What the database itself holds about increase requests: who decides what, and what never changes."""

import pgtrigger

# The person who decides and the person for whom they act both have to be somebody other than the requester. Where two
# people are needed, nobody has a hand in two levels, neither themselves nor through somebody who acts for them.
_FOUR_EYES = """
    IF EXISTS (
        SELECT FROM quotas_increaserequest r
        WHERE r.id = NEW.request_id AND r.requester_id IN (NEW.decider_id, NEW.acting_for_id)
    ) THEN
        RAISE EXCEPTION 'increase_four_eyes: nobody decides their own request' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.verdict = 'approved' AND EXISTS (
        SELECT FROM quotas_increasedecision d JOIN quotas_increaserequest r ON r.id = d.request_id
        WHERE d.request_id = NEW.request_id AND d.verdict = 'approved' AND r.needs_two_people
            AND ARRAY[d.decider_id, d.acting_for_id] && ARRAY[NEW.decider_id, NEW.acting_for_id]
    ) THEN
        RAISE EXCEPTION 'increase_two_people: each level needs a person of its own'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
"""
# What a request says is fixed once it is submitted: deciders decide on what they read.
_ASKED_ONCE = """
    IF OLD.state IN ('approved', 'partially_approved', 'auto_approved', 'denied', 'withdrawn', 'superseded', 'expired')
    THEN
        RAISE EXCEPTION 'increase_state_is_final: a decided request never changes' USING ERRCODE = 'check_violation';
    END IF;
    IF OLD.state <> 'draft' AND (
        ROW(NEW.requester_id, NEW.measure, NEW."window", NEW.model_class, NEW.environment, NEW.requested, NEW.current_value, NEW.reason,
            NEW.monthly_calls, NEW.monthly_cost, NEW.starts_at, NEW.ends_at, NEW.policy_id, NEW.needs_two_people)
        IS DISTINCT FROM
        ROW(OLD.requester_id, OLD.measure, OLD."window", OLD.model_class, OLD.environment, OLD.requested, OLD.current_value, OLD.reason,
            OLD.monthly_calls, OLD.monthly_cost, OLD.starts_at, OLD.ends_at, OLD.policy_id, OLD.needs_two_people)
    ) THEN
        RAISE EXCEPTION 'increase_asked_once: what was submitted never changes' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
"""
_GRANT_ENDS_ONCE = """
    IF OLD.state IN ('ended', 'revoked') OR NEW.lapses_at > OLD.lapses_at OR (NEW.lapses_at IS NULL AND OLD.lapses_at IS NOT NULL)
        OR ROW(NEW.request_id, NEW.value, NEW.starts_at, NEW.ends_at)
            IS DISTINCT FROM ROW(OLD.request_id, OLD.value, OLD.starts_at, OLD.ends_at)
    THEN
        RAISE EXCEPTION 'grant_ends_once: a grant never changes, it only ends' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
"""
# Of a policy, only what became of it changes: who approved it, from when it holds, and when the next one took its place.
_POLICY_IS_FIXED = """
    IF to_jsonb(NEW) - ARRAY['state', 'decided_by_id', 'decided_at', 'decision_note', 'starts_at', 'ends_at']
        IS DISTINCT FROM
        to_jsonb(OLD) - ARRAY['state', 'decided_by_id', 'decided_at', 'decision_note', 'starts_at', 'ends_at']
        OR (OLD.decided_by_id IS NOT NULL AND (NEW.decided_by_id IS DISTINCT FROM OLD.decided_by_id
            OR NEW.starts_at IS DISTINCT FROM OLD.starts_at))
        OR (OLD.ends_at IS NOT NULL AND (NEW.ends_at IS NULL OR NEW.ends_at > OLD.ends_at))
    THEN
        RAISE EXCEPTION 'increase_policy_is_fixed: a policy never changes; propose the next one'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
"""


def four_eyes() -> pgtrigger.Trigger:
    """Build the trigger that keeps people from deciding what they asked for, or twice."""
    return pgtrigger.Trigger(
        name="four_eyes", when=pgtrigger.Before, operation=pgtrigger.Insert, func=_FOUR_EYES
    )


def asked_once() -> pgtrigger.Trigger:
    """Build the trigger that keeps what was submitted, and a state that is final."""
    return pgtrigger.Trigger(
        name="asked_once", when=pgtrigger.Before, operation=pgtrigger.Update, func=_ASKED_ONCE
    )


def grant_ends_once() -> pgtrigger.Trigger:
    """Build the trigger by which a grant keeps its terms and can only end sooner."""
    return pgtrigger.Trigger(
        name="grant_ends_once", when=pgtrigger.Before, operation=pgtrigger.Update, func=_GRANT_ENDS_ONCE
    )


def policy_is_fixed() -> pgtrigger.Trigger:
    """Build the trigger by which a version of a policy keeps its terms."""
    return pgtrigger.Trigger(
        name="policy_is_fixed", when=pgtrigger.Before, operation=pgtrigger.Update, func=_POLICY_IS_FIXED
    )
