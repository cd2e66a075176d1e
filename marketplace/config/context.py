"""What every page gets: brand, navigation of the person's roles, the clock."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone


def site(request: HttpRequest) -> dict[str, Any]:
    return {"brand": settings.MARKETPLACE_NAME, "now": timezone.now(), "nav": [], "demo_roles": []}
