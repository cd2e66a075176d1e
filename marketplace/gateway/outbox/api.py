"""/webhooks in the management API: channels of teams and organizations, their log, their test, their secret."""

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSetMixin

from marketplace.accounts import access
from marketplace.accounts.requests import actor_of
from marketplace.core.errors import NotFound
from marketplace.core.models import DeliveryAttempt, NoticeChannel, NoticeDelivery
from marketplace.core.notice_kinds import Kind
from marketplace.gateway.outbox import channels, keepers, logs, trying
from marketplace.gateway.outbox.channels import ChannelFacts
from marketplace.gateway.outbox.configured import way_out
from marketplace.gateway.outbox.keepers import Place

AN_ID = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class ChannelSerializer(serializers.ModelSerializer):
    """A channel, without its address and secret."""

    id = serializers.CharField(read_only=True)
    organization = serializers.CharField(source="organization.slug", read_only=True)
    team = serializers.CharField(source="team.slug", read_only=True, default=None)
    created_by = serializers.CharField(source="created_by.email", read_only=True, default=None)

    class Meta:
        model = NoticeChannel
        fields = (
            "id", "name", "organization", "team", "form", "host", "kinds", "state", "off_reason", "failing_since",
            "old_secret_until", "created_by", "created_at",
        )  # fmt: skip


class ChannelWithSecretSerializer(ChannelSerializer):
    """A channel with its secret, which is shown in this answer and never again; null unless it is a signed webhook."""

    secret = serializers.SerializerMethodField()

    class Meta(ChannelSerializer.Meta):
        fields = (*ChannelSerializer.Meta.fields, "secret")  # type: ignore[assignment]

    def get_secret(self, channel: NoticeChannel) -> str | None:
        return self.context.get("secret") or None


class NewChannelSerializer(serializers.Serializer):
    """A channel to set up."""

    name = serializers.CharField(max_length=80)
    organization = serializers.CharField(max_length=60, help_text="Slug.")
    team = serializers.CharField(
        max_length=60, required=False, allow_null=True, help_text="Slug; left out: all of the organization."
    )
    form = serializers.ChoiceField(choices=NoticeChannel.Form.choices)
    url = serializers.CharField(max_length=2000, help_text="Public and https; never returned.")
    kinds = serializers.ListField(child=serializers.ChoiceField(choices=Kind.choices), min_length=1)


class ChangedChannelSerializer(serializers.Serializer):
    """What to change; what is left out stays."""

    name = serializers.CharField(max_length=80, required=False)
    url = serializers.CharField(max_length=2000, required=False)
    kinds = serializers.ListField(
        child=serializers.ChoiceField(choices=Kind.choices), min_length=1, required=False
    )


class AttemptSerializer(serializers.ModelSerializer):
    """One attempt; the answer is cut."""

    class Meta:
        model = DeliveryAttempt
        fields = ("at", "is_delivered", "http_status", "duration_ms", "trouble", "excerpt")


class DeliverySerializer(serializers.ModelSerializer):
    """What was to be sent. Its id is the `webhook-id` of every attempt."""

    id = serializers.CharField(read_only=True)
    log = AttemptSerializer(many=True, read_only=True)

    class Meta:
        model = NoticeDelivery
        fields = (
            "id", "kind", "text", "path", "state", "attempts", "run_at", "trouble", "is_test", "created_at", "ended_at",
            "log",
        )  # fmt: skip


class OutcomeSerializer(serializers.Serializer):
    """What a receiver answered to a test."""

    is_delivered = serializers.BooleanField()
    http_status = serializers.IntegerField(allow_null=True)
    duration_ms = serializers.IntegerField()
    trouble = serializers.CharField()
    excerpt = serializers.CharField()


OF_CHANNEL = [OpenApiParameter("id", OpenApiTypes.UUID, "path", description="Of the channel.")]


