"""Scanners are heavy and meet strangers' files: no process of ours that serves pages or does jobs imports them.

The SDK of the Model Context Protocol takes a second: processes that are never asked for it do without.
"""

import os
import subprocess
import sys

from tests.architecture.sources import ROOT

HEAVY = ("bandit", "detect_secrets", "picklescan", "yara_x", "nh3", "stevedore", "semgrep", "mcp")
SCRIPT = f"""
import sys
import django
django.setup()
from marketplace.config import urls
from marketplace.config.celery import app
from marketplace.gateway import application
app.loader.import_default_modules()
print([name for name in {HEAVY!r} if name in sys.modules])
"""


def test_nothing_heavy_is_imported_by_web_or_worker() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "marketplace.config.settings"},
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip

    assert done.stdout.strip() == "[]", done.stderr
