"""Trying an app on its page, with the team's sandbox credit."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_POST

from marketplace.accounts import access
from marketplace.accounts.models import Team
from marketplace.catalog import outputs, queries, subscriptions
from marketplace.catalog.inputs import Input, inputs_asked
from marketplace.catalog.models import App, OutputFormat, Version
from marketplace.core.errors import HalfpennyError, InvalidInput, NotAllowed
from marketplace.gateway import app_runs, background
from marketplace.gateway.app_runs import AppRun
from marketplace.gateway.directory import caller_of_id


@login_required
@require_POST
def try_it(request: HttpRequest, slug: str) -> HttpResponse:
    """Run a listed app once with the entered input; the answer and its cost replace the box below the form."""
    actor = request.actor  # type: ignore[attr-defined]
    listing = access.get(queries.visible_listings(actor), app__slug=slug)
    context: dict[str, Any] = {"app": listing.app, "currency": settings.CURRENCY}
    try:
        team = _team(actor, request.POST.get("team", ""))
        context["team"] = team
        data = _entered(inputs_asked(listing.version.input_schema), request.POST)
        context["run"] = run = _run(actor, listing.app, data, team=team)
        context |= _shown(run, listing.version)
    except InvalidInput as error:
        context["errors"] = error.errors
    except HalfpennyError as error:
        context["problem"] = error.message
    if not request.headers.get("HX-Request"):
        context["back"] = request.headers.get("Referer", "")
        return render(request, "gateway/try_result.html", context)
    return render(request, "gateway/_try_result.html", context)


def _shown(run: AppRun, version: Version) -> dict[str, Any]:
    """Lay an output out as its app promises it: a table, JSON, or text."""
    is_table = version.output_format == OutputFormat.TABLE
    table = outputs.table_of(run.output, version.output_schema) if is_table else None
    is_text = isinstance(run.output, str)
    text = run.output if is_text else json.dumps(run.output, indent=2, ensure_ascii=False)
    return {"table": table, "text": text}


def _entered(inputs: list[Input], form: Mapping[str, str]) -> dict[str, Any]:
    """Read the form's fields ``input.<name>``; one left empty is left out, a number that is none stays a text."""
    data: dict[str, Any] = {}
    for one in inputs:
        text = form.get(f"input.{one.name}", "").replace("\r\n", "\n")
        if text:
            data[one.name] = _number(text) if one.kind == "number" else text
    return data


def _number(text: str) -> int | str | float:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def _team(actor: access.Actor, chosen: str) -> Team:
    """Return whose sandbox pays: the team that was chosen, else the person's first by name."""
    teams = access.own_teams(actor, role=access.Role.CONSUMER)
    if chosen:
        return access.get(teams, pk=chosen)
    team = teams.order_by("name").first()
    if team is None:
        raise NotAllowed("Only consumers of a team can try an app.")
    return team


def _run(actor: access.Actor, app: App, data: dict[str, Any], *, team: Team) -> AppRun:
    sandbox = subscriptions.sandbox_for(
        app, team=team, by=actor.user, at=timezone.now(), credit=settings.SANDBOX_CREDIT
    )
    find = partial(caller_of_id, sandbox.pk)
    return background.call(lambda gateway: app_runs.run(gateway, lambda: gateway.read(find), data=data))
