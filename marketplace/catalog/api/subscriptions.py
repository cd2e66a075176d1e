"""/subscriptions: subscribe, change plan, cancel, make and end keys."""

from datetime import timedelta
from typing import Any

import django_filters
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from marketplace.accounts import access, keys
from marketplace.accounts.access import Actor, Role
from marketplace.accounts.models import ApiKey, CostCenter, Team
from marketplace.accounts.requests import actor_of
from marketplace.catalog import pauses, planned_steps, queries, subscription_steps, subscriptions, trials
from marketplace.catalog.lifecycle_models import PlannedStep, Trial
from marketplace.catalog.models import App, Environment, Plan, Subscription, SubscriptionKey
from marketplace.catalog.plan_terms import terms_of
from marketplace.core.api_fields import AmountField
from marketplace.core.errors import InvalidInput
from marketplace.core.periods import month_of

OVERLAP_HOURS = 24
MAX_OVERLAP_HOURS = 30 * 24
NOW, PERIOD_END = "now", "period_end"
TIMES = [NOW, PERIOD_END]


class PlannedSerializer(serializers.ModelSerializer):
    """A step that was agreed to and waits for its day."""

    step = serializers.CharField()
    plan = serializers.CharField(source="plan.code", default=None)

    class Meta:
        model = PlannedStep
        fields = ("step", "plan", "due_at")


class TrialShownSerializer(serializers.ModelSerializer):
    """A trial, and what comes when it ends."""

    then = serializers.CharField()

    class Meta:
        model = Trial
        fields = ("ends_at", "then")


class SubscriptionSerializer(serializers.ModelSerializer):
    """A team's right to call an app."""

    id = serializers.CharField(read_only=True)
    app = serializers.CharField(source="app.slug", read_only=True)
    plan = serializers.CharField(source="plan.code", read_only=True, default=None)
    team = serializers.CharField(source="team.slug", read_only=True)
    organization = serializers.CharField(source="team.organization.slug", read_only=True)
    cost_center = serializers.CharField(source="cost_center.code", read_only=True)
    sandbox_credit = AmountField(read_only=True)
    planned = serializers.SerializerMethodField(help_text="What waits for its day.")
    trial = serializers.SerializerMethodField(help_text="The days without a fee, when there were any.")

    @extend_schema_field(PlannedSerializer(allow_null=True))
    def get_planned(self, subscription: Subscription) -> dict[str, Any] | None:
        waiting = [one for one in subscription.planned_steps.all() if one.state == PlannedStep.State.PLANNED]
        return dict(PlannedSerializer(waiting[0]).data) if waiting else None

    @extend_schema_field(TrialShownSerializer(allow_null=True))
    def get_trial(self, subscription: Subscription) -> dict[str, Any] | None:
        trial = getattr(subscription, "trial", None)
        return dict(TrialShownSerializer(trial).data) if trial else None

    class Meta:
        model = Subscription
        fields = (
            "id", "app", "plan", "team", "organization", "cost_center", "environment", "state",
            "sandbox_credit", "starts_at", "ends_at", "planned", "trial",
        )  # fmt: skip


class NewSubscriptionSerializer(serializers.Serializer):
    """What to subscribe to. A plan or team may be left out when there is one only; the cost center is the team's."""

    app = serializers.SlugField()
    plan = serializers.SlugField(required=False)
    team = serializers.SlugField(required=False, help_text="Slug of a team in which you are a consumer.")
    cost_center = serializers.CharField(required=False, max_length=20, help_text="Code.")
    environment = serializers.ChoiceField(choices=[one.value for one in subscriptions.BILLED], required=False)
    calls = serializers.IntegerField(required=False, min_value=1, help_text="Expected a month.")


class ChangeSerializer(serializers.Serializer):
    """The plan to move to, and when: what costs less is made when the month ends unless ``now`` is asked for."""

    plan = serializers.SlugField()
    when = serializers.ChoiceField(choices=TIMES, required=False)


class PauseSerializer(serializers.Serializer):
    """Why it pauses, for the record."""

    reason = serializers.CharField(required=False, allow_blank=True, max_length=500)


class TrialSerializer(serializers.Serializer):
    """What comes when the trial ends."""

    then = serializers.ChoiceField(choices=["go_on", "cancel"])


class CancelSerializer(serializers.Serializer):
    """Why it ends, for the record, and when: at once unless the end of the month is asked for."""

    when = serializers.ChoiceField(choices=TIMES, required=False)
    reason = serializers.CharField(required=False, allow_blank=True, max_length=500)


class NewKeySerializer(serializers.Serializer):
    """A key to make."""

    name = serializers.CharField(required=False, allow_blank=True, max_length=80)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)


class RotateSerializer(serializers.Serializer):
    """How long the old key works on."""

    overlap_hours = serializers.IntegerField(
        required=False, default=OVERLAP_HOURS, min_value=0, max_value=MAX_OVERLAP_HOURS
    )


