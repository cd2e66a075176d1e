import pytest

from marketplace.catalog import attachments
from marketplace.catalog.attachments import Upload
from marketplace.core.errors import InvalidInput

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 20


class TestKindOf:
    @pytest.mark.parametrize(
        ("data", "kind"),
        [
            (PNG, "image/png"),
            (b"\xff\xd8\xff\xe0", "image/jpeg"),
            (b"%PDF-1.7 \xe2", "application/pdf"),
            ("Größe\n".encode(), "text/plain"),
            # What a browser might run is text that is given back as text.
            (b"<svg onload=alert(1)>", "text/plain"),
            (b"MZ\x90\x00", None),
            (b"PK\x03\x04", None),
            (b"GIF89a\x00", None),
            (b"a\x00b", None),
        ],
    )
    def test_goes_by_the_bytes(self, data: bytes, kind: str | None) -> None:
        assert attachments.kind_of(data) == kind


class TestCheck:
    @pytest.mark.parametrize(
        ("uploads", "code"),
        [
            ([Upload("a.png", b"")], "invalid"),
            ([Upload("a.txt", b"a" * (2 * 1024 * 1024 + 1))], "too_large"),
            ([Upload("a.png", b"MZ\x90\x00")], "unknown_type"),
            ([Upload("a.txt", b"a")] * 4, "invalid"),
        ],
    )
    def test_refuses(self, uploads: list[Upload], code: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            attachments.check(uploads)

        assert (refused.value.field, refused.value.code) == ("attached", code)

    @pytest.mark.parametrize(
        ("name", "kept"),
        [
            ("../../etc/passwd", "passwd"),
            ('a"\r\nX: 1.png', "a___X_ 1.png"),
            ("C:\\shots\\one.png", "one.png"),
            ("...", "file"),
        ],
    )
    def test_makes_names_harmless(self, name: str, kept: str) -> None:
        assert attachments.check([Upload(name, PNG)])[0].name == kept
