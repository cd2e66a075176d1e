"""What the management API can be asked for besides JSON."""

import json
from collections.abc import Mapping
from typing import Any

from rest_framework.renderers import BaseRenderer


class FileRenderer(BaseRenderer):
    """Lets ``?format=`` and ``Accept:`` ask for a file, which the view writes; errors stay problems."""

    charset = "utf-8"

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return json.dumps(data).encode()


class CSVRenderer(FileRenderer):
    """A table for machines."""

    media_type = "text/csv"
    format = "csv"


class XLSXRenderer(FileRenderer):
    """A workbook for people."""

    media_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    format = "xlsx"
