"""Several workers at the outbox of notices, and several routines that make digests."""

from datetime import UTC, datetime

import pytest

from marketplace.accounts import mail_choices
from marketplace.core.models import Notice, NoticeDelivery
from marketplace.core.notice_kinds import Kind
from marketplace.core.notices import notify
from marketplace.gateway.outbox import delivering, digests
from tests.conftest import Cast
from tests.factories import NOW
from tests.races.test_prices import at_once

pytestmark = [pytest.mark.race, pytest.mark.django_db(transaction=True)]


class TestClaim:
    def test_gives_each_delivery_to_one_worker(self, cast: Cast) -> None:
        for number in range(24):
            notify([cast.creator], text="x", at=NOW, key=str(number), kind=Kind.LIMITS)

        done, errors = at_once([lambda: delivering.claim(at=NOW, limit=10) for _ in range(4)])

        assert errors == []
        claimed = [one.pk for each in done for one in each]
        assert len(claimed) == len(set(claimed)) == 24
        assert set(NoticeDelivery.objects.values_list("attempts", flat=True)) == {1}


class TestCollect:
    def test_makes_one_digest_of_each_notice(self, cast: Cast) -> None:
        people = [cast.creator, cast.consumer, cast.finance]
        for person in people:
            mail_choices.choose(person, cadences={"limits": "daily"}, at=NOW, by=person)
        notify(people, text="x", at=NOW, key="a", kind=Kind.LIMITS)
        at = datetime(2026, 11, 16, 8, tzinfo=UTC)

        done, errors = at_once([lambda: digests.collect(at=at) for _ in range(4)])

        assert errors == []
        assert sum(done) == NoticeDelivery.objects.count() == 3
        assert not Notice.objects.filter(delivery=None).exists()


class TestNotify:
    def test_tells_once_when_two_tell_the_same(self, cast: Cast) -> None:
        def tell() -> None:
            notify([cast.creator], text="x", at=NOW, key="a", kind=Kind.LIMITS)

        _, errors = at_once([tell for _ in range(4)])

        assert errors == []
        notice = Notice.objects.get()
        assert NoticeDelivery.objects.filter(notices=notice).count() == 1
