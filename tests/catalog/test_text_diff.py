from hypothesis import given
from hypothesis import strategies as st

from marketplace.catalog import text_diff
from marketplace.catalog.text_diff import Part


class TestDiff:
    def test_compares_words(self) -> None:
        assert text_diff.diff("Answer in two words.", "Answer in three words!") == [
            Part("same", "Answer in "),
            Part("removed", "two"),
            Part("added", "three"),
            Part("same", " words"),
            Part("removed", "."),
            Part("added", "!"),
        ]

    def test_leaves_out_what_is_far_from_a_change(self) -> None:
        words = " ".join(str(number) for number in range(100))

        parts = text_diff.diff(f"{words} old", f"{words} new")

        assert [part.kind for part in parts] == ["left_out", "same", "removed", "added"]
        # Twelve tokens: six words and the blanks after them.
        assert parts[1].text == "94 95 96 97 98 99 "

    def test_compares_lines_of_what_is_long(self) -> None:
        old = "".join(f"line {number} of a long text\n" for number in range(400))

        parts = text_diff.diff(old, old.replace("line 7 of", "row 7 of"))

        assert Part("removed", "line 7 of a long text\n") in parts
        assert Part("added", "row 7 of a long text\n") in parts

    def test_takes_what_has_little_in_common_for_another_text(self) -> None:
        assert text_diff.diff("Rewrite the message so that it is polite.", "Sum up in one line") == [
            Part("removed", "Rewrite the message so that it is polite."),
            Part("added", "Sum up in one line"),
        ]

    @given(st.text(max_size=200), st.text(max_size=200))
    def test_loses_nothing_of_either_text(self, old: str, new: str) -> None:
        parts = text_diff.diff(old, new)

        assert "".join(part.text for part in parts if part.kind != "added") == old
        assert "".join(part.text for part in parts if part.kind != "removed") == new
