"""/listings/{slug}/ratings: what people say of an app, and one's own rating."""

from django.urls import re_path
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from marketplace.accounts import access
from marketplace.accounts.requests import actor_of
from marketplace.catalog import queries, ratings
from marketplace.catalog.models import App
from marketplace.catalog.rating_models import Rating
from metering import app_ratings


class RatingSerializer(serializers.ModelSerializer):
    """One person's rating of an app."""

    id = serializers.CharField(read_only=True)
    person = serializers.CharField(source="person.email", read_only=True)
    team = serializers.CharField(source="team.slug", read_only=True)
    stars = serializers.IntegerField(min_value=1, max_value=ratings.MOST_STARS)
    text = serializers.CharField(
        required=False, allow_blank=True, max_length=ratings.LONGEST_TEXT, default=""
    )

    class Meta:
        model = Rating
        fields = ("id", "person", "team", "stars", "text", "created_at", "updated_at")
        read_only_fields = ("created_at", "updated_at")


@extend_schema(tags=["listings"])
class RatingsView(GenericAPIView):
    """Ratings that are shown, the newest first."""

    serializer_class = RatingSerializer
    queryset = Rating.objects.none()
    filter_backends = ()

    @extend_schema(operation_id="listing_ratings_list", responses=RatingSerializer(many=True))
    def get(self, request: Request, slug: str) -> Response:
        """List the ratings of an app."""
        page = self.paginate_queryset(ratings.shown_ratings(_app(request, slug)))
        return self.get_paginated_response(RatingSerializer(page, many=True).data)


@extend_schema(tags=["listings"])
class OwnRatingView(GenericAPIView):
    """Your own rating of an app."""

    serializer_class = RatingSerializer
    queryset = Rating.objects.none()
    pagination_class = None

    @extend_schema(operation_id="listing_rating_write")
    def put(self, request: Request, slug: str) -> Response:
        """Rate an app that your team has called, or change your rating."""
        body = RatingSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        app = _app(request, slug)
        rating = app_ratings.rate(app, **body.validated_data, by=actor_of(request), at=timezone.now())
        return Response(RatingSerializer(rating).data)

    @extend_schema(operation_id="listing_rating_withdraw", responses={204: None})
    def delete(self, request: Request, slug: str) -> Response:
        """Withdraw your rating."""
        actor = actor_of(request)
        own = Rating.objects.filter(app=_app(request, slug), person=actor.user)
        ratings.withdraw(access.get(own), by=actor.user, at=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


def _app(request: Request, slug: str) -> App:
    return queries.listing_for(actor_of(request), slug=slug).app


_LISTING = r"^listings/(?P<slug>[-a-zA-Z0-9_]+)/ratings"
PATHS = [
    re_path(rf"{_LISTING}/?$", RatingsView.as_view(), name="listing-ratings"),
    re_path(rf"{_LISTING}/mine/?$", OwnRatingView.as_view(), name="listing-rating-mine"),
]
