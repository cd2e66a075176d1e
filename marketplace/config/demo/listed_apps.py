"""The twelve apps of the catalogue. The prompts are such that the demo provider does what they ask for."""

from marketplace.catalog.inputs import Input
from marketplace.config.demo.app_facts import FREE, AppFacts, ModelUse, business_plan, standard_plan

CURRENCIES = ("EUR", "USD", "GBP", "CHF", "JPY", "SEK", "PLN")

WHERE2EAT = AppFacts(
    slug="where2eat",
    share="0.15",
    name="Where2Eat",
    summary="Finds a place for lunch or dinner, with a reason for each suggestion.",
    description=(
        "Say the city, what you feel like eating and what the occasion is. You get three places with address, price "
        "level, how far to walk and why they fit. Made for people who have a guest in an hour and no idea."
    ),
    category="travel",
    icon="utensils",
    team="team-ux",
    template="drafter",
    instructions="You suggest restaurants.",
    improved_days_ago=38,
    improved_instructions=(
        "You suggest restaurants to colleagues. Give each suggestion a reason. Never invent opening hours."
    ),
    prompt=(
        "Suggest 3 restaurants in {{ city }} that serve {{ cuisine }} food"
        "{% if occasion %} for this occasion: {{ occasion }}{% endif %}."
    ),
    inputs=(
        Input("city", "City", max_length=80),
        Input(
            "cuisine",
            "Cuisine",
            kind="choice",
            choices=("Italian", "French", "Japanese", "Indian", "Mexican", "Thai", "Vegan"),
        ),
        Input("occasion", "Occasion", is_required=False, max_length=200, help="Who comes, and what matters."),
    ),
    example={"city": "Boston", "cuisine": "Italian", "occasion": "lunch with two customers, quiet"},
    uses=(ModelUse("llm-3b", 70, 190, 150, 320), ModelUse("llm-8b", 30, 240, 190, 520, cached_percent=25)),
    plan=standard_plan("49", "0.02"),
    more_plans=(
        FREE,
        business_plan("149", "0.30"),
    ),
    monthly_calls=45_000,
    declared_cost="0.00008",
    rhythm="meals",
    growth=0.45,
    listed_days_ago=150,
    sample_output=(
        "Italian places in Boston:\n1. Locanda Linden, 48 Market Street, Boston: rated 4.9, $, 19 minutes on foot, "
        "book ahead on Fridays."
    ),
)

MEETING_SUMMARIZER = AppFacts(
    slug="meeting-summarizer",
    name="Meeting Summarizer",
    summary="Turns a transcript into the few sentences that somebody who missed the meeting needs.",
    description=(
        "Paste a transcript and say how long the summary may be. Decisions and names are kept, small talk is not. "
        "Transcripts are not stored."
    ),
    category="writing",
    icon="file-text",
    team="team-people",
    template="summarizer",
    instructions="You summarize meetings for people who were not there. Keep decisions, names and dates.",
    prompt="Summarize the meeting in {{ sentences }} sentences.\n\nTranscript: {{ transcript }}",
    inputs=(
        Input("transcript", "Transcript", max_length=20_000),
        Input("sentences", "Sentences", kind="choice", choices=("3", "5", "8")),
    ),
    example={
        "transcript": (
            "Anna opened the meeting. The launch moves to 4 May because the payment provider is late. Ben will tell "
            "the customers by Friday. Chris asked for two more testers and got one. Lunch was good."
        ),
        "sentences": "3",
    },
    uses=(
        ModelUse("llm-8b", 40, 11_000, 500, 2_100),
        ModelUse("llm-70b", 60, 15_000, 750, 4_100, cached_percent=10),
    ),
    plan=standard_plan("79", "0.05", free_calls=200),
    more_plans=(
        FREE,
        business_plan("199", "0.25"),
    ),
    max_output_tokens=800,
    monthly_calls=12_000,
    declared_cost="0.0095",
    slo_latency_ms=8_000,
    growth=0.6,
    listed_days_ago=260,
    sample_output="Anna opened the meeting. The launch moves to 4 May because the payment provider is late.",
)

