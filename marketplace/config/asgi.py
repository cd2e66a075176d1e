"""One application object: the hot paths go straight to the gateway, everything else to Django.

``web`` alone serves pages and the management API, ``gateway`` alone the hot paths, for installations that scale them
apart.
"""

import os
from typing import Any

import django
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.config.settings")
django.setup()

from marketplace.gateway import application as hot  # noqa: E402  # Django's settings must be up first

web = get_asgi_application()


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        else:
            await hot.close_gateway()
            await send({"type": "lifespan.shutdown.complete"})
            return


async def gateway(scope: Any, receive: Any, send: Any) -> None:
    """The hot paths alone."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "http":
        await hot.application(scope, receive, send)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Everything."""
    if scope["type"] == "http" and hot.takes(scope["path"]):
        await hot.application(scope, receive, send)
    elif scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "http":
        await web(scope, receive, send)
