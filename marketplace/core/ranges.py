"""Stretches of time as the database compares them."""

from django.contrib.postgres.fields import DateRangeField, DateTimeRangeField
from django.db.models import Func


class DateTimeRange(Func):
    """The half-open range [starts_at, ends_at) in PostgreSQL."""

    function = "tstzrange"
    output_field = DateTimeRangeField()


class DateRange(Func):
    """The half-open range [starts_on, ends_on) of days in PostgreSQL."""

    function = "daterange"
    output_field = DateRangeField()
