"""/reviews: the queue of an approver, the three decisions, questions and answers, appeals."""

from collections.abc import Callable
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from marketplace.accounts import access
from marketplace.accounts.requests import actor_of
from marketplace.catalog import appeals, queries_review, review_talk, reviews
from marketplace.catalog.api.fields import CheckSerializer, ReasonSerializer, VersionSerializer
from marketplace.catalog.models import Review
from marketplace.catalog.takedown_models import Appeal


class ReviewSerializer(serializers.ModelSerializer):
    """A review with what is decided on, its check and the projection a decision rests on."""

    id = serializers.CharField(read_only=True)
    app = serializers.CharField(source="version.app.slug", read_only=True)
    version = VersionSerializer(read_only=True)
    check = CheckSerializer(source="smoke_run", read_only=True)
    submitted_by = serializers.CharField(source="submitted_by.email", read_only=True)
    decided_by = serializers.CharField(source="decided_by.email", read_only=True, default=None)

    class Meta:
        model = Review
        fields = (
            "id", "app", "state", "version", "check", "projection", "submitted_by", "opened_at", "due_at",
            "paused_at", "risk_score", "risk_reasons", "decided_by", "decided_at", "reason", "policy_url", "fix_by",
            "is_automatic",
        )  # fmt: skip


class ChangesSerializer(ReasonSerializer):
    """What is to change, and until when."""

    fix_by = serializers.DateTimeField(
        required=False,
        allow_null=True,
        default=None,
        help_text="Not handed in again by then, it is rejected.",
    )


class TextSerializer(serializers.Serializer):
    """A question, an answer, or an appeal."""

    text = serializers.CharField(max_length=4_000)


class AppealSerializer(serializers.ModelSerializer):
    """An appeal, and what became of it."""

    id = serializers.CharField(read_only=True)
    app = serializers.CharField(source="app.slug", read_only=True)

    class Meta:
        model = Appeal
        fields = ("id", "app", "state", "text", "appealed_at", "due_at", "decided_at", "decision_note")


class ReviewFilter(filters.FilterSet):
    state = filters.ChoiceFilter(choices=Review.State.choices)
    app = filters.CharFilter(field_name="version__app__slug")

    class Meta:
        model = Review
        fields = ("state", "app")


class ReviewViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Reviews you may decide on as an approver, and those of your own teams' apps."""

    serializer_class = ReviewSerializer
    filterset_class = ReviewFilter
    lookup_value_regex = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    queryset = Review.objects.none()

    def get_queryset(self) -> QuerySet[Review]:
        if getattr(self, "swagger_fake_view", False):
            return Review.objects.none()
        return queries_review.visible_reviews(actor_of(self.request))

    def get_object(self) -> Review:
        return access.get(self.get_queryset(), pk=self.kwargs["pk"])

    @extend_schema(request=ReasonSerializer, responses=ReviewSerializer)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Approve the version: it is in the catalogue when this answers."""
        return self._decide(request, reviews.approve)

    @extend_schema(request=ChangesSerializer, responses=ReviewSerializer)
    @action(detail=True, methods=["post"], url_path="request-changes")
    def request_changes(self, request: Request, pk: str) -> Response:
        """Send the version back to its maker with a reason; with a date, it is rejected when not handed in by then."""
        review = self.get_object()
        body = ChangesSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        reviews.request_changes(review, by=actor_of(request).user, at=timezone.now(), **body.validated_data)
        return Response(ReviewSerializer(self.get_object()).data)

    @extend_schema(request=ReasonSerializer, responses=ReviewSerializer)
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, pk: str) -> Response:
        """Reject the version for good with a reason."""
        return self._decide(request, reviews.reject)

    @extend_schema(request=TextSerializer, responses=ReviewSerializer)
    @action(detail=True, methods=["post"], url_path="needs-info")
    def needs_info(self, request: Request, pk: str) -> Response:
        """Ask the version's makers something; the clock stands until their answer."""
        review, text = self._told(request)
        review_talk.ask(review, question=text, by=actor_of(request), at=timezone.now())
        return Response(ReviewSerializer(self.get_object()).data)

    @extend_schema(request=TextSerializer, responses=ReviewSerializer)
    @action(detail=True, methods=["post"])
    def answer(self, request: Request, pk: str) -> Response:
        """Answer the open question, as one of the makers; the clock goes on."""
        review, text = self._told(request)
        review_talk.answer(review, text=text, by=actor_of(request), at=timezone.now())
        return Response(ReviewSerializer(self.get_object()).data)

    @extend_schema(request=TextSerializer, responses={201: AppealSerializer})
    @action(detail=True, methods=["post"])
    def appeal(self, request: Request, pk: str) -> Response:
        """Appeal against a rejection, as one of the makers: somebody who had no part in it decides."""
        review, text = self._told(request)
        made = appeals.of_rejection(review, text=text, by=actor_of(request), at=timezone.now())
        return Response(AppealSerializer(made).data, status=201)

    def _told(self, request: Request) -> tuple[Review, str]:
        body = TextSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        return self.get_object(), body.validated_data["text"]

    def _decide(self, request: Request, act: Callable[..., Any]) -> Response:
        review = self.get_object()
        body = ReasonSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        act(review, by=actor_of(request).user, at=timezone.now(), reason=body.validated_data["reason"])
        return Response(ReviewSerializer(self.get_object()).data)


ROUTES = [("reviews", ReviewViewSet, "review")]
