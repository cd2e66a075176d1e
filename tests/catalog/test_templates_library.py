import pytest

from marketplace.catalog import prompts
from marketplace.catalog.inputs import inputs_of, schema_of
from marketplace.catalog.templates_library import AppTemplate, all_templates, get_template
from marketplace.core.errors import NotFound
from marketplace.core.templatetags.ui import icon

TEMPLATES = all_templates()


class TestAllTemplates:
    def test_offers_the_promised_kinds(self) -> None:
        assert {template.key for template in TEMPLATES} >= {
            "summarizer", "classifier", "extractor", "translator", "rewriter", "answerer", "http-app",
        }  # fmt: skip
        assert [template.kind for template in TEMPLATES].count("http") == 1

    @pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.key)
    def test_brings_a_prompt_that_its_own_example_fills(self, template: AppTemplate) -> None:
        schema = schema_of(template.inputs)

        prompts.check_template(template.prompt_template, schema)
        prompts.validate_input(schema, template.example_input)
        prompt = prompts.render(template.prompt_template, template.example_input)

        assert (
            all(str(example) in prompt for example in template.example_input.values())
            or template.kind == "http"
        )

    @pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.key)
    def test_can_be_read_back_from_its_schema_in_order(self, template: AppTemplate) -> None:
        assert inputs_of(schema_of(template.inputs)) == list(template.inputs)

    @pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.key)
    def test_has_an_icon_and_charges_something(self, template: AppTemplate) -> None:
        assert icon(template.about["icon"])
        assert template.plan.charges


class TestGetTemplate:
    def test_refuses_an_unknown_key(self) -> None:
        with pytest.raises(NotFound):
            get_template("../../etc/passwd")
