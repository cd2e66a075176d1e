"""Apps that people looked for and did not find: asked for here, read by those who make apps."""

from datetime import datetime

from django.db.models import QuerySet
from django.urls import reverse

from marketplace.accounts import access
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import Membership, User
from marketplace.catalog.discovery_models import AppWish
from marketplace.core.errors import InvalidInput, NotAllowed
from marketplace.core.notices import Kind, notify

LONGEST, MOST_WISHES = 500, 100


def ask(*, text: str, by: Actor, at: datetime) -> AppWish:
    """Ask for an app and tell the makers of the person's organization; the same text again gives the first wish.

    Raises InvalidInput, NotAllowed.
    """
    text = text.strip()
    if not text or len(text) > LONGEST or "\0" in text:
        raise InvalidInput("text", f"Say what it should do, in up to {LONGEST} characters.", limit=LONGEST)
    organization_id = _organization_of(by)
    known = AppWish.objects.filter(person=by.user)
    if not known.filter(text=text).exists() and known.count() >= MOST_WISHES:
        raise InvalidInput(
            "text", f"There is room for {MOST_WISHES} wishes; withdraw one first.", limit=MOST_WISHES
        )
    wish, is_new = AppWish.objects.get_or_create(
        person=by.user, text=text, defaults={"organization_id": organization_id, "created_at": at}
    )
    if is_new:
        notify(
            _makers(organization_id),
            text=f"{by.user} asks for an app: {text}",
            at=at,
            key=f"app-wish:{wish.pk}",
            path=reverse("catalog:wishes"),
            kind=Kind.CATALOGUE,
        )
    return wish


def withdraw(wish: AppWish, *, by: Actor) -> None:
    """Take back one's own wish. Raises NotAllowed."""
    access.require(wish.person_id == by.user.pk, message="Only who asked withdraws it.")
    AppWish.objects.filter(pk=wish.pk).delete()


def visible_wishes(actor: Actor) -> QuerySet[AppWish]:
    """Wishes of the actor's organizations, all of them for operators of the platform; the newest first."""
    wishes = AppWish.objects.select_related("person", "organization").order_by("-created_at", "pk")
    if actor.is_platform(Role.OPERATOR):
        return wishes
    return wishes.filter(organization__in=actor.organization_ids)


def _makers(organization_id: int) -> QuerySet[User]:
    makers = Membership.objects.filter(organization=organization_id, role=Role.CREATOR)
    return User.objects.filter(pk__in=makers.values("user"), is_active=True)


def _organization_of(actor: Actor) -> int:
    if not actor.memberships:
        raise NotAllowed("An app is asked for in an organization, and you belong to none.")
    return actor.memberships[0].organization_id
