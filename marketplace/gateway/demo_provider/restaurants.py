"""Restaurants that do not exist, the same ones every time for the same city and cuisine."""

from hashlib import blake2b
from typing import Any

_HOUSES = {
    "italian": ("Trattoria", "Osteria", "Cantina", "Locanda"),
    "french": ("Bistro", "Brasserie", "Table", "Maison"),
    "japanese": ("Izakaya", "Sushi", "Ramen", "Kappo"),
    "indian": ("Tandoor", "Spice", "Curry House", "Tiffin"),
    "mexican": ("Taquería", "Cantina", "Cocina", "Mercado"),
    "thai": ("Baan", "Thai Garden", "Wok", "Lotus"),
    "vegan": ("Green Table", "Leaf", "Garden", "Root"),
    "": ("Kitchen", "Table", "Corner", "House"),
}
_NAMES = (
    "Aurora",
    "Linden",
    "Meridian",
    "Olive",
    "Harbor",
    "Saffron",
    "Copper",
    "Juniper",
    "Mosaic",
    "Terrace",
)
_STREETS = ("Market Street", "Station Road", "River Lane", "Old Bridge", "Garden Row", "Mill Street")
_NOTES = (
    "quiet enough to talk",
    "tables outside",
    "open late",
    "good for groups",
    "lunch menu on weekdays",
    "book ahead on Fridays",
)
_CITIES = (
    "Berlin",
    "Hamburg",
    "Munich",
    "Paris",
    "Lyon",
    "London",
    "Madrid",
    "Barcelona",
    "Rome",
    "Milan",
    "Vienna",
    "Zurich",
    "Amsterdam",
    "Lisbon",
    "Prague",
    "Warsaw",
    "Dublin",
    "Copenhagen",
    "Stockholm",
    "New York",
    "Boston",
    "Chicago",
    "San Francisco",
    "Seattle",
    "Tokyo",
    "Singapore",
    "Sydney",
    "Toronto",
)


def suggest(*, city: str, cuisine: str, limit: int = 3) -> list[dict[str, Any]]:
    """Suggest restaurants, best rated first."""
    digest = blake2b(f"{city.casefold()}|{cuisine.casefold()}".encode(), digest_size=32).digest()
    houses = _HOUSES.get(cuisine.casefold(), _HOUSES[""])
    return [
        {
            "name": f"{houses[digest[i] % len(houses)]} {_NAMES[(digest[0] + i) % len(_NAMES)]}",
            "address": f"{1 + digest[i + 10] % 90} {_STREETS[digest[i + 11] % len(_STREETS)]}, {city}",
            "cuisine": cuisine or "mixed",
            # in tenths, so that no float is needed: 4.9 down to 3.8
            "rating": f"4.{9 - i}" if i < 5 else "3.8",
            "price_level": 1 + digest[i + 12] % 4,
            "walk_minutes": 3 + digest[i + 13] % 18,
            "note": _NOTES[digest[i + 14] % len(_NOTES)],
        }
        for i in range(min(limit, 8))
    ]


def describe(*, city: str, cuisine: str, limit: int) -> str:
    """Suggest restaurants in prose, one a line."""
    kind = f"{cuisine} places" if cuisine else "Places to eat"
    lines = [
        f"{rank}. {place['name']}, {place['address']}: rated {place['rating']}, "
        f"{'$' * place['price_level']}, {place['walk_minutes']} minutes on foot, {place['note']}."
        for rank, place in enumerate(suggest(city=city, cuisine=cuisine, limit=limit), start=1)
    ]
    return "\n".join([f"{kind} in {city}:", *lines])


def find_city(text: str) -> str:
    """Find the city a text is about; empty when it names none."""
    known = [city for city in _CITIES if city.casefold() in text.casefold()]
    if known:
        return known[0]
    before = text.split(" in ")
    following = before[-1].split() if len(before) > 1 else []
    return following[0].strip(".,;:!?\"'") if following and following[0][:1].isupper() else ""


def find_cuisine(text: str) -> str:
    """Find the cuisine a text asks for; empty when it names none."""
    return next((name.capitalize() for name in _HOUSES if name and name in text.casefold()), "")
