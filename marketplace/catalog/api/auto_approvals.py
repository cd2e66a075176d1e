"""/auto-approval-policies: what is approved without a person, tried, proposed, activated, switched off."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from marketplace.accounts import access
from marketplace.accounts.access import Actor
from marketplace.accounts.requests import actor_of
from marketplace.catalog import auto_approvals
from marketplace.catalog.api.fields import ReasonSerializer
from marketplace.catalog.api.second_looks import DecisionNoteSerializer
from marketplace.catalog.auto_approval_models import AutoApprovalPolicy
from marketplace.catalog.auto_rules import Terms
from marketplace.core.api_fields import AmountField

TRIED_DAYS = 90


class PolicySerializer(serializers.ModelSerializer):
    """One version of the policy; one is active at a time, and without one nothing is approved by itself."""

    max_monthly_cost = AmountField(read_only=True)
    proposed_by = serializers.CharField(source="proposed_by.email", read_only=True)
    decided_by = serializers.CharField(source="decided_by.email", read_only=True, default=None)

    class Meta:
        model = AutoApprovalPolicy
        fields = (
            "number", "state", "max_risk", "max_monthly_cost", "currency", "allows_first", "sample_percent", "reason",
            "proposed_by", "proposed_at", "decided_by", "decided_at", "decision_note", "ended_at",
        )  # fmt: skip


class PolicyTermsSerializer(serializers.Serializer):
    """What a policy allows; the cost a month in the currency of the marketplace."""

    max_risk = serializers.IntegerField(min_value=0, max_value=100)
    max_monthly_cost = serializers.DecimalField(max_digits=18, decimal_places=6, min_value=0)
    sample_percent = serializers.IntegerField(min_value=0, max_value=100)
    allows_first = serializers.BooleanField(required=False, default=False)

    def terms(self) -> Terms:
        """Return the body as terms."""
        names = ("max_risk", "max_monthly_cost", "sample_percent", "allows_first")
        return Terms(currency=settings.CURRENCY, **{name: self.validated_data[name] for name in names})


class NewPolicySerializer(PolicyTermsSerializer):
    """The terms of the next version, and why."""

    reason = serializers.CharField(max_length=2_000)


class TriedSerializer(serializers.Serializer):
    """What terms would have done with the reviews that people decided in the last ninety days."""

    decided = serializers.IntegerField(help_text="Reviews that can be judged by such terms.")
    automatic = serializers.IntegerField(help_text="Of these, approved by itself.")
    people_refused = serializers.IntegerField(help_text="Of these, decided otherwise by people.")
    unknown = serializers.IntegerField(help_text="Reviews from before the facts were kept.")


class PolicyViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet):
    """Versions of the policy, for operators who keep it and approvers who work beside it."""

    serializer_class = PolicySerializer
    lookup_field = "number"
    filter_backends = ()
    queryset = AutoApprovalPolicy.objects.none()

    def get_queryset(self) -> QuerySet[AutoApprovalPolicy]:
        if getattr(self, "swagger_fake_view", False):
            return AutoApprovalPolicy.objects.none()
        return auto_approvals.visible(actor_of(self.request)).order_by("-number")

    def get_object(self) -> AutoApprovalPolicy:
        number = str(self.kwargs["number"])
        return access.get(self.get_queryset(), number=int(number) if number.isdecimal() else 0)

    @extend_schema(request=NewPolicySerializer, responses={201: PolicySerializer})
    def create(self, request: Request) -> Response:
        """Propose the next version; a second person activates it."""
        body = NewPolicySerializer(data=request.data)
        body.is_valid(raise_exception=True)
        reason = body.validated_data["reason"]
        made = auto_approvals.propose(body.terms(), reason=reason, by=self._keeper(), at=timezone.now())
        return Response(PolicySerializer(made).data, status=201)

    @extend_schema(request=PolicyTermsSerializer, responses=TriedSerializer, filters=False)
    @action(detail=False, methods=["post"], url_path="try", pagination_class=None)
    def try_terms(self, request: Request) -> Response:
        """Try terms on what people decided in the last ninety days; nothing is changed."""
        self._keeper()
        body = PolicyTermsSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        now = timezone.now()
        tried = auto_approvals.rehearse(body.terms(), from_at=now - timedelta(days=TRIED_DAYS), to_at=now)
        shown = {
            "decided": len(tried.rehearsed),
            "automatic": tried.automatic,
            "people_refused": tried.against_people,
            "unknown": tried.unknown,
        }
        return Response(TriedSerializer(shown).data)

    @extend_schema(request=DecisionNoteSerializer, responses=PolicySerializer)
    @action(detail=True, methods=["post"])
    def activate(self, request: Request, number: str) -> Response:
        """Let a proposed version hold from now on, as a second person; the one before ends."""
        return self._decided(request, auto_approvals.activate)

    @extend_schema(request=DecisionNoteSerializer, responses=PolicySerializer)
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, number: str) -> Response:
        """Refuse a proposed version, with a reason."""
        return self._decided(request, auto_approvals.reject)

    @extend_schema(request=None, responses=PolicySerializer)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, number: str) -> Response:
        """Take your own proposal back."""
        auto_approvals.withdraw(self.get_object(), by=actor_of(request), at=timezone.now())
        return Response(PolicySerializer(self.get_object()).data)

    @extend_schema(request=ReasonSerializer, responses={204: None})
    @action(detail=False, methods=["post"], url_path="switch-off")
    def switch_off(self, request: Request) -> Response:
        """Approve nothing by itself any more; one person is enough, with a reason."""
        by = self._keeper()
        body = ReasonSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        auto_approvals.switch_off(by=by, at=timezone.now(), reason=body.validated_data["reason"])
        return Response(status=204)

    def _decided(self, request: Request, act: Any) -> Response:
        body = DecisionNoteSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        policy, note = self.get_object(), body.validated_data["note"]
        act(policy, by=actor_of(request), at=timezone.now(), note=note)
        return Response(PolicySerializer(self.get_object()).data)

    def _keeper(self) -> Actor:
        """Return the person when this is for them: whoever may not read policies is told nothing of their bodies."""
        actor = actor_of(self.request)
        access.require_platform(actor, *auto_approvals.PROPOSERS)
        return actor


ROUTES = [("auto-approval-policies", PolicyViewSet, "auto-approval-policy")]
