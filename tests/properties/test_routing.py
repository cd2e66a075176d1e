"""Laws of routing: whatever a policy says, only what is allowed and approved is called, and the hold covers it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from marketplace.gateway.asking import ways
from marketplace.gateway.router import AUTO, Need, NoRoute, Offer, choose, price_of
from marketplace.gateway.routing import table
from marketplace.gateway.routing.book import Bound, Learned, Policy, RouteBook
from marketplace.gateway.routing.choosing import Known, decide
from marketplace.gateway.routing.difficulty import Judgment
from marketplace.gateway.routing.table import Call, Row
from metering.rating import TokenPrices, to_atto

AT = datetime(2026, 11, 15, 12, tzinfo=UTC)
MODELS = tuple(f"{name}-{number}" for name in table.CLASSES for number in (1, 2))
SPACE = UUID(int=0)


def _offer(model: str, provider: str, price: int) -> Offer:
    atto = to_atto(Decimal(price))
    prices = TokenPrices(1, "USD", atto, atto, atto, 2 * atto, 2 * atto, AT, None)
    return Offer(model, model.split("-")[0], 100_000, provider, model, prices)


offers = st.lists(
    st.builds(_offer, st.sampled_from(MODELS), st.sampled_from(["a", "b"]), st.integers(1, 50)),
    min_size=1,
    max_size=12,
)
rows = st.lists(
    st.builds(
        Row,
        use=st.sampled_from([*table.CHOICES, *table.CLASSES, *MODELS]),
        intents=st.sampled_from([(), ("summary",), ("code", "chat")]),
        tokens_from=st.none() | st.integers(0, 2000),
        tokens_below=st.none() | st.integers(0, 4000),
        tools=st.none() | st.booleans(),
        budget_left_below=st.none() | st.integers(0, 100),
    ),
    min_size=1,
    max_size=6,
)
calls = st.builds(
    Call,
    intent=st.sampled_from(["", "summary", "code"]),
    tokens=st.integers(0, 5000),
    environment=st.sampled_from(table.ENVIRONMENTS),
    tools=st.booleans(),
    budget_left=st.none() | st.integers(0, 100),
)
judgments = st.none() | st.builds(Judgment, st.integers(0, 100), st.just(()))
learned = st.builds(Learned, st.integers(-40, 40), st.booleans(), st.just(80))


def _policy(of: list[Row], floor: int = 95) -> Policy:
    return Policy(UUID(int=7), 1, tuple(of), "all", 100, "request", floor)


@given(
    offers, rows, calls, judgments, learned, st.sets(st.sampled_from(MODELS), min_size=1),
    st.sets(st.sampled_from(table.CLASSES)), st.sets(st.sampled_from(MODELS)),
)  # fmt: skip
def test_only_what_is_allowed_and_approved_is_called_and_the_hold_covers_it(
    offered: list[Offer],
    policy: list[Row],
    call: Call,
    judgment: Judgment | None,
    taught: Learned,
    allowed: set[str],
    dear: set[str],
    approved: set[str],
) -> None:
    book = RouteBook({}, {}, {}, (Bound(AT, frozenset(dear), None),), {(1, name): None for name in approved})
    withheld = book.withheld(1, allowed, offered, at=AT)
    need = Need(AUTO, call.tokens, 100)
    try:
        route = choose(need, allowed=sorted(allowed - withheld), offers=offered, known=frozenset(MODELS))
    except NoRoute:
        return
    decision = decide(_policy(policy), call, Known(judgment), route.offers, learned=taught)

    assert decision.route.offers
    for offer in decision.route.offers:
        assert offer.model in allowed
        assert offer.model_class not in dear or offer.model in approved
    held = ways(decision.route, need)[0].estimate.cost
    assert all(to_atto(held) >= price_of(offer, need) for offer in decision.route.offers)
    assert decision == decide(_policy(policy), call, Known(judgment), route.offers, learned=taught)
    decision.route.reason.encode("latin-1")


@given(rows)
def test_a_table_reads_as_it_was_stored(policy: list[Row]) -> None:
    assert table.stored([row.as_json() for row in policy]) == tuple(policy)


@given(st.uuids(), st.integers(1, 99))
def test_a_share_only_grows_and_stays_for_a_subscription(subscription: UUID, percent: int) -> None:
    def acts(of: int, call: int) -> bool:
        policy = Policy(UUID(int=7), 1, (), "part", of, "subscription", 95)
        return policy.acts_on(subscription_id=subscription, call_id=UUID(int=call))

    assert acts(percent, 1) == acts(percent, 2)
    assert not acts(percent, 1) or acts(percent + 1, 1)


def test_a_share_of_calls_is_about_that_share() -> None:
    policy = Policy(UUID(int=7), 1, (), "part", 30, "request", 95)
    calls_of = [uuid5(SPACE, str(number)) for number in range(4000)]

    acted = sum(policy.acts_on(subscription_id=None, call_id=one) for one in calls_of)

    # 1,200 are expected; the spread of such a count is 29.
    assert 1_080 < acted < 1_320


def test_an_approval_ends() -> None:
    book = RouteBook({}, {}, {}, (), {(1, "large-1"): AT})

    assert book.is_approved(1, "large-1", at=AT - timedelta(seconds=1))
    assert not book.is_approved(1, "large-1", at=AT)
    assert not book.is_approved(2, "large-1", at=AT - timedelta(seconds=1))
