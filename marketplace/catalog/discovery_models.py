"""What the catalogue is searched by, searches that people keep, and what they did not find."""

from django.contrib.postgres.indexes import GinIndex, GistIndex, OpClass
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models import Q
from pgtrigger import Insert, Update

from marketplace.catalog import entries
from marketplace.core.ids import uuid7


class SearchEntry(models.Model):
    """What a listing is found, counted and sorted by. Kept by triggers (catalog.entries), only while it is listed."""

    listing = models.OneToOneField("catalog.Listing", models.CASCADE, primary_key=True, related_name="entry")
    search = SearchVectorField()
    name = models.CharField(max_length=80)
    is_public = models.BooleanField()
    organization = models.ForeignKey("accounts.Organization", models.PROTECT, related_name="+")
    team = models.ForeignKey("accounts.Team", models.PROTECT, related_name="+")
    category = models.CharField(max_length=40)
    kind = models.CharField(max_length=6)
    price_models = models.SmallIntegerField(help_text="Bits of catalog.entries.PRICE_BITS.")
    monthly_price = models.DecimalField(
        max_digits=38,
        decimal_places=18,
        null=True,
        help_text="Of 1,000 calls a month on the cheapest plan, unrounded, in the currency of the plan.",
    )
    cost_per_1000 = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    cost_band = models.SmallIntegerField()
    slo_band = models.SmallIntegerField()
    ratings = models.IntegerField(default=0)
    stars = models.IntegerField(default=0, help_text="Sum over the ratings that are shown.")
    rating_sort = models.DecimalField(max_digits=38, decimal_places=18)
    is_verified = models.BooleanField()
    subscribers = models.IntegerField(default=0)
    monthly_calls = models.BigIntegerField(default=0)
    listed_at = models.DateTimeField()

    class Meta:
        indexes = [
            GinIndex(fields=["search"], name="search_entry_words", fastupdate=False),
            # The orders of catalog.searching that need no words: a first page is read off, not sorted out of everything.
            models.Index(
                fields=["-monthly_calls", "-subscribers", "name", "listing"], name="search_entry_popular"
            ),
            models.Index(fields=["-listed_at", "name", "listing"], name="search_entry_newest"),
            models.Index(fields=["-rating_sort", "-ratings", "name", "listing"], name="search_entry_rated"),
            models.Index(fields=["monthly_price", "name", "listing"], name="search_entry_cheapest"),
        ]

    def __str__(self) -> str:
        return self.name


class SearchWord(models.Model):
    """A word of some listing, for typing errors. Never shown: a word may be of a listing that not everybody sees."""

    word = models.CharField(max_length=40, primary_key=True)

    class Meta:
        indexes = [GistIndex(OpClass("word", "gist_trgm_ops"), name="search_word_trigrams")]

    def __str__(self) -> str:
        return self.word


class MeasuredFacts(models.Model):
    """What metering measured of an app, told to the catalogue by a routine."""

    app = models.OneToOneField("catalog.App", models.CASCADE, primary_key=True, related_name="measured")
    monthly_calls = models.BigIntegerField(default=0, help_text="In the last 30 days.")
    cost_per_1000 = models.DecimalField(
        max_digits=38, decimal_places=18, null=True, help_text="Of the last 30 days; null without calls."
    )
    p95_latency_ms = models.PositiveIntegerField(null=True, help_text="Of the last 90 days.")
    timed_calls = models.BigIntegerField(default=0, help_text="Calls whose latency is known, in 90 days.")
    measured_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "measured facts"
        triggers = [entries.keep_entry("entry_of_measured_facts", Insert | Update)]

    def __str__(self) -> str:
        return f"Measured of {self.app_id}"


class SavedSearch(models.Model):
    """A search of the catalogue that somebody keeps, and wants to hear of."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    person = models.ForeignKey("accounts.User", models.CASCADE, related_name="saved_searches")
    name = models.CharField(max_length=80)
    query = models.CharField(max_length=1000, help_text="What follows the question mark of /catalog/.")
    tells = models.BooleanField(default=True, help_text="A notice comes for each app that matches anew.")
    created_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "saved searches"
        constraints = [
            models.UniqueConstraint(fields=["person", "query"], name="saved_search_once"),
            models.CheckConstraint(condition=~Q(name="") & ~Q(query=""), name="saved_search_has_name"),
        ]

    def __str__(self) -> str:
        return self.name


class SavedSearchMatch(models.Model):
    """That a saved search has found an app: known from the start, or told of once."""

    search = models.ForeignKey("catalog.SavedSearch", models.CASCADE, related_name="matches")
    app = models.ForeignKey("catalog.App", models.CASCADE, related_name="+")

    class Meta:
        verbose_name_plural = "saved search matches"
        constraints = [models.UniqueConstraint(fields=["search", "app"], name="saved_search_match_once")]

    def __str__(self) -> str:
        return f"{self.search_id} found {self.app_id}"


class AppWish(models.Model):
    """An app that somebody looked for and did not find."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey("accounts.Organization", models.CASCADE, related_name="+")
    person = models.ForeignKey("accounts.User", models.CASCADE, related_name="app_wishes")
    text = models.CharField(max_length=500)
    created_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "app wishes"
        constraints = [
            models.UniqueConstraint(fields=["person", "text"], name="app_wish_once"),
            models.CheckConstraint(condition=~Q(text=""), name="app_wish_has_text"),
        ]
        indexes = [models.Index(fields=["organization", "-created_at"], name="app_wish_by_organization")]

    def __str__(self) -> str:
        return self.text
