from decimal import Decimal

import pytest
from django.db import ProgrammingError, transaction

from marketplace.catalog import drafts, plans, submissions, templates_library
from marketplace.catalog.inputs import Input
from marketplace.catalog.models import App, Plan, Version
from marketplace.catalog.plan_terms import PlanTerms, parse_terms, terms_of
from marketplace.core.audit import history
from marketplace.core.errors import Conflict, InvalidInput
from tests.catalog.making import make_draft
from tests.conftest import Cast
from tests.factories import NOW, make_listed_app

D = Decimal


class TestCreateFromTemplate:
    def test_brings_everything_of_the_template(self, cast: Cast) -> None:
        version = make_draft(cast, "summarizer")

        app = App.objects.get(slug="summarizer")
        assert (version.app, version.number, version.state) == (app, 1, "draft")
        assert (app.owner_team, app.owner_contact) == (cast.creator_team, "creator@demo.example")
        assert version.allowed_models == ["llm-3b", "llm-8b", "llm-70b"]
        assert version.declared_cost_per_call == D("0.0010")
        assert version.expected_monthly_calls == 5_000
        assert version.plan is not None
        assert not version.plan.is_offered
        assert terms_of(version.plan) == PlanTerms(free_calls=100, price_per_call=D("0.0040"))

    def test_takes_changes_over_the_template(self, cast: Cast) -> None:
        version = make_draft(
            cast, name="Mail polisher", plan=PlanTerms(fee=D("5")), owner_contact="me@demo.example"
        )

        assert (version.app.slug, version.app.name) == ("mail-polisher", "Mail polisher")
        assert version.app.owner_contact == "me@demo.example"
        assert version.plan is not None
        assert version.plan.charges == [{"code": "fee", "model": "flat", "amount": "5", "prorate": True}]

    def test_finds_a_free_address(self, cast: Cast) -> None:
        slugs = [make_draft(cast).app.slug for _ in range(3)]

        assert slugs == ["polite-rewriter", "polite-rewriter-2", "polite-rewriter-3"]

    def test_refuses_a_taken_or_reserved_address(self, cast: Cast) -> None:
        template = templates_library.get_template("rewriter")
        for slug in ("run", make_draft(cast).app.slug):
            with pytest.raises(InvalidInput, match="taken"):
                drafts.create_from_template(
                    template, team=cast.creator_team, by=cast.creator, at=NOW, slug=slug
                )

    def test_gives_only_http_apps_a_signing_secret(self, cast: Cast) -> None:
        assert make_draft(cast, "http-app").signing_secret.startswith("whsec_")
        assert make_draft(cast).signing_secret == ""


class TestEdit:
    def test_changes_fields_and_notes_which(self, cast: Cast) -> None:
        version = make_draft(cast)

        drafts.edit(
            version,
            by=cast.creator,
            at=NOW,
            changes={
                "name": "Kinder mails",
                "prompt_template": "Soften: {{ mail }}",
                "inputs": [Input("mail", "Mail")],
            },
        )

        stored = Version.objects.get(pk=version.pk)
        assert stored.prompt_template == "Soften: {{ mail }}"
        assert list(stored.input_schema["properties"]) == ["mail"]
        assert stored.app.name == "Kinder mails"
        assert history(version)[-1].new == {"fields": ["input_schema", "name", "prompt_template"]}

    def test_replaces_the_proposed_plan(self, cast: Cast) -> None:
        version = make_draft(cast)

        drafts.edit(version, by=cast.creator, at=NOW, changes={"plan": PlanTerms(fee=D("9"))})

        assert Plan.objects.get(app=version.app) == version.plan
        assert version.plan is not None
        assert version.plan.charges[0]["amount"] == "9"

    def test_leaves_a_listed_app_as_it_is_until_approval(self, cast: Cast) -> None:
        app = make_listed_app(cast.creator_team, name="Old name")
        version = drafts.start_next_version(app, by=cast.creator, at=NOW)

        drafts.edit(version, by=cast.creator, at=NOW, changes={"name": "New name", "is_public": False})

        app.refresh_from_db()
        assert (app.name, app.is_public) == ("Old name", True)
        assert (version.about["name"], version.about["is_public"]) == ("New name", False)

    def test_refuses_what_was_handed_in(self, cast: Cast) -> None:
        version = make_draft(cast)
        submissions.submit(version, by=cast.creator, at=NOW)

        with pytest.raises(drafts.NotEditable):
            drafts.edit(version, by=cast.creator, at=NOW, changes={"name": "Late"})

    def test_refuses_fields_that_are_not_the_makers(self, cast: Cast) -> None:
        with pytest.raises(InvalidInput) as refused:
            drafts.edit(make_draft(cast), by=cast.creator, at=NOW, changes={"state": "listed"})

        assert refused.value.field == "state"

    @pytest.mark.parametrize("column", ["about", "prompt_template", "plan"])
    def test_cannot_be_bypassed_once_submitted(self, cast: Cast, column: str) -> None:
        version = make_draft(cast)
        submissions.submit(version, by=cast.creator, at=NOW)
        value = {"about": {"name": "x"}, "prompt_template": "x", "plan": None}[column]

        with pytest.raises(ProgrammingError, match="Cannot update"), transaction.atomic():
            Version.objects.filter(pk=version.pk).update(**{column: value})


