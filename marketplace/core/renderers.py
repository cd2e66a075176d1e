"""What the management API can be asked for besides JSON."""

import json
from collections.abc import Mapping
from typing import Any

from rest_framework.renderers import BaseRenderer


class FileRenderer(BaseRenderer):
    """Lets a format be asked for, by ``?format=`` or ``Accept``; the view writes the file, errors stay problems."""

    charset = "utf-8"

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,
        renderer_context: Mapping[str, Any] | None = None,
    ) -> bytes:
        return json.dumps(data).encode()


class CSVRenderer(FileRenderer):
    """A table for machines, by ``?format=csv`` and ``Accept: text/csv``."""

    media_type = "text/csv"
    format = "csv"


class JSONLinesRenderer(FileRenderer):
    """A JSON object on each line, by ``?format=jsonl`` and ``Accept: application/x-ndjson``."""

    media_type = "application/x-ndjson"
    format = "jsonl"


class XLSXRenderer(FileRenderer):
    """A workbook for people, by ``?format=xlsx`` and its media type."""

    media_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    format = "xlsx"
