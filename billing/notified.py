"""Who is told about bills: the finance of the organization that pays, or who owns the cost center."""

from django.db.models import Q, QuerySet

from billing.models import Invoice
from marketplace.accounts.models import Membership, User


def payers_people(invoice: Invoice) -> QuerySet[User]:
    """Find whom an invoice concerns on the payer's side."""
    finance = Q(memberships__organization=invoice.organization_id, memberships__role=Membership.Role.FINANCE)
    owner = Q(owned_cost_centers=invoice.cost_center_id) if invoice.cost_center_id else Q()
    return User.objects.filter(finance | owner, is_active=True).distinct()