TICKET_CLASSIFIER = AppFacts(
    slug="ticket-classifier",
    name="Ticket Classifier",
    summary="Puts each support ticket into the right queue before a person reads it.",
    description=(
        "One label per ticket: billing, technical, account, shipping, refund or other. Fast and cheap enough to run on "
        "every incoming message."
    ),
    category="support",
    icon="tags",
    team="team-support",
    template="classifier",
    instructions="You sort support tickets. Answer with one label and nothing else.",
    prompt=(
        "Classify the ticket as billing, technical, account, shipping, refund or other.\n\nTicket: {{ ticket }}"
    ),
    inputs=(Input("ticket", "Ticket", max_length=6_000),),
    example={"ticket": "You charged my card twice for the same invoice, please send one payment back."},
    uses=(ModelUse("llm-1b", 80, 310, 4, 90, cached_percent=40), ModelUse("llm-3b", 20, 420, 5, 140)),
    plan=standard_plan("39", "0.004", free_calls=5_000),
    more_plans=(
        FREE,
        business_plan("129", "0.40"),
    ),
    max_output_tokens=16,
    monthly_calls=90_000,
    declared_cost="0.00002",
    slo_latency_ms=500,
    rhythm="always",
    growth=0.7,
    listed_days_ago=320,
    sample_output="billing",
)

INVOICE_EXTRACTOR = AppFacts(
    slug="invoice-extractor",
    name="Invoice Extractor",
    summary="Reads number, dates, amounts and names out of an invoice, as JSON.",
    description="Paste the text of an invoice; get its facts in a form that accounting software takes. Nothing is guessed.",
    category="finance",
    icon="receipt",
    team="team-finance",
    template="extractor",
    instructions="You read invoices. Give only what is written there.",
    prompt="Extract the invoice numbers, dates, amounts and names as JSON.\n\nInvoice: {{ invoice }}",
    inputs=(Input("invoice", "Text of the invoice", max_length=12_000),),
    example={
        "invoice": "Invoice INV-20817 of 12 March 2026 from Norden Paper. Total USD 1,240.50, due on 11 April 2026."
    },
    output_format="json",
    output_schema={
        "type": "object",
        "properties": {
            name: {"type": "array", "items": {"type": "string"}}
            for name in ("numbers", "dates", "amounts", "names")
        },
        "required": ["numbers", "dates", "amounts", "names"],
    },
    uses=(
        ModelUse("llm-8b", 60, 2_900, 350, 900),
        ModelUse("llm-70b", 40, 3_600, 420, 1_700, reasoning_percent=30),
    ),
    plan=standard_plan("59", "0.03", free_calls=500),
    more_plans=(
        FREE,
        business_plan("179", "0.35"),
    ),
    monthly_calls=15_000,
    declared_cost="0.0022",
    slo_latency_ms=4_000,
    rhythm="month_end",
    growth=0.8,
    listed_days_ago=240,
    sample_output='{"dates":["12 March 2026","11 April 2026"],"amounts":["USD 1,240.50"]',
)

TRANSLATOR = AppFacts(
    slug="translator",
    name="Quick Translator",
    summary="Translates short business texts into German, French or Spanish.",
    description="For messages, product texts and notes up to a page. Keeps names, numbers and line breaks as they are.",
    category="language",
    icon="languages",
    team="team-sales",
    template="translator",
    instructions="You translate business texts and change nothing else.",
    prompt="Translate to {{ language }}.\n\nText: {{ text }}",
    inputs=(
        Input("text", "Text", max_length=6_000),
        Input("language", "Into", kind="choice", choices=("German", "French", "Spanish")),
    ),
    example={
        "text": "Thank you for the order. The delivery will come tomorrow morning.",
        "language": "German",
    },
    uses=(ModelUse("llm-3b", 55, 260, 280, 480), ModelUse("llm-8b", 45, 420, 450, 900)),
    plan=standard_plan("49", "0.015"),
    more_plans=(
        FREE,
        business_plan("139", "0.30"),
    ),
    monthly_calls=75_000,
    declared_cost="0.0002",
    rhythm="always",
    growth=0.5,
    listed_days_ago=300,
    sample_output="Danke Sie für die Bestellung. Die Lieferung wird kommen morgen Morgen.",
)

TONE_REWRITER = AppFacts(
    slug="tone-rewriter",
    name="Tone Rewriter",
    summary="Makes a message formal, friendly, polite or short without changing what it says.",
    description="For the mail you wrote in anger and the one you wrote in a hurry. Facts, names and numbers stay.",
    category="writing",
    icon="pen-line",
    team="team-ux",
    template="rewriter",
    instructions="You rewrite messages. Keep every fact. Do not add anything.",
    prompt="Rewrite the message so that it sounds {{ tone }}.\n\nMessage: {{ text }}",
    inputs=(
        Input("text", "Message", max_length=4_000),
        Input("tone", "Tone", kind="choice", choices=("formal", "friendly", "polite", "concise")),
    ),
    example={"text": "hey, I need the report asap. thx", "tone": "formal"},
    uses=(ModelUse("llm-3b", 60, 210, 170, 340), ModelUse("llm-8b", 40, 260, 210, 560)),
    plan=standard_plan("29", "0.01"),
    more_plans=(
        FREE,
        business_plan("99", "0.30"),
    ),
    monthly_calls=24_000,
    declared_cost="0.0001",
    growth=0.5,
    listed_days_ago=110,
    sample_output="Hello, I need the report as soon as possible. thank you.",
)

