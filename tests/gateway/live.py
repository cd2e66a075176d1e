"""The whole application in a thread of the test process, on the test database, with the real demo provider."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn

from marketplace.accounts import keys
from marketplace.catalog.models import App, AppKey, Subscription, SubscriptionKey
from marketplace.config.asgi import application
from marketplace.gateway.models import Provider, ProviderModel
from metering.models import LanguageModel
from tests import factories
from tests.conftest import Cast
from tests.factories import LONG_AGO
from tests.gateway.conftest import free_port


@dataclass(frozen=True)
class World:
    """One listed app with a subscription, their keys, and the address of the running application."""

    url: str
    app: App
    subscription: Subscription
    sub_key: str
    app_key: str


@contextmanager
def running_application() -> Iterator[str]:
    """Serve on a free port; give the address."""
    port = free_port()
    config = uvicorn.Config(
        application, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=5
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), name="application")
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=30)


def make_models(provider_url: str) -> None:
    """Two models at the demo provider: llm-8b and the dearer llm-70b; and one for embeddings."""
    provider = Provider.objects.create(name="demo", title="Demo", base_url=f"{provider_url}/v1", is_demo=True)
    models = [
        factories.make_model("llm-8b", input_price="0.20", output_price="0.60"),
        factories.make_model("llm-70b", input_price="0.90", output_price="0.90", model_class="medium"),
        factories.make_model("embed-small", input_price="0.02", output_price="0", model_class="embedding"),
    ]
    for model in models:
        ProviderModel.objects.create(provider=provider, model=model, upstream_name=model.name)
    LanguageModel.objects.create(name="llm-secret", title="Not approved", model_class="large")


def make_world(cast: Cast, url: str) -> World:
    """Subscribe the consumer's team to where2eat of the creator's team."""
    app = factories.make_listed_app(cast.creator_team, slug="where2eat")
    app.versions.all()
    subscription = factories.make_subscription(app, cast.consumer_team)
    sub_key, sub_text = keys.issue(kind="sub", organization=cast.company, at=LONG_AGO, by=None)
    SubscriptionKey.objects.create(key=sub_key, subscription=subscription)
    app_key, app_text = keys.issue(kind="app", organization=cast.company, at=LONG_AGO, by=None)
    AppKey.objects.create(key=app_key, app=app)
    return World(url, app, subscription, sub_text, app_text)
