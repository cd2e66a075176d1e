"""Two who make the same check again at once, and checks that end at once."""

from threading import Barrier, Thread

import pytest
from django.db import connection

from marketplace.accounts.models import User
from marketplace.catalog import check_runs
from marketplace.catalog.models import Review, Version
from marketplace.catalog.scans.findings import Report
from marketplace.core.errors import Conflict
from tests.catalog.making import GOOD_CALLS, judge_margin, make_draft, make_review
from tests.conftest import Cast
from tests.factories import NOW

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.race]


def at_once(*acts: object) -> list[str]:
    """Run functions in threads of their own that begin together; returns how each ended."""
    barrier, ends = Barrier(len(acts)), []

    def act(one: object) -> None:
        barrier.wait()
        try:
            one()  # type: ignore[operator]
            ends.append("done")
        except Conflict as error:
            ends.append(error.code)
        finally:
            connection.close()

    threads = [Thread(target=act, args=(one,)) for one in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(ends)


def test_the_same_check_runs_once(cast: Cast) -> None:
    version = make_review(cast).version

    def again(by: User) -> None:
        check_runs.run_again(Version.objects.get(pk=version.pk), name="secrets", by=by, at=NOW)

    ends = at_once(*[lambda by=by: again(by) for by in (cast.creator, cast.approver, cast.creator)])

    assert ends == ["check_under_way", "check_under_way", "done"]
    assert version.check_runs.filter(name="secrets", state="queued").count() == 1


def test_checks_that_end_at_once_open_one_review(cast: Cast) -> None:
    from marketplace.catalog import checks, submissions  # noqa: PLC0415

    smoke = submissions.submit(make_draft(cast), by=cast.creator, at=NOW)
    runs = [
        check_runs.start(one.pk, at=NOW) for one in smoke.version.check_runs.exclude(name="sustainability")
    ]
    checks.start(smoke.pk, at=NOW)

    ends = at_once(
        *[lambda run=run: check_runs.finish(run, Report(), at=NOW) for run in runs],
        lambda: checks.finish(smoke, GOOD_CALLS, at=NOW),
    )

    judge_margin(smoke.version, at=NOW)
    assert ends == ["done"] * 4
    assert Review.objects.filter(version=smoke.version).count() == 1
