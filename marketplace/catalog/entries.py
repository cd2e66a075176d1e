"""How the database keeps what the catalogue finds a listing by: one statement, run whenever something it reads changes.

The search entry of a listing repeats facts of seven tables, so that a search of twenty thousand listings reads one narrow
table. No code writes it: these triggers do, in the transaction of the change.
"""

from decimal import Decimal

from pgtrigger import After, Delete, Insert, Operation, Row, Trigger, Update, UpdateOf

# How much an app without ratings is trusted: as one that five people gave three stars.
PRIOR_RATINGS, PRIOR_STARS = 5, 3
# Upper bounds of what 1,000 calls cost the platform, and of the promised answer in ms; a last band has none.
COST_BANDS = (Decimal("0.10"), Decimal(1), Decimal(10))
SLO_BANDS = (1_000, 3_000, 10_000)
# Bits of the price models an app offers, for plans of several kinds stand side by side.
PRICE_BITS = {"free": 1, "per_use": 2, "subscription": 4, "two_part": 8}
CALLS_PRICED = 1_000


def rating_sort(*, stars: int, ratings: int) -> Decimal:
    """Return what best rated apps are sorted by: the mean with ``PRIOR_RATINGS`` more ratings, to six places.

    Two ratings of 5 stars: (15 + 10) / 7 = 3.571429; forty of 4.5: (15 + 180) / 45 = 4.333333. So few high ratings do not
    stand above many.
    """
    total = Decimal(PRIOR_RATINGS * PRIOR_STARS + stars)
    return (total / (PRIOR_RATINGS + ratings)).quantize(Decimal("0.000001"))


def _band(value: str, bounds: tuple[Decimal, ...] | tuple[int, ...]) -> str:
    steps = " ".join(f"WHEN {value} <= {bound} THEN {n}" for n, bound in enumerate(bounds, 1))
    return f"CASE WHEN {value} IS NULL THEN 0 {steps} ELSE {len(bounds) + 1} END"


_COLUMNS = (
    "search", "name", "is_public", "organization_id", "team_id", "category", "kind", "price_models",
    "monthly_price", "cost_per_1000", "cost_band", "slo_band", "ratings", "stars", "rating_sort", "is_verified",
    "subscribers", "monthly_calls", "listed_at",
)  # fmt: skip
_HAS_FEE = """p.charges @> '[{"code": "fee"}]' AND NOT p.charges @> '[{"code": "fee", "amount": "0"}]'"""
_IS_METERED = """(p.charges @> '[{"code": "calls"}]' OR p.charges @> '[{"code": "cost"}]')"""
_PRICED = f"""
    SELECT CASE WHEN {_HAS_FEE} AND {_IS_METERED} THEN {PRICE_BITS["two_part"]} WHEN {_HAS_FEE} THEN {PRICE_BITS["subscription"]}
            WHEN {_IS_METERED} THEN {PRICE_BITS["per_use"]} ELSE {PRICE_BITS["free"]} END AS model,
        (SELECT coalesce(sum(CASE c->>'code'
            WHEN 'fee' THEN (c->>'amount')::numeric
            WHEN 'calls' THEN greatest({CALLS_PRICED} - coalesce(c->>'free_units', '0')::numeric, 0) * (c->>'unit_amount')::numeric
            WHEN 'cost' THEN coalesce(cost.per_1000, 0) * (1 + (c->>'markup')::numeric) END), 0)
         FROM jsonb_array_elements(p.charges) c) AS price
    FROM catalog_plan p WHERE p.app_id = a.id AND p.is_offered
"""  # noqa: S608  constants of this module
_ENTRY = f"""
PERFORM FROM catalog_searchentry WHERE listing_id = {{app}} FOR UPDATE;
DELETE FROM catalog_searchentry e WHERE e.listing_id = {{app}} AND NOT EXISTS (
    SELECT FROM catalog_listing l JOIN catalog_version v ON v.id = l.version_id
    WHERE l.app_id = e.listing_id AND v.state = 'listed'
);
INSERT INTO catalog_searchentry (listing_id, {", ".join(_COLUMNS)})
SELECT a.id,
    setweight(to_tsvector('english', a.name), 'A') || setweight(to_tsvector('english', a.summary || ' ' || a.category), 'B')
        || setweight(to_tsvector('english', a.description), 'C')
        || setweight(to_tsvector('english', replace(a.slug, '-', ' ') || ' ' || t.name), 'D'),
    a.name, a.is_public, t.organization_id, t.id, a.category, a.kind, coalesce(priced.models, 0),
    priced.price, cost.per_1000, {_band("cost.per_1000", COST_BANDS)}, {_band("v.slo_latency_ms", SLO_BANDS)},
    rated.ratings, rated.stars,
    round(({PRIOR_RATINGS * PRIOR_STARS} + rated.stars)::numeric / ({PRIOR_RATINGS} + rated.ratings), 6),
    coalesce(run.state = 'passed', false),
    (SELECT count(*) FROM catalog_subscription s
        WHERE s.app_id = a.id AND s.state = 'active' AND s.environment = 'production'),
    coalesce(m.monthly_calls, 0), l.listed_at
FROM catalog_listing l
JOIN catalog_app a ON a.id = l.app_id
JOIN catalog_version v ON v.id = l.version_id
JOIN accounts_team t ON t.id = a.owner_team_id
LEFT JOIN catalog_measuredfacts m ON m.app_id = a.id
LEFT JOIN LATERAL (
    SELECT s.state, s.mean_cost FROM catalog_smokerun s
    WHERE s.version_id = v.id AND s.mean_cost IS NOT NULL ORDER BY s.created_at DESC LIMIT 1
) run ON true
CROSS JOIN LATERAL (
    SELECT coalesce(m.cost_per_1000, run.mean_cost * 1000, v.declared_cost_per_call * 1000) AS per_1000
) cost
CROSS JOIN LATERAL (SELECT bit_or(model) AS models, min(price) AS price FROM ({_PRICED}) plans) priced
CROSS JOIN LATERAL (
    SELECT count(*) AS ratings, coalesce(sum(r.stars), 0) AS stars
    FROM catalog_rating r WHERE r.app_id = a.id AND r.hidden_at IS NULL
) rated
WHERE l.app_id = {{app}} AND v.state = 'listed'
ON CONFLICT (listing_id) DO UPDATE SET ({", ".join(_COLUMNS)}) = ({", ".join(f"EXCLUDED.{name}" for name in _COLUMNS)});
"""  # noqa: S608  constants of this module
# In the order of words, so that two apps that are listed at once do not wait for each other in a circle.
_WORDS = """
INSERT INTO catalog_searchword (word)
SELECT DISTINCT word FROM catalog_app a, regexp_split_to_table(lower(a.name || ' ' || a.summary || ' ' || a.category), '\\W+') word
WHERE a.id = {app} AND length(word) BETWEEN 3 AND 40 ORDER BY word
ON CONFLICT DO NOTHING;
"""
_DEPARTED = "DELETE FROM catalog_searchentry WHERE listing_id = OLD.app_id; RETURN NULL;"


