"""Mesh files before any Blender opens them: their kind by the first bytes, cheap checks, safe unpacking.

Each check reads a file once at most, in blocks; what it keeps in memory is bounded by the constants below.
"""

from __future__ import annotations

import array
import contextlib
import enum
import functools
import json
import math
import re
import shutil
import stat
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ..errors import MeshUnusable

HEAD_BYTES = 4096
BLOCK_BYTES = 1 << 20
MAX_JSON_BYTES = 64 << 20
MAX_LINE_BYTES = 1 << 20
MAX_MEMBERS = 10_000
MAX_UNPACKED_BYTES = 8 << 30
MAX_RATIO = 250
"""Deflate reaches about 1,000; OBJ text stays under 20, an image of one colour may reach a few hundred."""
RATIO_FREE_BYTES = 64 << 20
"""Up to this unpacked size the ratio does no harm."""

UNPACKED_SUFFIXES = frozenset(
    {".obj", ".mtl", ".png", ".jpg", ".jpeg", ".tga", ".bmp", ".tif", ".tiff", ".webp", ".exr", ".hdr", ".dds"}
)

_GLB_HEADER = struct.Struct("<4sII")
_GLB_CHUNK = struct.Struct("<I4s")
_FBX_MAGIC = b"Kaydara FBX Binary"
_OBJ_LINE = re.compile(rb"(?:#|v|vt|vn|vp|f|o|g|s|mtllib|usemtl|l|p)(?:[ \t#]|$)")
_ODD_VERTEX = re.compile(rb"\nv [^\n]*?(?:nan|inf)", re.IGNORECASE)
_COMPONENT_BYTES = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
_COMPONENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
NOR = "{} and no {}"
_AGAIN = "Download it again, or refine again."


class MeshKind(enum.StrEnum):
    """A kind of mesh file; the value is its usual suffix without the dot."""

    GLB = "glb"
    ZIP = "zip"
    OBJ = "obj"
    FBX = "fbx"


def sniff(source: Path | bytes) -> MeshKind:
    """Return the kind by the first bytes, never by the name: CSM's ``mesh_url_zip`` may hold a bare OBJ.

    Raises MeshUnusable for anything else, with a sentence that names error pages and empty files as such.
    """
    head = source if isinstance(source, bytes) else _head(source)
    if head.startswith(b"glTF"):
        return MeshKind.GLB
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return MeshKind.ZIP
    if head.startswith(_FBX_MAGIC):
        return MeshKind.FBX
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    first = next((line.strip() for line in text.splitlines() if line.strip()), b"")
    if b"\0" not in text and _OBJ_LINE.match(first):
        return MeshKind.OBJ
    raise _not_a_mesh(head, text)


def check(path: Path) -> MeshKind:
    """Return the kind of a file whose frame is sound: header, sizes, offsets, names, and that it holds faces.

    Cheap compared with an import: of the data only vertex positions are read, for values that are not finite. An
    importer may still refuse the file.
    Raises MeshUnusable with a sentence that says what is wrong.
    """
    kind = sniff(path)
    checks = {MeshKind.GLB: _check_glb, MeshKind.ZIP: _check_zip, MeshKind.OBJ: _check_obj, MeshKind.FBX: _check_fbx}
    try:
        checks[kind](path)
    except OSError as error:
        raise _unreadable(path, error) from error
    return kind


def extract_obj(archive: Path, folder: Path) -> Path:
    """Unpack an OBJ with its MTL and textures into ``folder`` and return the OBJ's path.

    Only members with a suffix of an OBJ, MTL or image are written, none outside ``folder``. Of several OBJ files
    the largest counts. Raises MeshUnusable where the archive is damaged, dangerous, or holds no OBJ.
    """
    with _opened(archive) as unpacked:
        members = _safe_members(unpacked)
        mesh = _obj_member(members)
        for member in members:
            if PurePosixPath(member.filename).suffix.lower() in UNPACKED_SUFFIXES:
                _write_member(unpacked, member, folder / member.filename)
    return folder / mesh.filename


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> MeshUnusable:
    return MeshUnusable(f"The mesh file {path.name} cannot be read: {error.strerror or error}.", _AGAIN)


def _damaged(what: str) -> MeshUnusable:
    return MeshUnusable(f"The mesh file is damaged: {what}.", _AGAIN)


def _not_a_mesh(head: bytes, text: bytes) -> MeshUnusable:
    if not head:
        return MeshUnusable("The mesh file is empty.", _AGAIN)
    if text.startswith((b"<", b"{", b"[")):
        return MeshUnusable("An error page came instead of a mesh file.", _AGAIN)
    if text.startswith(b"; FBX"):
        return MeshUnusable("The mesh file is an FBX in text form, which is not read.", "Use GLB, OBJ or binary FBX.")
    return MeshUnusable("The file is no mesh of a known kind (GLB, OBJ, zip of OBJ, FBX).", "Use one of these.")