class TestStartNextVersion:
    def test_copies_the_listed_one(self, cast: Cast) -> None:
        app = make_listed_app(cast.creator_team)
        listed = app.versions.get()

        version = drafts.start_next_version(app, by=cast.creator, at=NOW)

        assert (version.number, version.state) == (2, "draft")
        assert version.prompt_template == listed.prompt_template
        assert version.input_schema == listed.input_schema
        assert version.about["name"] == app.name

    def test_refuses_a_second_one_in_the_making(self, cast: Cast) -> None:
        version = make_draft(cast)

        with pytest.raises(Conflict, match="in the making"):
            drafts.start_next_version(version.app, by=cast.creator, at=NOW)


class TestParseTerms:
    def test_reads_amounts_as_texts(self) -> None:
        terms = parse_terms({"fee": "50", "price_per_call": "0.02", "free_calls": 100, "markup": "0.30"})

        assert terms == PlanTerms(fee=D("50"), free_calls=100, price_per_call=D("0.02"), markup=D("0.30"))

    def test_writes_the_charges_of_the_calculator(self) -> None:
        terms = PlanTerms(fee=D("50"), free_calls=100, price_per_call=D("0.02"), markup=D("0.30"))

        assert terms.charges == [
            {"code": "fee", "model": "flat", "amount": "50", "prorate": True},
            {"code": "calls", "model": "per_unit", "unit_amount": "0.02", "free_units": "100"},
            {"code": "cost", "model": "cost_plus", "markup": "0.3"},
        ]

    @pytest.mark.parametrize(
        ("data", "field"),
        [
            ({"fee": 0.5}, "plan.fee"),
            ({"fee": "-1"}, "plan.fee"),
            ({"free_calls": "1.5", "price_per_call": "1"}, "plan.free_calls"),
            ({"free_calls": 10}, "plan.free_calls"),
            ({"daily_calls_limit": 10, "monthly_calls_limit": 9}, "plan.daily_calls_limit"),
            ({"discount": "1"}, "plan.discount"),
        ],
    )
    def test_names_what_is_wrong(self, data: dict[str, object], field: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            parse_terms(data)

        assert refused.value.field == field

    def test_keeps_what_is_left_out(self) -> None:
        base = PlanTerms(fee=D("5"), markup=D("0.1"))

        assert parse_terms({"fee": "6"}, base=base) == PlanTerms(fee=D("6"), markup=D("0.1"))
        assert parse_terms({"markup": None}, base=base).markup is None


class TestPropose:
    def test_proposes_nothing_new_when_the_terms_are_offered(self, cast: Cast) -> None:
        app = make_listed_app(cast.creator_team)
        offered = app.plans.get()
        version = drafts.start_next_version(app, by=cast.creator, at=NOW)

        drafts.edit(version, by=cast.creator, at=NOW, changes={"plan": terms_of(offered)})

        assert version.plan == offered
        assert app.plans.count() == 1

    def test_numbers_a_new_price_after_the_last(self, cast: Cast) -> None:
        app = make_listed_app(cast.creator_team)
        version = drafts.start_next_version(app, by=cast.creator, at=NOW)

        drafts.edit(version, by=cast.creator, at=NOW, changes={"plan": PlanTerms(fee=D("99"))})

        assert version.plan is not None
        assert (version.plan.number, version.plan.is_offered) == (2, False)
        assert plans.plan_of(app.versions.get(number=1)) == app.plans.get(number=1)
