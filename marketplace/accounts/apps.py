from importlib import import_module

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "marketplace.accounts"
    label = "accounts"
    verbose_name = "Accounts"

    def ready(self) -> None:
        # Its classes register themselves; earlier than here the REST framework cannot be imported.
        import_module("marketplace.accounts.schema")
