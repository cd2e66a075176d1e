"""Pages of getting paid: write-offs, customers, reminders, bank statements, and the payer's own bills."""

from django.urls import path

from billing.views import write_offs

urlpatterns = [
    path("finance/invoices/<str:number>/write-off/", write_offs.propose, name="write-off-propose"),
    path("finance/write-offs/", write_offs.listed, name="write-offs"),
    path("finance/write-offs/<uuid:write_off_id>/", write_offs.write_off, name="write-off"),
]
