"""What an approver sees: the queue, one decision, and the log of all that were made."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from marketplace.accounts.access import Actor, Role
from marketplace.catalog import about, endpoint_contracts, inputs, outputs, plans
from marketplace.catalog.expectations import in_words
from marketplace.catalog.models import Plan, Review, Version
from marketplace.catalog.plan_terms import terms_of
from marketplace.catalog.price_words import price_text
from marketplace.core.errors import InvalidInput

LISTED_ONCE = ("listed", "deprecated", "suspended")


@dataclass(frozen=True)
class Change:
    """One field before and after."""

    label: str
    old: str
    new: str

    @property
    def is_same(self) -> bool:
        return self.old == self.new


def reviewable(actor: Actor) -> QuerySet[Review]:
    """Reviews the person may decide on as an approver: of their organizations, or all for the platform's own."""
    if actor.is_platform(Role.APPROVER):
        return _with_details()
    return _with_details().filter(
        version__app__owner_team__organization__in=actor.organizations_as(Role.APPROVER)
    )


def visible_reviews(actor: Actor) -> QuerySet[Review]:
    """Reviews the person may read: those they decide on, and those of their own teams' apps."""
    if actor.is_platform(Role.APPROVER):
        return _with_details()
    return _with_details().filter(
        Q(version__app__owner_team__organization__in=actor.organizations_as(Role.APPROVER))
        | Q(version__app__owner_team__in=actor.teams_as(Role.CREATOR))
    )


def queue(actor: Actor) -> QuerySet[Review]:
    """Open reviews, the one that is due first on top."""
    return reviewable(actor).filter(state=Review.State.OPEN).order_by("due_at", "pk")


def decided(actor: Actor, *, text: str = "", outcome: str = "", person: str = "") -> QuerySet[Review]:
    """Return decisions, newest first, narrowed by words of the app or the reason, by outcome, and by decider's mail."""
    found = reviewable(actor).exclude(state=Review.State.OPEN).order_by("-decided_at", "-pk")
    if text:
        found = found.filter(
            Q(version__app__name__icontains=text)
            | Q(version__app__slug__icontains=text)
            | Q(reason__icontains=text)
        )
    if outcome in Review.State.values:
        found = found.filter(state=outcome)
    if person:
        found = found.filter(
            Q(decided_by__email__icontains=person) | Q(submitted_by__email__icontains=person)
        )
    return found


def last_approved(version: Version) -> Version | None:
    """Return the version of the same app that was approved last before this one."""
    return (
        version.app.versions.filter(number__lt=version.number, state__in=LISTED_ONCE)
        .select_related("app", "plan")
        .order_by("-number")
        .first()
    )


def before_of(version: Version, versions: Iterable[Version]) -> Version | None:
    """Pick the same out of all versions of an app, which come with their plans; the app is shared."""
    earlier = [one for one in versions if one.number < version.number and one.state in LISTED_ONCE]
    found = max(earlier, key=lambda one: one.number, default=None)
    if found is not None:
        found.app = version.app
    return found


def differences(version: Version, *, before: Version | None) -> list[Change]:
    """Compare what a reviewer decides on with the version approved before; only what changed, unless it is new."""
    old = _reviewed(before) if before else {}
    changes = [Change(label, old.get(label, ""), new) for label, new in _reviewed(version).items()]
    return [change for change in changes if not change.is_same]


def _reviewed(version: Version) -> dict[str, str]:
    presentation = about.of_version(version)
    plan = plans.plan_of(version)
    return {
        "Name": str(presentation["name"]),
        "Summary": str(presentation["summary"]),
        "Description": str(presentation["description"]),
        "Category": str(presentation["category"]),
        "Listed for": "everybody" if presentation["is_public"] else "its own organization",
        "Instructions": version.instructions,
        "Prompt": version.prompt_template,
        "Inputs": _inputs_in_words(version.input_schema),
        "Expected answers": _examples_in_words(version.examples),
        "Endpoint": version.endpoint_url,
        # The same bytes are kept once, so the id tells other code.
        "Code": f"archive {str(version.archive_id)[-8:]}" if version.archive_id else "",
        "Answer": outputs.in_words(version.output_format, version.output_schema),
        "Contract": endpoint_contracts.in_words(version.endpoint_contract),
        "Documents": _documents_in_words(version),
        "Models": ", ".join(version.allowed_models),
        "Longest answer": f"{version.max_output_tokens:,} tokens",
        "Price": price_text(terms_of(plan), currency=plan.currency) if plan else "",
        "Expected calls a month": f"{version.expected_monthly_calls:,}",
        "Declared cost per call": ""
        if version.declared_cost_per_call is None
        else f"{version.declared_cost_per_call.normalize():f}",
        "Answers within": f"{version.slo_latency_ms:,} ms",
        "Available": f"{version.slo_availability_percent} %",
        "Free calls": _free_calls(plan),
        "A subscription": _subscription_limits(plan),
        "Calls of the whole app": f"{version.daily_calls_limit:,} a day, {version.monthly_calls_limit:,} a month",
    }


def _documents_in_words(version: Version) -> str:
    """Name the documents; the same text is kept once, so the end of an id tells another one."""
    if not version.documents:
        return ""
    names = "\n".join(f"{row['name']} ({row['id'][-8:]})" for row in version.documents)
    shown = "sources shown" if version.shows_sources else "sources not shown"
    return f"{names}\nup to {version.passage_tokens:,} tokens of passages, {shown}"


def _examples_in_words(examples: list[dict[str, Any]]) -> str:
    return "\n".join(
        f"{number}. {'; '.join(in_words(one) for one in example['expect'])}"
        for number, example in enumerate(examples, start=1)
    )


def _free_calls(plan: Plan | None) -> str:
    free = terms_of(plan).free_calls if plan else 0
    return f"{free:,} a month" if free else ""


def _subscription_limits(plan: Plan | None) -> str:
    return f"{plan.daily_calls_limit:,} calls a day, {plan.monthly_calls_limit:,} a month" if plan else ""


def _inputs_in_words(schema: Mapping[str, Any]) -> str:
    try:
        return "\n".join(
            f"{one.name}: {one.kind}{'' if one.is_required else ', optional'}"
            + (f" ({', '.join(one.choices)})" if one.choices else "")
            for one in inputs.inputs_of(schema)
        )
    except InvalidInput:
        return str(schema)


def _with_details() -> QuerySet[Review]:
    return Review.objects.select_related(
        "version__app__owner_team__organization", "version__plan", "smoke_run", "submitted_by", "decided_by"
    )
