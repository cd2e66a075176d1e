"""How the checks of a version stand: the newest of each name, without what is waived."""

from collections.abc import Collection, Iterable
from datetime import datetime

from django.db.models import Q, QuerySet

from marketplace.catalog.check_models import CheckRun, CheckWaiver
from marketplace.catalog.models import SmokeRun, Version
from marketplace.catalog.scans.findings import FAILED, effective_state

NOT_PASSED = frozenset({"queued", "running", "failed", "could_not_check"})


def newest_runs(version: Version) -> list[CheckRun]:
    """Return the newest run of each check, with its findings, in the order of the names (two queries)."""
    return newest_runs_of([version]).get(version.pk, [])


def newest_runs_of(versions: Iterable[Version]) -> dict[int, list[CheckRun]]:
    """Return the newest runs of several versions, by version (two queries)."""
    newest = (
        CheckRun.objects.filter(version__in=[version.pk for version in versions])
        .order_by("version", "name", "-created_at", "-pk")
        .distinct("version", "name")
        .prefetch_related("findings")
        .select_related("requested_by", "seen_by")
    )
    found: dict[int, dict[str, CheckRun]] = {}
    for run in newest:
        found.setdefault(run.version_id, {})[run.name] = run
    return {
        version_id: [by_name[name] for name in CheckRun.Name.values if name in by_name]
        for version_id, by_name in found.items()
    }


def waived_prints(version: Version, *, at: datetime) -> frozenset[str]:
    """Return the fingerprints that a second person accepted for this app and that still count."""
    return frozenset(waivers_in_force(at).filter(app=version.app_id).values_list("fingerprint", flat=True))


def waivers_in_force(at: datetime) -> QuerySet[CheckWaiver]:
    """Return approved waivers that have not ended; an ended one counts no more, whether a routine saw it or not."""
    return CheckWaiver.objects.filter(Q(state=CheckWaiver.State.APPROVED), ends_at__gt=at)


def state_now(run: CheckRun, waived: Collection[str]) -> str:
    """Return the state of a run without what is waived; it comes with its findings."""
    found = [(one.fingerprint, one.severity) for one in run.findings.all()]
    return effective_state(run.state, found, waived=waived)


def states(version: Version, *, at: datetime) -> dict[str, str]:
    """Return the state of each check that the version has, its calls included as ``calls``."""
    calls = newest_smoke_run(version)
    return scan_states(version, at=at) | ({"calls": calls.state} if calls else {})


def scan_states(version: Version, *, at: datetime) -> dict[str, str]:
    """Return the state of each check besides the calls (three queries)."""
    waived = waived_prints(version, at=at)
    return {run.name: state_now(run, waived) for run in newest_runs(version)}


def newest_smoke_run(version: Version) -> SmokeRun | None:
    return version.smoke_runs.order_by("-created_at", "-pk").first()


def blocking(version: Version, *, at: datetime) -> list[str]:
    """Return the titles of the checks that keep a version from being listed now."""
    titles = dict(CheckRun.Name.choices) | {"calls": "Calls and cost"}
    return [titles[name] for name, state in states(version, at=at).items() if state in NOT_PASSED]


def overall(found: Iterable[str]) -> str:
    """Sum up ended states: a failure sends back whatever else; then what could not be checked; then a warning."""
    present = set(found)
    return next((one for one in (FAILED, "could_not_check", "warned") if one in present), "passed")
