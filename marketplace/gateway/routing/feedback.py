"""What people thought of answers, by the id of the request; and what an app's own routing learns from it."""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction

from marketplace.accounts.models import User
from marketplace.core.errors import InvalidInput, NotFound
from marketplace.gateway.routing import policies
from marketplace.gateway.routing.table import CLASSES
from marketplace.gateway.routing_models import RouteFeedback, RouteLearning, RoutePolicy
from metering.models import EventKey, UsageEvent
from metering.route_tags import DIFFICULTY, INTENT

KEPT_DAYS = 30
LEAST_GIVEN = 30
MOST_OFFSET = 40
STEP = 5


def give(
    *, app_id: int, subscription_id: UUID, request_id: str, is_good: bool, by: User | None, at: datetime
) -> RouteFeedback:
    """Keep what somebody thought of a call of a subscription; given again, the newest counts. Raises NotFound."""
    key = EventKey.objects.filter(app=app_id, event_id=request_id).first() if len(request_id) <= 128 else None
    event = key and (
        UsageEvent.objects.filter(
            app=app_id,
            event_id=request_id,
            occurred_at=key.occurred_at,
            attribution__subscription=subscription_id,
        )
        .select_related("attribution__model", "app")
        .first()
    )
    if not event:
        raise NotFound("request", request_id)
    model = event.attribution.model
    if model is None:
        raise InvalidInput("request_id", "No model was called for this request.")
    tags = event.tags or {}
    classes = [CLASSES.index(one) for one in policies.models_of(event.app).values() if one in CLASSES]
    judged = tags.get(DIFFICULTY)
    given, _ = RouteFeedback.objects.update_or_create(
        app_id=app_id,
        event_id=request_id,
        defaults={
            "is_good": is_good,
            "is_strong": model.model_class in CLASSES
            and CLASSES.index(model.model_class) == max(classes, default=-1),
            "intent": tags.get(INTENT, ""),
            "difficulty": int(judged) if judged else None,
            "subscription_id": subscription_id,
            "given_by": by,
            "given_at": at,
        },
    )
    return given


def learn(*, at: datetime) -> int:
    """Learn from the feedback of the last thirty days what each app with a policy needs; returns how many changed.

    Quality is the share of good answers of weaker models over that of the strongest, in percent. Under the floor by what
    thirty ratings or more say, everything goes to the strongest until the old ratings have passed. Above it, the threshold
    of difficulty moves by a step: up where weaker models do as well, down where they barely do.
    """
    changed = 0
    for policy in RoutePolicy.objects.filter(state=RoutePolicy.State.IN_FORCE).select_related("app"):
        changed += _learn_one(policy, at=at)
    return changed


def _learn_one(policy: RoutePolicy, *, at: datetime) -> bool:
    since = at - timedelta(days=KEPT_DAYS)
    given = RouteFeedback.objects.filter(app=policy.app, given_at__gte=since).values_list(
        "is_strong", "is_good"
    )
    weak = [is_good for is_strong, is_good in given if not is_strong]
    strong = [is_good for is_strong, is_good in given if is_strong]
    before = RouteLearning.objects.filter(app=policy.app).first()
    quality = measured_quality(weak, strong)
    offset = before.offset if before else 0
    # The same ratings move the threshold once: it waits for as many new ones.
    fresh = (
        RouteFeedback.objects.filter(app=policy.app, given_at__gt=before.learned_at).count()
        if before
        else LEAST_GIVEN
    )
    if fresh >= LEAST_GIVEN:
        offset = next_offset(offset, quality, floor=policy.quality_floor)
    is_strong_only = quality is not None and quality < policy.quality_floor
    if before and (before.offset, before.is_strong_only, before.quality) == (offset, is_strong_only, quality):
        return False
    if before is None and quality is None:
        return False
    with transaction.atomic():
        RouteLearning.objects.update_or_create(
            app=policy.app,
            defaults={
                "offset": offset, "is_strong_only": is_strong_only, "quality": quality,
                "given": len(weak) + len(strong),
                "learned_at": at if before is None or before.offset != offset else before.learned_at,
            },
        )  # fmt: skip
    return True


def measured_quality(weak: list[bool], strong: list[bool]) -> int | None:
    """Return the quality of weaker models in percent of the strongest; None while too few have rated them.

    Without ratings of the strongest, their answers count as good.
    """
    if len(weak) < LEAST_GIVEN:
        return None
    of_strong = sum(strong) * 100 // len(strong) if len(strong) >= LEAST_GIVEN else 100
    return min(100, sum(weak) * 100 * 100 // len(weak) // max(1, of_strong))


def next_offset(offset: int, quality: int | None, *, floor: int) -> int:
    """Move the threshold one step: where there is room above the floor, weaker models get harder prompts."""
    if quality is None:
        return offset
    if quality >= (floor + 100) / 2:
        return min(MOST_OFFSET, offset + STEP)
    return max(-MOST_OFFSET, offset - STEP) if quality < floor + 1 else offset
