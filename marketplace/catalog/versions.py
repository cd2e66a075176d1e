"""The versions of an app that were listed, and what each changed for those who call it."""

from collections.abc import Sequence
from dataclasses import dataclass

from marketplace.catalog import queries_review
from marketplace.catalog.models import Listing, Version
from marketplace.catalog.queries_review import LISTED_ONCE, Change

# A prompt, a text of instructions and an endpoint are the maker's own business.
NOT_SHOWN = frozenset(
    {
        "Instructions",
        "Prompt",
        "Documents",
        "Endpoint",
        "Code",
        "Expected answers",
        "Expected calls a month",
        "Listed for",
    }
)
MOST_VERSIONS = 20


@dataclass(frozen=True)
class ShownVersion:
    """A version with its changes against the one before; ``touches_prompt`` tells that instructions or prompt differ too."""

    version: Version
    changes: Sequence[Change]
    touches_prompt: bool
    is_first: bool


def history(listing: Listing) -> list[ShownVersion]:
    """Return the versions that were ever listed, the newest first (two queries)."""
    found = listing.app.versions.filter(state__in=LISTED_ONCE).select_related("app", "plan")
    newest = list(found.order_by("-number")[: MOST_VERSIONS + 1])
    pairs = zip(newest, [*newest[1:], None], strict=True)
    return [_shown(version, before) for version, before in pairs][:MOST_VERSIONS]


def _shown(version: Version, before: Version | None) -> ShownVersion:
    if before is None:
        return ShownVersion(version, (), touches_prompt=False, is_first=True)
    changes = queries_review.differences(version, before=before)
    return ShownVersion(
        version=version,
        changes=[change for change in changes if change.label not in NOT_SHOWN],
        touches_prompt=any(change.label in ("Instructions", "Prompt") for change in changes),
        is_first=False,
    )
