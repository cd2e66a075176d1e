"""Forms of what people keep, ask for and report."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.db.models import QuerySet

from marketplace.catalog.curation import Item
from marketplace.catalog.models import App


class SavedSearchForm(forms.Form):
    name = forms.CharField(label="Name", max_length=80)
    tells = forms.BooleanField(label="Tell me of new apps", required=False, initial=True)


class WishForm(forms.Form):
    text = forms.CharField(
        label="What should it do?", max_length=500, widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Makers of your organization are told.",
    )  # fmt: skip


class ReportForm(forms.Form):
    reason = forms.CharField(label="What is wrong with it?", max_length=500)


class CollectionForm(forms.Form):
    """A collection as a text: one app a line, its slug, then a note after a colon."""

    slug = forms.SlugField(label="Address", max_length=60, help_text="Stands in the address of its page.")
    title = forms.CharField(label="Title", max_length=80)
    summary = forms.CharField(label="Summary", max_length=200, required=False)
    items = forms.CharField(
        label="Apps",
        widget=forms.Textarea(attrs={"rows": 8}),
        required=False,
        help_text="One a line, in order: where2eat: for the first lunch. The note is optional.",
    )
    is_shown = forms.BooleanField(label="Show it to everybody", required=False, initial=True)

    def __init__(self, *args: Any, apps: QuerySet[App], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.apps = apps

    def clean_items(self) -> Sequence[Item]:
        lines = [line.partition(":") for line in self.cleaned_data["items"].splitlines() if line.strip()]
        slugs = [slug.strip() for slug, _, _ in lines]
        known = {app.slug: app for app in self.apps.filter(slug__in=slugs)}
        unknown = [slug for slug in slugs if slug not in known]
        if unknown:
            raise forms.ValidationError(f"Not in the catalogue: {', '.join(unknown[:5])}.")
        return [Item(known[slug.strip()], note.strip()) for slug, _, note in lines]


def lines_of(items: Sequence[Item]) -> str:
    """Write items as the form reads them."""
    return "\n".join(f"{item.app.slug}: {item.note}" if item.note else item.app.slug for item in items)
