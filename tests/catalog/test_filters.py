import pytest
from django.http import QueryDict

from marketplace.catalog.forms.filters import address_without, filters_of
from marketplace.catalog.queries import Filters


class TestFiltersOf:
    def test_reads_every_filter_of_an_address(self) -> None:
        query = QueryDict("q=mail&category=writing&category=data&price=free&team=demo/team-ux&sort=name")

        assert filters_of(query) == Filters("mail", ("writing", "data"), ("free",), ("demo/team-ux",), "name")

    @pytest.mark.parametrize(
        "address", ["price=gold&sort=weight", "q=%20", "q=%00", "page=9", "category=%00"]
    )
    def test_leaves_out_what_it_does_not_understand(self, address: str) -> None:
        read = filters_of(QueryDict(address))

        assert (read.text, read.price, read.sort) == ("", (), "")

    def test_cuts_words_that_are_too_long(self) -> None:
        assert len(filters_of(QueryDict("q=" + "x" * 5000)).text) == 200


class TestAddressWithout:
    WISH = Filters("a & b", ("writing",), ("free", "per_use"), (), "name")

    def test_keeps_everything_else(self) -> None:
        assert address_without(self.WISH, "price") == "?q=a+%26+b&category=writing&sort=name"
        assert address_without(self.WISH, "text") == "?category=writing&price=free&price=per_use&sort=name"
