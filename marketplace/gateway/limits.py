"""A refused call in words: which limit, how much of it is used, when it resets."""

from datetime import datetime
from decimal import Decimal
from math import ceil

from django.urls import reverse

from marketplace.core.errors import Unavailable
from quotas.admission import Refused, Standing

OWNER_WORDS = {
    "organization": "organization",
    "cost_center": "cost center",
    "team": "team",
    "app": "app",
    "subscription": "subscription",
    "key": "key",
}


class LimitReached(Unavailable):
    """A hard limit says no. Nothing was sent and nothing is charged.

    Attributes: ``standing`` (limit, used, resets_at), ``standings`` of the whole chain, ``asked``; ``status`` is 402 for money, else 429.
    """

    def __init__(self, refused: Refused) -> None:
        limit = refused.standing.limit
        self.standing = refused.standing
        self.standings = refused.standings
        self.at = refused.at
        self.asked = refused.asked
        self.status = 402 if limit.measure == "cost" else 429
        unit = f" {limit.currency}" if limit.measure == "cost" else ""
        measure = "spending" if limit.measure == "cost" else limit.measure
        if limit.model_class:
            measure += f" of {limit.model_class} models"
        period = "at a time" if limit.measure == "concurrency" else f"a {limit.window}"
        resets = "" if limit.measure == "concurrency" else f" It resets at {stamp(self.standing.resets_at)}."
        super().__init__(
            f"The limit of {number(limit.value)}{unit} {measure} {period} of this {OWNER_WORDS[limit.owner[0]]} is "
            f"reached: {number(self.standing.used)}{unit} is used or held and this call asks for "
            f"{number(self.asked)}{unit}.{resets}{_where_to_ask(refused.standing)}",
            retry_after_s=_seconds_until(refused.standing, refused.at),
            code=_code(refused),
        )


def _where_to_ask(standing: Standing) -> str:
    """Say where people ask for more; of an app or organization those who call do not."""
    limit = standing.limit
    if limit.owner[0] in ("app", "organization") or limit.environment == "sandbox":
        return ""
    path = reverse("quotas:increase-ask", args=[*limit.owner, limit.measure, limit.window])
    of_class = f"?model_class={limit.model_class}" if limit.model_class else ""
    return f" Ask for more at {path}{of_class}"


def _code(refused: Refused) -> str:
    limit = refused.standing.limit
    if limit.measure == "cost":
        return "budget_exceeded"
    return "rate_limited" if limit.window == "minute" or limit.measure == "concurrency" else "quota_exceeded"


def _seconds_until(standing: Standing, at: datetime) -> int:
    if standing.limit.measure == "concurrency":
        return 1
    return max(1, ceil((standing.resets_at - at).total_seconds()))


def number(value: Decimal) -> str:
    """Write an amount without trailing zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def stamp(at: datetime) -> str:
    """Write a time as RFC 3339 in UTC."""
    return at.isoformat().replace("+00:00", "Z")


def rate_limit_headers(standings: tuple[Standing, ...], *, at: datetime) -> dict[str, str]:
    """Return x-ratelimit headers: of requests and tokens, the limit with the least left."""
    headers = {}
    for measure in ("requests", "tokens"):
        of_measure = [s for s in standings if s.limit.measure == measure]
        if not of_measure:
            continue
        tightest = min(of_measure, key=lambda standing: standing.remaining)
        headers[f"x-ratelimit-limit-{measure}"] = number(tightest.limit.value)
        headers[f"x-ratelimit-remaining-{measure}"] = number(tightest.remaining)
        headers[f"x-ratelimit-reset-{measure}"] = f"{_seconds_until(tightest, at)}s"
    return headers | _exceeded(standings)


def _exceeded(standings: tuple[Standing, ...]) -> dict[str, str]:
    """Name the soft limits that a call is over: it goes on, and its answer says so."""
    over = [one for one in standings if one.limit.mode == "soft" and one.is_exceeded]
    return {"x-halfpenny-over-limit": "; ".join(map(_in_words, over))} if over else {}


def _in_words(standing: Standing) -> str:
    """Write a limit in a header: "team tokens/month 1200 of 1000"."""
    limit = standing.limit
    of_class = f" of {limit.model_class} models" if limit.model_class else ""
    window = "" if limit.measure == "concurrency" else f"/{limit.window}"
    return (
        f"{limit.owner[0]} {limit.measure}{of_class}{window} {number(standing.used)} of {number(limit.value)}"
    )
