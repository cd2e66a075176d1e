"""/increase-requests and /grants in the management API: asking for more, deciding, and what was granted."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone
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
from marketplace.core.pagination import TimeCursorPagination
from marketplace.core.parsers import FloatFreeJSONParser
from quotas import grants, increase_decisions, increases
from quotas.increase_assessing import assess
from quotas.increase_models import OPEN, Grant, IncreaseRequest
from quotas.increase_rights import decidable, may_request, visible_requests
from quotas.increase_subjects import Subject, subject_of
from quotas.increasing import answers, bodies, schema
from quotas.models import OWNER_KINDS, Limit
from quotas.owners import find_owner

LONGEST_KEY = 200
CHOICES = {
    "state": IncreaseRequest.State.values,
    "measure": Limit.Measure.values,
    "window": Limit.Window.values,
}


def _action(summary: str, body: dict[str, Any] | None, *, answer: int = 200) -> Callable[[Any], Any]:
    """Describe what is done with one request."""
    described = {"application/json": body} if body else None
    return extend_schema(
        tags=["increase requests"],
        summary=summary,
        parameters=[schema.ID],
        request=described,
        responses={(answer, "application/json"): schema.REQUEST},
    )


class IncreaseRequestViewSet(viewsets.GenericViewSet):
    """Increase requests that the caller made, may decide, or that are for what they may know of."""

    queryset = IncreaseRequest.objects.none()
    parser_classes = (FloatFreeJSONParser,)
    pagination_class = TimeCursorPagination
    lookup_value_regex = schema.REQUEST_ID

    @extend_schema(
        operation_id="increase_requests_list",
        tags=["increase requests"],
        summary="Increase requests, the newest first",
        parameters=schema.FILTERS,
        responses={(200, "application/json"): schema.page_of(schema.REQUEST)},
        filters=False,
    )
    def list(self, request: Request) -> Response:
        page = self.paginate_queryset(_with_history(_filtered(request)))
        return self.get_paginated_response([answers.request_as_json(one) for one in page or ()])

    @extend_schema(
        operation_id="increase_requests_create",
        tags=["increase requests"],
        summary="Ask for a higher limit",
        description=(
            "An open request for the same owner, measure and window is superseded. Inside the policy it is granted at "
            "once; for less than the limit is now, the limit is lowered at once."
        ),
        parameters=[schema.KEY],
        request={"application/json": schema.WISH},
        responses={
            (201, "application/json"): schema.REQUEST,
            (200, "application/json"): schema.REQUEST,
        },
    )
    def create(self, request: Request) -> Response:
        actor = actor_of(request)
        owner = bodies.read_owner(request.data, actor=actor)
        wish = bodies.read_wish(request.data, currency=settings.CURRENCY)
        made = increases.create(owner, wish=wish, by=actor, at=timezone.now(), idempotency_key=_key(request))
        code = status.HTTP_201_CREATED if made.is_new else status.HTTP_200_OK
        return Response(_answer(request, made.request), status=code)

    @_action("One increase request", None)
    def retrieve(self, request: Request, pk: str) -> Response:
        return Response(_answer(request, _find(request, pk)))

    @extend_schema(
        operation_id="increase_requests_preview",
        tags=["increase requests"],
        summary="Say what would become of a request",
        description="Consequences, and what each rule of the policy says. Asks for nothing.",
        request={"application/json": schema.WISH},
        responses={(200, "application/json"): schema.ASSESSMENT},
    )
    @action(detail=False, methods=["post"], pagination_class=None)
    def preview(self, request: Request) -> Response:
        actor = actor_of(request)
        owner = bodies.read_owner(request.data, actor=actor)
        access.require(may_request(actor, owner=owner), message="More of this is not yours to ask for.")
        wish = bodies.read_wish(request.data, currency=settings.CURRENCY)
        found = assess(
            Subject(owner, wish.measure, wish.window, wish.model_class), wish=wish, at=timezone.now()
        )
        return Response(answers.assessment_as_json(found))

    @_action("Approve, whole or in part", schema.OFFER)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, pk: str) -> Response:
        """Approve on the level it is on; on its last level it is granted."""
        found = _find(request, pk)
        offer, reason = bodies.read_offer(request.data)
        increase_decisions.approve(found, offer=offer, reason=reason, by=actor_of(request), at=timezone.now())
        return Response(_answer(request, found))

    @_action("Deny, with a reason", schema.REASON)
    @action(detail=True, methods=["post"])
    def deny(self, request: Request, pk: str) -> Response:
        """Deny it: one no ends it."""
        found, reason = _find(request, pk), bodies.read_text(request.data, "reason", default="")
        increase_decisions.deny(found, reason=reason, by=actor_of(request), at=timezone.now())
        return Response(_answer(request, found))

    @_action("Ask the requester something", schema.QUESTION)
    @action(detail=True, methods=["post"], url_path="needs-info")
    def needs_info(self, request: Request, pk: str) -> Response:
        """Ask something; the time to decide stands still until the answer. ``reason`` is understood too."""
        found, question = _find(request, pk), bodies.read_text(request.data, "question", "reason", default="")
        increase_decisions.ask(found, question=question, by=actor_of(request), at=timezone.now())
        return Response(_answer(request, found))

    @_action("Answer the question", schema.ANSWER)
    @action(detail=True, methods=["post"])
    def answer(self, request: Request, pk: str) -> Response:
        """Answer, for who asked for the increase; the review goes on. ``reason`` is understood too."""
        found, text = _find(request, pk), bodies.read_text(request.data, "answer", "reason", default="")
        increase_decisions.answer(found, text=text, by=actor_of(request), at=timezone.now())
        return Response(_answer(request, found))

    @_action("Take it back", schema.NO_REASON)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, pk: str) -> Response:
        """Take your own request back."""
        found, reason = _find(request, pk), bodies.read_text(request.data, "reason", default="")
        increases.withdraw(found, by=actor_of(request), at=timezone.now(), reason=reason)
        return Response(_answer(request, found))

    @_action("Ask that its grant goes on", schema.EXTENSION, answer=201)
    @action(detail=True, methods=["post"])
    def extend(self, request: Request, pk: str) -> Response:
        """Ask for the same value from the end of the grant on: a request of its own, judged like any other."""
        now, actor = timezone.now(), actor_of(request)
        found = _find(request, pk)
        ends_at, reason = bodies.read_extension(request.data)
        wish = increases.extension_of(_grant_of(found), ends_at=ends_at, reason=reason, at=now)
        made = increases.create(subject_of(found).owner, wish=wish, by=actor, at=now)
        return Response(_answer(request, made.request), status=status.HTTP_201_CREATED)


class GrantViewSet(viewsets.GenericViewSet):
    """What was granted, of requests that the caller may see."""

    queryset = Grant.objects.none()
    parser_classes = (FloatFreeJSONParser,)
    pagination_class = TimeCursorPagination
    lookup_value_regex = schema.REQUEST_ID

    @extend_schema(
        operation_id="grants_list",
        tags=["increase requests"],
        summary="Grants, the newest first",
        parameters=[
            OpenApiParameter("state", OpenApiTypes.STR, enum=list(Grant.State.values)),
            OpenApiParameter("request", OpenApiTypes.UUID),
        ],
        responses={(200, "application/json"): schema.page_of(schema.GRANT)},
        filters=False,
    )
    def list(self, request: Request) -> Response:
        found = _grants(request)
        wanted = _chosen(request, "state", Grant.State.values)
        if wanted:
            found = found.filter(state=wanted)
        if of_request := request.query_params.get("request"):
            found = found.filter(request=_find(request, of_request))
        page = self.paginate_queryset(found)
        return self.get_paginated_response([answers.grant_as_json(one) for one in page or ()])

    @extend_schema(
        operation_id="grants_revoke",
        tags=["increase requests"],
        summary="End a grant now",
        parameters=[schema.ID],
        request={"application/json": schema.REASON},
        responses={(200, "application/json"): schema.GRANT},
    )
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
        """End it; what the limits say by themselves holds again from the next call on."""
        grant = access.get(_grants(request), pk=pk)
        reason = bodies.read_text(request.data, "reason", default="")
        grants.revoke(grant, reason=reason, by=actor_of(request), at=timezone.now())
        return Response(answers.grant_as_json(grant))


def _grants(request: Request) -> QuerySet[Grant]:
    visible = visible_requests(actor_of(request)).order_by().values("pk")
    return Grant.objects.filter(request__in=visible).select_related(
        "request__requester", "request__charged_cost_center"
    )


def _find(request: Request, pk: str) -> IncreaseRequest:
    return access.get(visible_requests(actor_of(request)).select_related("grant__request"), pk=pk)


def _grant_of(found: IncreaseRequest) -> Grant:
    grant = getattr(found, "grant", None)
    if grant is None:
        raise InvalidInput("", "Nothing was granted by this request.")
    return grant


def _answer(request: Request, found: IncreaseRequest) -> dict[str, Any]:
    """Write a request as it is now, with everything that was decided."""
    return answers.request_as_json(_with_history(visible_requests(actor_of(request))).get(pk=found.pk))


def _with_history(found: QuerySet[IncreaseRequest]) -> QuerySet[IncreaseRequest]:
    return found.select_related("grant").prefetch_related("decisions__decider", "decisions__acting_for")


def _filtered(request: Request) -> QuerySet[IncreaseRequest]:
    query, actor = request.query_params, actor_of(request)
    found = decidable(actor) if _flag(request, "decidable") else visible_requests(actor)
    for name, values in CHOICES.items():
        if wanted := _chosen(request, name, values):
            found = found.filter(**{name: wanted})
    if (is_open := _flag(request, "open")) is not None:
        found = found.filter(state__in=OPEN) if is_open else found.exclude(state__in=OPEN)
    if query.get("requester"):
        mine = query["requester"] == "me"
        found = found.filter(
            Q(requester=actor.user) if mine else Q(requester__email=query["requester"].lower())
        )
    if query.get("owner_kind") or query.get("owner_id"):
        kind, id_ = query.get("owner_kind", ""), query.get("owner_id", "")
        if kind in OWNER_KINDS and not id_:
            return found.filter(**{f"{kind}__isnull": False})
        owner = find_owner(actor, kind, id_)
        found = found.filter(**{f"{owner.kind}_id": owner.pk})
    return found


def _chosen(request: Request, name: str, values: list[str]) -> str:
    wanted: str = request.query_params.get(name, "")
    if wanted and wanted not in values:
        raise InvalidInput(name, f"{wanted!r} is not one of {', '.join(values)}")
    return wanted


def _flag(request: Request, name: str) -> bool | None:
    text = request.query_params.get(name)
    if text in (None, ""):
        return None
    if text not in ("true", "false", "1", "0"):
        raise InvalidInput(name, "must be true or false")
    return text in ("true", "1")


def _key(request: Request) -> str:
    key: str = request.headers.get("Idempotency-Key", "")
    if len(key) > LONGEST_KEY or "\0" in key:
        raise InvalidInput(
            "Idempotency-Key", f"must have at most {LONGEST_KEY} characters", limit=LONGEST_KEY
        )
    return key


ROUTES: list[tuple[str, type[ViewSetMixin], str]] = [
    ("increase-requests", IncreaseRequestViewSet, "increase-request"),
    ("grants", GrantViewSet, "grant"),
]
