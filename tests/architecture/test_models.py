"""How models are written: relations, names, and what they must not do."""

import ast
import re

import pgtrigger
from django.apps import apps
from django.db import models

from tests.architecture.sources import Source, dotted, sources

RELATIONS = {"ForeignKey", "OneToOneField", "ManyToManyField"}
OURS = ("core", "accounts", "catalog", "metering", "quotas", "billing", "gateway")
NAME = re.compile(r"[a-z][a-z0-9_]*[a-z0-9]")
# PostgreSQL cuts longer names off, and Django counts on 30 for indexes.
LONGEST_NAME = 60


def model_files() -> list[Source]:
    return [source for source in sources() if source.name.endswith("/models.py")]


def our_models() -> list[type[models.Model]]:
    return [model for label in OURS for model in apps.get_app_config(label).get_models()]


class TestRelations:
    def test_name_their_model_by_a_string(self) -> None:
        """So that apps are imported in one direction only, whatever the models refer to."""
        wrong = [
            source.at(call)
            for source in model_files()
            for call in source.calls()
            if dotted(call.func).rsplit(".", 1)[-1] in RELATIONS and not self._is_text(call.args[0])
        ]

        assert wrong == []

    def _is_text(self, target: ast.expr) -> bool:
        is_string = isinstance(target, ast.Constant) and isinstance(target.value, str) and "." in target.value
        is_self = isinstance(target, ast.Constant) and target.value == "self"
        return is_string or is_self or dotted(target) == "settings.AUTH_USER_MODEL"

    def test_are_found(self) -> None:
        found = [
            call
            for source in model_files()
            for call in source.calls()
            if dotted(call.func) == "models.ForeignKey"
        ]

        assert len(found) > 40


class TestNames:
    def test_of_constraints_are_words_and_unique(self) -> None:
        names = [
            constraint.name
            for model in our_models()
            if not model._meta.proxy
            for constraint in model._meta.constraints
        ]

        assert [name for name in names if not NAME.fullmatch(name) or len(name) > LONGEST_NAME] == []
        assert len(names) == len(set(names)) > 30

    def test_of_indexes_are_written_down(self) -> None:
        wrong = [
            source.at(call)
            for source in model_files()
            for call in source.calls()
            if dotted(call.func) == "models.Index"
            and "name" not in {keyword.arg for keyword in call.keywords}
        ]

        assert wrong == []

    def test_of_triggers_are_words(self) -> None:
        names = [trigger.name for _, trigger in pgtrigger.registered()]

        assert [name for name in names if not NAME.fullmatch(name)] == []
        assert len(names) > 10


class TestModels:
    def test_do_nothing_when_they_are_saved(self) -> None:
        """What happens on a write is a function with a name, not a side effect."""
        wrong = [
            f"{source.at(node)} {node.name}"
            for source in model_files()
            for node in ast.walk(source.tree)
            if isinstance(node, ast.FunctionDef) and node.name in ("save", "delete", "clean", "full_clean")
        ]

        assert wrong == []

    def test_keep_no_float(self) -> None:
        floats = [
            f"{model.__name__}.{field.name}"
            for model in our_models()
            for field in model._meta.get_fields()
            if isinstance(field, models.FloatField)
        ]

        assert floats == []

    def test_keep_every_amount_exactly(self) -> None:
        """Unit prices, costs and limits have 18 decimals; what is invoiced is a whole number of minor units."""
        wrong = []
        for model in our_models():
            for field in model._meta.get_fields():
                is_share = field.name.endswith(("share", "percent", "rate"))
                if isinstance(field, models.DecimalField) and field.decimal_places != 18 and not is_share:
                    wrong.append(f"{model.__name__}.{field.name} has {field.decimal_places} decimals")
                if field.name.endswith("_cents") and not isinstance(field, models.BigIntegerField):
                    wrong.append(f"{model.__name__}.{field.name} is no whole number")

        assert wrong == []


class TestSignals:
    def test_are_not_used_between_our_apps(self) -> None:
        """Who reads a write must see all that it does."""
        users = [
            source.at(node)
            for source in sources()
            for node in ast.walk(source.tree)
            if isinstance(node, ast.ImportFrom)
            and node.module in ("django.dispatch", "django.db.models.signals")
        ]

        assert users == []
