"""Figures for monitoring."""

import hmac

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from marketplace.gateway.metrics import provider_metrics

TEXT = "text/plain; version=0.0.4; charset=utf-8"


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Show the figures to whoever has the key; to others there is nothing here."""
    presented = request.headers.get("Authorization", "").removeprefix("Bearer ").encode()
    if not settings.METRICS_KEY or not hmac.compare_digest(presented, settings.METRICS_KEY.encode()):
        raise Http404
    return HttpResponse(provider_metrics(at=timezone.now()), content_type=TEXT)
