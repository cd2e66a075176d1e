"""/listings: the catalogue, searched and narrowed as its page is."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, viewsets
from rest_framework.pagination import LimitOffsetPagination
from rest_framework.request import Request
from rest_framework.response import Response

from marketplace.accounts.requests import actor_of
from marketplace.catalog import queries, searching
from marketplace.catalog.api.fields import PlanTermsSerializer
from marketplace.catalog.facets import FACETS
from marketplace.catalog.forms.filters import filters_of
from marketplace.catalog.models import Listing, Plan
from marketplace.catalog.ratings import mean_of
from marketplace.core.api_fields import AmountField


class OfferedPlanSerializer(serializers.Serializer):
    """A plan that can be subscribed to: its terms, and its charges as the pricing calculator takes them."""

    code = serializers.CharField()
    name = serializers.CharField()
    terms = PlanTermsSerializer(source="*")
    charges = serializers.JSONField()


class ListingSerializer(serializers.Serializer):
    """What the catalogue shows of an app."""

    slug = serializers.CharField(source="app.slug")
    name = serializers.CharField(source="app.name")
    summary = serializers.CharField(source="app.summary")
    description = serializers.CharField(source="app.description")
    category = serializers.CharField(source="app.category")
    icon = serializers.CharField(source="app.icon")
    kind = serializers.CharField(source="app.kind")
    owner_team = serializers.CharField(source="app.owner_team.slug")
    organization = serializers.CharField(source="app.owner_team.organization.slug")
    owner_contact = serializers.EmailField(source="app.owner_contact")
    is_public = serializers.BooleanField(source="app.is_public")
    version = serializers.IntegerField(source="version.number")
    state = serializers.CharField(source="version.state")
    input_schema = serializers.JSONField(source="version.input_schema")
    example_input = serializers.JSONField(source="version.example_input")
    allowed_models = serializers.ListField(child=serializers.CharField(), source="version.allowed_models")
    slo_latency_ms = serializers.IntegerField(source="version.slo_latency_ms")
    slo_availability_percent = serializers.DecimalField(
        max_digits=5, decimal_places=2, source="version.slo_availability_percent"
    )
    daily_calls_limit = serializers.IntegerField(source="version.daily_calls_limit")
    monthly_calls_limit = serializers.IntegerField(source="version.monthly_calls_limit")
    plans = OfferedPlanSerializer(many=True, source="app.offered_plans")
    rating = serializers.SerializerMethodField(help_text="Mean of the ratings to one place.")
    ratings = serializers.IntegerField(source="entry.ratings", default=0)
    is_verified = serializers.BooleanField(source="entry.is_verified", default=False)
    cost_per_1000_calls = AmountField(source="entry.cost_per_1000", default=None, allow_null=True)
    listed_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def get_rating(self, listing: Listing) -> str | None:
        entry = getattr(listing, "entry", None)
        mean = mean_of(stars=entry.stars, ratings=entry.ratings) if entry else None
        return None if mean is None else str(mean)


class FacetValueSerializer(serializers.Serializer):
    """One choice of a facet, and how many listings it would show under the other facets."""

    value = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    count = serializers.IntegerField()


class FacetsSerializer(serializers.Serializer):
    category = FacetValueSerializer(many=True)
    price = FacetValueSerializer(many=True)
    kind = FacetValueSerializer(many=True)
    slo = FacetValueSerializer(many=True)
    cost = FacetValueSerializer(many=True)
    rating = FacetValueSerializer(many=True)
    verified = FacetValueSerializer(many=True)
    team = FacetValueSerializer(many=True)


class FoundPages(LimitOffsetPagination):
    """Pages in the order of relevance, with the facets of the whole search; a cursor could not keep that order."""

    default_limit = 50
    max_limit = 200

    def get_paginated_response(self, data: Any, **extra: Any) -> Response:
        links = {"next": self.get_next_link(), "previous": self.get_previous_link()}
        return Response({"count": self.count, **links, "results": data, **extra})


class FoundSerializer(serializers.Serializer):
    """A page of a search."""

    count = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = ListingSerializer(many=True)
    facets = FacetsSerializer()
    is_close_match = serializers.BooleanField(help_text="No word matched; these look alike.")


class ListingViewSet(viewsets.GenericViewSet):
    """The catalogue: listings that are public or of your organizations."""

    serializer_class = ListingSerializer
    pagination_class = FoundPages
    filter_backends = ()
    lookup_field = "slug"
    lookup_value_regex = "[-a-zA-Z0-9_]+"
    queryset = Listing.objects.none()

    @extend_schema(
        responses=FoundSerializer,
        parameters=[
            OpenApiParameter(
                "q", str, description="Words; beginnings of words and typing errors are understood."
            ),
            OpenApiParameter("category", str, many=True),
            *[
                OpenApiParameter(name, str, many=True, enum=list(facet.labels))
                for name, facet in FACETS.items()
                if facet.labels
            ],
            OpenApiParameter("team", str, many=True, description="organization/team"),
            OpenApiParameter("sort", str, enum=list(searching.SORTS)),
        ],
    )
    def list(self, request: Request) -> Response:
        """Search the catalogue."""
        filters = filters_of(request.query_params)
        found = searching.search(filters, actor=actor_of(request), with_facets=True)
        page = self.paginate_queryset(found.listings)  # type: ignore[arg-type]  # read by slices only
        facets = FacetsSerializer(found.facets).data
        return self.paginator.get_paginated_response(  # type: ignore[union-attr, call-arg]
            ListingSerializer(page, many=True).data, facets=facets, is_close_match=found.is_close_match
        )

    def retrieve(self, request: Request, slug: str) -> Response:
        """Show one listing."""
        listing = queries.listing_for(actor_of(request), slug=slug)
        listing.app.offered_plans = list(_plans(listing))  # type: ignore[attr-defined]
        return Response(ListingSerializer(listing).data)


def _plans(listing: Listing) -> QuerySet[Plan]:
    return queries.offered_plans(listing.app)


ROUTES = [("listings", ListingViewSet, "listing")]
