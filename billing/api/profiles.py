"""/billing-profiles: whom invoices are made out to; for finance of the organization and of the marketplace."""

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from billing import billing_profiles, parties
from billing.billing_profiles import Buyer
from billing.einvoice import obstacles
from billing.einvoice.obstacles import Obstacle
from billing.house import house_terms
from billing.models import BillingProfile
from billing.tax_treatment import Treatment
from marketplace.accounts import access
from marketplace.accounts.models import Organization
from marketplace.accounts.requests import actor_of

_SLUG = OpenApiParameter("slug", str, OpenApiParameter.PATH, description="The organization.")


class ObstacleSerializer(serializers.Serializer):
    """One thing that keeps documents from being electronic."""

    whose = serializers.ChoiceField(choices=["seller", "buyer", "document"])
    field = serializers.CharField()
    message = serializers.CharField()


class ProfileBodySerializer(serializers.Serializer):
    """What of a profile is to be set; what is left out stays."""

    legal_name = serializers.CharField(required=False)
    street = serializers.CharField(required=False, allow_blank=True)
    postal_code = serializers.CharField(required=False, allow_blank=True)
    city = serializers.CharField(required=False, allow_blank=True)
    country = serializers.CharField(required=False, allow_blank=True, help_text="ISO 3166-1, such as DE.")
    vat_id = serializers.CharField(required=False, allow_blank=True)
    language = serializers.CharField(required=False, help_text="en or de")
    emails = serializers.ListField(child=serializers.CharField(), required=False)
    purchase_order = serializers.CharField(required=False, allow_blank=True)
    buyer_reference = serializers.CharField(required=False, allow_blank=True)


class ProfileSerializer(ProfileBodySerializer):
    """How an organization is billed, how that is taxed, and what keeps it from being electronic."""

    organization = serializers.CharField()
    payment_days = serializers.IntegerField(help_text="Days to pay.")
    issued_by = serializers.CharField(help_text="The legal entity.")
    tax_code = serializers.CharField(
        help_text="AE, E or O of EN 16931; empty where the rates of a country apply.", allow_blank=True
    )
    tax_country = serializers.CharField(allow_blank=True, help_text="Whose rates apply.")
    obstacles = ObstacleSerializer(many=True)


class ProfileViewSet(viewsets.ViewSet):
    """Billing profiles of the organizations whose finance the person does."""

    queryset = Organization.objects.none()
    serializer_class = ProfileSerializer
    lookup_field = "slug"

    @extend_schema(tags=["finance"], parameters=[_SLUG], responses=ProfileSerializer)
    def retrieve(self, request: Request, slug: str) -> Response:
        """Show how an organization is billed."""
        return _shown(_visible(request, slug))

    @extend_schema(
        tags=["finance"], parameters=[_SLUG], request=ProfileBodySerializer, responses=ProfileSerializer
    )
    def partial_update(self, request: Request, slug: str) -> Response:
        """Set how an organization is billed, from the next document on; what is left out stays."""
        organization = _visible(request, slug)
        body = ProfileBodySerializer(data=request.data)
        body.is_valid(raise_exception=True)
        billing_profiles.set_profile(
            organization, facts=body.validated_data, by=actor_of(request), at=timezone.now()
        )
        return _shown(organization)


def _visible(request: Request, slug: str) -> Organization:
    visible: QuerySet[Organization] = billing_profiles.billed(actor_of(request))
    return access.get(visible, slug=slug)


def _shown(organization: Organization) -> Response:
    terms = house_terms()
    register = parties.read(at=timezone.now(), terms=terms, organizations=[organization.pk])
    found = parties.parties_of(organization, register=register)
    days = terms.due_after.days if found.buyer.payment_days is None else found.buyer.payment_days
    facts = {
        **_of_buyer(found.buyer),
        **_of_treatment(found.treatment),
        "organization": organization.slug,
        "payment_days": days,
        "issued_by": found.seller.facts["name"],
        "obstacles": [
            _of_obstacle(one) for one in obstacles.of_organization(organization, register=register)
        ],
    }
    return Response(ProfileSerializer(facts).data)


def _of_buyer(buyer: Buyer) -> dict[str, Any]:
    fields = {
        field: getattr(buyer, "name" if field == "legal_name" else field) for field in BillingProfile.FIELDS
    }
    return {**fields, "emails": list(buyer.emails)}


def _of_treatment(treatment: Treatment) -> dict[str, str]:
    return {"tax_code": treatment.code, "tax_country": treatment.country}


def _of_obstacle(obstacle: Obstacle) -> dict[str, str]:
    return {"whose": obstacle.whose, "field": obstacle.field, "message": obstacle.message}
