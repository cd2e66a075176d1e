"""Is it alive, is it ready: for load balancers, the supervisor and people."""

import urllib.error
import urllib.request
from collections.abc import Callable

from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from redis.exceptions import RedisError

from marketplace.core import heartbeats
from marketplace.gateway.models import Provider
from metering import partitions

_migrated = False


@never_cache
def healthz(request: HttpRequest) -> JsonResponse:
    """Answer while this process can answer at all."""
    return JsonResponse({"status": "ok"})


@never_cache
def readyz(request: HttpRequest) -> JsonResponse:
    """Answer 200 when everything a call and a page need is up, else 503 with what is not.

    Hints are what somebody should look at although all is up.
    """
    checks: dict[str, Callable[[], str]] = {
        "database": _database,
        "cache": _cache,
        "background": _background,
        "provider": _provider,
    }
    results = {name: check() for name, check in checks.items()}
    is_ready = all(result == "ok" for result in results.values())
    body = {"status": "ready" if is_ready else "not ready", "checks": results, "hints": _hints(results)}
    return JsonResponse(body, status=200 if is_ready else 503)


def _database() -> str:
    global _migrated
    try:
        if not _migrated:
            executor = MigrationExecutor(connection)
            if executor.migration_plan(executor.loader.graph.leaf_nodes()):
                return "migrations are waiting: run manage.py migrate"
            _migrated = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        return f"cannot be reached: {type(error).__name__}"
    return "ok"


def _hints(results: dict[str, str]) -> list[str]:
    if results["database"] != "ok":
        return []
    try:
        return partitions.hints(at=timezone.now())
    except DatabaseError as error:
        return [f"partitions cannot be seen: {type(error).__name__}"]


def _cache() -> str:
    try:
        cache.set("readyz", 1, 10)
    except (RedisError, OSError) as error:
        return f"cannot be reached: {type(error).__name__}"
    return "ok"


def _background() -> str:
    try:
        missing = heartbeats.missing()
    except (RedisError, OSError):
        return "cannot be seen without the cache"
    return f"no sign of life from {' and '.join(missing)}" if missing else "ok"


def _provider() -> str:
    """The demo world needs its provider; other providers may come and go without making pages unready."""
    try:
        if not settings.DEMO or not Provider.objects.filter(is_demo=True, is_active=True).exists():
            return "ok"
        with urllib.request.urlopen(f"{settings.DEMO_PROVIDER_URL}/healthz", timeout=2):
            return "ok"
    except DatabaseError:
        return "cannot be seen without the database"
    except (urllib.error.URLError, OSError) as error:
        return f"the demo provider does not answer: {type(error).__name__}"