class KeySerializer(serializers.ModelSerializer):
    """A key without its secret, which is kept nowhere."""

    id = serializers.CharField(read_only=True)

    class Meta:
        model = ApiKey
        fields = ("id", "prefix", "name", "created_at", "expires_at", "revoked_at", "last_used_at")


class IssuedKeySerializer(KeySerializer):
    """A key that was just made: ``key`` is its whole text, shown this once."""

    key = serializers.CharField(read_only=True)

    class Meta:
        model = ApiKey
        fields = ("key", *KeySerializer.Meta.fields)


class SubscriptionFilter(django_filters.FilterSet):
    app = django_filters.CharFilter("app__slug")
    team = django_filters.CharFilter("team__slug")
    state = django_filters.ChoiceFilter(choices=Subscription.State.choices)
    environment = django_filters.CharFilter("environment")

    class Meta:
        model = Subscription
        fields = ("app", "team", "state", "environment")


class SubscriptionViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Subscriptions of the teams you belong to or serve; consumers of the team act on them."""

    serializer_class = SubscriptionSerializer
    filterset_class = SubscriptionFilter
    lookup_value_regex = "[0-9a-fA-F-]{32,36}"
    queryset = Subscription.objects.none()

    def get_queryset(self) -> QuerySet[Subscription]:
        if getattr(self, "swagger_fake_view", False):
            return Subscription.objects.none()
        found = queries.visible_subscriptions(actor_of(self.request))
        return found.select_related("trial").prefetch_related("planned_steps__plan")

    def get_object(self) -> Subscription:
        return access.get(self.get_queryset(), pk=self.kwargs["pk"])

    @extend_schema(
        request=NewSubscriptionSerializer,
        responses={201: SubscriptionSerializer, 200: SubscriptionSerializer},
    )
    def create(self, request: Request) -> Response:
        """Subscribe a team. 200 when it has the app on these terms already, 409 when on others or approval is needed."""
        body = _read(NewSubscriptionSerializer, request)
        actor, now = actor_of(request), timezone.now()
        app = queries.listing_for(actor, slug=body["app"]).app
        team = _team(actor, body.get("team"))
        subscription = subscriptions.start(
            app,
            plan=_plan(app, body.get("plan")),
            team=team,
            cost_center=_cost_center(actor, team, body.get("cost_center")),
            environment=body.get("environment", Environment.PRODUCTION),
            calls=body.get("calls"),
            by=actor.user,
            at=now,
        )
        is_new = subscription.starts_at == now
        answer = status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
        return Response(SubscriptionSerializer(subscription).data, status=answer)

    @extend_schema(request=ChangeSerializer, responses=SubscriptionSerializer)
    @action(detail=True, methods=["post"])
    def change(self, request: Request, pk: str) -> Response:
        """Move to another plan: at once, or when the month ends if it costs less or that is asked for."""
        subscription, body, now = self._own(), _read(ChangeSerializer, request), timezone.now()
        plan, by = _plan(subscription.app, body["plan"]), actor_of(request).user
        if body.get("when", _usual_time(subscription, plan)) == NOW:
            subscriptions.change_plan(subscription, plan=plan, by=by, at=now)
        else:
            due_at = month_of(now).ends_at
            subscription_steps.change_plan_later(subscription, plan=plan, due_at=due_at, by=by, at=now)
        return self._shown()

    @extend_schema(request=CancelSerializer, responses=SubscriptionSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """End the subscription and its keys, at once or when the month ends."""
        subscription, body, now = self._own(), _read(CancelSerializer, request), timezone.now()
        reason, by = body.get("reason", ""), actor_of(request).user
        if body.get("when", NOW) == NOW:
            subscriptions.cancel(subscription, by=by, at=now, reason=reason)
        else:
            due_at = month_of(now).ends_at
            subscription_steps.cancel_later(subscription, due_at=due_at, by=by, at=now, reason=reason)
        return self._shown()

    @extend_schema(request=PauseSerializer, responses=SubscriptionSerializer)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """Refuse calls from now on; whole days (UTC) of the pause cost no fee."""
        reason = _read(PauseSerializer, request).get("reason", "")
        pauses.pause(self._own(), by=actor_of(request).user, at=timezone.now(), reason=reason)
        return self._shown()

    @extend_schema(request=None, responses=SubscriptionSerializer)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Let a paused subscription call again."""
        pauses.resume(self._own(), by=actor_of(request).user, at=timezone.now())
        return self._shown()

    @extend_schema(request=None, responses=SubscriptionSerializer)
    @action(detail=True, methods=["post"], url_path="call-off")
    def call_off(self, request: Request, pk: str) -> Response:
        """Let the step not come that waits for the end of the month."""
        planned_steps.call_off_waiting(self._own(), by=actor_of(request).user, at=timezone.now())
        return self._shown()

    @extend_schema(request=TrialSerializer, responses=SubscriptionSerializer)
    @action(detail=True, methods=["post"])
    def trial(self, request: Request, pk: str) -> Response:
        """Say what comes when the trial ends."""
        subscription, now = self._own(), timezone.now()
        then = _read(TrialSerializer, request)["then"]
        trial = access.get(Trial.objects.all(), subscription=subscription)
        trials.decide(trial, then=then, by=actor_of(request).user, at=now)
        return self._shown()

    def _shown(self) -> Response:
        """Show the subscription as the step left it."""
        return Response(SubscriptionSerializer(self.get_object()).data)

    @extend_schema(responses=KeySerializer(many=True), methods=["GET"])
    @extend_schema(request=NewKeySerializer, responses={201: IssuedKeySerializer}, methods=["POST"])
    @action(detail=True, methods=["get", "post"])
    def keys(self, request: Request, pk: str) -> Response:
        """List the keys; a POST makes one and answers with its text, this once."""
        if request.method == "POST":
            body = _read(NewKeySerializer, request)
            key, text = subscriptions.issue_subscription_key(
                self._own(),
                by=actor_of(request).user,
                at=timezone.now(),
                name=body.get("name", ""),
                expires_at=body.get("expires_at"),
            )
            return _issued(key, text)
        found = ApiKey.objects.filter(subscription_key__subscription=self.get_object())
        page = self.paginate_queryset(found)
        return self.get_paginated_response(KeySerializer(page, many=True).data)

    @extend_schema(request=RotateSerializer, responses={201: IssuedKeySerializer})
    @action(detail=True, methods=["post"], url_path="keys/(?P<key_id>[0-9a-fA-F-]{32,36})/rotate")
    def rotate(self, request: Request, pk: str, key_id: str) -> Response:
        """Make the successor of a key; the old one works on for some hours."""
        overlap = timedelta(hours=_read(RotateSerializer, request)["overlap_hours"])
        key, text = subscriptions.rotate_subscription_key(
            self._link(key_id), overlap=overlap, by=actor_of(request).user, at=timezone.now()
        )
        return _issued(key, text)

    @extend_schema(request=None, responses=KeySerializer)
    @action(detail=True, methods=["post"], url_path="keys/(?P<key_id>[0-9a-fA-F-]{32,36})/revoke")
    def revoke(self, request: Request, pk: str, key_id: str) -> Response:
        """End a key at once; one that had ended stays as it was."""
        link = self._link(key_id)
        keys.revoke(link.key, at=timezone.now(), by=actor_of(request).user)
        return Response(KeySerializer(link.key).data)

    def _own(self) -> Subscription:
        """404 for what the actor may not see, 403 for what they may only see."""
        subscription = self.get_object()
        access.require(
            queries.may_manage(subscription, actor=actor_of(self.request)),
            message=f"Only consumers of {subscription.team} manage its subscriptions.",
        )
        return subscription

    def _link(self, key_id: str) -> SubscriptionKey:
        return access.get(queries.key_links(self._own()), key=key_id)


