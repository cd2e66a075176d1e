"""How an app presents itself: name, summary, description, category, icon, visibility.

A version carries these until it is approved; only then the catalogue shows them, so nobody reads what nobody reviewed.
"""

from typing import Any

from marketplace.catalog.models import App, Version

NAMES = ("name", "summary", "description", "category", "icon", "is_public")
MAX_LENGTHS = {"name": 80, "summary": 160, "description": 4_000, "category": 40, "icon": 40}

CATEGORIES = {
    "writing": "Writing",
    "support": "Support",
    "data": "Data",
    "language": "Language",
    "knowledge": "Knowledge",
    "development": "Development",
    "finance": "Finance",
    "marketing": "Marketing",
    "people": "People",
    "travel": "Travel and food",
    "other": "Other",
}
ICONS = (
    "app-window", "badge-check", "book-open", "bot", "braces", "briefcase", "calculator", "calendar", "chart-bar",
    "file-text", "globe", "graduation-cap", "languages", "lightbulb", "mail", "map-pin",
    "message-circle-question-mark", "pen-line", "plug", "receipt", "reply", "scan-text", "scroll-text", "search",
    "shield-check", "shopping-cart", "sparkles", "tags", "utensils", "wand-sparkles",
)  # fmt: skip


def of_app(app: App) -> dict[str, Any]:
    """Return how the app presents itself now."""
    return {name: getattr(app, name) for name in NAMES}


def of_version(version: Version) -> dict[str, Any]:
    """Return how a version would present the app; what it does not carry is the app's own."""
    return of_app(version.app) | version.about


def apply_to_app(version: Version) -> None:
    """Give the app the presentation its version carries."""
    app = version.app
    for name, value in of_version(version).items():
        setattr(app, name, value)
    app.save(update_fields=list(NAMES))
