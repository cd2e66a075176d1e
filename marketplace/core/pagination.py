"""Lists of the management API: cursor pages with ``next``, ``previous`` and ``results``."""

from rest_framework.pagination import CursorPagination


class TimeCursorPagination(CursorPagination):
    """Newest first by primary key; ids sort by time."""

    ordering = "-pk"
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 500
