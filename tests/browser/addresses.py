"""Which pages there are: found in the URL conf where they need nothing, written down here where they do."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.urls import NoReverseMatch, reverse

from billing.models import (
    BankImport,
    CostStatement,
    CreditNote,
    Invoice,
    JournalBatch,
    JournalEntry,
    LegalEntity,
    NegotiatedPrice,
    RecoverySwitch,
    SharedCost,
    SplitRule,
    StatementDispute,
    TaxRate,
    Wallet,
    WriteOff,
)
from marketplace.accounts.mail_choices import token_for
from marketplace.accounts.models import CostCenter, Team, User
from marketplace.catalog.approval_models import SubscriptionRequest
from marketplace.catalog.auto_approval_models import PostReview
from marketplace.catalog.check_models import CheckFinding, CheckWaiver
from marketplace.catalog.models import Plan, Review, SmokeRun, Subscription
from marketplace.catalog.rating_models import Rating
from marketplace.catalog.run_models import KeptRun, RunShare
from marketplace.catalog.takedown_models import Appeal, Takedown
from marketplace.catalog.version_models import PriceChange
from marketplace.core.models import KeptMail, NoticeChannel
from marketplace.gateway.async_models import AsyncRun
from marketplace.gateway.batch_models import Batch
from marketplace.gateway.models import SavingReport
from marketplace.gateway.routing_models import DearModel
from metering.inbox_models import UnattributedGroup
from metering.kept.schedules import token_of
from metering.models import Correction, EventConflict, RateProposal, ReportSchedule, Rerating, UsageEvent
from quotas import decision_links
from quotas.budget_models import Budget, BudgetMove
from quotas.incident_models import Incident
from quotas.increase_models import IncreaseRequest
from quotas.models import Limit
from tests.architecture.test_urls import routes


@dataclass(frozen=True)
class Detail:
    """A page that needs arguments: who looks at it, and how the arguments are found in the demo world."""

    role: str
    name: str
    arguments: Callable[[], tuple[Any, ...]]


def _given(*values: Any) -> Callable[[], tuple[Any, ...]]:
    return lambda: values


def _own(app: str, **fields: Any) -> Callable[[], tuple[Any, ...]]:
    """A subscription of the demo consumer's team."""
    return lambda: (Subscription.objects.get(app__slug=app, team__slug="team-ops", **fields).pk,)


