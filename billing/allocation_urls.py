"""Pages of allocation, statements, disputes, journal batches and the steps of a close."""

from django.urls import path

from billing.views import allocation, chargeback, closing

urlpatterns = [
    path("finance/allocation/", allocation.allocation, name="allocation"),
    path("finance/allocation.csv", allocation.allocation_csv, name="allocation-csv"),
    path("finance/allocation/what-if/", allocation.compared, name="what-if"),
    path("finance/allocation/goal/", allocation.goal, name="unallocated-goal"),
    path("finance/allocation/rules/", allocation.split_rules, name="split-rules"),
    path("finance/allocation/rules/new/", allocation.split_rule_new, name="split-rule-new"),
    path("finance/allocation/rules/<int:rule_id>/", allocation.split_rule, name="split-rule"),
    path("finance/shared-costs/", allocation.shared, name="shared-costs"),
    path("finance/shared-costs/<uuid:cost_id>/take-back/", allocation.take_back, name="shared-cost-back"),
    path("finance/periods/<str:name>/steps/", closing.steps, name="checklist"),
    path("finance/verify/acknowledge/", closing.acknowledge, name="verify-acknowledge"),
    path("finance/journal-batches/", chargeback.journal_batches, name="journal-batches"),
    path(
        "finance/journal-batches/new/<str:name>/<slug:slug>/<str:currency>/",
        chargeback.journal_batch_preview,
        name="journal-batch-preview",
    ),
    path("finance/journal-batches/<slug:external_id>/", chargeback.journal_batch, name="journal-batch"),
    path(
        "finance/journal-batches/<slug:external_id>.csv",
        chargeback.journal_batch_csv,
        name="journal-batch-csv",
    ),
    path(
        "finance/journal-batches/<slug:external_id>.json",
        chargeback.journal_batch_json,
        name="journal-batch-json",
    ),
    path("finance/recovery/", chargeback.recovery, name="recovery"),
    path("finance/recovery/<int:center_id>/", chargeback.recovery_propose, name="recovery-propose"),
    path("finance/recovery/switches/<int:switch_id>/", chargeback.recovery_switch, name="recovery-switch"),
    path("statements/", chargeback.listed, name="statements"),
    path("statements/<uuid:statement_id>/", chargeback.statement, name="statement"),
    path("statements/<uuid:statement_id>.pdf", chargeback.statement_document, name="statement-pdf"),
    path("statements/<uuid:statement_id>/dispute/", chargeback.dispute_open, name="dispute-open"),
    path("disputes/", chargeback.dispute_list, name="disputes"),
    path("disputes/<uuid:dispute_id>/", chargeback.dispute, name="dispute"),
    path("disputes/<uuid:dispute_id>/files/<int:file_id>/", chargeback.dispute_file, name="dispute-file"),
]
