"""Pages of getting paid: write-offs, customers, reminders, and the payer's own bills."""

from django.urls import path

from billing.views import bank, customers, dunning, portal, write_offs

urlpatterns = [
    path("finance/invoices/<str:number>/write-off/", write_offs.propose, name="write-off-propose"),
    path("finance/write-offs/", write_offs.listed, name="write-offs"),
    path("finance/write-offs/<uuid:write_off_id>/", write_offs.write_off, name="write-off"),
    path("finance/customers/<slug:slug>/", customers.customer, name="customer"),
    path("finance/customers/<slug:slug>/account/", customers.account, name="customer-account"),
    path("finance/customers/<slug:slug>/account.csv", customers.account_csv, name="customer-account-csv"),
    path(
        "finance/customers/<slug:slug>/account.pdf", customers.account_document, name="customer-account-pdf"
    ),
    path("finance/customers/<slug:slug>/money/", customers.money, name="customer-money"),
    path("finance/customers/<slug:slug>/reminders/", customers.reminders, name="customer-reminders"),
    path("finance/customers/<slug:slug>/outlook/", customers.outlook, name="customer-outlook"),
    path("finance/dunning/", dunning.coming, name="dunning"),
    path("finance/dunning/policies/", dunning.policies, name="dunning-policies"),
    path("finance/bank/", bank.statements, name="bank-statements"),
    path("finance/bank/<uuid:import_id>/", bank.statement, name="bank-statement"),
    path("bills/", portal.bills, name="bills"),
    path("bills/so-far/", portal.coming, name="bills-so-far"),
]

# After all other addresses under /bills/: a number could be taken for one of them.
LAST = [path("bills/<str:number>/", portal.bill, name="bill")]
