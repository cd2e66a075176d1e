import pytest
from django.http import QueryDict

from marketplace.catalog.forms.filters import address_of, filters_of
from marketplace.catalog.searching import Filters


class TestFiltersOf:
    def test_reads_every_filter_of_an_address(self) -> None:
        query = QueryDict(
            "q=mail&category=writing&category=data&price=free&kind=http&slo=1&cost=0&rating=4&verified=yes"
            "&team=demo/team-ux&sort=rating"
        )

        assert filters_of(query) == Filters(
            "mail",
            {
                "category": ("writing", "data"),
                "price": ("free",),
                "kind": ("http",),
                "slo": ("1",),
                "cost": ("0",),
                "rating": ("4",),
                "verified": ("yes",),
                "team": ("demo/team-ux",),
            },
            "rating",
        )

    @pytest.mark.parametrize(
        "address",
        ["price=gold&sort=weight", "q=%20", "q=%00", "page=9", "category=%00", "rating=6&verified=no"],
    )
    def test_leaves_out_what_it_does_not_understand(self, address: str) -> None:
        read = filters_of(QueryDict(address))

        assert read == Filters()

    def test_cuts_words_that_are_too_long(self) -> None:
        assert len(filters_of(QueryDict("q=" + "x" * 5000)).text) == 200


class TestAddressOf:
    WISH = Filters.of("a & b", category=["writing"], price=["free", "per_use"], sort="name")

    def test_says_everything_that_was_asked_for(self) -> None:
        address = address_of(self.WISH)

        assert address == "?q=a+%26+b&category=writing&price=free&price=per_use&sort=name"
        assert filters_of(QueryDict(address[1:])) == self.WISH

    def test_leaves_out_what_was_not(self) -> None:
        assert address_of(self.WISH.without("price").without("text")) == "?category=writing&sort=name"
        assert address_of(Filters()) == ""
