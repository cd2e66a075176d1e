"""The calls of a smoke test, one by one: what each was made with, what came back, what it cost."""

from django.db import models
from django.db.models import Q
from pgtrigger import Condition, Protect, Update

from marketplace.core.ids import uuid7


class SmokeTestCall(models.Model):
    """One call of a smoke test. Written before it is sent; its id is that of its hold and of its usage event.

    So whoever takes the test over from a worker that died can tell what became of it, and sends nothing twice.
    """

    class State(models.TextChoices):
        BEGUN = "begun"
        ANSWERED = "answered"
        FAILED = "failed"
        LOST = "lost"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    run = models.ForeignKey("catalog.SmokeRun", models.CASCADE, related_name="calls")
    number = models.PositiveSmallIntegerField(help_text="In the order in which they were begun, from 1.")
    example = models.PositiveSmallIntegerField(
        null=True, help_text="Which of the maker's examples it was made with; none: the example input."
    )
    state = models.CharField(max_length=8, choices=State, default=State.BEGUN)
    cost = models.DecimalField(max_digits=38, decimal_places=18, null=True)
    model = models.CharField(max_length=120, blank=True)
    input_tokens = models.PositiveIntegerField(default=0)
    cached_input_tokens = models.PositiveIntegerField(default=0)
    cache_write_tokens = models.PositiveIntegerField(default=0)
    output_tokens = models.PositiveIntegerField(default=0)
    reasoning_tokens = models.PositiveIntegerField(default=0)
    latency_ms = models.PositiveIntegerField(null=True)
    output = models.TextField(null=True, help_text="None when nobody kept it: its worker died.")
    error = models.TextField(blank=True, help_text="Why it failed, or was lost.")
    is_provider_away = models.BooleanField(default=False, help_text="It failed through no fault of the app.")
    begun_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "number"], name="smoke_call_number_once"),
            models.CheckConstraint(
                condition=Q(state__in=["begun", "answered"]) | ~Q(error=""), name="smoke_call_says_why"
            ),
            models.CheckConstraint(
                condition=~Q(state="answered") | Q(cost__isnull=False), name="smoke_call_answer_has_cost"
            ),
        ]
        triggers = [
            Protect(
                name="smoke_call_ended_stays", operation=Update, condition=Condition("OLD.state <> 'begun'")
            ),
        ]

    def __str__(self) -> str:
        return f"call {self.number} of {self.run}"
