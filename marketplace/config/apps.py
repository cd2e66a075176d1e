from django.apps import AppConfig

from marketplace.config import checks


class ConfigConfig(AppConfig):
    name = "marketplace.config"
    label = "config"
    verbose_name = "Configuration"

    def ready(self) -> None:
        checks.register_all()
