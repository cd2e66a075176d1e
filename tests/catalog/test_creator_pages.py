"""Pages of a creator, through the browser's eyes: forms are posted as they were shown, without JavaScript."""

import re
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from marketplace.catalog import checks, reviews
from marketplace.catalog.models import App, SmokeRun, Version
from marketplace.core.models import Job
from tests import factories
from tests.catalog.making import GOOD_CALLS, finish_calls, make_draft, make_review, make_submitted
from tests.conftest import Cast
from tests.factories import NOW

BUDGET = 12
_FIELD = re.compile(r"<(input|select|textarea)([^>]*)>(.*?)(?=<(?:input|select|textarea|/form))", re.DOTALL)


def page_of(client: Client, name: str, /, *args: object, **query: str) -> str:
    response = client.get(reverse(f"catalog:{name}", args=args), query)
    assert response.status_code == 200, response.status_code
    return response.content.decode()


def shown_values(html: str) -> dict[str, Any]:
    """Read the app form back as a browser would send it."""
    html = html[html.index('id="app-form"') :]
    values: dict[str, Any] = {}
    for tag, attributes, inner in _FIELD.findall(html[: html.index("</form")] + "</form"):
        found = dict(re.findall(r'([\w-]+)="([^"]*)"', attributes))
        name, kind = found.get("name"), found.get("type")
        if not name or kind == "submit":
            continue
        if tag == "select":
            chosen = re.search(r'<option value="([^"]*)" selected', inner)
            values[name] = unescape(chosen[1]) if chosen else ""
        elif tag == "textarea":
            values[name] = unescape(inner[: inner.index("</textarea")].lstrip("\n"))
        elif kind == "checkbox":
            if " checked" in attributes:
                values.setdefault(name, []).append(found.get("value", "on"))
        else:
            values[name] = unescape(found.get("value", ""))
    return values


@pytest.fixture
def creator(client: Client, cast: Cast) -> Client:
    for name, price in (("llm-1b", "0.08"), ("llm-3b", "0.15"), ("llm-8b", "0.60"), ("llm-70b", "0.90")):
        factories.make_model(name, output_price=price)
    client.force_login(cast.creator)
    return client


