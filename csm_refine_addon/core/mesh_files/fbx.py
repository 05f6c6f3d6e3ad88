"""Binary FBX: "FBX binary file format specification", Blender Developers Blog, 2013."""

from __future__ import annotations

import re
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .. import limits as limits_
from ..errors import MeshUnusable
from ..limits import Limits
from .images import Pixels
from .kinds import RAISE, damaged, too_many

_HEADER_BYTES = 27
_WIDE_SINCE = 7500
_RECORDS_PER_NODE = 50
"""An object of the scene takes some twenty records."""
_SCALAR_BYTES = {b"C": 1, b"B": 1, b"Y": 2, b"I": 4, b"F": 4, b"D": 8, b"L": 8}
_ITEM_BYTES = {b"f": 4, b"i": 4, b"d": 8, b"l": 8, b"b": 1, b"c": 1}
_STRING, _RAW = b"S", b"R"
_LONGEST_PATH = 4096
_FOLDERS = re.compile(rb"(?:[/\\]|[A-Za-z]:|[A-Za-z]+:/|\.\.[/\\]|.*[/\\]\.\.[/\\]).*[/\\]|[/\\]", re.DOTALL)
"""The folders of a path that leads elsewhere: absolute, upwards, with a drive or a scheme."""
_CUT_OFF = "it ends before its last part"


def check_fbx(path: Path, limits: Limits) -> None:
    """Refuse an FBX whose records do not lie inside each other, or whose arrays or images unpack to too much."""
    for _ in _foreign_folders(path, limits):
        pass


def harmless_fbx(path: Path, folder: Path) -> Path:
    """Return an FBX that names no file elsewhere: the file itself, or a copy in ``folder`` with those names blanked.

    Most FBX files hold the paths of the machine that wrote them, and Blender opens what is there. Raises MeshUnusable.
    """
    places = list(_foreign_folders(path, limits_.current()))
    if not places:
        return path
    copy = Path(shutil.copyfile(path, folder / path.name))
    with copy.open("r+b") as file:
        for start, length in places:
            file.seek(start)
            file.write(b"_" * length)
    return copy


def kinds_in_fbx(path: Path) -> frozenset[bytes]:
    """Return which of ``Skin``, ``BlendShape`` and ``AnimationCurve`` an FBX has objects of. Raises MeshUnusable."""
    kinds: set[bytes] = set()
    for _ in _foreign_folders(path, limits_.current(), kinds):
        pass
    return frozenset(kinds & {b"Skin", b"BlendShape", b"AnimationCurve"})


def _foreign_folders(path: Path, limits: Limits, kinds: set[bytes] | None = None) -> Iterator[tuple[int, int]]:
    """Check a file, and yield where in it the folders of paths lie that lead elsewhere, and their lengths."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
        if len(head) < _HEADER_BYTES:
            raise damaged("it ends within its header")
        is_wide = struct.unpack_from("<I", head, _HEADER_BYTES - 4)[0] >= _WIDE_SINCE
        records = _Records(file, struct.Struct("<QQQB" if is_wide else "<IIIB"), limits)
        yield from records.walk(size)
    if kinds is not None:
        kinds |= records.kinds


class _Records:
    """Walks the records of a file that stands at the first one, and checks them."""

    def __init__(self, file: IO[bytes], header: struct.Struct, limits: Limits) -> None:
        self._file = file
        self._header = header
        self._limits = limits
        self._pixels = Pixels(limits)
        self._unpacked = 0
        self._last_string = b""
        self.kinds: set[bytes] = set()
        """Of the animation curves; and of the deformers, which say it in their last string."""

    def walk(self, size: int) -> Iterator[tuple[int, int]]:
        """Go through all records; ``ends`` are those of the records that hold this one."""
        ends, count = [size], 0
        while ends:
            start = self._file.tell()
            if len(ends) > 1 and start == ends[-1]:
                ends.pop()
                continue
            end, properties, length, name_length = self._unpack(self._header)
            if end == 0:  # the empty record that ends a list
                if len(ends) > 1 and self._file.tell() != ends[-1]:
                    raise damaged(_CUT_OFF)
                ends.pop()
                continue
            count += 1
            self._refuse_too_much(len(ends), count)
            data = self._file.tell() + name_length
            if not start < data + length <= end <= ends[-1]:
                raise damaged(_CUT_OFF)
            name, self._last_string = self._file.read(name_length), b""
            yield from self._properties(properties, data + length)
            if name in {b"AnimationCurve", b"Deformer"}:
                self.kinds.add(self._last_string if name == b"Deformer" else name)
            ends.append(end)

    def _refuse_too_much(self, depth: int, count: int) -> None:
        if depth > self._limits.fbx_depth:
            raise too_many("records inside each other", self._limits.fbx_depth)
        if count > self._limits.nodes * _RECORDS_PER_NODE:
            raise too_many("records", self._limits.nodes * _RECORDS_PER_NODE)

    def _properties(self, count: int, end: int) -> Iterator[tuple[int, int]]:
        for _ in range(count):
            kind = self._file.read(1)
            if kind in _ITEM_BYTES:
                length = self._array(_ITEM_BYTES[kind])
            elif kind in (_STRING, _RAW):
                (length,) = self._unpack(_LENGTH)
            elif kind in _SCALAR_BYTES:
                length = _SCALAR_BYTES[kind]
            else:
                raise damaged("a value in it is of no known kind")
            start = self._file.tell()
            if start + length > end:
                raise damaged(_CUT_OFF)
            is_image = kind == _RAW and self._pixels.add(self._file)
            if kind in (_STRING, _RAW) and not is_image:  # Blender takes either for a path
                self._file.seek(start)
                self._last_string = self._file.read(min(length, _LONGEST_PATH))
                if found := _FOLDERS.match(self._last_string):
                    yield start, found.end()
            self._file.seek(start + length)
        self._file.seek(end)

    def _array(self, item_bytes: int) -> int:
        """Return how many bytes an array takes in the file."""
        items, is_packed, packed_bytes = self._unpack(_ARRAY)
        self._unpacked += items * item_bytes
        if items > 4 * max(self._limits.vertices, self._limits.faces) or self._unpacked > self._limits.unpacked_bytes:
            raise MeshUnusable("The FBX would unpack to an unreasonable size.", RAISE)
        return int(packed_bytes if is_packed else items * item_bytes)

    def _unpack(self, form: struct.Struct) -> tuple[int, ...]:
        raw = self._file.read(form.size)
        if len(raw) < form.size:
            raise damaged(_CUT_OFF)
        return form.unpack(raw)


_LENGTH, _ARRAY = struct.Struct("<I"), struct.Struct("<III")
