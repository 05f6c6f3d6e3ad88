"""The number of pixels of an image by its header: a few kilobytes may declare gigabytes.

PNG (RFC 2083), JPEG (ITU T.81), WebP (RFC 9649), BMP, TGA 2.0, TIFF 6.0, Radiance HDR, OpenEXR, DDS.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import IO

from ..errors import MeshUnusable
from ..limits import Limits
from .kinds import RAISE

HEAD_BYTES = 1 << 20
"""A JPEG may have its metadata in front of its size."""
_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_HDR_SIZE = re.compile(rb"\n[-+][YX] +(\d{1,9}) +[-+][YX] +(\d{1,9})\n")
_EXR_WINDOW = b"dataWindow\0box2i\0\x10\0\0\0"


class Pixels:
    """Counts the pixels of a file's images against its limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._all = 0

    def add(self, file: IO[bytes], name: str = "") -> bool:
        """Take in an image from where the file stands; False where its kind is unknown. Raises MeshUnusable."""
        size = image_size(file, name)
        if size is None:
            return False
        self._all += size[0] * size[1]
        if size[0] * size[1] > self._limits.image_pixels or self._all > self._limits.all_pixels:
            raise MeshUnusable(f"The mesh file holds an image of {size[0]} × {size[1]} pixels.", RAISE)
        return True


def image_size(file: IO[bytes], name: str = "") -> tuple[int, int] | None:
    """Return width and height that an image declares, from where ``file`` stands; None where it is of no known kind.

    TGA has no mark at its front, and is told by its ``name``.
    """
    start = file.tell()
    head = file.read(HEAD_BYTES)
    try:
        if head.startswith((b"II", b"MM")):
            return _tiff(head, file, start)
        for mark, read in _READERS.items():
            if head.startswith(mark):
                return read(head)
        if name.lower().endswith(".tga"):
            return struct.unpack_from("<HH", head, 12)
    except (struct.error, IndexError, ValueError):
        return None
    return None


def _png(head: bytes) -> tuple[int, int] | None:
    width, height = struct.unpack_from(">II", head, 16)
    return (width, height) if head[12:16] == b"IHDR" else None


def _jpeg(head: bytes) -> tuple[int, int] | None:
    at = 2
    while head[at] == 0xFF:
        if head[at + 1] in _JPEG_SIZES:
            height, width = struct.unpack_from(">HH", head, at + 5)
            return width, height
        at += 1 if head[at + 1] == 0xFF else 2 + struct.unpack_from(">H", head, at + 2)[0]
    return None


def _webp(head: bytes) -> tuple[int, int] | None:
    kind = head[12:16]
    if head[8:12] != b"WEBP":
        return None
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", head, 21)[0]
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", head, 26)
    return width & 0x3FFF, height & 0x3FFF


def _bmp(head: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<ii", head, 18)
    return abs(width), abs(height)


def _tiff(head: bytes, file: IO[bytes], start: int) -> tuple[int, int] | None:
    """The first directory's; it lies behind the pixels as a rule."""
    order = "<" if head[:2] == b"II" else ">"
    version, place = struct.unpack_from(order + "HI", head, 2)
    if version != 42:
        return None
    file.seek(start + place)
    (count,) = struct.unpack(order + "H", file.read(2))
    values = {}
    for tag, kind, _, value in struct.iter_unpack(order + "HHI4s", file.read(12 * count)):
        values[tag] = struct.unpack_from(order + ("H" if kind == 3 else "I"), value)[0]
    return (values[256], values[257]) if {256, 257} <= values.keys() else None


def _hdr(head: bytes) -> tuple[int, int] | None:
    found = _HDR_SIZE.search(head)
    return (int(found[2]), int(found[1])) if found else None


def _exr(head: bytes) -> tuple[int, int] | None:
    left, bottom, right, top = struct.unpack_from("<4i", head, head.index(_EXR_WINDOW) + len(_EXR_WINDOW))
    return max(right - left + 1, 0), max(top - bottom + 1, 0)


def _dds(head: bytes) -> tuple[int, int]:
    height, width = struct.unpack_from("<II", head, 12)
    return width, height


_READERS: dict[bytes, Callable[[bytes], tuple[int, int] | None]] = {
    b"\x89PNG\r\n\x1a\n": _png,
    b"\xff\xd8": _jpeg,
    b"RIFF": _webp,
    b"BM": _bmp,
    b"#?": _hdr,
    b"\x76\x2f\x31\x01": _exr,
    b"DDS ": _dds,
}
