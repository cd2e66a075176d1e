"""What uploads are read into."""

import pytest

from marketplace.catalog import document_texts
from marketplace.core.errors import InvalidInput

PAGE = b"""<!doctype html><html><head><title>Rules</title><style>p { color: red }</style>
<script>alert("no")</script></head><body><nav><a href="/">Home</a></nav>
<h1>Travel</h1><p>Trains come
first.<br>Flights &amp; ferries need approval.</p>
<ul><li>Hotels: 140 euro</li><li>Meals: 30 euro</li></ul>
<table><tr><th>Class</th><td>Economy</td></tr></table><p onclick="x()">The end.</p></body></html>"""


class TestRead:
    def test_leaves_of_html_its_words_with_headings_and_lists(self) -> None:
        kind, text = document_texts.read(PAGE, file_name="rules.HTML")

        assert kind == "html"
        assert text == (
            "Rules\n\n# Travel\n\nTrains come first.\nFlights & ferries need approval.\n\n"
            "- Hotels: 140 euro\n\n- Meals: 30 euro\n\n| Class | Economy\n\nThe end."
        )

    def test_takes_text_as_it_is(self) -> None:
        assert document_texts.read(b"\xef\xbb\xbfOne\r\ntwo\n", file_name="a.txt") == ("text", "One\ntwo")

    @pytest.mark.parametrize(
        ("data", "name", "code"),
        [
            (b"%PDF-1.7 ...", "handbook.pdf", "unsupported_kind"),
            (b"%PDF-1.7 ...", "handbook.txt", "unsupported_kind"),
            (b"PK\x03\x04...", "handbook.docx", "unsupported_kind"),
            (b"words", "no-ending", "unsupported_kind"),
            (b"caf\xe9", "latin.txt", "wrong_encoding"),
            (b" \n\n", "empty.md", "required"),
            (b"<script>x</script>", "empty.html", "required"),
            (b"a" * 400_001, "long.txt", "too_large"),
            (b"a" * (2 * 1024 * 1024 + 1), "longer.txt", "too_large"),
        ],
    )
    def test_says_what_it_does_not_read(self, data: bytes, name: str, code: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            document_texts.read(data, file_name=name)

        assert caught.value.code == code

    def test_says_what_would_be_read_instead_of_a_pdf(self) -> None:
        with pytest.raises(InvalidInput, match=r"\.txt.*\.md.*\.html"):
            document_texts.read(b"%PDF-1.7", file_name="handbook.pdf")


class TestNameOf:
    @pytest.mark.parametrize(
        ("given", "name"), [("C:\\docs\\a b.md", "a b.md"), ("../../x.txt", "x.txt"), ("\x00", "document")]
    )
    def test_is_that_of_the_file_alone(self, given: str, name: str) -> None:
        assert document_texts.name_of(given) == name
