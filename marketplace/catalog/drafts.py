"""Making and editing the version of an app that nobody has reviewed yet."""

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.text import slugify

from marketplace.accounts.models import Team, User
from marketplace.catalog import about, plans, price_changes
from marketplace.catalog.inputs import schema_of
from marketplace.catalog.models import App, Version
from marketplace.catalog.plan_terms import PlanTerms
from marketplace.catalog.templates_library import AppTemplate
from marketplace.core import audit
from marketplace.core.errors import Conflict, InvalidInput

WORKINGS = (
    "instructions", "prompt_template", "example_input", "endpoint_url", "allowed_models", "max_output_tokens",
    "examples", "archive_id", "output_format", "output_schema", "endpoint_contract",
    "documents", "passage_tokens", "shows_sources",
)  # fmt: skip
PROMISES = (
    "expected_monthly_calls", "declared_cost_per_call", "slo_latency_ms", "slo_availability_percent",
    "daily_calls_limit", "monthly_calls_limit",
)  # fmt: skip
EDITABLE = frozenset({*about.NAMES, *WORKINGS, *PROMISES, "owner_contact", "inputs", "plan"})
MAX_SLUG = 60
# Words that would read like a path of ours behind /catalog/, /apps/ or /manifests/.
RESERVED_SLUGS = frozenset({"new", "search", "compare", "run", "schema", "check"})


class NotEditable(Conflict):
    """The version left its maker's hands."""

    code = "not_editable"

    def __init__(self, version: Version) -> None:
        self.version = version
        super().__init__(
            f"Version {version.number} is {version.state.replace('_', ' ')} and cannot be edited. "
            "Withdraw it or start a new version."
        )


@transaction.atomic
def create_from_template(
    template: AppTemplate,
    *,
    team: Team,
    by: User,
    at: datetime,
    slug: str = "",
    changes: Mapping[str, Any] | None = None,
) -> Version:
    """Start an app of a team with everything the template brings, and ``changes`` over it (see ``edit``).

    Without a slug one is made of the name. Returns the draft; raises InvalidInput for a slug that is taken.
    """
    wanted = {**template.about, **(changes or {})}
    presentation = {name: wanted[name] for name in about.NAMES if name in wanted}
    app = App(
        slug=_free_slug(slug or str(wanted["name"]), is_given=bool(slug)),
        kind=template.kind,
        owner_team=team,
        owner_contact=wanted.get("owner_contact") or by.email,
        created_by=by,
        created_at=at,
        **presentation,
    )
    try:
        app.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict("Somebody took this name a moment ago. Send it again.", code="name_taken") from error
    version = Version.objects.create(
        app=app,
        template=template.key,
        about=about.of_app(app),
        instructions=template.instructions,
        prompt_template=template.prompt_template,
        input_schema=schema_of(template.inputs),
        example_input=dict(template.example_input),
        allowed_models=list(template.allowed_models),
        max_output_tokens=template.max_output_tokens,
        output_format=template.output_format,
        output_schema=dict(template.output_schema),
        signing_secret=_new_secret() if template.kind == App.Kind.HTTP else "",
        created_at=at,
        **_promises_of(template),
    )
    audit.record("catalog.version.created", subject=version, at=at, by=by, new={"template": template.key})
    edit(version, by=by, at=at, changes={"plan": template.plan, **(changes or {})})
    return version


@transaction.atomic
def edit(version: Version, *, by: User, at: datetime, changes: Mapping[str, Any]) -> None:
    """Change fields of an editable version: any of EDITABLE, ``inputs`` as Input values, ``plan`` as PlanTerms.

    The owner's contact changes at once; a presentation that is not listed yet is the app's own, else it waits for
    approval. Raises NotEditable, or InvalidInput for a field that cannot be edited. Locks the version's row.
    """
    if unknown := sorted(set(changes) - EDITABLE):
        raise InvalidInput(unknown[0], "is not a field that can be edited", code="unknown_field")
    locked = Version.objects.select_for_update(of=("self",)).select_related("app", "plan").get(pk=version.pk)
    if not locked.is_editable():
        raise NotEditable(locked)
    before = _snapshot(locked)
    _apply(locked, changes)
    if "plan" in changes:
        terms: PlanTerms = changes["plan"]
        plans.propose(locked, terms, currency=locked.app.owner_team.organization.currency, at=at)
    changed = sorted(name for name, value in _snapshot(locked).items() if before[name] != value)
    if changed:
        audit.record("catalog.version.edited", subject=locked, at=at, by=by, new={"fields": changed})
    version.refresh_from_db()


@transaction.atomic
def start_next_version(app: App, *, by: User, at: datetime) -> Version:
    """Copy the newest version of an app as its next draft; raises Conflict while one is in the making."""
    App.objects.select_for_update(of=("self",)).get(pk=app.pk)
    newest = app.versions.order_by("-number").first()
    if newest is None or newest.state in (
        *Version.EDITABLE,
        "submitted",
        "checking",
        "in_review",
        "approved",
    ):
        raise Conflict("There is a version in the making already.", code="version_in_the_making")
    source = _source_of_next(app, newest)
    copied = {
        name: getattr(source, name) for name in (*WORKINGS, *PROMISES, "template", "input_schema", "plan")
    }
    copied["plan"] = price_changes.plan_to_go_on_with(source)
    version = Version.objects.create(
        app=app,
        number=newest.number + 1,
        about=about.of_app(app),
        signing_secret=source.signing_secret,
        created_at=at,
        **copied,
    )
    audit.record("catalog.version.created", subject=version, at=at, by=by, new={"copied_from": source.number})
    return version


def _source_of_next(app: App, newest: Version) -> Version:
    """Take the listed version, which was approved, rather than a newer one that was withdrawn."""
    return app.versions.filter(state=Version.State.LISTED).order_by("-number").first() or newest


def _apply(version: Version, changes: Mapping[str, Any]) -> None:
    app = version.app
    version.about = about.of_version(version) | {
        name: changes[name] for name in about.NAMES if name in changes
    }
    for name in (*WORKINGS, *PROMISES):
        if name in changes:
            setattr(version, name, changes[name])
    if "inputs" in changes:
        version.input_schema = schema_of(changes["inputs"])
    version.save(update_fields=["about", "input_schema", *WORKINGS, *PROMISES])
    if "owner_contact" in changes:
        app.owner_contact = changes["owner_contact"]
        app.save(update_fields=["owner_contact"])
    if not hasattr(app, "listing"):
        about.apply_to_app(version)


def _snapshot(version: Version) -> dict[str, Any]:
    names = (*WORKINGS, *PROMISES, "input_schema", "plan_id")
    return (
        {name: getattr(version, name) for name in names}
        | version.about
        | {"owner_contact": version.app.owner_contact}
    )


def _promises_of(template: AppTemplate) -> dict[str, Any]:
    promises = dict(template.promises)
    declared = promises.pop("cost_per_call", None)
    return promises | {"declared_cost_per_call": declared}


def _free_slug(text: str, *, is_given: bool) -> str:
    slug = slugify(text)[:MAX_SLUG].strip("-") or "app"
    taken = set(App.objects.filter(slug__startswith=slug[: MAX_SLUG - 4]).values_list("slug", flat=True))
    taken |= RESERVED_SLUGS
    if slug not in taken:
        return slug
    if is_given:
        raise InvalidInput("slug", f"“{slug}” is taken; choose another", code="taken")
    number = 2
    while (candidate := f"{slug[: MAX_SLUG - 4]}-{number}") in taken:
        number += 1
    return candidate


def _new_secret() -> str:
    return f"whsec_{secrets.token_urlsafe(32)}"
