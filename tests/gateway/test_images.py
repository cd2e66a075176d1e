"""What an image may cost at most."""

import base64
from struct import pack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.gateway.images import LOW, MOST, most_tokens


def part(data: bytes, **more: Any) -> dict[str, Any]:
    url = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return {"type": "image_url", "image_url": {"url": url, **more}}


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + pack(">I", 13) + b"IHDR" + pack(">II", width, height) + b"\x08\x02"


JPEG = b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc0\x00\x11\x08" + pack(">HH", 512, 1024)
GIF = b"GIF89a" + pack("<HH", 1024, 512)
WEBP = (
    b"RIFF....WEBPVP8X"
    + b"\x0a\x00\x00\x00"
    + bytes(4)
    + (1023).to_bytes(3, "little")
    + (511).to_bytes(3, "little")
)


class TestMostTokens:
    # 1024 by 512: two tiles, 85 + 2 x 170 = 425; by pixels 524,288 / 750 = 700.
    @pytest.mark.parametrize("data", [png(1024, 512), JPEG, GIF, WEBP], ids=["png", "jpeg", "gif", "webp"])
    def test_are_read_off_the_size(self, data: bytes) -> None:
        assert most_tokens(part(data)) == 700

    def test_of_a_small_one_are_one_tile(self) -> None:
        assert most_tokens(part(png(100, 100))) == 255

    def test_of_a_tall_one_are_counted_after_it_was_fitted(self) -> None:
        # 500 by 4096 becomes 250 by 2048: four tiles, 85 + 4 x 170. By pixels 192 by 1568 are fewer.
        assert most_tokens(part(png(500, 4096))) == 765

    def test_in_low_detail_are_few_and_always_the_same(self) -> None:
        assert most_tokens(part(png(4000, 4000), detail="low")) == LOW == 85

    @pytest.mark.parametrize(
        "url", ["https://a.example/b.png", "data:image/png;base64,!!", "data:image/tiff;base64,AAAA", 7]
    )
    def test_of_what_cannot_be_read_are_the_most(self, url: Any) -> None:
        assert most_tokens({"type": "image_url", "image_url": {"url": url}}) == MOST

    @given(st.integers(1, 20_000), st.integers(1, 20_000))
    def test_never_are_more_than_the_most(self, width: int, height: int) -> None:
        assert LOW <= most_tokens(part(png(width, height))) <= MOST

    @given(st.binary(max_size=60))
    def test_of_any_bytes_are_counted(self, data: bytes) -> None:
        assert LOW <= most_tokens(part(data)) <= MOST