def keep_entry(
    name: str, operation: Operation, *, app: str = "NEW.app_id", with_words: bool = False
) -> Trigger:
    """Build the trigger that renews the search entry of an app after a change; ``app`` is its id in SQL.

    The entry's row is locked first and read by a later statement, so of two changes at once the second sees the first.
    """
    body = _ENTRY + (_WORDS if with_words else "")
    func = body.replace("{app}", app) + "RETURN NULL;"
    return Trigger(name=name, when=After, operation=operation, level=Row, func=func)


def statements_for_all() -> tuple[str, str]:
    """Return what writes the entries of all listings, and the words, at once: for data that came in without triggers."""
    insert = _ENTRY[_ENTRY.index("INSERT INTO catalog_searchentry") :]
    return insert.replace("l.app_id = {app} AND", ""), _WORDS.replace("a.id = {app} AND", "")


def of_app() -> Trigger:
    """Build the trigger of apps: what an app is called and who owns it."""
    changed = UpdateOf(
        "slug", "name", "summary", "description", "category", "is_public", "kind", "owner_team_id"
    )
    return keep_entry("entry_of_apps", changed, app="NEW.id", with_words=True)


def of_version() -> Trigger:
    """Build the trigger of versions: whether one is listed."""
    return keep_entry("entry_of_versions", UpdateOf("state"))


def of_listing() -> tuple[Trigger, ...]:
    """Build the triggers of listings: which version is shown, and that there is none any more."""
    shown = Insert | UpdateOf("version_id", "listed_at")
    return (
        keep_entry("entry_of_listings", shown, with_words=True),
        Trigger(name="entry_of_no_listing", when=After, operation=Delete, level=Row, func=_DEPARTED),
    )


def of_smoke_run() -> Trigger:
    """Build the trigger of smoke runs: what a call costs and whether that was checked."""
    app = "(SELECT v.app_id FROM catalog_version v WHERE v.id = NEW.version_id)"
    return keep_entry("entry_of_smoke_runs", Insert | UpdateOf("state", "mean_cost"), app=app)


def of_plan() -> tuple[Trigger, ...]:
    """Build the triggers of plans: what is offered at which price."""
    return (
        keep_entry("entry_of_plans", Insert | Update),
        keep_entry("entry_without_plan", Delete, app="OLD.app_id"),
    )
