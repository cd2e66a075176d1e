"""Pages of channels: the list, setting one up, and one channel with its log, its test and its secret."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.forms import Form
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace.accounts import access
from marketplace.accounts.requests import PersonRequest
from marketplace.core.errors import HalfpennyError, InvalidInput
from marketplace.core.models import NoticeChannel, NoticeDelivery
from marketplace.gateway.outbox import channels, keepers, logs, trying
from marketplace.gateway.outbox.configured import way_out
from marketplace.gateway.outbox.forms import ChannelForm

PAGE = 25


@login_required
@require_safe
def channels_page(request: PersonRequest) -> HttpResponse:
    """List the channels that the person keeps."""
    found = logs.with_counts(keepers.channels(request.actor), at=timezone.now())
    page = Paginator(found.order_by("name", "pk"), PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "may_add": bool(keepers.places(request.actor))}
    return render(request, "gateway/channels/list.html", context)


@login_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def add(request: PersonRequest) -> HttpResponse:
    """Show an empty form; a POST sets up the channel and shows its secret, the only place it ever appears."""
    places = keepers.places(request.actor)
    access.require(
        bool(places), message="Channels are kept by operators, and by makers and budget owners of a team."
    )
    form = ChannelForm(request.POST or None, places=places)
    if form.is_valid():
        try:
            channel, secret = channels.add(
                form.place(),
                form=form.cleaned_data["sent_as"],
                facts=form.facts(),
                url=form.cleaned_data["url"],
                allowed=settings.EGRESS_ALLOW,
                by=request.actor.user,
                at=timezone.now(),
            )
        except HalfpennyError as error:
            _put_onto(form, error)
        else:
            return _page(request, channel, secret=secret) if secret else redirect(channels.path_of(channel))
    return render(request, "gateway/channels/form.html", {"form": form})


@login_required
@require_safe
def channel(request: PersonRequest, channel_id: UUID) -> HttpResponse:
    """Show a channel with what was sent there."""
    return _page(request, _kept(request, channel_id))


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def change(request: PersonRequest, channel_id: UUID) -> HttpResponse:
    """Show a channel's form, without its address; a POST saves it."""
    found = _kept(request, channel_id)
    form = ChannelForm(request.POST or None, channel=found)
    if form.is_valid():
        try:
            channels.change(
                found,
                facts=form.facts(),
                url=form.cleaned_data["url"],
                allowed=settings.EGRESS_ALLOW,
                by=request.actor.user,
                at=timezone.now(),
            )
        except HalfpennyError as error:
            _put_onto(form, error)
        else:
            messages.success(request, f"{found.name} is saved.")
            return redirect(channels.path_of(found))
    return render(request, "gateway/channels/form.html", {"form": form, "channel": found})


@login_required
@require_POST
def test(request: PersonRequest, channel_id: UUID) -> HttpResponse:
    """Send a test and show what was answered."""
    found = _kept(request, channel_id)
    outcome = trying.send_test(found, by=request.actor.user, at=timezone.now(), way=way_out())
    found.refresh_from_db()
    return _page(request, found, outcome=outcome)


@login_required
@never_cache
@require_POST
def rotate(request: PersonRequest, channel_id: UUID) -> HttpResponse:
    """Make a new secret and show it in the answer, the only place it ever appears."""
    found = _kept(request, channel_id)
    secret = channels.rotate(found, by=request.actor.user, at=timezone.now())
    return _page(request, found, secret=secret)


@login_required
@require_POST
def set_state(request: PersonRequest, channel_id: UUID) -> HttpResponse:
    """Pause or resume a channel."""
    found = _kept(request, channel_id)
    step = channels.pause if request.POST.get("to") == "paused" else channels.resume
    step(found, by=request.actor.user, at=timezone.now())
    messages.success(request, f"{found.name} is {found.get_state_display()}.")
    return redirect(channels.path_of(found))


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def remove(request: PersonRequest, channel_id: UUID) -> HttpResponse:
    """Ask whether to remove a channel; a POST removes it."""
    found = _kept(request, channel_id)
    if request.method != "POST":
        return render(request, "gateway/channels/remove.html", {"channel": found})
    channels.remove(found, by=request.actor.user, at=timezone.now())
    messages.success(request, f"{found.name} is removed.")
    return redirect("gateway:channels")


@login_required
@require_POST
def send_again(request: PersonRequest, channel_id: UUID, delivery_id: UUID) -> HttpResponse:
    """Queue something from the log once more."""
    found = _kept(request, channel_id)
    delivery = access.get(NoticeDelivery.objects.filter(channel=found), pk=delivery_id)
    channels.send_again(delivery, by=request.actor.user, at=timezone.now())
    messages.success(request, "It is sent again within seconds, under the same id.")
    return redirect(channels.path_of(found))


def _kept(request: PersonRequest, channel_id: UUID) -> NoticeChannel:
    return access.get(keepers.channels(request.actor), pk=channel_id)


def _page(request: PersonRequest, found: NoticeChannel, **more: Any) -> HttpResponse:
    page = Paginator(logs.deliveries_of(found), PAGE).get_page(request.GET.get("page"))
    context = {"channel": found, "page": page, "overlap_hours": channels.OVERLAP.days * 24, **more}
    return render(request, "gateway/channels/channel.html", context)


def _put_onto(form: Form, error: HalfpennyError) -> None:
    if isinstance(error, InvalidInput):
        for one in error.errors:
            form.add_error(one.field if one.field in form.fields else None, one.message)
    else:
        form.add_error("name", error.message)
