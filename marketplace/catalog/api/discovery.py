"""/collections and /saved-searches: what operators put together, and what people keep of the catalogue."""

from typing import Any

from django.http import QueryDict
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSetMixin

from marketplace.accounts import access
from marketplace.accounts.requests import actor_of
from marketplace.catalog import curation, queries, saved_searches
from marketplace.catalog.collection_models import Collection
from marketplace.catalog.curation import Item
from marketplace.catalog.discovery_models import SavedSearch
from marketplace.catalog.forms.filters import filters_of, query_of
from marketplace.catalog.models import App


class CollectionItemSerializer(serializers.Serializer):
    """A listing in a collection, with the note on it."""

    app = serializers.SlugField()
    note = serializers.CharField(required=False, allow_blank=True, max_length=200, default="")


class CollectionSerializer(serializers.Serializer):
    """A collection and, in order, the listings of it that you may see."""

    slug = serializers.SlugField(read_only=True)
    title = serializers.CharField(max_length=80)
    summary = serializers.CharField(max_length=200, allow_blank=True, required=False, default="")
    is_shown = serializers.BooleanField(required=False, default=True)
    items = CollectionItemSerializer(many=True)


class CollectionSummarySerializer(serializers.Serializer):
    """A collection, and how many listings of it you may see."""

    slug = serializers.SlugField()
    title = serializers.CharField()
    summary = serializers.CharField()
    is_shown = serializers.BooleanField()
    size = serializers.IntegerField()


@extend_schema(tags=["collections"])
class CollectionViewSet(viewsets.GenericViewSet):
    """Collections; operators of the platform write them."""

    serializer_class = CollectionSerializer
    queryset = Collection.objects.none()
    filter_backends = ()
    pagination_class = None
    lookup_field = "slug"
    lookup_value_regex = "[-a-zA-Z0-9_]+"

    @extend_schema(responses=CollectionSummarySerializer(many=True))
    def list(self, request: Request) -> Response:
        """List the collections you may see."""
        found = curation.visible_collections(actor_of(request))
        return Response(CollectionSummarySerializer(found, many=True).data)

    def retrieve(self, request: Request, slug: str) -> Response:
        """Show one collection."""
        found = access.get(curation.visible_collections(actor_of(request)), slug=slug)
        return Response(_body(found, request))

    @extend_schema(parameters=[OpenApiParameter("slug", str, OpenApiParameter.PATH)])
    def update(self, request: Request, slug: str) -> Response:
        """Make a collection, or replace the one of this slug. For operators of the platform."""
        access.require_platform(actor_of(request), access.Role.OPERATOR)
        body = CollectionSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        words = dict(body.validated_data)
        items = [Item(_app(request, one["app"]), one["note"]) for one in words.pop("items")]
        made = curation.write(slug=slug, items=items, by=actor_of(request), at=timezone.now(), **words)
        return Response(_body(made, request))

    def destroy(self, request: Request, slug: str) -> Response:
        """Remove a collection; its listings stay. For operators of the platform."""
        access.require_platform(actor_of(request), access.Role.OPERATOR)
        found = access.get(Collection.objects.all(), slug=slug)
        curation.remove(found, by=actor_of(request), at=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)


class SavedSearchSerializer(serializers.ModelSerializer):
    """A search that is kept: ``query`` is what follows the question mark of /listings."""

    id = serializers.CharField(read_only=True)

    class Meta:
        model = SavedSearch
        fields = ("id", "name", "query", "tells", "created_at")
        read_only_fields = ("created_at",)


@extend_schema(tags=["saved-searches"])
class SavedSearchViewSet(viewsets.GenericViewSet):
    """Your saved searches."""

    serializer_class = SavedSearchSerializer
    queryset = SavedSearch.objects.none()
    filter_backends = ()
    pagination_class = None
    lookup_value_regex = "[0-9a-f-]{36}"

    @extend_schema(responses=SavedSearchSerializer(many=True))
    def list(self, request: Request) -> Response:
        """List them by name."""
        found = saved_searches.saved_of(actor_of(request).user)
        return Response(SavedSearchSerializer(found, many=True).data)

    @extend_schema(responses={201: SavedSearchSerializer})
    def create(self, request: Request) -> Response:
        """Keep a search; the same search again gives the first one."""
        body = SavedSearchSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        filters = filters_of(QueryDict(body.validated_data["query"].replace("\0", "")))
        saved = saved_searches.save(
            name=body.validated_data["name"],
            query=query_of(filters),
            filters=filters,
            tells=body.validated_data.get("tells", True),
            by=actor_of(request),
            at=timezone.now(),
        )
        return Response(SavedSearchSerializer(saved).data, status=status.HTTP_201_CREATED)

    def destroy(self, request: Request, pk: str) -> Response:
        """Remove one."""
        saved = access.get(saved_searches.saved_of(actor_of(request).user), pk=pk)
        saved_searches.remove(saved, by=actor_of(request))
        return Response(status=status.HTTP_204_NO_CONTENT)


def _body(found: Collection, request: Request) -> dict[str, Any]:
    choices = curation.choices(found, actor=actor_of(request))
    items = [{"app": one.listing.app.slug, "note": one.note} for one in choices]
    words = {name: getattr(found, name) for name in ("slug", "title", "summary", "is_shown")}
    return {**words, "items": items}


def _app(request: Request, slug: str) -> App:
    return queries.listing_for(actor_of(request), slug=slug).app


ROUTES: list[tuple[str, type[ViewSetMixin], str]] = [
    ("collections", CollectionViewSet, "collection"),
    ("saved-searches", SavedSearchViewSet, "saved-search"),
]
