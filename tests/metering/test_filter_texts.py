import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.filter_texts import join, split

values = st.text(min_size=1, max_size=12).map(str.strip).filter(bool)


class TestSplit:
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("where2eat", ("where2eat",)),
            ("where2eat, fx,,where2eat", ("where2eat", "fx")),
            (r"CC\,1,CC2", ("CC,1", "CC2")),
            (",", ()),
            ("a\\", ("a",)),
        ],
    )
    def test_reads_each_value_once(self, text: str, found: tuple[str, ...]) -> None:
        assert split(text) == found

    @given(st.lists(values, unique=True, max_size=5))
    def test_reads_what_was_joined(self, found: list[str]) -> None:
        assert split(join(found)) == tuple(found)
