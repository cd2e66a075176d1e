"""Addresses of the pages of legal entities, taxes and billing profiles."""

from django.urls import URLPattern, path

from billing.views import billing_profiles, document_files, legal_entities, taxes

urlpatterns: list[URLPattern] = [
    path("finance/invoices/<str:number>.xml", document_files.invoice_xml, name="invoice-xml"),
    path("finance/credit-notes/<uuid:note_id>.xml", document_files.credit_note_xml, name="credit-note-xml"),
    path("finance/invoices/<str:number>/send/", document_files.send_invoice, name="invoice-send"),
    path(
        "finance/credit-notes/<uuid:note_id>/send/", document_files.send_credit_note, name="credit-note-send"
    ),
    path("finance/entities/", legal_entities.entities, name="entities"),
    path("finance/entities/new/", legal_entities.new_entity, name="entity-new"),
    path("finance/entities/<slug:code>/", legal_entities.entity, name="entity"),
    path("finance/taxes/", taxes.taxes, name="taxes"),
    path("finance/taxes/<uuid:rate_id>/", taxes.tax_rate, name="tax-rate"),
    path("finance/profiles/", billing_profiles.profiles, name="profiles"),
    path("finance/profiles/<slug:slug>/", billing_profiles.profile, name="profile"),
]
