"""How many tokens an image may cost at most, whichever provider looks at it. Pure; nothing is fetched.

Providers count tiles or pixels. An image whose size can be read from its first bytes counts as the dearer of the two
common rules: 85 tokens and 170 for each tile of 512 by 512 after it was fitted into 2048 by 2048 with the shorter side at
most 768; or a token for 750 pixels after the longer side was brought to 1568. Of others the most is assumed. One that is
to be looked at in low detail counts 85.
"""

import base64
import binascii
from collections.abc import Mapping
from math import ceil
from struct import unpack
from typing import Any

LOW = 85
TILE = 170
MOST = 1_640
HEAD_CHARACTERS = 65_536


def most_tokens(part: Mapping[str, Any]) -> int:
    """Count a part of the type image_url."""
    image = part.get("image_url")
    url, detail = (image.get("url"), image.get("detail")) if isinstance(image, Mapping) else (image, None)
    if detail == "low":
        return LOW
    size = _size_of(url) if isinstance(url, str) else None
    return MOST if size is None else _tokens_of(*size)


def _tokens_of(width: int, height: int) -> int:
    return min(MOST, max(_by_tiles(width, height), _by_pixels(width, height), LOW))


def _by_tiles(width: int, height: int) -> int:
    scale = min(1.0, 2_048 / max(width, height))
    scale *= min(1.0, 768 / (min(width, height) * scale))
    return LOW + TILE * ceil(width * scale / 512) * ceil(height * scale / 512)


def _by_pixels(width: int, height: int) -> int:
    scale = min(1.0, 1_568 / max(width, height))
    return ceil(width * scale * height * scale / 750)


def _size_of(url: str) -> tuple[int, int] | None:
    """Read the size of an image in a data URL; None when it is elsewhere, or of a kind that is not known."""
    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        return None
    try:
        start = base64.b64decode(data[:HEAD_CHARACTERS], validate=True)
    except binascii.Error:
        return None
    size = _png(start) or _gif(start) or _jpeg(start) or _webp(start)
    return size if size and all(size) else None


def _png(data: bytes) -> tuple[int, int] | None:
    if data[:8] != b"\x89PNG\r\n\x1a\n" or len(data) < 24:
        return None
    width, height = unpack(">II", data[16:24])
    return width, height


def _gif(data: bytes) -> tuple[int, int] | None:
    if data[:6] not in (b"GIF87a", b"GIF89a") or len(data) < 10:
        return None
    width, height = unpack("<HH", data[6:10])
    return width, height


def _webp(data: bytes) -> tuple[int, int] | None:
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return None
    if data[12:16] == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + ((bits >> 14) & 0x3FFF)
    width, height = unpack("<HH", data[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _jpeg(data: bytes) -> tuple[int, int] | None:
    """Walk the segments to the one that has the size; it may lie behind a large preview, and is then not found."""
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 + length
    return None
