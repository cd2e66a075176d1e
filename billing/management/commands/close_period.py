"""Close a month: `manage.py close_period 2026-10`. Running it again changes nothing."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from billing.close import close_period
from billing.house import house_terms
from billing.models import BillingPeriod
from billing.queries import issued_totals
from marketplace.accounts.models import User
from marketplace.core.errors import HalfpennyError
from marketplace.core.money import format_money


class Command(BaseCommand):
    help = "Close a month and make its invoices and statements; safe to run again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("period", help="the month, such as 2026-10")
        parser.add_argument(
            "--by", metavar="MAIL", help="mail address of the person who closes, for the audit"
        )

    def handle(self, *args: Any, period: str, by: str | None = None, **options: Any) -> None:
        person = User.objects.filter(email=by.lower()).first() if by else None
        if by and person is None:
            raise CommandError(f"There is nobody with the mail address {by}.")
        try:
            closed = close_period(period, at=timezone.now(), terms=house_terms(), by=person)
        except HalfpennyError as error:
            raise CommandError(error.message) from error
        self.stdout.write(self._said(closed.period, is_new=closed.is_new))
        for total in issued_totals(closed.period.name):
            words = f"{total.count} {total.kind}{'' if total.count == 1 else 's'}"
            self.stdout.write(f"  {words}: {format_money(total.total_minor, total.currency)}")

    def _said(self, period: BillingPeriod, *, is_new: bool) -> str:
        if is_new:
            return f"Closed {period.name}."
        return f"{period.name} was closed before, on {period.closed_at:%Y-%m-%d %H:%M} UTC; nothing changed."
