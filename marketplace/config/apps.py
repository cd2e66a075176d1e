from django.apps import AppConfig

# The Celery application must be loaded in every process that queues work, not only in the worker: otherwise the
# message to a worker goes to the broker that Celery takes for the default, and the request waits for it in vain.
from marketplace.config import celery as _celery  # noqa: F401
from marketplace.config import checks


class ConfigConfig(AppConfig):
    name = "marketplace.config"
    label = "config"
    verbose_name = "Configuration"

    def ready(self) -> None:
        checks.register_all()
