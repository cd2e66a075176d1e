"""/usage/inbox and /attribution-rules in the management API: what could not be attributed, and saying whose it is."""

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSetMixin

from marketplace.accounts import access
from marketplace.accounts.access import Actor
from marketplace.accounts.models import Organization, User
from marketplace.accounts.requests import actor_of
from marketplace.catalog.models import App, Subscription
from marketplace.core.errors import InvalidInput
from marketplace.core.money import to_text
from metering import attribution_rules, unattributed
from metering.attribution_rules import SERVING, Target
from metering.inbox_models import AttributionRule, Field, UnattributedGroup
from metering.unattributed import GroupRow

AN_ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
PAGE = 100


class GroupSerializer(serializers.Serializer):
    """Kept events of an app that name the same unknown thing. Tokens and cost are of those that wait."""

    id = serializers.CharField(source="group.pk")
    app = serializers.CharField(source="group.app.slug")
    owner = serializers.CharField(source="group.app.owner_team.slug")
    code = serializers.CharField(source="group.code")
    field = serializers.CharField(source="group.field")
    value = serializers.CharField(source="group.value")
    assignee = serializers.CharField(source="group.assignee.email", default=None, allow_null=True)
    first_seen_at = serializers.DateTimeField(source="group.first_seen_at")
    last_seen_at = serializers.DateTimeField(source="group.last_seen_at")
    open = serializers.IntegerField()
    counted = serializers.IntegerField()
    dismissed = serializers.IntegerField()
    tokens = serializers.IntegerField()
    estimated_cost = serializers.SerializerMethodField()
    currency = serializers.CharField()

    def get_estimated_cost(self, row: GroupRow) -> str:
        return to_text(row.cost)


class SuggestionSerializer(serializers.Serializer):
    """What a name may stand for; without an id: as if it were not named."""

    id = serializers.CharField(allow_null=True)
    label = serializers.CharField()  # type: ignore[assignment]
    reason = serializers.CharField()


class KeptEventSerializer(serializers.Serializer):
    """A kept event as it was sent."""

    id = serializers.CharField()
    occurred_at = serializers.DateTimeField()
    received_at = serializers.DateTimeField()
    state = serializers.CharField()
    trouble = serializers.CharField()
    body = serializers.DictField()


class GroupDetailSerializer(GroupSerializer):
    """A group with suggestions and its newest events."""

    suggestions = SuggestionSerializer(many=True)
    newest = KeptEventSerializer(many=True)


class AssignSerializer(serializers.Serializer):
    """What the name of a group stands for: one of cost_center, subscription, or as_unnamed."""

    target = serializers.ChoiceField(choices=Target.choices)
    cost_center = serializers.CharField(required=False, max_length=20, help_text="Code.")
    subscription = serializers.CharField(required=False, max_length=64, help_text="Id.")
    scope = serializers.ChoiceField(choices=["app", "organization"], required=False, default="app")
    reason = serializers.CharField(required=False, default="", allow_blank=True, max_length=2000)


class NewRuleSerializer(AssignSerializer):
    """A rule: for an app, or, with scope organization, for all apps of an organization's teams."""

    app = serializers.CharField(required=False, help_text="Slug; with scope app.")
    organization = serializers.CharField(required=False, help_text="Slug; with scope organization.")
    field = serializers.ChoiceField(choices=Field.choices)
    value = serializers.CharField(max_length=80, allow_blank=True)


class DismissSerializer(serializers.Serializer):
    """Why usage belongs to nobody."""

    reason = serializers.CharField(max_length=2000)


class DismissedSerializer(serializers.Serializer):
    """How many events were dismissed."""

    dismissed = serializers.IntegerField()


class HandSerializer(serializers.Serializer):
    """Who sees to a group."""

    person = serializers.EmailField()