POLICY_QA = AppFacts(
    slug="policy-qa",
    name="Policy Q&A",
    summary="Answers questions about the company's handbook with the sentence that says it.",
    description=(
        "It has read the handbook: ask about travel, leave, equipment or the first weeks. The answer is the passage itself, "
        "never an interpretation, and it shows where that stands; if the handbook is silent, it says so."
    ),
    category="knowledge",
    icon="book-open",
    team="team-legal",
    template="answerer",
    instructions="You answer from the document only. If it does not say, you say that.",
    prompt="Answer the question from the document.\n\nDocument: {{ passages }}\n\nQuestion: {{ question }}",
    inputs=(Input("question", "Question", max_length=400),),
    example={"question": "How much may a hotel room cost?"},
    has_handbook=True,
    uses=(
        ModelUse("embed-small", 40, 620, 0, 40),
        ModelUse("llm-8b", 60, 520, 60, 700),
    ),
    models=("llm-8b",),
    plan=standard_plan("69", "0.03", free_calls=300),
    more_plans=(
        FREE,
        business_plan("189", "0.30"),
    ),
    monthly_calls=12_000,
    declared_cost="0.0009",
    growth=0.65,
    listed_days_ago=180,
    sample_output="A hotel room may cost up to 180 dollars a night, breakfast included",
)

RELEASE_NOTES = AppFacts(
    slug="release-notes",
    name="Release Notes Writer",
    summary="Turns a list of changes into notes that customers understand.",
    description="Feed it commit messages or tickets; it keeps what matters to customers, as bullet points.",
    category="development",
    icon="scroll-text",
    team="team-data",
    template="summarizer",
    instructions="You write release notes for customers, without internal names.",
    prompt="Summarize the changes as 3 bullet points for customers.\n\nNotes: {{ changes }}",
    inputs=(Input("changes", "Changes", max_length=12_000, help="One a line."),),
    example={
        "changes": (
            "Export of reports to spreadsheets.\nFaster search in long lists.\nFixed a crash when saving twice.\n"
            "Renamed an internal module."
        )
    },
    uses=(ModelUse("llm-8b", 50, 6_000, 700, 1_400), ModelUse("llm-70b", 50, 8_000, 900, 3_100)),
    plan=standard_plan("29", "0.04", free_calls=200),
    more_plans=(FREE,),
    max_output_tokens=700,
    monthly_calls=2_500,
    declared_cost="0.0055",
    slo_latency_ms=5_000,
    growth=0.95,
    listed_days_ago=135,
    sample_output="- Export of reports to spreadsheets.\n- Faster search in long lists.",
)

SQL_HELPER = AppFacts(
    slug="sql-helper",
    name="SQL Helper",
    summary="Finds the table and column that answer a question about your data.",
    description="Describe your tables once, then ask in words. It points at the table to query, it never runs anything.",
    category="development",
    icon="braces",
    team="team-data",
    template="answerer",
    instructions="You know databases. Answer from the description of the tables only.",
    prompt="Answer the question from the document.\n\nDocument: {{ tables }}\n\nQuestion: {{ question }}",
    inputs=(
        Input("tables", "Description of the tables", max_length=12_000),
        Input("question", "Question", max_length=400),
    ),
    example={
        "tables": (
            "Table orders has one row per order with customer_id, total and created_at. Table customers has name and "
            "country. Table refunds has order_id and amount."
        ),
        "question": "Which table has the country of customers?",
    },
    uses=(
        ModelUse("llm-8b", 45, 4_000, 160, 800, cached_percent=60),
        ModelUse("llm-70b", 55, 6_500, 420, 2_400, cached_percent=40, reasoning_percent=40),
    ),
    plan=standard_plan("59", "0.02", free_calls=500),
    more_plans=(
        FREE,
        business_plan("159", "0.25"),
    ),
    monthly_calls=18_000,
    declared_cost="0.0042",
    slo_latency_ms=4_000,
    growth=0.4,
    listed_days_ago=95,
    sample_output="Table customers has name and country.",
)

