"""/notices and /notice-preferences in the management API: what one was told, and how it reaches one."""

from dataclasses import asdict
from typing import Any, cast

from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSetMixin

from marketplace.accounts import access, mail_choices, queries
from marketplace.accounts.models import User
from marketplace.accounts.requests import actor_of
from marketplace.core import notices
from marketplace.core.models import Notice
from marketplace.core.notice_kinds import Cadence, Kind

MOST_IDS = 500


class NoticeSerializer(serializers.ModelSerializer):
    """Something the person was told."""

    id = serializers.CharField(read_only=True)

    class Meta:
        model = Notice
        fields = ("id", "kind", "text", "path", "mail", "created_at", "read_at")


class NoticeFilter(filters.FilterSet):
    unread = filters.BooleanFilter(field_name="read_at", lookup_expr="isnull")

    class Meta:
        model = Notice
        fields = ("kind",)


class NoticeIdsSerializer(serializers.Serializer):
    """Which notices; left out: all."""

    ids = serializers.ListField(child=serializers.UUIDField(), required=False, max_length=MOST_IDS)


class SomeNoticeIdsSerializer(serializers.Serializer):
    """Which notices."""

    ids = serializers.ListField(child=serializers.UUIDField(), max_length=MOST_IDS)


class MarkedSerializer(serializers.Serializer):
    """How many changed."""

    changed = serializers.IntegerField()


class MailKindSerializer(serializers.Serializer):
    """What holds for one kind of notice."""

    kind = serializers.ChoiceField(choices=Kind.choices)
    label = serializers.CharField()  # type: ignore[assignment]
    mail = serializers.ChoiceField(source="cadence", choices=Cadence.choices)
    default = serializers.ChoiceField(choices=Cadence.choices)


class DigestTimeSerializer(serializers.Serializer):
    """When digests come."""

    time_zone = serializers.CharField(max_length=64)
    hour = serializers.IntegerField(min_value=0, max_value=23)
    weekday = serializers.IntegerField(min_value=0, max_value=6, help_text="0 is Monday.")


class PreferencesSerializer(serializers.Serializer):
    """How notices reach a person."""

    kinds = MailKindSerializer(many=True)
    digest = DigestTimeSerializer()


class ChangedPreferencesSerializer(serializers.Serializer):
    """What to change; what is left out stays."""

    mail = serializers.DictField(
        child=serializers.ChoiceField(choices=Cadence.choices), required=False, help_text="By kind."
    )
    digest = DigestTimeSerializer(required=False)


@extend_schema(tags=["notices"])
class NoticeViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """What you were told, newest first."""

    queryset = Notice.objects.none()
    serializer_class = NoticeSerializer
    filterset_class = NoticeFilter
    lookup_value_regex = "[0-9a-f-]+"

    def get_queryset(self) -> QuerySet[Notice]:
        if getattr(self, "swagger_fake_view", False):
            return Notice.objects.none()
        return queries.notices_of(actor_of(self.request).user)

    def get_object(self) -> Notice:
        return access.get(self.get_queryset(), pk=self.kwargs["pk"])

    @extend_schema(request=NoticeIdsSerializer, responses=MarkedSerializer)
    @action(detail=False, methods=["post"], url_path="mark-read")
    def mark_read(self, request: Request) -> Response:
        """Mark some or all as read."""
        body = NoticeIdsSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        ids = body.validated_data.get("ids")
        return Response({"changed": notices.mark_read(actor_of(request).user, at=timezone.now(), ids=ids)})

    @extend_schema(request=SomeNoticeIdsSerializer, responses=MarkedSerializer)
    @action(detail=False, methods=["post"], url_path="mark-unread")
    def mark_unread(self, request: Request) -> Response:
        """Mark some as new again."""
        body = SomeNoticeIdsSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        ids = body.validated_data["ids"]
        return Response({"changed": notices.mark_unread(actor_of(request).user, ids=ids)})


@extend_schema(tags=["notices"])
class PreferencesViewSet(viewsets.GenericViewSet):
    """How often which notices reach you by mail, and when digests do."""

    serializer_class = PreferencesSerializer
    pagination_class = None
    filter_backends = ()

    @extend_schema(operation_id="notice_preferences", responses=PreferencesSerializer)
    def list(self, request: Request) -> Response:
        """Show what holds."""
        return Response(_preferences(actor_of(request).user))

    @extend_schema(
        operation_id="notice_preferences_change",
        request=ChangedPreferencesSerializer,
        responses=PreferencesSerializer,
    )
    @action(detail=False, methods=["post"], url_path="change")
    def change(self, request: Request) -> Response:
        """Choose for some kinds, or when digests come."""
        person = actor_of(request).user
        body = ChangedPreferencesSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        mail_choices.save(
            person,
            cadences=body.validated_data.get("mail", {}),
            when=mail_choices.When(**digest) if (digest := body.validated_data.get("digest")) else None,
            at=timezone.now(),
        )
        return Response(_preferences(person))


def _preferences(person: User) -> dict[str, Any]:
    kinds = MailKindSerializer(mail_choices.choices_of(person), many=True).data
    return {"kinds": cast(Any, kinds), "digest": asdict(mail_choices.when_of(person))}


ROUTES: list[tuple[str, type[ViewSetMixin], str]] = [
    ("notices", NoticeViewSet, "notice"),
    ("notice-preferences", PreferencesViewSet, "notice-preference"),
]