class RuleSerializer(serializers.ModelSerializer):
    """What an unknown name stands for, and since when."""

    id = serializers.CharField(read_only=True)
    app = serializers.CharField(source="app.slug", read_only=True, default=None)
    organization = serializers.CharField(source="organization.slug", read_only=True)
    cost_center = serializers.CharField(source="cost_center.code", read_only=True, default=None)
    subscription = serializers.CharField(source="subscription_id", read_only=True, default=None)
    made_by = serializers.CharField(source="made_by.email", read_only=True)
    ended_by = serializers.CharField(source="ended_by.email", read_only=True, default=None)

    class Meta:
        model = AttributionRule
        fields = (
            "id", "organization", "app", "field", "value", "target", "cost_center", "subscription", "reason",
            "starts_at", "ends_at", "made_by", "ended_by",
        )  # fmt: skip


class GroupFilter(filters.FilterSet):
    app = filters.CharFilter(field_name="app__slug")

    class Meta:
        model = UnattributedGroup
        fields = ("app", "field")


class RuleFilter(filters.FilterSet):
    app = filters.CharFilter(field_name="app__slug")
    in_force = filters.BooleanFilter(field_name="ends_at", lookup_expr="isnull")

    class Meta:
        model = AttributionRule
        fields = ("app", "field", "value", "target")


OF_GROUP = [OpenApiParameter("id", OpenApiTypes.UUID, "path", description="Of the group.")]


@extend_schema(tags=["usage"])
class InboxViewSet(viewsets.GenericViewSet):
    """Usage that could not be attributed, of the apps you look after."""

    lookup_value_regex = AN_ID
    queryset = UnattributedGroup.objects.none()
    serializer_class = GroupSerializer
    filterset_class = GroupFilter
    pagination_class = None

    @extend_schema(
        operation_id="usage_inbox",
        parameters=[
            OpenApiParameter("state", OpenApiTypes.STR, enum=["open", "ended"], description="Default open."),
        ],
        responses=GroupSerializer(many=True),
    )
    def list(self, request: Request) -> Response:
        """List groups, the dearest first, at most a hundred."""
        found = self.filter_queryset(unattributed.groups(actor_of(request)))
        is_open = request.query_params.get("state", "open") != "ended"
        return Response(GroupSerializer(unattributed.rows(found, is_open=is_open)[:PAGE], many=True).data)

    @extend_schema(operation_id="usage_inbox_group", responses=GroupDetailSerializer, parameters=OF_GROUP)
    def retrieve(self, request: Request, pk: str) -> Response:
        """Show a group with suggestions and its newest events."""
        group = self._group(pk)
        row = unattributed.row(group) or GroupRow(group, 0, 0, 0, 0, unattributed.ZERO, "", None, None)
        suggested = unattributed.suggest(group, actor=actor_of(request))
        events = [
            {
                "id": one.event_id,
                "occurred_at": one.occurred_at,
                "received_at": one.received_at,
                "state": one.state,
                "trouble": one.trouble,
                "body": body,
            }
            for one, body in unattributed.newest(group)
        ]
        return Response(
            {
                **GroupSerializer(row).data,
                "suggestions": SuggestionSerializer(suggested, many=True).data,
                "newest": KeptEventSerializer(events, many=True).data,
            }
        )

    @extend_schema(request=AssignSerializer, responses={201: RuleSerializer}, parameters=OF_GROUP)
    @action(detail=True, methods=["post"])
    def assign(self, request: Request, pk: str) -> Response:
        """Say what the name stands for: a rule from now on, and for everything that waits."""
        group = self._group(pk)
        body = AssignSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        rule = AttributionRule(
            organization=group.app.owner_team.organization,
            app=None if body.validated_data["scope"] == "organization" else group.app,
            field=group.field,
            value=group.value,
        )
        return _made(request, rule, body.validated_data)

    @extend_schema(request=DismissSerializer, responses=DismissedSerializer, parameters=OF_GROUP)
    @action(detail=True, methods=["post"])
    def dismiss(self, request: Request, pk: str) -> Response:
        """Give up what waits, with a reason; it stays listed and is never counted."""
        group = self._group(pk)
        body = DismissSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        count = attribution_rules.dismiss(
            group, by=actor_of(request), at=timezone.now(), reason=body.validated_data["reason"]
        )
        return Response({"dismissed": count})

    @extend_schema(request=HandSerializer, responses=GroupSerializer, parameters=OF_GROUP)
    @action(detail=True, methods=["post"], url_path="hand-over")
    def hand_over(self, request: Request, pk: str) -> Response:
        """Make somebody who looks after the app see to it."""
        group = self._group(pk)
        body = HandSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        email = body.validated_data["person"].lower()
        person = User.objects.filter(email=email, is_active=True).first()
        if person is None:
            raise InvalidInput("person", "Nobody who looks after this app has this address.")
        attribution_rules.hand_to(group, person, by=actor_of(request), at=timezone.now())
        return Response(GroupSerializer(unattributed.row(group)).data)

    def _group(self, pk: str) -> UnattributedGroup:
        return access.get(unattributed.groups(actor_of(self.request)), pk=pk)