DETAILS = (
    Detail("creator", "catalog:creator-new", _given("summarizer")),
    Detail("creator", "catalog:creator-new", _given("http-app")),
    Detail("creator", "catalog:creator-app", _given("where2eat")),
    Detail("creator", "catalog:creator-app", _given("palette-namer")),
    Detail("creator", "gateway:calling", _given("where2eat")),
    Detail("creator", "catalog:creator-edit", _given("survey-digest")),
    Detail("creator", "catalog:creator-withdraw", _given("palette-namer")),
    Detail("creator", "catalog:check", lambda: (SmokeRun.objects.get(version__app__slug="palette-namer").pk,)),
    Detail("creator", "catalog:checks", _given("palette-namer", 1)),
    Detail("approver", "catalog:checks", _given("contract-summary", 1)),
    Detail("creator", "catalog:creator-material", _given("survey-digest")),
    Detail("creator", "catalog:creator-new", _given("batch-labeler")),
    Detail("creator", "gateway:bench", _given("survey-digest")),
    Detail("creator", "gateway:routing", _given("where2eat")),
    Detail("approver", "gateway:dear-model", lambda: (DearModel.objects.get().pk,)),
    Detail("creator", "gateway:saving", _given("tone-rewriter")),
    Detail("operator", "gateway:saving", _given("ticket-classifier")),
    Detail("creator", "gateway:documents", _given("survey-digest")),
    Detail("consumer", "gateway:use", _given("where2eat")),
    Detail("consumer", "gateway:batch", lambda: (Batch.objects.get(state="completed").pk,)),
    Detail("consumer", "gateway:async-run", lambda: (AsyncRun.objects.latest("created_at").pk,)),
    Detail("operator", "gateway:batch", lambda: (Batch.objects.get(state="in_progress").pk,)),
    Detail("consumer", "catalog:run", lambda: (KeptRun.objects.latest("created_at").pk,)),
    Detail("creator", "catalog:shared-run", lambda: (RunShare.objects.get().pk,)),
    Detail("approver", "catalog:waiver", lambda: (CheckWaiver.objects.get().pk,)),
    Detail("creator", "catalog:waive", lambda: (CheckFinding.objects.get(rule="hygiene.zero-width").pk,)),
    Detail("creator", "metering:app-usage", _given("where2eat")),
    Detail("creator", "metering:event", lambda: ("where2eat", EventConflict.objects.earliest("pk").event_id)),
    Detail("creator", "catalog:transfer", _given("where2eat")),
    Detail("creator", "metering:inbox-group", lambda: (UnattributedGroup.objects.filter(app__owner_team__slug="team-ux").earliest("pk").pk,)),
    Detail("finance", "metering:inbox-group", lambda: (UnattributedGroup.objects.latest("pk").pk,)),
    Detail("consumer", "metering:team-board", _given("demo/team-ops")),
    Detail("finance", "metering:cost-center-board", lambda: (_cost_center(),)),
    Detail("operator", "metering:model-board", _given("llm-8b")),
    Detail("finance", "metering:report-unsubscribe", lambda: (token_of(ReportSchedule.objects.earliest("pk")),)),
    Detail("creator", "quotas:limits", lambda: ("app", _app_limit().app_id)),
    Detail("consumer", "quotas:limits-why", lambda: ("subscription", *_own("where2eat")())),
    Detail("approver", "catalog:review", lambda: (Review.objects.filter(state="open").earliest("opened_at").pk,)),
    Detail("approver", "catalog:review-talk", lambda: (Review.objects.filter(state="open").earliest("opened_at").pk,)),
    Detail("creator", "catalog:review-appeal", lambda: (Review.objects.filter(state="rejected").latest("opened_at").pk,)),
    Detail("approver", "catalog:takedown", lambda: (Takedown.objects.get(state="proposed").pk,)),
    Detail("approver", "catalog:takedown-propose", _given("where2eat")),
    Detail("approver", "catalog:appeal", lambda: (Appeal.objects.get(state="open").pk,)),
    Detail("approver", "catalog:price-change", lambda: (PriceChange.objects.get(state="announced").pk,)),
    Detail("approver", "catalog:post-review", lambda: (PostReview.objects.get().pk,)),
    Detail("creator", "catalog:lifecycle", _given("where2eat")),
    Detail("creator", "catalog:creator-changes", _given("survey-digest")),
    Detail("consumer", "catalog:subscription-price", _own("where2eat")),
    Detail("consumer", "billing:price-effect", _own("where2eat")),
    Detail(
        "approver", "catalog:review", lambda: (Review.objects.filter(state="approved").latest("opened_at").pk,)
    ),
    Detail("consumer", "catalog:listing", _given("where2eat")),
    Detail("consumer", "catalog:listing", _given("fx-convert")),
    Detail("consumer", "catalog:subscribe", _given("translator")),
    Detail("consumer", "catalog:versions", _given("where2eat")),
    Detail("consumer", "catalog:similar", _given("where2eat")),
    Detail("consumer", "catalog:ratings", _given("where2eat")),
    Detail("consumer", "catalog:rating-report", lambda: ("where2eat", _rating().pk)),
    Detail("consumer", "catalog:collection", _given("first-week")),
    Detail("operator", "catalog:collection-edit", _given("first-week")),
    Detail("consumer", "metering:service", _given("where2eat")),
    Detail("consumer", "metering:rate-app", _given("where2eat")),
    Detail("creator", "metering:rate-app", _given("where2eat")),
    Detail("consumer", "billing:price", lambda: ("translator", Plan.objects.filter(app__slug="translator").latest("pk").code)),
    Detail("consumer", "catalog:subscription", _own("where2eat")),
    Detail("consumer", "catalog:subscription", _own("inbox-digest")),
    Detail("consumer", "catalog:subscription-plan", _own("translator")),
    Detail("consumer", "billing:subscription-cancel", _own("translator")),
    Detail("consumer", "billing:subscription-pause", _own("where2eat")),
    Detail("consumer", "billing:subscription-cap", _own("meeting-summarizer")),
    Detail("consumer", "billing:subscription-month", _own("meeting-summarizer")),
    Detail("finance", "billing:subscription-thresholds", _own("where2eat")),
    Detail("finance", "billing:wallet", lambda: (Wallet.objects.earliest("created_at", "pk").pk,)),
    Detail("consumer", "billing:plans", _given("translator")),
    Detail("finance", "billing:subscription-rules", _given("demo")),
    Detail("consumer", "billing:subscription-request", lambda: (SubscriptionRequest.objects.get().pk,)),
    Detail("finance", "billing:subscription-request", lambda: (SubscriptionRequest.objects.get().pk,)),
    Detail("consumer", "billing:subscription-plan", lambda: (*_own("translator")(), "business")),
    Detail("consumer", "metering:subscription-usage", _own("where2eat")),
    Detail("consumer", "quotas:limits", lambda: ("subscription", *_own("where2eat")())),
    Detail("finance", "metering:event", lambda: _event(environment="production", period="2026-09-01")),
    Detail("finance", "billing:event-bill", lambda: _event(environment="production", period="2026-09-01")),
    Detail("finance", "billing:entity", lambda: (LegalEntity.objects.get(is_default=True).code,)),
    Detail("finance", "billing:tax-rate", lambda: (TaxRate.objects.get(state="proposed").pk,)),
    Detail("finance", "billing:profile", _given("blue-harbor")),
    Detail("finance", "billing:drafts", _given("2026-10")),
    Detail("finance", "billing:parked", _given("2026-10")),
    Detail("finance", "billing:account", _given("receivable")),
    Detail("finance", "billing:entry", lambda: (JournalEntry.objects.filter(kind="billing.invoice").earliest("memo").pk,)),
    Detail("finance", "billing:period", _given("2026-11")),
    Detail("finance", "billing:period", _given("2026-09")),
    Detail("finance", "billing:period-close", _given("2026-10")),
    Detail("finance", "billing:period-preview", _given("2026-10")),
    Detail("finance", "billing:invoice", lambda: (Invoice.objects.filter(kind="invoice", part=0).exclude(number=None).latest("number").number,)),
    Detail("finance", "billing:invoice", lambda: (Invoice.objects.filter(kind="statement").exclude(number=None).latest("number").number,)),
    Detail("finance", "billing:coupon", _given("WELCOME20")),
    Detail("finance", "billing:negotiated-price", lambda: (NegotiatedPrice.objects.get(state="proposed").pk,)),
    Detail("consumer", "billing:negotiated-price", lambda: (NegotiatedPrice.objects.get(state="agreed").pk,)),
    Detail("finance", "billing:negotiated-price-new", _own("where2eat")),
    Detail("consumer", "billing:own-prices", _own("where2eat")),
    Detail("finance", "billing:checklist", _given("2026-09")),
    Detail("finance", "billing:checklist", _given("2026-08")),
    Detail("finance", "billing:split-rule", lambda: (SplitRule.objects.get(state="proposed").pk,)),
    Detail("finance", "billing:shared-cost-back", lambda: (SharedCost.objects.earliest("entered_at").pk,)),
    Detail("finance", "billing:statement", lambda: (_statement("CC-400"),)),
    Detail("finance", "billing:dispute-open", lambda: (_statement("CC-500"),)),
    Detail("finance", "billing:dispute", lambda: (StatementDispute.objects.get(state="open").pk,)),
    Detail("finance", "billing:dispute", lambda: (StatementDispute.objects.filter(state="accepted").latest("opened_at").pk,)),
    Detail("finance", "billing:journal-batch", lambda: (JournalBatch.objects.latest("posted_at").external_id,)),
    Detail("finance", "billing:journal-batch-preview", _given("2026-09", "demo", "USD")),
    Detail("finance", "billing:recovery-propose", lambda: (CostCenter.objects.get(code="CC-600").pk,)),
    Detail("finance", "billing:recovery-switch", lambda: (RecoverySwitch.objects.get(cost_center__code="CC-500").pk,)),
    Detail("finance", "billing:credit", lambda: (CreditNote.objects.get(state="issued").invoice.number,)),
    Detail("finance", "billing:payment", lambda: (Invoice.objects.filter(kind="invoice", part=0).exclude(number=None).earliest("number").number,)),
    Detail("finance", "billing:credit-note", lambda: (CreditNote.objects.get(state="issued").pk,)),
    Detail("finance", "billing:write-off-propose", lambda: (Invoice.objects.filter(kind="invoice").exclude(number=None).latest("number").number,)),
    Detail("finance", "billing:write-off", lambda: (WriteOff.objects.get().pk,)),
    Detail("finance", "billing:bill", lambda: (Invoice.objects.filter(kind="invoice").exclude(number=None).latest("number").number,)),
    Detail("finance", "billing:customer", _given("blue-harbor")),
    Detail("finance", "billing:customer-account", _given("blue-harbor")),
    Detail("finance", "billing:customer-money", _given("blue-harbor")),
    Detail("finance", "billing:customer-reminders", _given("blue-harbor")),
    Detail("finance", "billing:customer-outlook", _given("blue-harbor")),
    Detail("finance", "billing:bank-statement", lambda: (BankImport.objects.get().pk,)),
    Detail("finance", "billing:credit-note", lambda: (CreditNote.objects.get(state="proposed").pk,)),
    Detail("creator", "billing:payout-plan", lambda: (_team_ux(), "USD")),
    Detail("creator", "billing:creator-statement", lambda: (_team_ux(), "USD", "2026-10")),
    Detail("creator", "billing:agreements", _given("where2eat")),
    Detail("finance", "billing:agreements", _given("where2eat")),
    Detail("creator", "billing:service", _given("where2eat")),
    Detail("consumer", "billing:service", _given("where2eat")),
    Detail("operator", "gateway:model", _given("llm-8b")),
    Detail("operator", "gateway:provider", _given("demo")),
    Detail("operator", "metering:rate-card", _given("llm-8b")),
    Detail("operator", "gateway:pool", _given("chat-small")),
    Detail("operator", "gateway:pool", _given("chat-large")),
    Detail("operator", "gateway:pool-change", _given("chat-large")),
    Detail("operator", "gateway:pool-remove", _given("chat-small")),
    Detail("creator", "gateway:saving-report", lambda: (SavingReport.objects.earliest("asked_at").pk,)),
    Detail("operator", "metering:instance-rate", _given("g4dn.xlarge")),
    Detail("operator", "metering:rate-proposal", lambda: (RateProposal.objects.get(state="proposed").pk,)),
    Detail("finance", "metering:rate-proposal", lambda: (RateProposal.objects.get(state="proposed").pk,)),
    Detail("finance", "metering:rate-proposal", lambda: (RateProposal.objects.get(state="approved").pk,)),
    Detail("operator", "quotas:event-amend", lambda: _corrected("amend")),
    Detail("operator", "quotas:event-void", lambda: _corrected("amend")),
    Detail("operator", "quotas:event-amend", lambda: _corrected("void")),
    Detail("operator", "metering:rerating", lambda: (Rerating.objects.get().pk,)),
    Detail("consumer", "quotas:increase-ask", lambda: ("subscription", *_own("where2eat")(), "requests", "day")),
    Detail("consumer", "quotas:increase-edit", lambda: (_increase(state="draft"),)),
    Detail("consumer", "quotas:increase", lambda: (_increase(state="draft"),)),
    Detail("consumer", "quotas:increase", lambda: (_increase(state="needs_info"),)),
    Detail("consumer", "quotas:increase", lambda: (_increase(grant__state="active", requester__email="consumer@demo.example"),)),
    Detail("finance", "quotas:increase", lambda: (_increase(state="cost_review"),)),
    Detail("operator", "quotas:increase", lambda: (_increase(state="partially_approved"),)),
    Detail("operator", "quotas:policy", _given(2)),
    Detail("finance", "quotas:policy", _given(2)),
    Detail("approver", "quotas:increase-decide", lambda: (_waiting().pk,)),
    Detail("operator", "quotas:increase-decide", lambda: (IncreaseRequest.objects.filter(state="partially_approved").latest("pk").pk,)),
    Detail("guest", "quotas:increase-by-mail", lambda: (_link(),)),
    Detail("finance", "quotas:budget", lambda: (_budget("CC-400"),)),
    Detail("finance", "quotas:budget", lambda: (_budget("CC-600"),)),
    Detail("finance", "quotas:budget-offer", lambda: (_budget("CC-500"),)),
    Detail("finance", "quotas:budget-move", lambda: (BudgetMove.objects.get(state="offered").pk,)),
    Detail("finance", "quotas:budget-move", lambda: (BudgetMove.objects.get(state="accepted").pk,)),
    Detail("consumer", "quotas:budget", lambda: (Budget.objects.get(team__slug="team-ops").pk,)),
    Detail("operator", "quotas:incident", lambda: (Incident.objects.latest("opened_at").pk,)),
    Detail("creator", "quotas:app-incident", _given("where2eat")),
    Detail("operator", "quotas:app-incident", lambda: (Incident.objects.latest("opened_at").app.slug,)),
    Detail("creator", "gateway:channel", lambda: (_channel("webhook"),)),
    Detail("creator", "gateway:channel-change", lambda: (_channel("webhook"),)),
    Detail("operator", "gateway:channel", lambda: (_channel("slack"),)),
    Detail("operator", "gateway:channel-remove", lambda: (_channel("slack"),)),
    Detail("approver", "accounts:kept-mail", lambda: (KeptMail.objects.filter(address="approver@demo.example").latest("sent_at").pk,)),
    Detail("guest", "accounts:unsubscribe", lambda: (token_for(User.objects.get(email="consumer@demo.example"), what="limits"),)),
    Detail("operator", "quotas:limit-set", lambda: ("app", _app_limit().app_id)),
)  # fmt: skip

