"""Addresses of the pages of legal entities, taxes and billing profiles."""

from django.urls import URLPattern, path

from billing.views import billing_profiles, legal_entities, taxes

urlpatterns: list[URLPattern] = [
    path("finance/entities/", legal_entities.entities, name="entities"),
    path("finance/entities/new/", legal_entities.new_entity, name="entity-new"),
    path("finance/entities/<slug:code>/", legal_entities.entity, name="entity"),
    path("finance/taxes/", taxes.taxes, name="taxes"),
    path("finance/taxes/<uuid:rate_id>/", taxes.tax_rate, name="tax-rate"),
    path("finance/profiles/", billing_profiles.profiles, name="profiles"),
    path("finance/profiles/<slug:slug>/", billing_profiles.profile, name="profile"),
]