@extend_schema(tags=["usage"])
class RuleViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Rules of attribution for the apps you look after, and for the organizations you serve."""

    serializer_class = RuleSerializer
    filterset_class = RuleFilter
    lookup_value_regex = AN_ID
    queryset = AttributionRule.objects.none()

    def get_queryset(self) -> QuerySet[AttributionRule]:
        if getattr(self, "swagger_fake_view", False):
            return AttributionRule.objects.none()
        return attribution_rules.visible_rules(actor_of(self.request))

    def get_object(self) -> AttributionRule:
        return access.get(self.get_queryset(), pk=self.kwargs["pk"])

    @extend_schema(request=NewRuleSerializer, responses={201: RuleSerializer})
    def create(self, request: Request) -> Response:
        """Make a rule, also before the first event comes."""
        body = NewRuleSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        said = body.validated_data
        rule = AttributionRule(field=said["field"], value=said["value"], **_where(actor_of(request), said))
        return _made(request, rule, said)

    @extend_schema(request=None, responses=RuleSerializer)
    @action(detail=True, methods=["post"])
    def end(self, request: Request, pk: str) -> Response:
        """End a rule. What it counted stays."""
        rule = self.get_object()
        attribution_rules.end(rule, by=actor_of(request), at=timezone.now())
        return Response(RuleSerializer(self.get_object()).data)


def _made(request: Request, rule: AttributionRule, said: Mapping[str, Any]) -> Response:
    rule.target, rule.reason = said["target"], said["reason"]
    if code := said.get("cost_center"):
        centers = access.organizations(actor_of(request)).filter(pk=rule.organization_id)
        owned = centers.first()
        found = owned.cost_centers.filter(code=code).first() if owned else None
        if found is None:
            raise InvalidInput("cost_center", "The organization has no such cost center.")
        rule.cost_center = found
    if text := said.get("subscription"):
        rule.subscription = access.get(Subscription.objects.filter(app=rule.app), pk=text)
    made = attribution_rules.make(rule, by=actor_of(request), at=timezone.now())
    return Response(RuleSerializer(made).data, status=status.HTTP_201_CREATED)


def _where(actor: Actor, said: Mapping[str, Any]) -> dict[str, Organization | App | None]:
    """Find where a rule shall hold: an app that the person looks after, or an organization that they serve."""
    if said["scope"] == "app":
        app = access.get(unattributed.apps(actor), slug=said.get("app", ""))
        return {"app": app, "organization": app.owner_team.organization}
    served = Organization.objects.all()
    if not actor.is_platform(*SERVING):
        served = served.filter(pk__in=actor.organizations_as(*SERVING))
    return {"app": None, "organization": access.get(served, slug=said.get("organization", ""))}


ROUTES: list[tuple[str, type[ViewSetMixin], str]] = [
    ("usage/inbox", InboxViewSet, "usage-inbox"),
    ("attribution-rules", RuleViewSet, "attribution-rule"),
]
