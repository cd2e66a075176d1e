"""The ways in which a call can be made, dearest first in what it may use: what admission is asked for.

The first is the whole route at the full length of its answer. Where a limit has no room for that, less will do: only
the models of one class, only its cheapest offer, and, when the caller did not say how long the answer may be, one as
long as those of this app usually are. Pure.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from marketplace.gateway.router import Need, Route, dearest
from metering.rating import from_atto
from quotas.admission import Estimate

UsualOutput = Callable[[str], int | None]
"""Tells how many output tokens answers of a model usually have at most; None where nothing is known."""


@dataclass(frozen=True, slots=True)
class Way:
    """A route and how much of it may be used."""

    route: Route
    need: Need

    @property
    def estimate(self) -> Estimate:
        """What it may use at most."""
        cost = from_atto(dearest(self.route, self.need))
        classes = tuple(dict.fromkeys(offer.model_class for offer in self.route.offers))
        return Estimate(
            self.need.input_tokens + self.need.output_tokens, cost, classes, self.route.offers[0].model
        )


def ways(route: Route, need: Need, *, usual_output: UsualOutput | None = None) -> list[Way]:
    """List the ways of a call. ``usual_output`` is given when the caller left the length of the answer to us."""
    found = [Way(route, need)]
    of_classes = _of_classes(route)
    if len(of_classes) > 1:
        found += [Way(one, need) for one in of_classes]
    cheapest = [_cheapest(one) for one in of_classes]
    found += [
        Way(one, need)
        for one, whole in zip(cheapest, of_classes, strict=True)
        if dearest(one, need) < dearest(whole, need)
    ]
    if usual_output is not None:
        found += _shorter(cheapest, need, usual_output)
    return found


def _of_classes(route: Route) -> list[Route]:
    """Split a route by the class of its models, in the order in which each is met first."""
    order = list(dict.fromkeys(offer.model_class for offer in route.offers))
    by_class = sorted(route.offers, key=lambda offer: order.index(offer.model_class))
    return [
        Route(tuple(offers), f"{route.reason}; {name} models only, as limits have room")
        for name, offers in groupby(by_class, key=lambda offer: offer.model_class)
    ]


def _cheapest(route: Route) -> Route:
    return Route(route.offers[:1], f"{route.reason}; the cheapest only, as limits have room")


def _shorter(routes: list[Route], need: Need, usual_output: UsualOutput) -> Iterator[Way]:
    for route in routes:
        usual = usual_output(route.offers[0].model)
        if usual is not None and 0 < usual < need.output_tokens:
            yield Way(route, replace(need, output_tokens=usual))
