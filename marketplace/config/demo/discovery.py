"""What people of the story think of apps, look for and ask for; and what operators put together."""

from marketplace.accounts.access import actor_for
from marketplace.catalog import curation, ratings, saved_searches, wishes
from marketplace.catalog.curation import Item
from marketplace.catalog.models import App
from marketplace.catalog.searching import Filters
from marketplace.config.demo.people import Cast
from marketplace.config.demo.timeline import Timeline
from metering import app_ratings, app_service, declared_months

# app, who (before the @), stars, text, days ago
RATINGS = (
    (
        "where2eat",
        "consumer",
        5,
        "The reasons make the difference: I forward them to the guest as they are.",
        60,
    ),
    ("where2eat", "ines.moreau", 4, "Good places, sometimes too far to walk.", 41),
    ("where2eat", "tom.adeyemi", 5, "", 22),
    ("where2eat", "nora.haddad", 2, "It keeps suggesting loud places for confidential talks.", 12),
    ("meeting-summarizer", "consumer", 4, "Keeps the names right. Long meetings take a while.", 55),
    ("meeting-summarizer", "nora.haddad", 3, "Decisions are there, the reasons for them are not.", 30),
    ("ticket-classifier", "consumer", 5, "Of a hundred requests a day we look at two ourselves.", 50),
    ("translator", "nora.haddad", 4, "Fine for mails, not for contracts.", 47),
    ("translator", "luis.ortega", 5, "Fast enough for chat.", 18),
    ("tone-rewriter", "luis.ortega", 4, "It saved at least one customer.", 33),
    ("policy-qa", "tom.adeyemi", 4, "Says where it stands in the policy.", 26),
    ("sql-helper", "sofia.berg", 3, "Joins are right, time zones are not.", 15),
    ("fx-convert", "ines.moreau", 5, "Does one thing.", 70),
)
REPORTED = (
    "where2eat",
    "nora.haddad",
    "marcus.bell",
    "This is about a client meeting and names nobody, but please check.",
)
COLLECTIONS = (
    (
        "first-week",
        "For a first week",
        "Small helpers that everybody can use from day one.",
        (
            ("where2eat", "For lunch with the new team."),
            ("meeting-summarizer", "For the meetings before you came."),
            ("policy-qa", "Ask it before you ask people."),
            ("tone-rewriter", ""),
        ),
    ),
    (
        "customer-service",
        "Customer service",
        "From a mail that comes in to an answer that goes out.",
        (
            ("ticket-classifier", "First: where does it belong?"),
            ("sentiment-labeler", "Who needs an answer today."),
            ("translator", ""),
            ("tone-rewriter", "Last: read it as the customer will."),
        ),
    ),
)
SEARCHES = (
    ("consumer", "Apps for texts", "category=writing", {"category": ("writing",)}, 50),
    ("finance", "Cheap and rated", "price=per_use&rating=4", {"price": ("per_use",), "rating": ("4",)}, 28),
)
WISHES = (
    ("consumer", "Read a delivery note from a photo and compare it with the order.", 19),
    ("nora.haddad", "Compare two versions of a contract and list what changed in meaning.", 8),
)


def tell(cast: Cast, apps: dict[str, App], timeline: Timeline) -> None:
    """Write it by the functions that people use; after usage is there, for who has not called an app does not rate it."""
    app_service.tell_catalogue(at=timeline.at)
    declared_months.tell(at=timeline.at)
    for slug, who, stars, text, days in RATINGS:
        by = actor_for(cast.person(who))
        # In a world with few events some teams have not called what they subscribe to.
        if app_ratings.calling_teams(apps[slug], by=by).exists():
            app_ratings.rate(apps[slug], stars=stars, text=text, by=by, at=timeline.ago(days, 14))
    _report(cast, apps, timeline)
    operator = actor_for(cast.person("operator"))
    for slug, title, summary, items in COLLECTIONS:
        chosen = [Item(apps[app], note) for app, note in items]
        at = timeline.ago(35, 10)
        curation.write(
            slug=slug, title=title, summary=summary, items=chosen, is_shown=True, by=operator, at=at
        )
    for who, name, query, facets, days in SEARCHES:
        saved_searches.save(
            name=name,
            query=query,
            filters=Filters(chosen=facets),
            tells=True,
            by=actor_for(cast.person(who)),
            at=timeline.ago(days, 16),
        )
    for who, text, days in WISHES:
        wishes.ask(text=text, by=actor_for(cast.person(who)), at=timeline.ago(days, 11))


def _report(cast: Cast, apps: dict[str, App], timeline: Timeline) -> None:
    slug, author, reporter, reason = REPORTED
    rating = ratings.own_rating(apps[slug], person=cast.person(author))
    if rating is not None:
        ratings.report(rating, reason=reason, by=cast.person(reporter), at=timeline.ago(9, 9))