# What needs arguments and is no page to look at: actions that are posted, fragments of pages above, files.
NO_PAGES = {
    "billing:parked-retry-all", "billing:parked-retry", "billing:parked-hand-over", "billing:drafts-refresh",
    # The demo world has no drafts: tests of the pages of a run make theirs.
    "billing:draft", "billing:draft-remove-line", "billing:draft-hold", "billing:draft-release",
    "billing:creator-statement-csv", "billing:creator-statement-pdf", "billing:self-bill-pdf", "billing:payout-file",
    "billing:payout", "gateway:rate-run",
    "billing:coupon-take-off",
    "billing:invoice-send", "billing:credit-note-send", "billing:invoice-xml", "billing:credit-note-xml",
    "accounts:notice-open", "accounts:kept-mail-html", "gateway:channel-test", "gateway:channel-rotate",
    "gateway:channel-state", "gateway:channel-send-again",
    "accounts:enter", "accounts:key-revoke", "gateway:try", "gateway:documents-progress", "gateway:documents-saved", "gateway:job-retry", "gateway:job-cancel",
    "gateway:batch-cancel", "gateway:batch-hurry", "gateway:batch-results", "gateway:async-run-cancel",
    "gateway:async-run-again", "gateway:operator-async-run-cancel",
    "gateway:dear-ask", "gateway:routing-end", "gateway:saving-purge", "gateway:provider-reset", "gateway:provider-test",
    "gateway:cold-starts", "gateway:pool-interrupt", "gateway:pool-state", "gateway:pool-keda",
    "catalog:creator-submit", "catalog:creator-check-again", "catalog:creator-version", "catalog:subscription-keys",
    "catalog:subscription-key-rotate", "catalog:subscription-key-revoke", "quotas:limit-end", "metering:rule-end",
    "quotas:budget-thresholds", "quotas:limit-unwatch",
    "billing:subscription-resume", "billing:subscription-call-off", "billing:wallet-csv",
    # Leads back without a trial that runs.
    "billing:subscription-trial",
    # Nobody has paid by card in the demo world yet; and what only leads on, there and back.
    "billing:pay", "billing:connected-account", "billing:finance-payment", "billing:payment-attempt",
    "billing:payment-dispute", "billing:payment-event", "billing:fake-checkout", "billing:fake-bank", "billing:fake-onboarding", "billing:payment-setup",
    "billing:payment-setup-back", "billing:payment-attempt-back", "billing:connected-account-back",
    "billing:payment-method", "billing:payment-attempt-cancel", "billing:payment-event-replay",
    # Leads back without a choice in its query.
    "billing:subscribe",
    "billing:customer-account-csv", "billing:customer-account-pdf",
    "billing:statement-pdf", "billing:dispute-file", "billing:journal-batch-csv", "billing:journal-batch-json",
    "billing:period-progress", "metering:app-summary", "billing:invoice-pdf", "billing:credit-note-pdf", "billing:invoice-csv",
    "catalog:checks-report", "catalog:scan-again", "catalog:scan-cancel", "catalog:check-cancel", "catalog:live-finding-seen",
    "metering:rerating-csv", "metering:rerating-progress",
    "metering:view-remove", "metering:report-stop", "quotas:increase-looking", "quotas:increase-pass-on",
    "quotas:desk-forget", "quotas:delegation-end", "quotas:capacity-end",
    "catalog:review-answer", "catalog:review-claim", "catalog:review-file", "catalog:review-looking",
    "catalog:review-filter-forget", "catalog:takedown-appeal", "catalog:reason-retire", "catalog:holiday-remove",
    "catalog:deprecation-withdraw", "catalog:roll-back",
    "catalog:rating-withdraw", "catalog:search-remove",
    "catalog:manifest-export", "catalog:run-output",
    "catalog:run-share", "catalog:run-delete", "catalog:form-keep", "catalog:form-drop",
    "catalog:wish-withdraw", "catalog:collection-remove", "catalog:rating-hide", "catalog:rating-show",
}  # fmt: skip
# Not pages of people: what machines ask for, Django's own admin, and two addresses that stand in mails only.
ELSEWHERE = (
    "api:", "meter:", "schema", "healthz", "readyz", "admin:", "account_confirm_email", "account_reset_password_from_key",
)  # fmt: skip