def _read(serializer: type[serializers.Serializer], request: Request) -> dict[str, Any]:
    body = serializer(data=request.data)
    body.is_valid(raise_exception=True)
    return dict(body.validated_data)


def _issued(key: ApiKey, text: str) -> Response:
    body = {"key": text, **KeySerializer(key).data}
    return Response(body, status=status.HTTP_201_CREATED, headers={"Cache-Control": "no-store"})


def _plan(app: App, code: str | None) -> Plan:
    """Find an offered plan by its code, or the only one there is."""
    offered = {plan.code: plan for plan in queries.offered_plans(app)}
    if code is None and len(offered) == 1:
        return next(iter(offered.values()))
    if code not in offered:
        raise InvalidInput("plan", f"must be one of {', '.join(offered)}", code="unknown_plan")
    return offered[code]


def _usual_time(subscription: Subscription, plan: Plan) -> str:
    """As the page proposes it: a lower fee, or the same with fewer calls, begins with the next month."""
    if subscription.plan is None:
        return NOW
    old, new = terms_of(subscription.plan), terms_of(plan)
    is_less = new.fee < old.fee or (new.fee == old.fee and new.monthly_calls_limit < old.monthly_calls_limit)
    return PERIOD_END if is_less else NOW


def _team(actor: Actor, slug: str | None) -> Team:
    """Find a team of the actor's by its slug, or the only one in which they are a consumer."""
    own = access.own_teams(actor, role=Role.CONSUMER)
    if slug is None:
        teams = list(own[:2])
        if len(teams) != 1:
            raise InvalidInput("team", "is needed: you are a consumer in several teams, or in none")
        return teams[0]
    return access.get(own, slug=slug)


def _cost_center(actor: Actor, team: Team, code: str | None) -> CostCenter:
    if code is None:
        return team.cost_center
    return access.get(access.cost_centers(actor).filter(organization=team.organization_id), code=code)


ROUTES = [("subscriptions", SubscriptionViewSet, "subscription")]
