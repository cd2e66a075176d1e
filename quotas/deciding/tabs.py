"""The tabs over the pages of those who decide."""

from typing import Any

from django.urls import reverse

TABS = (
    ("desk", "Waiting", "quotas:desk"),
    ("log", "Decisions", "quotas:decision-log"),
    ("delegations", "Delegates", "quotas:delegations"),
)


def tabs(current: str, *, count: int | None = None) -> list[dict[str, Any]]:
    """Lay out the tabs; ``count`` is how many wait, where it is known."""
    return [
        {
            "label": label,
            "url": reverse(url_name),
            "is_current": name == current,
            "count": count if name == "desk" and count is not None else "",
        }
        for name, label, url_name in TABS
    ]
