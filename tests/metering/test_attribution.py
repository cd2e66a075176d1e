import pytest

from metering import attribution
from metering.attribution import Dimensions


class TestResolve:
    def test_knows_all_that_were_asked_for_when_its_memory_is_full(
        self, who: Dimensions, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(attribution, "MOST_REMEMBERED", 0)
        other = who._replace(feature="other")
        first = attribution.resolve([who])

        both = attribution.resolve([who, other])

        assert both[who] == first[who] != both[other]
