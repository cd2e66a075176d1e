"""What the address of a usage page says: which days, grouped by what, which part of it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict

from marketplace.core.errors import InvalidInput
from marketplace.core.periods import parse_instant
from metering import filter_texts
from metering.dimensions import DIMENSIONS

Choices = Sequence[tuple[str, str]]
USUAL_DAYS = 30
PRESETS = (7, 30, 90)
MOST_DAYS = 3_600
FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2999, 12, 31)
STEPS = ((2, "hour"), (45, "day"), (200, "week"))
MEASURES = {"cost": "Spend", "requests": "Calls", "tokens": "Tokens"}
COMPARED = {"": "Nothing", "previous": "The period before", "year_before": "A year before"}
GROUPS = {"": "Nothing", **{one.name: one.title for one in DIMENSIONS.values()}}
# Filters with a list to choose from; the others are set by following a number, and taken off by their chip.
CHOSEN = ("app", "team", "cost_center", "environment", "model")


def _text(**options: Any) -> forms.CharField:
    return forms.CharField(required=False, max_length=400, **options)


class UsageForm(forms.Form):
    """The controls of the usage page. Days include the first and the last; a filter may hold several values."""

    days = forms.TypedChoiceField(
        required=False,
        coerce=int,
        empty_value="0",
        choices=[(n, n) for n in PRESETS],
        widget=forms.HiddenInput,
    )
    first = forms.DateField(
        required=False, label="From", widget=forms.DateInput({"type": "date"}, "%Y-%m-%d")
    )
    last = forms.DateField(
        required=False, label="To and with", widget=forms.DateInput({"type": "date"}, "%Y-%m-%d")
    )
    group_by = forms.ChoiceField(required=False, label="Group by", choices=list(GROUPS.items()))
    measure = forms.ChoiceField(required=False, label="Chart", choices=list(MEASURES.items()))
    compare = forms.ChoiceField(required=False, label="Compare with", choices=list(COMPARED.items()))
    app = _text()
    team = _text()
    cost_center = _text()
    environment = _text()
    model = _text()
    organization = _text()
    subscription = _text()
    plan = _text()
    key = _text()
    instance_type = _text()
    feature = _text()
    currency = forms.RegexField("^[A-Z]{3}$", required=False)

    def __init__(self, query: QueryDict, *, now: datetime, options: Mapping[str, Choices]) -> None:
        super().__init__(_with_defaults(query), auto_id="usage-%s")
        self.now = now
        self.today = now.astimezone(UTC).date()
        for name in (*DIMENSIONS, "currency"):
            field = self.fields[name]
            field.label = DIMENSIONS[name].title if name in DIMENSIONS else "Currency"
            if name in CHOSEN:
                field.widget = forms.Select(choices=[("", "All"), *self._choices(name, options)])
            else:
                field.widget = forms.HiddenInput()

    def _choices(self, name: str, options: Mapping[str, Choices]) -> list[tuple[str, str]]:
        """List the options, and what the address asks for even when there is no usage of it."""
        found = [(filter_texts.join([id_]), label) for id_, label in options.get(name, ())]
        asked = str(self.data.get(name, ""))
        if not asked or asked in dict(found):
            return found
        labels = dict(options.get(name, ()))
        return [*found, (asked, ", ".join(labels.get(one, one) for one in filter_texts.split(asked)))]

    def clean(self) -> dict[str, Any]:
        typed = super().clean() or {}
        first, last = typed.get("first"), typed.get("last") or self.today
        for name in ("first", "last"):
            if typed.get(name) and not FIRST_DAY <= typed[name] <= LAST_DAY:
                raise ValidationError({name: f"Choose a day from {FIRST_DAY} to {LAST_DAY}."})
        if first and not timedelta(0) <= last - first <= timedelta(days=MOST_DAYS):
            too_long = f"Choose at most {MOST_DAYS} days."
            raise ValidationError(
                {"last": too_long if last > first else "The last day is before the first one."}
            )
        return typed

    def choosers(self) -> list[forms.BoundField]:
        """List the filters that one chooses from a list."""
        return [self[name] for name in CHOSEN]

    @property
    def preset(self) -> int:
        """The number of days up to today, or 0 for days that were chosen; those with a mistake were chosen too."""
        if self.data.get("first") or self.data.get("last"):
            return 0
        return int(self.cleaned_data.get("days") or 0) or USUAL_DAYS

    @property
    def first_day(self) -> date:
        """The first of the days; one that is missing makes it the usual number of days."""
        first: date | None = self.cleaned_data["first"]
        return first or self.last_day - timedelta(days=(self.preset or USUAL_DAYS) - 1)

    @property
    def last_day(self) -> date:
        last: date | None = self.cleaned_data["last"]
        return last or self.today

    @property
    def granularity(self) -> str:
        """Steps that can be told apart in a chart: from hours for a day or two to months for more than half a year."""
        days = (self.last_day - self.first_day).days + 1
        return next((step for most, step in STEPS if days <= most), "month")

    @property
    def filters(self) -> dict[str, tuple[str, ...]]:
        values = {name: filter_texts.split(self.cleaned_data[name]) for name in (*DIMENSIONS, "currency")}
        return {name: of_filter for name, of_filter in values.items() if of_filter}

    @property
    def ends_at(self) -> datetime:
        """The end of the last day; of a day under way that is compared only what has passed, or it would seem a fall."""
        end = _midnight(self.last_day + timedelta(days=1))
        is_under_way = self.last_day == self.today and bool(self.cleaned_data.get("compare"))
        return min(end, _next_hour(self.now)) if is_under_way else end

    def asked(self) -> dict[str, Any]:
        """Return what ``queries.usage`` takes."""
        group = self.cleaned_data.get("group_by")
        return {
            "from_at": _midnight(self.first_day),
            "to_at": self.ends_at,
            "granularity": self.granularity,
            "group_by": [group] if group else [],
            "filters": self.filters,
            "compare": self.cleaned_data.get("compare", ""),
        }

    def asked_for_file(self) -> dict[str, Any]:
        """Return the same for files and the API, which know no weeks: they are not parts of months."""
        asked = self.asked()
        return asked | {"granularity": "day" if self.granularity == "week" else self.granularity}


def _with_defaults(query: QueryDict) -> dict[str, str]:
    """Read an address, also one that names instants (``from``, ``to`` excluded) as the API does."""
    typed = {name: str(value).replace("\0", "") for name, value in query.items()}
    for name in DIMENSIONS.keys() & query.keys():
        typed[name] = ",".join(query.getlist(name)).replace("\0", "")
    if "from" in typed and "to" in typed:
        try:
            first, end = parse_instant(typed["from"], field="from"), parse_instant(typed["to"], field="to")
        except InvalidInput:
            typed |= {"first": typed["from"], "last": typed["to"]}
        else:
            typed |= {"first": f"{first:%Y-%m-%d}", "last": f"{end - timedelta(microseconds=1):%Y-%m-%d}"}
    typed.setdefault("group_by", "app")
    typed["measure"] = typed.get("measure") or "cost"
    return typed


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)


def _next_hour(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
