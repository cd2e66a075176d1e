"""Addresses of fragments that other apps serve: a page is composed by URL, and does without what is not installed."""

from django.urls import NoReverseMatch, reverse


def find_url(name: str, *args: object) -> str:
    """Return the address of a view of another app; empty when there is none."""
    try:
        return reverse(name, args=args)
    except NoReverseMatch:
        return ""