class TestMyApps:
    def test_offers_templates_when_there_is_none(self, creator: Client) -> None:
        assert "Start from a template" in page_of(creator, "creator-apps")

    def test_shows_state_cost_and_what_is_next(self, creator: Client, cast: Cast) -> None:
        make_review(cast)
        make_draft(cast, "summarizer")

        html = page_of(creator, "creator-apps")

        assert "Polite rewriter" in html
        assert "$0.0005" in html
        assert "Decision is due" in html
        assert "Submit it" in html

    def test_needs_the_same_queries_for_many_apps(
        self, creator: Client, cast: Cast, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        for _ in range(4):
            make_review(cast)

        with django_assert_max_num_queries(BUDGET):
            page_of(creator, "creator-apps")

    def test_shows_a_stranger_nothing(self, client: Client, cast: Cast) -> None:
        make_draft(cast)
        client.force_login(cast.stranger)

        assert "Polite rewriter</a>" not in page_of(client, "creator-apps")

    def test_asks_who_is_not_signed_in(self, client: Client, db: None) -> None:
        response = client.get(reverse("catalog:creator-apps"))

        assert response.status_code == 302
        assert "login" in response["Location"]


class TestCreate:
    def test_lists_the_templates(self, creator: Client) -> None:
        html = page_of(creator, "creator-templates")

        assert "Summarizer" in html
        assert "your own service" in html

    @pytest.mark.parametrize("template", ["rewriter", "summarizer", "classifier", "translator", "extractor"])
    def test_makes_a_draft_of_the_form_as_it_was_shown(self, creator: Client, template: str) -> None:
        values = shown_values(page_of(creator, "creator-new", template))

        response = creator.post(reverse("catalog:creator-new", args=[template]), values)

        version = Version.objects.get()
        assert response["Location"] == reverse("catalog:creator-app", args=[version.app.slug])
        assert (version.state, version.template) == ("draft", template)

    def test_changes_nothing_that_was_not_edited(self, creator: Client, cast: Cast) -> None:
        expected = make_draft(cast)
        values = shown_values(page_of(creator, "creator-new", "rewriter"))

        creator.post(reverse("catalog:creator-new", args=["rewriter"]), values)

        made = Version.objects.exclude(pk=expected.pk).get()
        for field in ("input_schema", "example_input", "allowed_models", "expected_monthly_calls", "about"):
            assert getattr(made, field) == getattr(expected, field), field
        assert made.declared_cost_per_call == expected.declared_cost_per_call
        assert made.plan is not None
        assert expected.plan is not None
        assert made.plan.charges == expected.plan.charges

    def test_submits_at_once_when_asked(self, creator: Client) -> None:
        values = shown_values(page_of(creator, "creator-new", "rewriter"))

        response = creator.post(
            reverse("catalog:creator-new", args=["rewriter"]), values | {"then": "submit"}
        )

        run = SmokeRun.objects.get()
        version = run.version
        assert response["Location"] == reverse("catalog:checks", args=[version.app.slug, version.number])
        assert version.state == "checking"

    def test_takes_an_http_app(self, creator: Client) -> None:
        values = shown_values(page_of(creator, "creator-new", "http-app"))
        values["endpoint_url"] = "https://api.example.com/run"

        creator.post(reverse("catalog:creator-new", args=["http-app"]), values)

        version = Version.objects.get()
        assert (version.app.kind, version.endpoint_url) == ("http", "https://api.example.com/run")

    @pytest.mark.parametrize(
        ("field", "value", "words"),
        [
            ("name", "", "This field is required."),
            ("owner_contact", "nobody", "Enter a valid email address."),
            ("calls", "0", "greater than or equal to 1"),
            ("prompt_template", "{{ text.__class__ }}", "__class__"),
            ("prompt_template", "{{ nothing }}", "is not an input of this app"),
            ("monthly_calls_limit", "5", "Must not be below the daily limit."),
            ("plan_monthly_calls", "5", "Must not be above the monthly limit"),
            ("price_per_call", "", "Are free of the price per call"),
            ("inputs-0-name", "Big Word", "Use a short word"),
            ("inputs-1-name", "text", "another input called text"),
            ("inputs-1-choices", "one", "at least two different choices"),
            ("inputs-1-example", "rude", "The example must be one of"),
        ],
    )
    def test_names_what_is_wrong_and_keeps_what_was_typed(
        self, creator: Client, field: str, value: str, words: str
    ) -> None:
        values = shown_values(page_of(creator, "creator-new", "rewriter"))
        values |= {"summary": "Kept as it was typed.", field: value}

        response = creator.post(reverse("catalog:creator-new", args=["rewriter"]), values)

        html = unescape(response.content.decode())
        assert response.status_code == 200
        assert html.count(words) >= 2, "at the top and at the field"
        assert 'value="Kept as it was typed."' in html
        assert not App.objects.exists()

    def test_adds_a_row_without_judging_the_rest(self, creator: Client) -> None:
        values = shown_values(page_of(creator, "creator-new", "rewriter"))

        response = creator.post(
            reverse("catalog:creator-new", args=["rewriter"]), values | {"name": "", "add_input": "1"}
        )

        html = response.content.decode()
        assert 'name="inputs-3-name"' in html
        assert "This field is required" not in html
        assert not App.objects.exists()

    def test_ignores_an_added_row_that_stays_empty_and_drops_a_removed_one(self, creator: Client) -> None:
        url = reverse("catalog:creator-new", args=["rewriter"])
        values = shown_values(page_of(creator, "creator-new", "rewriter"))
        longer = shown_values(creator.post(url, values | {"add_input": "1"}).content.decode())
        longer |= {"inputs-2-DELETE": "on", "prompt_template": "{{ tone }}: {{ text }}"}

        creator.post(url, longer)

        assert list(Version.objects.get().example_input) == ["text", "tone"]

    def test_is_for_creators_only(self, client: Client, cast: Cast) -> None:
        client.force_login(cast.consumer)

        assert client.get(reverse("catalog:creator-new", args=["rewriter"])).status_code == 403
        assert client.get(reverse("catalog:creator-templates")).status_code == 403

    def test_gives_an_app_only_to_a_team_of_ones_own(self, creator: Client, cast: Cast) -> None:
        values = shown_values(page_of(creator, "creator-new", "rewriter"))

        creator.post(
            reverse("catalog:creator-new", args=["rewriter"]), values | {"team": cast.consumer_team.pk}
        )

        assert not App.objects.exists()

    def test_knows_no_other_template(self, creator: Client) -> None:
        assert creator.get(reverse("catalog:creator-new", args=["unknown"])).status_code == 404

    def test_fits_its_budget(
        self, creator: Client, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        with django_assert_max_num_queries(BUDGET):
            page_of(creator, "creator-new", "rewriter")


class TestPreview:
    def test_draws_what_is_typed(self, creator: Client) -> None:
        html = page_of(
            creator, "creator-preview", name="<b>Mails</b>", fee="12", price_per_call="0.02", markup="x"
        )

        assert "&lt;b&gt;Mails&lt;/b&gt;" in html
        assert "$12.00 a month + $0.02 a call" in html


class TestEdit:
    def test_saves_the_form_as_it_was_shown(self, creator: Client, cast: Cast) -> None:
        version = make_draft(cast)
        values = shown_values(page_of(creator, "creator-edit", version.app.slug))

        creator.post(reverse("catalog:creator-edit", args=[version.app.slug]), values | {"fee": "7.5"})

        version.refresh_from_db()
        assert version.plan is not None
        assert version.plan.charge("fee")["amount"] == "7.5"
        assert version.plan.charge("calls")["unit_amount"] == "0.003"

    def test_is_refused_once_submitted(self, creator: Client, cast: Cast) -> None:
        run = make_submitted(cast)

        response = creator.get(reverse("catalog:creator-edit", args=[run.version.app.slug]))

        assert response.status_code == 409

    def test_fits_its_budget(
        self, creator: Client, cast: Cast, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        slug = make_draft(cast).app.slug

        with django_assert_max_num_queries(BUDGET):
            page_of(creator, "creator-edit", slug)


class TestAppPage:
    def test_tells_the_history(self, creator: Client, cast: Cast) -> None:
        review = make_review(cast)
        reviews.request_changes(review, by=cast.approver, at=NOW, reason="Name the languages.")

        html = page_of(creator, "creator-app", review.version.app.slug)

        assert "Changes requested" in html
        assert html.count("Name the languages.") == 2
        assert "Check passed" in html

    def test_shows_the_signing_secret_of_an_http_app(self, creator: Client, cast: Cast) -> None:
        version = make_draft(cast, "http-app")

        assert version.signing_secret in page_of(creator, "creator-app", version.app.slug)

    def test_offers_another_check_when_one_could_not_be_finished(self, creator: Client, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)
        finish_calls(run, [], at=NOW, stopped_because="No provider answers.")
        slug = run.version.app.slug
        assert "Run the check again" in page_of(creator, "creator-app", slug)

        creator.post(reverse("catalog:creator-check-again", args=[slug]))

        assert run.version.smoke_runs.filter(state="queued").count() == 1

    def test_starts_the_next_version_of_a_live_app(self, creator: Client, cast: Cast) -> None:
        review = make_review(cast)
        reviews.approve(review, by=cast.approver, at=NOW)
        slug = review.version.app.slug
        assert "Live since" in page_of(creator, "creator-app", slug)

        response = creator.post(reverse("catalog:creator-version", args=[slug]))

        assert response["Location"] == reverse("catalog:creator-edit", args=[slug])
        assert review.version.app.versions.get(number=2).state == "draft"

    def test_withdraws_after_asking(self, creator: Client, cast: Cast) -> None:
        slug = make_review(cast).version.app.slug
        assert "Its check and its review end." in page_of(creator, "creator-withdraw", slug)

        creator.post(reverse("catalog:creator-withdraw", args=[slug]), {"reason": "Not yet."})

        assert Version.objects.get().state == "withdrawn"

    def test_fits_its_budget(
        self, creator: Client, cast: Cast, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        review = make_review(cast)
        reviews.approve(review, by=cast.approver, at=NOW)
        slug = review.version.app.slug
        creator.post(reverse("catalog:creator-version", args=[slug]))

        # One more than a list may have: the month that is compared with what was declared.
        with django_assert_max_num_queries(BUDGET + 1):
            page_of(creator, "creator-app", slug)

    @pytest.mark.parametrize("who", ["stranger", "consumer", "approver"])
    @pytest.mark.parametrize(
        ("method", "name"),
        [
            ("get", "creator-app"),
            ("get", "creator-edit"),
            ("post", "creator-edit"),
            ("post", "creator-submit"),
            ("post", "creator-check-again"),
            ("post", "creator-version"),
            ("get", "creator-withdraw"),
            ("post", "creator-withdraw"),
        ],
    )
    def test_is_unknown_to_everybody_else(
        self, client: Client, cast: Cast, who: str, method: str, name: str
    ) -> None:
        slug = make_draft(cast).app.slug
        client.force_login(getattr(cast, who))

        response = getattr(client, method)(reverse(f"catalog:{name}", args=[slug]))

        assert response.status_code == 404
        assert Version.objects.get().state == "draft"


class TestSubmit:
    def test_leads_to_the_check(self, creator: Client, cast: Cast) -> None:
        slug = make_draft(cast).app.slug

        response = creator.post(reverse("catalog:creator-submit", args=[slug]))

        version = SmokeRun.objects.get().version
        assert response["Location"] == reverse("catalog:checks", args=[version.app.slug, version.number])

    def test_leads_back_to_the_form_with_what_is_missing(self, creator: Client, cast: Cast) -> None:
        slug = make_draft(cast, allowed_models=[]).app.slug

        response = creator.post(reverse("catalog:creator-submit", args=[slug]), follow=True)

        assert "Choose at least one model." in response.content.decode()


class TestCheckPage:
    def test_polls_while_it_runs_and_refreshes_without_script(self, creator: Client, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)
        checks.progress(run, done_calls=7, failed_calls=1)

        html = page_of(creator, "check", run.pk)

        assert 'hx-trigger="every 1s"' in html
        assert '<noscript><meta http-equiv="refresh"' in html
        assert "7 of 20 calls made, 1 failed" in html

    def test_stops_polling_when_it_has_ended(self, creator: Client, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)
        finish_calls(run, GOOD_CALLS, at=NOW)

        html = page_of(creator, "check", run.pk)

        assert "hx-trigger" not in html[html.index('id="check-run"') :]
        assert "noscript" not in html
        assert "$0.0005" in html
        assert "All 20 calls succeeded." in html
        assert "Here you are." in html

    def test_offers_another_run_when_it_was_given_up(self, creator: Client, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)
        Job.objects.update(state="failed")

        html = page_of(creator, "check", run.pk)

        assert "Run it again" in html
        assert "hx-trigger" not in html[html.index('id="check-run"') :]
        assert "Run the check again" in page_of(creator, "creator-app", run.version.app.slug)

    def test_answers_htmx_with_the_fragment(self, creator: Client, cast: Cast) -> None:
        run = make_submitted(cast)

        response = creator.get(reverse("catalog:check", args=[run.pk]), headers={"HX-Request": "true"})

        assert response.content.decode().lstrip().startswith('<div id="check-run"')

    def test_offers_to_change_and_submit_what_failed(self, creator: Client, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)
        finish_calls(run, [checks.SmokeCall(error="timed out")] * 20, at=NOW)

        html = page_of(creator, "check", run.pk)

        assert "Submit again as it is" in html
        assert "20 of 20 calls failed" in html

    def test_shows_what_an_app_answers_as_text(self, creator: Client, cast: Cast) -> None:
        run = checks.start(make_submitted(cast).pk, at=NOW)
        evil = checks.SmokeCall(cost=GOOD_CALLS[0].cost, output="<script>alert(1)</script>")
        finish_calls(run, [evil] * 20, at=NOW)

        assert "<script>alert" not in page_of(creator, "check", run.pk)

    def test_is_open_to_the_approver_and_to_nobody_else(self, client: Client, cast: Cast) -> None:
        run = make_submitted(cast)
        statuses = {}
        for who in ("approver", "consumer", "stranger"):
            client.force_login(getattr(cast, who))
            statuses[who] = client.get(reverse("catalog:check", args=[run.pk])).status_code

        assert statuses == {"approver": 200, "consumer": 404, "stranger": 404}

    def test_fits_its_budget(
        self, creator: Client, cast: Cast, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        run = make_submitted(cast)

        with django_assert_max_num_queries(BUDGET):
            page_of(creator, "check", run.pk)
