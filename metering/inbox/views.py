"""Pages of usage that could not be attributed: the inbox, one group of it, and the rules."""

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.forms import Form
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace.accounts import access
from marketplace.accounts.access import Role
from marketplace.accounts.models import User
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import Conflict, InvalidInput
from metering import attribution_rules, unattributed
from metering.attribution_rules import SERVING, Target
from metering.inbox.forms import AS_UNNAMED, DismissForm, HandForm, RuleForm, add_refusal
from metering.inbox_models import Field, UnattributedGroup
from metering.suggestions import Suggestion


@login_required
@require_safe
def inbox(request: PersonRequest) -> HttpResponse:
    """List what could not be attributed, the dearest first, and the rules in force."""
    _require_reader(request)
    is_open = request.GET.get("show") != "ended"
    found = unattributed.groups(request.actor)
    context = {
        "rows": unattributed.rows(found, is_open=is_open),
        "is_open": is_open,
        "tabs": [
            {"label": "Waiting", "url": "?", "is_current": is_open},
            {"label": "Done", "url": "?show=ended", "is_current": not is_open},
        ],
        "rules": unattributed.rules(request.actor),
        "not_kept": unattributed.not_kept(request.actor),
        "by_default": unattributed.by_default(request.actor, at=timezone.now()),
        "days": unattributed.DEFAULT_DAYS,
    }
    return render(request, "metering/inbox.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def group(request: PersonRequest, group_id: UUID) -> HttpResponse:
    """Show a group with suggestions; a POST makes a rule, dismisses it or hands it to somebody."""
    found = access.get(unattributed.groups(request.actor), pk=group_id)
    suggested = unattributed.suggest(found, actor=request.actor)
    pressed = request.POST.get("do", "")
    forms: dict[str, Form] = {
        "rule": _rule_form(request, found, suggested, is_bound=pressed == "rule"),
        "dismiss": DismissForm(request.POST if pressed == "dismiss" else None),
        "hand": HandForm(request.POST if pressed == "hand" else None),
    }
    if request.method == "POST" and _done(request, found, pressed, forms):
        return redirect("metering:inbox-group", found.pk)
    context = {
        "group": found,
        "row": unattributed.row(found),
        "newest": unattributed.newest(found),
        "suggested": [(one, _key(found, one)) for one in suggested],
        "as_unnamed": AS_UNNAMED[Field(found.field)],
        "forms": forms,
        "rules": attribution_rules.visible_rules(request.actor).filter(field=found.field, value=found.value),
    }
    return render(request, "metering/inbox_group.html", context)


@login_required
@require_POST
def end_rule(request: PersonRequest, rule_id: UUID) -> HttpResponse:
    """End a rule."""
    rule = access.get(attribution_rules.visible_rules(request.actor), pk=rule_id)
    attribution_rules.end(rule, by=request.actor, at=timezone.now())
    messages.success(request, f"The rule for {rule.value} has ended. What it counted stays.")
    return redirect("metering:inbox")


def _rule_form(
    request: PersonRequest, found: UnattributedGroup, suggested: list[Suggestion], *, is_bound: bool
) -> RuleForm:
    return RuleForm(
        request.POST if is_bound else None,
        group=found,
        cost_centers=unattributed.choosable_cost_centers(found),
        subscriptions=unattributed.choosable_subscriptions(found, actor=request.actor),
        is_for_organization=attribution_rules.serves(found.app.owner_team.organization_id, request.actor),
        suggested=_key(found, suggested[0]) if suggested else Target.AS_UNNAMED,
    )


def _key(found: UnattributedGroup, one: Suggestion) -> str:
    """Write a suggestion as the form's choice."""
    return Target.AS_UNNAMED.value if one.id is None else f"{found.field}:{one.id}"


def _done(request: PersonRequest, found: UnattributedGroup, pressed: str, forms: dict[str, Form]) -> bool:
    """Do what the pressed button says; what the domain refuses goes to its form."""
    form = forms.get(pressed)
    if form is None or not form.is_valid():
        return False
    try:
        messages.success(request, _act(request, found, form))
    except InvalidInput as error:
        add_refusal(form, error)
        return False
    except Conflict as error:
        form.add_error(None, error.message)
        return False
    return True


def _act(request: PersonRequest, found: UnattributedGroup, form: Form) -> str:
    now = timezone.now()
    if isinstance(form, RuleForm):
        attribution_rules.make(form.rule(), by=request.actor, at=now)
        return "The rule is in force. What is kept is being counted."
    if isinstance(form, DismissForm):
        count = attribution_rules.dismiss(found, by=request.actor, at=now, reason=form.cleaned_data["reason"])
        return f"{count:,} events are dismissed."
    person = User.objects.filter(email=form.cleaned_data["person"].lower(), is_active=True).first()
    if person is None:
        raise InvalidInput("person", "Nobody who looks after this app has this address.")
    attribution_rules.hand_to(found, person, by=request.actor, at=now)
    return f"{person} sees to it."


def _require_reader(request: PersonRequest) -> None:
    actor = request.actor
    is_reader = bool(actor.teams_as(Role.CREATOR) or actor.organizations_as(*SERVING)) or actor.is_platform(
        *SERVING
    )
    access.require(is_reader, message="This is for creators, finance and operators.")