@extend_schema(tags=["notices"])
class ChannelViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Channels that you keep: where notices about a team or organization go besides mail."""

    queryset = NoticeChannel.objects.none()
    serializer_class = ChannelSerializer
    lookup_value_regex = AN_ID
    filter_backends = ()

    def get_queryset(self) -> QuerySet[NoticeChannel]:
        if getattr(self, "swagger_fake_view", False):
            return NoticeChannel.objects.none()
        return keepers.channels(actor_of(self.request))

    def get_object(self) -> NoticeChannel:
        return access.get(self.get_queryset(), pk=self.kwargs["pk"])

    @extend_schema(request=NewChannelSerializer, responses={201: ChannelWithSecretSerializer})
    def create(self, request: Request) -> Response:
        """Set up a channel."""
        body = NewChannelSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        asked = body.validated_data
        channel, secret = channels.add(
            _place(request, asked["organization"], asked.get("team")),
            form=asked["form"],
            facts=ChannelFacts(asked["name"], asked["kinds"]),
            url=asked["url"],
            allowed=settings.EGRESS_ALLOW,
            by=actor_of(request).user,
            at=timezone.now(),
        )
        return _with_secret(channel, secret, status=status.HTTP_201_CREATED)

    @extend_schema(request=ChangedChannelSerializer, responses=ChannelSerializer)
    def partial_update(self, request: Request, pk: str) -> Response:
        """Change name, address or kinds."""
        channel, body = self.get_object(), ChangedChannelSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        asked = body.validated_data
        channels.change(
            channel,
            facts=ChannelFacts(asked.get("name", channel.name), asked.get("kinds", channel.kinds)),
            url=asked.get("url", ""),
            allowed=settings.EGRESS_ALLOW,
            by=actor_of(request).user,
            at=timezone.now(),
        )
        return Response(ChannelSerializer(channel).data)

    @extend_schema(request=None, responses={204: None})
    def destroy(self, request: Request, pk: str) -> Response:
        """Remove a channel with its log."""
        channels.remove(self.get_object(), by=actor_of(request).user, at=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=None, responses=OutcomeSerializer, parameters=OF_CHANNEL)
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str) -> Response:
        """Send a test and return what was answered."""
        outcome = trying.send_test(
            self.get_object(), by=actor_of(request).user, at=timezone.now(), way=way_out()
        )
        return Response(OutcomeSerializer(outcome).data)

    @extend_schema(request=None, responses=ChannelWithSecretSerializer, parameters=OF_CHANNEL)
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, pk: str) -> Response:
        """Make a new secret; for a day messages carry signatures of both."""
        channel = self.get_object()
        secret = channels.rotate(channel, by=actor_of(request).user, at=timezone.now())
        return _with_secret(channel, secret)

    @extend_schema(request=None, responses=ChannelSerializer, parameters=OF_CHANNEL)
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        """Send nothing more there until it is resumed."""
        channel = self.get_object()
        channels.pause(channel, by=actor_of(request).user, at=timezone.now())
        return Response(ChannelSerializer(channel).data)

    @extend_schema(request=None, responses=ChannelSerializer, parameters=OF_CHANNEL)
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        """Send there again, from the next notice on."""
        channel = self.get_object()
        channels.resume(channel, by=actor_of(request).user, at=timezone.now())
        return Response(ChannelSerializer(channel).data)

    @extend_schema(
        operation_id="webhooks_deliveries", responses=DeliverySerializer(many=True), parameters=OF_CHANNEL
    )
    @action(detail=True, methods=["get"])
    def deliveries(self, request: Request, pk: str) -> Response:
        """List what was sent there, newest first, with every attempt."""
        page = self.paginate_queryset(logs.deliveries_of(self.get_object()))
        return self.get_paginated_response(DeliverySerializer(page, many=True).data)

    @extend_schema(
        operation_id="webhooks_redeliver",
        request=None,
        responses={202: DeliverySerializer},
        parameters=[*OF_CHANNEL, OpenApiParameter("delivery_id", OpenApiTypes.UUID, "path")],
    )
    @action(detail=True, methods=["post"], url_path=rf"deliveries/(?P<delivery_id>{AN_ID})/redeliver")
    def redeliver(self, request: Request, pk: str, delivery_id: str) -> Response:
        """Send something that has ended once more, under the same id."""
        channel = self.get_object()
        delivery = access.get(NoticeDelivery.objects.filter(channel=channel), pk=delivery_id)
        channels.send_again(delivery, by=actor_of(request).user, at=timezone.now())
        delivery.refresh_from_db()
        return Response(DeliverySerializer(delivery).data, status=status.HTTP_202_ACCEPTED)


def _place(request: Request, organization: str, team: str | None) -> Place:
    """Return a place that the person may set up channels for. Raises NotFound, also for those of others."""
    wanted = f"{organization}/{team}" if team else organization
    for place in keepers.places(actor_of(request)):
        if place.key == wanted:
            return place
    raise NotFound("team or organization", wanted)


def _with_secret(channel: NoticeChannel, secret: str, **more: Any) -> Response:
    answer = Response(ChannelWithSecretSerializer(channel, context={"secret": secret}).data, **more)
    answer["Cache-Control"] = "no-store"
    return answer


ROUTES: list[tuple[str, type[ViewSetMixin], str]] = [("webhooks", ChannelViewSet, "webhook")]