def _increase(**fields: Any) -> Any:
    """Return the newest request like that."""
    return IncreaseRequest.objects.filter(**fields).latest("created_at").pk


def _channel(form: str) -> Any:
    return NoticeChannel.objects.get(form=form).pk


def main_pages() -> list[str]:
    """Return the path of everything that needs no arguments, in a stable order."""
    return sorted({path for path in map(_bare_path, _names()) if path is not None})


def names_with_arguments() -> set[str]:
    """Return the names of everything that does."""
    return {name for name in _names() if _bare_path(name) is None}


def _names() -> set[str]:
    return {route.name for route in routes() if not route.name.startswith(ELSEWHERE)}


def _bare_path(name: str) -> str | None:
    try:
        return reverse(name)
    except NoReverseMatch:
        return None


def _event(*, environment: str, period: str) -> tuple[Any, ...]:
    """An event of a demo month."""
    event = UsageEvent.objects.filter(attribution__environment=environment, period=period).earliest(
        "event_id"
    )
    return event.app.slug, event.event_id


def _cost_center() -> str:
    one = CostCenter.objects.select_related("organization").filter(organization__slug="demo").earliest("pk")
    return f"{one.organization.slug}/{one.code}"


def _statement(code: str) -> Any:
    return CostStatement.objects.filter(cost_center__code=code, state="published").latest("period_id").pk


def _budget(code: str) -> Any:
    return Budget.objects.get(cost_center__code=code, cost_center__organization__slug="demo").pk


def _rating() -> Rating:
    """A rating that somebody else than the demo consumer wrote."""
    return (
        Rating.objects.filter(app__slug="where2eat")
        .exclude(person__email="consumer@demo.example")
        .earliest("pk")
    )


def _app_limit() -> Limit:
    return Limit.objects.filter(app__slug="where2eat").earliest("pk")


def _waiting() -> IncreaseRequest:
    """A request that waits for the demo's approver, with use to show."""
    return IncreaseRequest.objects.filter(state="cost_review").earliest("submitted_at")


def _link() -> str:
    approver = User.objects.get(email="approver@demo.example")
    return decision_links.token_for(_waiting(), person=approver, level="cost_review")


def _corrected(kind: str) -> tuple[str, str]:
    correction = Correction.objects.select_related("app").get(kind=kind)
    return correction.app.slug, correction.event_id


def _team_ux() -> int:
    return int(Team.objects.get(organization__slug="demo", slug="team-ux").pk)
