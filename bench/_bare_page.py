"""The yardstick of pages: Django with nothing but one view, a template, and fifty rows from the database."""

import os

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import path
from environs import Env

PAGE = """<!doctype html><html lang="en"><head><title>Rows</title></head><body><table>
<tr><th>Hour</th><th>Calls</th><th>Tokens</th><th>Cost</th></tr>
{% for hour, calls, tokens, cost in rows %}<tr><td>{{ hour }}</td><td>{{ calls }}</td><td>{{ tokens }}</td><td>{{ cost }}</td></tr>
{% endfor %}</table></body></html>"""
QUERY = "SELECT hour, requests, input_tokens + output_tokens, cost FROM metering_usagerollup ORDER BY hour DESC LIMIT 50"


def rows(request: HttpRequest) -> HttpResponse:
    """Answer with fifty rows."""
    from django.db import connection  # noqa: PLC0415  # settings first
    from django.template import engines  # noqa: PLC0415

    with connection.cursor() as cursor:
        cursor.execute(QUERY)
        found = cursor.fetchall()
    return HttpResponse(_template(engines["django"]).render({"rows": found}))


_made: list = []


def _template(engine: object) -> object:
    if not _made:
        _made.append(engine.from_string(PAGE))
    return _made[0]


urlpatterns = [path("", rows)]


def _application() -> object:
    database = Env().dj_db_url("DSN")
    database.setdefault("OPTIONS", {})["pool"] = {"min_size": 0, "max_size": 16, "timeout": 10}
    settings.configure(
        DATABASES={"default": database},
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF=__name__,
        SECRET_KEY="bench",
        USE_TZ=True,
        TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}],
    )
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)
    from django.core.asgi import get_asgi_application  # noqa: PLC0415

    return get_asgi_application()


application = _application()
