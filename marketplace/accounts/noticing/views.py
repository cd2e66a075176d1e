"""Pages about notices: what one was told, what comes by mail and when, and the mails that the demo world keeps."""

from uuid import UUID

from csp.decorators import csp
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from marketplace.accounts import access, mail_choices, queries
from marketplace.accounts.mail_choices import Unsubscribing
from marketplace.accounts.noticing.forms import ChoicesForm, NoticeFilter
from marketplace.accounts.requests import PersonRequest
from marketplace.core import notices
from marketplace.core.models import KeptMail

PAGE = 50
# What a mail may do that is shown: its own inline styles, nothing else. It is strange text, not a page of ours.
MAIL_POLICY = {
    "default-src": ["'none'"],
    "style-src": ["'unsafe-inline'"],
    "frame-ancestors": ["'self'"],
    "form-action": ["'none'"],
    "base-uri": ["'none'"],
    "sandbox": True,
}


@login_required
@require_safe
def notices_page(request: PersonRequest) -> HttpResponse:
    """List what the person has been told."""
    form = NoticeFilter(request.GET)
    found = queries.notices_of(request.actor.user, **form.wanted())
    page = Paginator(found, PAGE).get_page(request.GET.get("page"))
    context = {"page": page, "form": form, "is_narrowed": any(request.GET.get(name) for name in form.fields)}
    return render(request, "accounts/notices.html", context)


@login_required
@require_POST
def read_notices(request: PersonRequest) -> HttpResponse:
    """Mark all notices as read."""
    notices.mark_read(request.actor.user, at=timezone.now())
    return redirect("accounts:notices")


@login_required
@require_POST
def mark_notices(request: PersonRequest) -> HttpResponse:
    """Mark those that are ticked as read or as new."""
    ids = _ids(request)
    if request.POST.get("as") == "new":
        notices.mark_unread(request.actor.user, ids=ids)
    else:
        notices.mark_read(request.actor.user, at=timezone.now(), ids=ids)
    return redirect(_back(request))


@login_required
@require_safe
def open_notice(request: PersonRequest, notice_id: UUID) -> HttpResponse:
    """Go where a notice leads, and mark it as read: who goes there has seen it."""
    notice = access.get(queries.notices_of(request.actor.user), pk=notice_id)
    if request.method == "GET":
        notices.mark_read(request.actor.user, at=timezone.now(), ids=[notice.pk])
    is_ours = url_has_allowed_host_and_scheme(notice.path, allowed_hosts=None)
    return redirect(notice.path if notice.path and is_ours else "accounts:notices")


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def mail_choices_page(request: PersonRequest) -> HttpResponse:
    """Show how often which notices come by mail; a POST chooses."""
    person = request.actor.user
    form = ChoicesForm(
        request.POST or None,
        choices=mail_choices.choices_of(person),
        when=mail_choices.when_of(person),
    )
    if form.is_valid():
        mail_choices.save(person, cadences=form.cadences(), when=form.when(), at=timezone.now())
        messages.success(request, "Your choices are saved.")
        return redirect("accounts:mail-choices")
    return render(request, "accounts/mail_choices.html", {"form": form, "address": person.email})


# The token is what allows it: a mail program posts here without a session, and so without a token of a form.
@csrf_exempt
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """Ask whether to end mails of a kind, without signing in; a POST ends them (RFC 8058)."""
    wanted: Unsubscribing = mail_choices.by_token(token)
    ended: list[str] = []
    if request.method == "POST":
        ended = mail_choices.unsubscribe(wanted, at=timezone.now())
    context = {"wanted": wanted, "is_done": request.method == "POST", "ended": ended}
    return render(request, "accounts/unsubscribe.html", context)


@login_required
@require_safe
def kept_mails(request: PersonRequest) -> HttpResponse:
    """List the mails that the person would have got, in the demo world."""
    _only_in_demo()
    page = Paginator(queries.kept_mails_of(request.actor.user), PAGE).get_page(request.GET.get("page"))
    return render(request, "accounts/kept_mails.html", {"page": page})


@login_required
@require_safe
def kept_mail(request: PersonRequest, mail_id: UUID) -> HttpResponse:
    """Show a mail as text, as HTML in a frame that can do nothing, and its headers."""
    return render(request, "accounts/kept_mail.html", {"mail": _kept(request, mail_id)})


@login_required
@require_safe
@xframe_options_sameorigin
def kept_mail_html(request: PersonRequest, mail_id: UUID) -> HttpResponseBase:
    """Give the HTML of a mail, for the frame that shows it."""
    html = _kept(request, mail_id).html
    return csp(MAIL_POLICY)(lambda _: HttpResponse(html))(request)


def _kept(request: PersonRequest, mail_id: UUID) -> KeptMail:
    _only_in_demo()
    return access.get(queries.kept_mails_of(request.actor.user), pk=mail_id)


def _only_in_demo() -> None:
    if not settings.DEMO:
        raise Http404


def _ids(request: PersonRequest) -> list[UUID]:
    """Return what was ticked; what is no id is nobody's notice."""
    found = []
    for text in request.POST.getlist("notice")[:PAGE]:
        try:
            found.append(UUID(text))
        except ValueError:
            continue
    return found


def _back(request: PersonRequest) -> str:
    """Return the list as it was narrowed."""
    back = request.POST.get("back", "")
    is_list = back.startswith("/notices/") and url_has_allowed_host_and_scheme(back, allowed_hosts=None)
    return back if is_list else "accounts:notices"
