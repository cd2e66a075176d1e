"""Pages that guests may read where the installation allows it (HALFPENNY_PUBLIC_CATALOG)."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpResponse

from marketplace.accounts.access import Actor
from marketplace.accounts.requests import PersonRequest

View = Callable[..., HttpResponse]


def guests_where_allowed(view: View) -> View:
    """Let guests in where the catalogue is public, and send them to sign in elsewhere."""

    @wraps(view)
    def guarded(request: PersonRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated or (settings.PUBLIC_CATALOG and request.method in ("GET", "HEAD")):
            return view(request, *args, **kwargs)
        return redirect_to_login(request.get_full_path())

    return guarded


def actor_or_guest(request: PersonRequest) -> Actor | None:
    """Return who asks; None is a guest, who sees what is public and nothing of usage."""
    return request.actor if request.user.is_authenticated else None
