"""Increase requests, decisions and grants as the API writes them."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from marketplace.core.money import to_text
from quotas.increase_assessing import Assessment
from quotas.increase_models import Grant, IncreaseDecision, IncreaseRequest
from quotas.increase_subjects import subject_of
from quotas.owners import Owner


def request_as_json(request: IncreaseRequest) -> dict[str, Any]:
    """Write a request: what is wanted, what was granted and where it stands, each in a field of its own."""
    grant = getattr(request, "grant", None)
    return {
        "id": str(request.pk),
        "owner": owner_as_json(subject_of(request).owner),
        "measure": request.measure,
        "window": request.window,
        "model_class": request.model_class or None,
        "currency": request.currency if request.measure == "cost" else None,
        "state": request.state,
        "current": to_text(request.current_value),
        "requested": to_text(request.requested),
        "granted": _amount(request.granted),
        "reason": request.reason,
        "projection": {
            "monthly_calls": to_text(request.monthly_calls),
            "monthly_cost": to_text(request.monthly_cost),
            "currency": request.currency,
        },
        "starts_at": moment(request.starts_at),
        "ends_at": moment(request.ends_at),
        "extends": str(request.extends_id) if request.extends_id else None,
        "requester": request.requester.email,
        "created_at": moment(request.created_at),
        "submitted_at": moment(request.submitted_at),
        "expires_at": moment(request.expires_at) if request.is_open else None,
        "closed_at": moment(request.closed_at),
        "levels": request.levels,
        "policy": request.verdict.get("policy"),
        "rules": request.verdict.get("rules", []),
        "decisions": [decision_as_json(one) for one in request.decisions.all()],
        "grant": grant_as_json(grant) if grant else None,
    }


def decision_as_json(decision: IncreaseDecision) -> dict[str, Any]:
    """Write what was decided on one level; ``decided_by`` is null when the policy did."""
    return {
        "level": decision.level,
        "verdict": decision.verdict,
        "decided_by": decision.decider.email if decision.decider else None,
        "acting_for": decision.acting_for.email if decision.acting_for else None,
        "decided_at": moment(decision.decided_at),
        "granted": _amount(decision.granted),
        "starts_at": moment(decision.starts_at),
        "ends_at": moment(decision.ends_at),
        "reason": decision.reason,
        "snapshot": decision.snapshot,
    }


def grant_as_json(grant: Grant) -> dict[str, Any]:
    """Write a grant; ``lapses_at`` is when it ends or has ended, sooner than agreed when it was revoked."""
    return {
        "id": str(grant.pk),
        "request": str(grant.request_id),
        "state": grant.state,
        "value": to_text(grant.value),
        "starts_at": moment(grant.starts_at),
        "ends_at": moment(grant.ends_at),
        "lapses_at": moment(grant.lapses_at),
    }


def assessment_as_json(assessment: Assessment) -> dict[str, Any]:
    """Write what would become of a wish: the limit as it stands, consequences, and what each rule says."""
    verdict = assessment.verdict
    return {
        "current": to_text(assessment.standing.value),
        "is_decrease": verdict.is_decrease,
        "is_automatic": verdict.is_automatic,
        "levels": list(verdict.levels),
        **{
            name: value
            for name, value in assessment.as_json().items()
            if name not in ("facts", "is_automatic")
        },
    }


def owner_as_json(owner: Owner) -> dict[str, str]:
    return {"kind": owner.kind, "id": owner.id, "label": owner.label}


def moment(at: datetime | None) -> str | None:
    """Write a time, to the second."""
    return f"{at:%Y-%m-%dT%H:%M:%SZ}" if at else None


def _amount(value: Decimal | None) -> str | None:
    return None if value is None else to_text(value)
