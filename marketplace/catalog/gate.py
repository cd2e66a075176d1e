"""Where a version goes once all its checks have ended: to review, back to its maker, or it waits for another run."""

from datetime import datetime

from django.urls import reverse

from marketplace.catalog import auto_approvals, check_states, projections, reviews
from marketplace.catalog.check_models import CheckRun
from marketplace.catalog.models import Review, Version
from marketplace.core.notices import Kind, notify
from marketplace.core.transitions import move


def settle(version: Version, *, cause: object, at: datetime) -> None:
    """Move a version in checking on, if nothing of it is still under way; else do nothing.

    The caller holds the lock of the version's row, so that of two checks that end at once the second one sees
    both. ``cause`` is the key of what ended, for the notice.
    """
    if version.state != Version.State.CHECKING:
        return
    found = check_states.states(version, at=at)
    if any(state in CheckRun.ACTIVE for state in found.values()):
        return
    result = check_states.overall(found.values())
    if result == "could_not_check":
        _tell(version, "could not be finished. Run again what is missing.", cause=cause, at=at)
    elif result == "failed":
        move(
            version,
            Version.TRANSITIONS,
            to=Version.State.CHANGES_REQUESTED,
            action="catalog.version.check_failed",
            at=at,
            reason=_failed_in_words(found),
        )
        _tell(version, "failed. See what to change.", cause=cause, at=at)
    else:
        review = _open_review(version, at=at)
        _tell(version, f"{result}. A reviewer decides next.", cause=cause, at=at)
        auto_approvals.consider(review, at=at)


def _open_review(version: Version, *, at: datetime) -> Review:
    run = check_states.newest_smoke_run(version)
    if run is None:
        raise RuntimeError(f"{version} has no smoke run.")
    margin = (
        version.check_runs.filter(name=CheckRun.Name.SUSTAINABILITY).order_by("-created_at", "-pk").first()
    )
    projection = projections.from_json(margin.facts.get("projection") or {}) if margin else None
    return reviews.open_review(version, smoke_run=run, projection=projection, at=at)


def _failed_in_words(found: dict[str, str]) -> str:
    titles = dict(CheckRun.Name.choices) | {"calls": "Calls and cost"}
    return f"Failed: {', '.join(titles[name] for name, state in found.items() if state == 'failed')}."


def _tell(version: Version, what: str, *, cause: object, at: datetime) -> None:
    notify(
        [version.submitted_by] if version.submitted_by else [],
        text=f"The check of {version} {what}",
        at=at,
        key=f"checks:{cause}:ended",
        path=reverse("catalog:checks", args=[version.app.slug, version.number]),
        kind=Kind.APPS,
        team=version.app.owner_team,
    )
