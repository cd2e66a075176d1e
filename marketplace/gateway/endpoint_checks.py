"""The check of an HTTP app's endpoint: the same rules as at every call, asked before anybody calls."""

import hashlib
from collections.abc import Collection
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from marketplace.catalog import check_runs
from marketplace.catalog.scans.findings import Found, Report
from marketplace.core.models import Job
from marketplace.gateway import egress
from marketplace.gateway.egress import EndpointForbidden, EndpointInvalid

TOOL = "rules of egress"


def run(*, job: Job, check_run_id: str) -> dict[str, str]:
    """Look up where an endpoint leads now and hand the finding to the catalogue. Safe to run again.

    A name that cannot be looked up has not been checked.
    """
    try:
        check = check_runs.start(check_run_id, at=timezone.now())
    except check_runs.RunEnded as error:
        return {"state": error.run.state}
    try:
        report = look_at(check.version.endpoint_url, allowed=settings.EGRESS_ALLOW)
    except OSError as error:
        reason = f"The name of the endpoint could not be looked up: {error.strerror or error}."
        check_runs.could_not(check, reason, at=timezone.now())
    else:
        check_runs.finish(check, report, at=timezone.now(), rules_hash=rules_hash())
    return {"state": check.state}


def look_at(url: str, *, allowed: Collection[str]) -> Report:
    """Judge an endpoint as written and by every address that its name has. Raises OSError when it has none."""
    found: tuple[Found, ...] = ()
    try:
        egress.check_resolution(url, frozenset(entry.lower() for entry in allowed))
    except EndpointForbidden as error:
        found = (Found("endpoint.private", "high", "endpoint", error.message, error.host),)
    except EndpointInvalid as error:
        found = (Found("endpoint.invalid", "high", "endpoint", error.message, url),)
    return Report(found, TOOL, {"endpoint": url})


def rules_hash() -> str:
    """Return what tells apart two states of the rules of egress."""
    return hashlib.sha256(Path(egress.__file__).read_bytes()).hexdigest()
