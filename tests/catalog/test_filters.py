import pytest
from django.http import QueryDict

from marketplace.catalog.forms.filters import address_of, filters_of
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


class TestAddressOf:
    WISH = Filters("a & b", ("writing",), ("free", "per_use"), (), "name")

    def test_says_everything_that_was_asked_for(self) -> None:
        address = address_of(self.WISH)

        assert address == "?q=a+%26+b&category=writing&price=free&price=per_use&sort=name"
        assert filters_of(QueryDict(address[1:])) == self.WISH

    def test_leaves_out_what_was_not(self) -> None:
        assert address_of(self.WISH.without("price").without("text")) == "?category=writing&sort=name"
        assert address_of(Filters()) == ""