SENTIMENT_LABELER = AppFacts(
    slug="sentiment-labeler",
    name="Sentiment Labeler",
    summary="Labels reviews and survey answers as positive, negative or neutral.",
    description="One word per text. Runs every night over the reviews of the day and on demand for single texts.",
    category="support",
    icon="badge-check",
    team="team-support",
    template="classifier",
    instructions="You judge the sentiment of customer texts. Answer with one label and nothing else.",
    prompt="Label the sentiment of the review as positive, negative or neutral.\n\nReview: {{ review }}",
    inputs=(Input("review", "Review", max_length=4_000),),
    example={"review": "The room was lovely and the staff were friendly, we would come again."},
    uses=(ModelUse("llm-1b", 100, 180, 3, 70, cached_percent=30),),
    plan=standard_plan("25", "0.003", free_calls=5_000),
    more_plans=(
        FREE,
        business_plan("99", "0.40"),
    ),
    max_output_tokens=8,
    monthly_calls=80_000,
    declared_cost="0.00001",
    slo_latency_ms=400,
    rhythm="night",
    growth=0.75,
    listed_days_ago=280,
    sample_output="positive",
)

FX_CONVERT = AppFacts(
    slug="fx-convert",
    share="0.30",
    basis="gross",
    name="Currency Converter",
    summary="Converts an amount between currencies at the company's fixed rates.",
    description="An HTTP app: it runs on a small machine of the accounting team and reports what it used.",
    category="finance",
    icon="calculator",
    team="team-finance",
    template="http-app",
    endpoint="/apps/fx-convert",
    inputs=(
        Input("amount", "Amount", kind="number"),
        Input("from", "From", kind="choice", choices=CURRENCIES),
        Input("to", "To", kind="choice", choices=CURRENCIES),
    ),
    example={"amount": 250, "from": "EUR", "to": "USD"},
    uses=(ModelUse("llm-3b", 100, 28, 34, 24, instance_type="cpu-small"),),
    plan=standard_plan("15", "0.002", free_calls=2_000),
    more_plans=(FREE,),
    monthly_calls=15_000,
    declared_cost="0.00001",
    slo_latency_ms=300,
    growth=0.7,
    listed_days_ago=210,
    sample_output='{"amount": "275.00", "currency": "USD", "rate": "1.100000", "rates": "demo, fixed"}',
)

INBOX_DIGEST = AppFacts(
    slug="inbox-digest",
    name="Inbox Digest",
    summary="Condenses a day's messages into the points that need an answer.",
    description=(
        "Three weeks ago it ran into a loop: a digest arrived in the inbox that was digested next. Since then it has a "
        "daily ceiling on what it may cost."
    ),
    category="writing",
    icon="mail",
    team="team-sales",
    template="summarizer",
    instructions="You condense messages for a busy reader.",
    improved_days_ago=14,
    improved_instructions=(
        "You condense messages for a busy reader. Keep what needs an answer. Skip messages that are digests themselves."
    ),
    prompt="Summarize the messages as a list of {{ points }} bullet points.\n\nInput: {{ messages }}",
    inputs=(
        Input("messages", "Messages", max_length=20_000),
        Input("points", "Points", kind="choice", choices=("3", "5", "10")),
    ),
    example={
        "messages": (
            "Legal needs the signed contract by Thursday. The trade fair moved to hall 7. Nina asks who answers the "
            "complaint of the hotel chain. The printer works again."
        ),
        "points": "3",
    },
    uses=(
        ModelUse("llm-70b", 50, 9_000, 600, 3_400, cached_percent=10),
        ModelUse("llm-400b", 50, 11_000, 900, 5_600, cached_percent=10),
    ),
    plan=standard_plan("89", "0.08", free_calls=100),
    more_plans=(
        FREE,
        business_plan("249", "0.25"),
    ),
    max_output_tokens=1_200,
    monthly_calls=6_000,
    declared_cost="0.028",
    slo_latency_ms=8_000,
    rhythm="office",
    growth=0.8,
    listed_days_ago=75,
    sample_output="- Legal needs the signed contract by Thursday.\n- The trade fair moved to hall 7.",
)

LISTED = (
    WHERE2EAT,
    MEETING_SUMMARIZER,
    TICKET_CLASSIFIER,
    INVOICE_EXTRACTOR,
    TRANSLATOR,
    TONE_REWRITER,
    POLICY_QA,
    RELEASE_NOTES,
    SQL_HELPER,
    SENTIMENT_LABELER,
    FX_CONVERT,
    INBOX_DIGEST,
)
