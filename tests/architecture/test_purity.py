"""What the domain does not touch: floats, the clock, settings, the environment, requests."""

import ast

from tests.architecture.sources import Source, dotted, sources

# Interfaces may: they translate in, make one domain call, and translate out.
INTERFACES = {
    "views",
    "api",
    "tasks",
    "management",
    "admin",
    "urls",
    "forms",
    "apps",
    "migrations",
    "templatetags",
}
# Edges with other names: the gateway's own (its clock is ``books.now``), what runs inside of apps, start and stop, sign-in, ids that carry time.
EDGES = (
    "marketplace.config",
    "marketplace.gateway",
    "marketplace.sdk",
    "marketplace.accounts.authentication",
    "marketplace.catalog.authentication",
    "marketplace.accounts.middleware",
    "marketplace.accounts.sign_in",
    "marketplace.core.ids",
    "billing.house",
    "billing.payments.house",
    # In the processor's place: Stripe has a clock of its own.
    "billing.payments.fake",
)
# Of the gateway, these are calculations.
PURE_GATEWAY = ("marketplace.gateway.router", "marketplace.gateway.signatures", "marketplace.gateway.tokens")
CLOCKS = {
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
    "timezone.now",
    "timezone.localdate",
    "timezone.localtime",
    "time.time",
    "time.time_ns",
}
MONEY = (
    "metering",
    "quotas",
    "billing",
    "marketplace/core/meters.py",
    "marketplace/core/periods.py",
    "marketplace/catalog/judging.py",
    "marketplace/catalog/plan_terms.py",
    "marketplace/catalog/plans.py",
    "marketplace/catalog/price_words.py",
    "marketplace/catalog/projections.py",
    "marketplace/catalog/subscriptions.py",
)
# Interfaces that need to know what a request looks like, under names of their own.
KNOW_REQUESTS = {
    "marketplace.accounts.requests", "billing.api_schema",
    "metering.usage_addresses", "metering.usage_pages", "metering.usage_parameters",
}  # fmt: skip


def domain() -> list[Source]:
    """Return the modules that decide and calculate."""
    found = []
    for source in sources():
        is_edge = source.module.startswith(EDGES) and source.module not in PURE_GATEWAY
        if not is_edge and not INTERFACES & set(source.module.split(".")):
            found.append(source)
    assert len(found) > 80
    return found


class TestDomain:
    def test_does_not_read_the_clock(self) -> None:
        readers = [
            f"{source.at(call)} {dotted(call.func)}"
            for source in domain()
            for call in source.calls()
            if dotted(call.func) in CLOCKS or dotted(call.func).endswith((".datetime.now", ".timezone.now"))
        ]

        assert readers == []

    def test_does_not_read_settings_or_the_environment(self) -> None:
        """Models may name the user model, which is a setting by Django's will."""
        readers = [
            source.at(node)
            for source in domain()
            for node in ast.walk(source.tree)
            if (
                isinstance(node, ast.ImportFrom)
                and node.module == "django.conf"
                and not _is_of_models(source)
            )
            or (isinstance(node, ast.Attribute) and dotted(node) == "os.environ")
        ]

        assert readers == []

    def test_does_not_know_requests(self) -> None:
        known = [
            source.at(node)
            for source in domain()
            for node in ast.walk(source.tree)
            if isinstance(node, ast.ImportFrom)
            and (node.module or "").startswith(("django.http", "django.shortcuts", "rest_framework"))
            and not source.module.startswith("marketplace.core")
            and source.module not in KNOW_REQUESTS
        ]

        assert known == []


def _is_of_models(source: Source) -> bool:
    return source.name.endswith("/models.py")


class TestMoney:
    def test_is_never_a_float(self) -> None:
        makers = [
            source.at(node)
            for source in sources(*MONEY)
            for node in ast.walk(source.tree)
            if (isinstance(node, ast.Call) and dotted(node.func) == "float")
            or (isinstance(node, ast.Constant) and isinstance(node.value, float))
        ]

        assert makers == []

    def test_is_not_divided_by_true_division_of_integers(self) -> None:
        """In rating, where amounts are whole numbers, ``/`` would make a float."""
        divisions = [
            source.at(node)
            for source in sources("metering/rating.py")
            for node in ast.walk(source.tree)
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
        ]

        assert divisions == []
