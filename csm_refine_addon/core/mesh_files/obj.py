"""Checks of OBJ and MTL: a mesh exists, its size is within limits, and no file name leads elsewhere."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ..errors import MeshUnusable
from ..limits import Limits
from . import kinds
from .kinds import AGAIN, RAISE, not_finite, too_many

NOR = "{} and no {}"
VERTEX, FACE = b"\nv ", b"\nf "
_PLAIN = bytes(10 if code == 13 else 32 if code < 32 and code != 10 else code for code in range(256))
"""As Blender's importer reads it: a carriage return ends a line, other control characters are spaces."""
_ODD_VERTEX = re.compile(rb"\nv [^\n]*?(?:nan|inf)", re.IGNORECASE)
_LIBRARY = re.compile(rb"\n *mtllib([ \\][^\n]*)")
_ELSEWHERE = re.compile(rb"(?:^|[\s\"'])[/\\]|(?:^|[\s\"'/\\])\.\.+(?:[\s\"'/\\]|$)|[:\0]|\\ *$")
"""Absolute, upwards, with a drive or a scheme, on another machine: ``\\\\host`` would even tell it the user's name.

Or with a backslash at its end, after which the path goes on in the next line.
"""
_NAMES_NO_FILE = re.compile(
    rb"\s*(?:#|newmtl|k[adest]|n[is]|tf|d|tr|illum|sharpness|pm|pr|ps|pc|pcr|aniso|anisor)(?:\s|$)", re.IGNORECASE
)


def check_obj(path: Path, limits: Limits) -> None:
    """Refuse an OBJ without a mesh, with too much of one, or that names files elsewhere, itself or in its MTL."""
    with path.open("rb") as file:
        libraries = check_obj_text(file, limits)
    for name in libraries:
        _check_materials(path.parent / name.decode("utf-8", "replace").strip(), limits)


def check_obj_text(file: IO[bytes], limits: Limits) -> set[bytes]:
    """Check an OBJ, in blocks; return the MTL files that it names."""
    vertices = faces = 0
    libraries: set[bytes] = set()
    for lines in _lines(file, limits.line_bytes):
        if _ODD_VERTEX.search(lines):
            raise not_finite()
        vertices, faces = vertices + lines.count(VERTEX), faces + lines.count(FACE)
        if vertices > limits.vertices:
            raise too_many("vertices", limits.vertices)
        if faces > limits.faces:
            raise too_many("faces", limits.faces)
        if b"mtllib" in lines:
            libraries.update(_LIBRARY.findall(lines))
            _refuse_odd_libraries(libraries, limits)
    missing = [name for name, count in (("vertices", vertices), ("faces", faces)) if not count]
    if missing:
        raise MeshUnusable(f"The OBJ has no {functools.reduce(NOR.format, missing)}.", AGAIN)
    return libraries


def _lines(file: IO[bytes], longest: int) -> Iterator[bytes]:
    """Yield whole lines, many at once, each behind its newline."""
    rest = b"\n"
    while block := file.read(kinds.BLOCK_BYTES):
        lines, _, last = (rest + block.translate(_PLAIN)).rpartition(b"\n")
        rest = b"\n" + last
        if len(rest) > longest:
            raise MeshUnusable(f"The OBJ has a line of more than {longest:,} characters.", RAISE)
        yield lines
    yield rest


def _refuse_odd_libraries(libraries: set[bytes], limits: Limits) -> None:
    if len(libraries) > limits.members:
        raise too_many("material files", limits.members)
    if any(map(_ELSEWHERE.search, libraries)):
        raise MeshUnusable("The OBJ names files outside its own folder.", "Keep its MTL beside it.")


def harmless_materials(file: IO[bytes], limits: Limits) -> bytes:
    """Return an MTL without the lines that name files elsewhere: Blender would open them."""
    return b"\n".join(line for line in _material_lines(file, limits) if not _names_a_file_elsewhere(line)) + b"\n"


def _check_materials(path: Path, limits: Limits) -> None:
    if path.is_file():
        with path.open("rb") as file:
            if any(map(_names_a_file_elsewhere, _material_lines(file, limits))):
                raise MeshUnusable(
                    "The OBJ's MTL names files outside its own folder.", "Keep the images beside it, by relative names."
                )


def _material_lines(file: IO[bytes], limits: Limits) -> list[bytes]:
    text = file.read(limits.material_bytes + 1)
    if len(text) > limits.material_bytes:
        raise MeshUnusable(f"The mesh's MTL has more than {limits.material_bytes:,} bytes.", RAISE)
    if text.count(b"newmtl") > limits.nodes:
        raise too_many("materials", limits.nodes)
    return text.translate(_PLAIN).split(b"\n")


def _names_a_file_elsewhere(line: bytes) -> bool:
    return not _NAMES_NO_FILE.match(line) and bool(_ELSEWHERE.search(line))