# GLB: Khronos glTF 2.0 specification, sections 3 and 4.4.


def _check_glb(path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        header = file.read(_GLB_HEADER.size)
        if len(header) < _GLB_HEADER.size:
            raise _damaged("it ends within its header")
        _, version, length = _GLB_HEADER.unpack(header)
        if version != 2:
            raise MeshUnusable(f"The GLB has version {version}; only version 2 is known.", "Convert it to glTF 2.0.")
        if length != size:
            raise _damaged(f"it should have {length} bytes and has {size}")
        document, binary_start, binary_bytes = _read_chunks(file, size)
        _check_gltf(file, document, binary_start, binary_bytes)


def _check_gltf(file: IO[bytes], document: Any, binary_start: int, binary_bytes: int) -> None:
    try:
        _check_frame(document, binary_bytes)
        for start, length in _packed_positions(document):
            file.seek(binary_start + start)
            _check_floats(file, length)
    except (TypeError, ValueError, KeyError, AttributeError, IndexError) as error:
        raise _damaged("its description of the mesh is not glTF") from error


def _read_chunks(file: IO[bytes], size: int) -> tuple[Any, int, int]:
    """Return the JSON chunk, parsed, and where the binary chunk's data begin and how long they are."""
    document, binary_start, binary_bytes, first = None, 0, 0, True
    while (start := file.tell()) < size:
        head = file.read(_GLB_CHUNK.size)
        if len(head) < _GLB_CHUNK.size:
            raise _damaged("it ends within a chunk's header")
        length, name = _GLB_CHUNK.unpack(head)
        if start + _GLB_CHUNK.size + length > size:
            raise _damaged("a chunk reaches beyond its end")
        if first and name == b"JSON":
            document = _parse_json(file.read(_capped_json(length)))
        elif name == b"BIN\0" and not binary_start:
            binary_start, binary_bytes = file.tell(), length
        file.seek(start + _GLB_CHUNK.size + length)
        first = False
    if document is None:
        raise _damaged("it does not begin with a description of the mesh")
    return document, binary_start, binary_bytes


def _capped_json(length: int) -> int:
    if length > MAX_JSON_BYTES:
        raise MeshUnusable(f"The GLB's description is larger than {MAX_JSON_BYTES >> 20} MB.", "Use a simpler mesh.")
    return length


def _parse_json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _damaged("its description is not JSON") from error


def _check_frame(document: dict[str, Any], binary_bytes: int) -> None:
    if not any(mesh["primitives"] for mesh in document.get("meshes", ())):
        raise MeshUnusable("The GLB holds no mesh.", _AGAIN)
    if any(_is_outside(part) for name in ("buffers", "images") for part in document.get(name, ())):
        raise MeshUnusable("The GLB needs other files that did not come with it.", "Export it with everything inside.")
    buffers = [part["byteLength"] for part in document.get("buffers", ())]
    if buffers and "uri" not in document["buffers"][0] and buffers[0] > binary_bytes:
        raise _damaged("its binary part is shorter than it says")
    views = [_view_bytes(view, buffers) for view in document.get("bufferViews", ())]
    for accessor in document.get("accessors", ()):
        _check_accessor(accessor, views)


def _is_outside(part: dict[str, Any]) -> bool:
    uri = part.get("uri")
    return uri is not None and not uri.startswith("data:")


def _view_bytes(view: dict[str, Any], buffers: list[int]) -> tuple[int, int]:
    """Return length and stride (0: packed) of a buffer view that lies inside its buffer."""
    offset, length, buffer = view.get("byteOffset", 0), view["byteLength"], view["buffer"]
    if min(offset, length, buffer) < 0 or offset + length > buffers[buffer]:
        raise _damaged("a part of its data lies outside the file")
    return length, view.get("byteStride", 0)


def _check_accessor(accessor: dict[str, Any], views: list[tuple[int, int]]) -> None:
    if accessor.get("bufferView") is None:
        return
    length, stride = views[accessor["bufferView"]]
    item = _COMPONENT_BYTES[accessor["componentType"]] * _COMPONENTS[accessor["type"]]
    count, offset = accessor["count"], accessor.get("byteOffset", 0)
    if min(count, offset, accessor["bufferView"]) < 0 or offset + (stride or item) * (count - 1) + item > length:
        raise _damaged("an array reaches beyond its data")


def _packed_positions(document: dict[str, Any]) -> Iterator[tuple[int, int]]:
    """Yield where in the binary part vertex positions lie one after the other, and their bytes."""
    primitives = [primitive for mesh in document["meshes"] for primitive in mesh["primitives"]]
    for index in {primitive["attributes"].get("POSITION") for primitive in primitives} - {None}:
        accessor = document["accessors"][index]
        view = document["bufferViews"][accessor["bufferView"]] if "bufferView" in accessor else {"buffer": -1}
        is_embedded = view["buffer"] == 0 and "uri" not in document["buffers"][0]
        if is_embedded and accessor["componentType"] == 5126 and view.get("byteStride", 12) == 12:
            yield view.get("byteOffset", 0) + accessor.get("byteOffset", 0), accessor["count"] * 12


def _check_floats(file: IO[bytes], length: int) -> None:
    """Refuse float32 values that are not finite: importers turn them into zeros, which bends the mesh silently."""
    while length:
        block = array.array("f", file.read(min(length, BLOCK_BYTES)))
        if sys.byteorder == "big":
            block.byteswap()
        if not math.isfinite(sum(block)):  # no sum of so few float32 values leaves the range of a float64
            raise _not_finite()
        length -= len(block) * 4


def _not_finite() -> MeshUnusable:
    return MeshUnusable("The mesh has vertices that are not finite numbers.", "Refine again, or take another mesh.")


# OBJ


def _check_obj(path: Path) -> None:
    with path.open("rb") as file:
        _check_obj_text(file)


def _check_obj_text(file: IO[bytes]) -> None:
    missing = {b"\nv ": "vertices", b"\nf ": "faces"}
    rest = b"\n"
    while block := file.read(BLOCK_BYTES):
        lines, newline, rest = (rest + block.replace(b"\r", b"\n").replace(b"\t", b" ")).rpartition(b"\n")
        missing = _missing_in(lines + newline, missing)
        rest = newline + rest[-MAX_LINE_BYTES:]
    missing = _missing_in(rest, missing)
    if missing:
        raise MeshUnusable(f"The OBJ has no {functools.reduce(NOR.format, missing.values())}.", _AGAIN)


def _missing_in(lines: bytes, missing: dict[bytes, str]) -> dict[bytes, str]:
    if _ODD_VERTEX.search(lines):
        raise _not_finite()
    return {mark: name for mark, name in missing.items() if mark not in lines}


# zip of OBJ, MTL and textures


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive; what is wrong with it, also while it is read, becomes MeshUnusable."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        raise _damaged(f"the zip cannot be unpacked ({error})") from error
    except OSError as error:
        raise _unreadable(path, error) from error


def _check_zip(path: Path) -> None:
    with _opened(path) as archive, archive.open(_obj_member(_safe_members(archive))) as file:
        _check_obj_text(file)


def _safe_members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    members = [member for member in archive.infolist() if not member.filename.endswith("/")]
    if len(members) > MAX_MEMBERS:
        raise MeshUnusable(f"The zip holds more than {MAX_MEMBERS} files.", "Use one with a mesh and its textures.")
    for member in members:
        _check_member(member)
    total = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    if total > MAX_UNPACKED_BYTES or (total > RATIO_FREE_BYTES and total > MAX_RATIO * packed):
        raise MeshUnusable("The zip would unpack to an unreasonable size.", "Use a smaller mesh.")
    return members


def _check_member(member: zipfile.ZipInfo) -> None:
    name = member.orig_filename
    if name.startswith(("/", "\\")) or re.search(r"[\\:\0]", name) or ".." in PurePosixPath(name).parts:
        raise MeshUnusable("The zip names files outside its own folder.", "Do not use it; it may be an attack.")
    if stat.S_ISLNK(member.external_attr >> 16):
        raise MeshUnusable("The zip holds links instead of files.", "Pack the files themselves.")
    if member.flag_bits & 1:
        raise MeshUnusable("The zip is encrypted.", "Pack it without a password.")


def _obj_member(members: list[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    meshes = [member for member in members if member.filename.lower().endswith(".obj")]
    if not meshes:
        raise MeshUnusable("The zip holds no OBJ file.", _AGAIN)
    return max(meshes, key=lambda member: member.file_size)


def _write_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file, BLOCK_BYTES)


# FBX: "FBX binary file format specification", Blender Developers Blog, 2013.


def _check_fbx(path: Path) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(27)
        if len(head) < 27:
            raise _damaged("it ends within its header")
        offset_format = struct.Struct("<Q" if struct.unpack_from("<I", head, 23)[0] >= 7500 else "<I")
        position = 27
        while position + offset_format.size <= size:
            file.seek(position)
            (end,) = offset_format.unpack(file.read(offset_format.size))
            if end == 0:
                return
            if not position < end <= size:
                break
            position = end
    raise _damaged("it ends before its last part")
