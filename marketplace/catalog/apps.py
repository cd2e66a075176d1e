from importlib import import_module

from django.apps import AppConfig


class CatalogConfig(AppConfig):
    name = "marketplace.catalog"
    label = "catalog"
    verbose_name = "Catalog"

    def ready(self) -> None:
        # Its classes register themselves; earlier than here the REST framework cannot be imported.
        import_module("marketplace.catalog.schema")
