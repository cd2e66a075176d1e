"""/budgets and /budget-moves in the management API: what may be spent a month, and moving it with both owners' consent."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSetMixin

from marketplace.accounts import access
from marketplace.accounts.requests import actor_of
from marketplace.core.errors import InvalidInput
from marketplace.core.money import parse_amount, to_text
from marketplace.core.pagination import TimeCursorPagination
from marketplace.core.parsers import FloatFreeJSONParser
from marketplace.core.periods import parse_instant
from quotas import budget_moves, budgets
from quotas.budget_models import Budget, BudgetMove, BudgetVersion
from quotas.budget_queries import BudgetStanding, page_of, standings
from quotas.budgeting import api_schema as schema
from quotas.owners import Owner, find_owner

_FIELDS = ("owner", "amount", "currency", "mode", "starts_at", "thresholds", "reason")
_OFFER_FIELDS = ("from", "to", "amount", "reason")
UUID_PATTERN = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
ID = OpenApiParameter("id", OpenApiTypes.UUID, "path")


class BudgetPagination(TimeCursorPagination):
    """Each budget comes with its forecast, so pages are short."""

    page_size = 25
    max_page_size = 50


class BudgetFilter(filters.FilterSet):
    owner_kind = filters.ChoiceFilter(
        choices=[("cost_center", "cost_center"), ("team", "team")], method="of_kind"
    )
    mode = filters.ChoiceFilter(choices=[("hard", "hard"), ("soft", "soft")], method="of_mode")
    organization = filters.CharFilter(method="of_organization", help_text="Slug.")

    class Meta:
        model = Budget
        fields = ()

    def of_kind(self, found: QuerySet[Budget], name: str, kind: str) -> QuerySet[Budget]:
        return found.filter(**{f"{kind}__isnull": False})

    def of_mode(self, found: QuerySet[Budget], name: str, mode: str) -> QuerySet[Budget]:
        return budgets.of_mode(found, mode, at=timezone.now())

    def of_organization(self, found: QuerySet[Budget], name: str, slug: str) -> QuerySet[Budget]:
        of_center = found.filter(cost_center__organization__slug=slug)
        return of_center | found.filter(team__organization__slug=slug)


class BudgetMoveFilter(filters.FilterSet):
    budget = filters.UUIDFilter(method="of_budget", help_text="Moves from and to this budget.")

    class Meta:
        model = BudgetMove
        fields = ("state",)

    def of_budget(self, found: QuerySet[BudgetMove], name: str, budget_id: Any) -> QuerySet[BudgetMove]:
        return found.filter(from_budget=budget_id) | found.filter(to_budget=budget_id)


@extend_schema(tags=["budgets"])
class BudgetViewSet(viewsets.GenericViewSet):
    """Budgets of cost centers and teams that the caller may see."""

    queryset = Budget.objects.none()
    filterset_class = BudgetFilter
    parser_classes = (FloatFreeJSONParser,)
    pagination_class = BudgetPagination
    lookup_value_regex = UUID_PATTERN

    def get_queryset(self) -> QuerySet[Budget]:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        return budgets.visible_budgets(actor_of(self.request))

    @extend_schema(
        operation_id="budgets_list",
        summary="Budgets with what is used, held and expected",
        parameters=[
            OpenApiParameter("owner_id", OpenApiTypes.STR, description="Code or slug; needs owner_kind."),
        ],
        responses={(200, "application/json"): schema.BUDGETS},
    )
    def list(self, request: Request) -> Response:
        found = self.filter_queryset(self.get_queryset())
        if owner_id := request.query_params.get("owner_id"):
            owner = find_owner(actor_of(request), request.query_params.get("owner_kind", ""), owner_id)
            found = found.filter(**{f"{_budget_kind(owner)}_id": owner.pk})
        page = self.paginate_queryset(found)
        shown = standings(page or [], at=timezone.now(), currency=settings.CURRENCY)
        return self.get_paginated_response([_budget(one) for one in shown])

    @extend_schema(
        operation_id="budgets_retrieve",
        summary="One budget with its history",
        parameters=[ID],
        responses={(200, "application/json"): schema.BUDGET_WITH_HISTORY},
        filters=False,
    )
    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(_with_history(access.get(self.get_queryset(), pk=pk), at=timezone.now()))

    @extend_schema(
        operation_id="budgets_set",
        summary="Set the budget of a cost center or team",
        description=(
            "Takes the place of the present one now, or on the first of a later month. What is spent of the month stays "
            "spent. It is the owner's limit of cost per month: what `/limits` shows and calls are admitted against."
        ),
        request={"application/json": schema.SET},
        responses={
            (200, "application/json"): schema.BUDGET_WITH_HISTORY,
            (201, "application/json"): schema.BUDGET_WITH_HISTORY,
        },
    )
    def create(self, request: Request) -> Response:
        now, actor = timezone.now(), actor_of(request)
        asked = _asked(request.data, _FIELDS)
        owner = _owner(request, asked)
        is_known = budgets.visible_budgets(actor).filter(**{f"{_budget_kind(owner)}_id": owner.pk}).exists()
        budget = budgets.set_budget(
            owner,
            amount=parse_amount(asked.get("amount"), field="amount"),
            currency=_currency(asked),
            mode=_text(asked, "mode", longest=4) or "hard",
            starts_at=None
            if asked.get("starts_at") is None
            else parse_instant(asked["starts_at"], field="starts_at"),
            thresholds=_thresholds(asked) if "thresholds" in asked else None,
            reason=_text(asked, "reason", longest=200),
            by=actor,
            at=now,
        )
        shown = access.get(budgets.visible_budgets(actor), pk=budget.pk)
        return Response(
            _with_history(shown, at=now), status=status.HTTP_200_OK if is_known else status.HTTP_201_CREATED
        )

    @extend_schema(
        operation_id="budgets_thresholds",
        summary="Say at how many percent people are told",
        parameters=[ID],
        request={"application/json": schema.THRESHOLDS},
        responses={(200, "application/json"): schema.BUDGET_WITH_HISTORY},
    )
    @action(detail=True, methods=["post"])
    def thresholds(self, request: Request, pk: str) -> Response:
        """Set the thresholds; for the owner of the budget, finance and operators."""
        now = timezone.now()
        budget = access.get(self.get_queryset(), pk=pk)
        asked = _asked(request.data, ("thresholds",))
        budgets.set_thresholds(budget, thresholds=_thresholds(asked), by=actor_of(request), at=now)
        return Response(_with_history(budget, at=now))


@extend_schema(tags=["budgets"])
class BudgetMoveViewSet(viewsets.GenericViewSet):
    """Moves between budgets of which the caller may see one."""

    queryset = BudgetMove.objects.none()
    filterset_class = BudgetMoveFilter
    parser_classes = (FloatFreeJSONParser,)
    lookup_value_regex = UUID_PATTERN

    def get_queryset(self) -> QuerySet[BudgetMove]:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        return budget_moves.visible_moves(actor_of(self.request))

    @extend_schema(
        operation_id="budget_moves_list",
        summary="Moves between budgets",
        responses={(200, "application/json"): schema.MOVES},
    )
    def list(self, request: Request) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response([_move(one) for one in page or ()])

    @extend_schema(
        operation_id="budget_moves_retrieve",
        summary="One move",
        parameters=[ID],
        responses={(200, "application/json"): schema.MOVE},
        filters=False,
    )
    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(_move(access.get(self.get_queryset(), pk=pk)))

    @extend_schema(
        operation_id="budget_moves_offer",
        summary="Offer a part of a budget to another one",
        description="For who answers for the giving budget. Nothing changes until who answers for the other one accepts.",
        request={"application/json": schema.OFFER},
        responses={(201, "application/json"): schema.MOVE},
    )
    def create(self, request: Request) -> Response:
        actor = actor_of(request)
        asked = _asked(request.data, _OFFER_FIELDS)
        giver = access.get(budgets.visible_budgets(actor), pk=_text(asked, "from", longest=36))
        made = budget_moves.offer(
            giver,
            to_budget=_taker(giver, _text(asked, "to", longest=36)),
            amount=parse_amount(asked.get("amount"), field="amount"),
            reason=_text(asked, "reason", longest=500),
            by=actor,
            at=timezone.now(),
        )
        return Response(_move(made), status=status.HTTP_201_CREATED)

    @extend_schema(request={"application/json": schema.NOTE}, responses={(200, "application/json"): schema.MOVE}, parameters=[ID])  # fmt: skip
    @action(detail=True, methods=["post"])
    def accept(self, request: Request, pk: str) -> Response:
        """Accept an offer: both budgets change at once."""
        return self._decide(request, pk, budget_moves.accept)

    @extend_schema(request={"application/json": schema.NOTE}, responses={(200, "application/json"): schema.MOVE}, parameters=[ID])  # fmt: skip
    @action(detail=True, methods=["post"])
    def decline(self, request: Request, pk: str) -> Response:
        """Decline an offer."""
        return self._decide(request, pk, budget_moves.decline)

    @extend_schema(request={"application/json": schema.NOTE}, responses={(200, "application/json"): schema.MOVE}, parameters=[ID])  # fmt: skip
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """Take your own offer back."""
        return self._decide(request, pk, budget_moves.withdraw)

    def _decide(self, request: Request, pk: str, decide: Callable[..., None]) -> Response:
        move = access.get(self.get_queryset(), pk=pk)
        note = _text(_asked(request.data or {}, ("note",)), "note", longest=500)
        decide(move, by=actor_of(request), at=timezone.now(), note=note)
        return Response(_move(move))


def _asked(data: Any, fields: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise InvalidInput("", "must be an object")
    for name in data:
        if name not in fields:
            raise InvalidInput(name, f"is not a field; there are {', '.join(fields)}", code="unknown_field")
    return data


def _owner(request: Request, asked: dict[str, Any]) -> Owner:
    owner = asked.get("owner")
    if not isinstance(owner, dict) or not isinstance(owner.get("kind"), str):
        raise InvalidInput("owner", 'must be an object such as {"kind": "cost_center", "id": "CC-100"}')
    id_ = owner.get("id")
    if isinstance(id_, bool) or not isinstance(id_, str | int):
        raise InvalidInput("owner.id", "must be a code, slug or row number")
    found = find_owner(actor_of(request), owner["kind"], str(id_))
    _budget_kind(found)
    return found


def _budget_kind(owner: Owner) -> str:
    if owner.kind not in schema.KINDS:
        raise InvalidInput("owner.kind", f"{owner.kind!r} has no budget; {' and '.join(schema.KINDS)} have")
    return owner.kind


def _taker(giver: Budget, budget_id: str) -> Budget:
    """Find a budget of the same organization: its name is all that is told of it."""
    found = budget_moves.takers(giver) | Budget.objects.filter(pk=giver.pk)
    return access.get(found.select_related(*budgets.RELATED), pk=budget_id)


def _currency(asked: dict[str, Any]) -> str:
    if asked.get("currency") not in (None, settings.CURRENCY):
        raise InvalidInput("currency", f"must be {settings.CURRENCY}, in which usage is rated here")
    return str(settings.CURRENCY)


def _thresholds(asked: dict[str, Any]) -> list[int]:
    value = asked.get("thresholds")
    if not isinstance(value, list) or not all(
        isinstance(one, int) and not isinstance(one, bool) for one in value
    ):
        raise InvalidInput("thresholds", "must be a list of whole percentages, such as [50, 80, 95, 100]")
    return value


def _text(asked: dict[str, Any], name: str, *, longest: int) -> str:
    value = asked.get(name) or ""
    if not isinstance(value, str) or "\0" in value or len(value) > longest:
        raise InvalidInput(name, f"must be a text of at most {longest} characters")
    return value


def _with_history(budget: Budget, *, at: datetime) -> dict[str, Any]:
    page = page_of(budget, at=at, currency=settings.CURRENCY)
    return _budget(page.now) | {"versions": [_version(one) for one in page.versions]}


def _budget(one: BudgetStanding) -> dict[str, Any]:
    limit = one.standing.limit if one.standing else None
    standing = one.standing
    return {
        "id": str(one.budget.pk),
        "owner": _owner_json(one.owner),
        "answers_for_it": one.person.email,
        "limit_id": str(limit.pk) if limit else None,
        "amount": to_text(limit.limit_value) if limit else None,
        "currency": limit.currency if limit else None,
        "mode": limit.mode if limit else None,
        "used": to_text(standing.used) if standing else None,
        "held": to_text(standing.held) if standing else None,
        "remaining": to_text(standing.remaining) if standing else None,
        "used_percent": standing.percent if standing else None,
        "resets_at": _moment(standing.resets_at) if standing else None,
        "thresholds": one.budget.thresholds,
        "passed": [percent for percent, is_passed in one.marks if is_passed],
        "forecast": _forecast(one),
    }


def _forecast(one: BudgetStanding) -> dict[str, Any] | None:
    if one.outlook is None:
        return None
    month = one.outlook.month
    return {
        "low": to_text(month.low),
        "expected": to_text(month.middle),
        "high": to_text(month.high),
        "runs_out_on": _day(one.outlook.runs_out),
        "runs_out_on_at_the_earliest": _day(one.outlook.runs_out_early),
        "method": one.outlook.method,
    }


def _version(one: BudgetVersion) -> dict[str, Any]:
    return {
        "amount": to_text(one.amount),
        "mode": one.mode,
        "starts_at": _moment(one.starts_at),
        "ends_at": _moment(one.ends_at),
        "made_by": one.made_by.email if one.made_by else None,
        "reason": one.reason,
        "move": str(one.move_id) if one.move_id else None,
    }


def _move(one: BudgetMove) -> dict[str, Any]:
    amounts = ("from_before", "from_after", "to_before", "to_after")
    return {
        "id": str(one.pk),
        "state": one.state,
        "from": str(one.from_budget_id),
        "from_owner": _owner_json(budgets.owner_of_budget(one.from_budget)),
        "to": str(one.to_budget_id),
        "to_owner": _owner_json(budgets.owner_of_budget(one.to_budget)),
        "amount": to_text(one.amount),
        "currency": one.currency,
        "reason": one.reason,
        "offered_by": one.offered_by.email,
        "offered_at": _moment(one.offered_at),
        "decided_by": one.decided_by.email if one.decided_by else None,
        "decided_at": _moment(one.decided_at),
        "note": one.note,
        **{name: None if (value := getattr(one, name)) is None else to_text(value) for name in amounts},
    }


def _owner_json(owner: Owner) -> dict[str, str]:
    return {"kind": owner.kind, "id": owner.id, "label": owner.label}


def _moment(at: datetime | None) -> str | None:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}" if at else None


def _day(day: date | None) -> str | None:
    return day.isoformat() if day else None


ROUTES: list[tuple[str, type[ViewSetMixin], str]] = [
    ("budgets", BudgetViewSet, "budget"),
    ("budget-moves", BudgetMoveViewSet, "budget-move"),
]
