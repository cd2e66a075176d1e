"""Three apps that are not listed yet: one waits for its review, one has to be changed, one is a draft."""

from marketplace.catalog.inputs import Input
from marketplace.config.demo.app_facts import AppFacts, ModelUse, standard_plan

CONTRACT_SUMMARY = AppFacts(
    slug="contract-summary",
    name="Contract Summary",
    summary="Says in plain words what a contract obliges us to.",
    description="Paste a contract; get its obligations, dates and amounts in short sentences. Not legal advice.",
    category="knowledge",
    icon="scroll-text",
    team="team-legal",
    template="summarizer",
    instructions="You summarize contracts in plain words. Keep dates, amounts and obligations.",
    prompt="Summarize the contract in {{ sentences }} sentences.\n\nContract: {{ contract }}",
    inputs=(
        Input("contract", "Contract", max_length=20_000),
        Input("sentences", "Sentences", kind="choice", choices=("5", "8", "12")),
    ),
    example={
        "contract": (
            "The supplier delivers 200 chairs by 1 June. The customer pays 18,000 dollars within 30 days. Either side "
            "may end the contract with three months' notice."
        ),
        "sentences": "5",
    },
    uses=(ModelUse("llm-70b", 100, 4_100, 320, 2_400),),
    plan=standard_plan("69", "0.06", free_calls=100),
    max_output_tokens=800,
    monthly_calls=3_000,
    declared_cost="0.0038",
    slo_latency_ms=6_000,
    sample_output="The supplier delivers 200 chairs by 1 June.",
)

PALETTE_NAMER = AppFacts(
    slug="palette-namer",
    name="Palette Namer",
    summary="Gives the colors of a design names that people can talk about.",
    description="Describe the mood and the colors; get a title for the palette.",
    category="writing",
    icon="wand-sparkles",
    team="team-ux",
    template="drafter",
    instructions="You name color palettes.",
    prompt="Write a title for this palette.\n\nDescription: {{ description }}",
    inputs=(Input("description", "Colors and mood", max_length=600),),
    example={"description": "Deep harbor blue, wet slate and one warm lamp in a window on a rainy evening."},
    uses=(ModelUse("llm-400b", 100, 240, 40, 2_100),),
    plan=standard_plan("19", "0.01", free_calls=100),
    max_output_tokens=1_024,
    monthly_calls=20_000,
    declared_cost="0.0009",
    sample_output="Deep harbor blue, wet slate and one warm",
)

SURVEY_DIGEST = AppFacts(
    slug="survey-digest",
    name="Survey Digest",
    summary="Sums up what people wrote into the free-text fields of a survey.",
    description="",
    category="data",
    icon="chart-bar",
    team="team-ux",
    template="summarizer",
    instructions="You sum up survey answers without naming anybody.",
    prompt="Summarize the answers in 5 sentences.\n\nText: {{ answers }}",
    inputs=(Input("answers", "Answers", max_length=20_000, help="One a line."),),
    example={"answers": "The new canteen is great.\nLunch takes too long.\nMore vegan food, please."},
    uses=(ModelUse("llm-8b", 100, 3_000, 200, 1_000),),
    plan=standard_plan("19", "0.01", free_calls=100),
    monthly_calls=1_000,
    declared_cost="0.0008",
)

IN_THE_MAKING = (CONTRACT_SUMMARY, PALETTE_NAMER, SURVEY_DIGEST)
