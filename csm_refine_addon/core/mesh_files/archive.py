"""A zip of an OBJ, its MTL and its textures: names, sizes and images are checked before anything is written."""

from __future__ import annotations

import contextlib
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from .. import limits as limits_
from ..errors import MeshUnusable
from ..limits import Limits
from . import kinds
from .images import Pixels
from .kinds import AGAIN, damaged, unreadable
from .obj import check_obj_text, harmless_materials

MESH, MATERIALS = ".obj", ".mtl"
IMAGES = frozenset({".png", ".jpg", ".jpeg", ".tga", ".bmp", ".tif", ".tiff", ".webp", ".exr", ".hdr", ".dds"})
RATIO_FREE_BYTES = 64 << 20
"""Up to this unpacked size the ratio does no harm."""
LONGEST_NAME = 200
_DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])\s*(?:\..*)?", re.IGNORECASE)
"""Names that Windows takes for devices, whatever their ending and folder (Microsoft, "Naming Files")."""


def check_zip(path: Path, limits: Limits) -> None:
    """Refuse an archive that could not be unpacked safely, or whose OBJ is not one."""
    with opened(path) as archive:
        members = _safe_members(archive, limits)
        _pictures(archive, members, limits)
        with archive.open(_obj_member(members)) as file:
            check_obj_text(file, limits)


def extract_obj(archive: Path, folder: Path) -> Path:
    """Unpack an OBJ with its MTL and textures into ``folder`` and return the OBJ's path.

    Only members with a suffix of an OBJ, MTL or image are written, none outside ``folder``. Of several OBJ files
    the largest counts. What an MTL says of files elsewhere is left out, as are images of no known kind.
    Raises MeshUnusable where the archive is damaged, dangerous, or holds no OBJ.
    """
    limits = limits_.current()
    with opened(archive) as unpacked:
        members = _safe_members(unpacked, limits)
        mesh = _obj_member(members)
        wanted = [member for member in members if _suffix(member) in (MESH, MATERIALS)]
        for member in [*wanted, *_pictures(unpacked, members, limits)]:
            _write_member(unpacked, member, folder / member.filename, limits)
    return folder / mesh.filename


@contextlib.contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive; what is wrong with it, also while it is read, becomes MeshUnusable."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        raise damaged(f"the zip cannot be unpacked ({error})") from error
    except OSError as error:
        raise unreadable(path, error) from error


def _safe_members(archive: zipfile.ZipFile, limits: Limits) -> list[zipfile.ZipInfo]:
    members = [member for member in archive.infolist() if not member.filename.endswith("/")]
    if len(archive.infolist()) > limits.members:
        raise MeshUnusable(f"The zip holds more than {limits.members} files.", "Use one with a mesh and its textures.")
    for member in members:
        _check_member(member)
    _refuse_doubles(members)
    total = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    if total > limits.unpacked_bytes or (total > RATIO_FREE_BYTES and total > limits.ratio * packed):
        raise MeshUnusable("The zip would unpack to an unreasonable size.", "Use a smaller mesh.")
    return members


def _check_member(member: zipfile.ZipInfo) -> None:
    name = member.orig_filename
    parts = PurePosixPath(name).parts
    if name.startswith(("/", "\\")) or re.search(r"[\\:\0-\x1f]", name) or ".." in parts:
        raise MeshUnusable("The zip names files outside its own folder.", "Do not use it; it may be an attack.")
    if any(_DEVICE.fullmatch(part) or part != part.rstrip(" .") or len(part) > LONGEST_NAME for part in parts):
        raise MeshUnusable("The zip holds names that are not safe on every system.", "Pack it with plain names.")
    if (kind := stat.S_IFMT(member.external_attr >> 16)) and kind != stat.S_IFREG:
        raise MeshUnusable("The zip holds links instead of files.", "Pack the files themselves.")
    if member.flag_bits & 1:
        raise MeshUnusable("The zip is encrypted.", "Pack it without a password.")


def _refuse_doubles(members: Sequence[zipfile.ZipInfo]) -> None:
    """Two names that some systems take for one let a later member replace what was checked; so does shared data."""
    names = {member.filename.casefold() for member in members}
    folders = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    places = {member.header_offset for member in members}
    if len(names) < len(members) or len(places) < len(members) or names & folders:
        raise MeshUnusable("The zip holds a file twice.", "Pack each file once; it may be an attack.")


def _pictures(archive: zipfile.ZipFile, members: Sequence[zipfile.ZipInfo], limits: Limits) -> list[zipfile.ZipInfo]:
    """Return the images of known kinds, none with more pixels than are allowed."""
    pixels, found = Pixels(limits), []
    for member in members:
        if _suffix(member) in IMAGES:
            with archive.open(member) as file:
                if pixels.add(file, member.filename):
                    found.append(member)
    return found


def _obj_member(members: Sequence[zipfile.ZipInfo]) -> zipfile.ZipInfo:
    meshes = [member for member in members if _suffix(member) == MESH]
    if not meshes:
        raise MeshUnusable("The zip holds no OBJ file.", AGAIN)
    return max(meshes, key=lambda member: member.file_size)


def _suffix(member: zipfile.ZipInfo) -> str:
    return PurePosixPath(member.filename).suffix.lower()


def _write_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, limits: Limits) -> None:
    """Write as many bytes as the archive declared, which were counted, and no more."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("xb") as file:
        if _suffix(member) == MATERIALS:
            file.write(harmless_materials(source, limits))
            return
        left = member.file_size
        while block := source.read(kinds.BLOCK_BYTES):
            left -= len(block)
            if left < 0:
                raise damaged("the zip holds more than it declares")
            file.write(block)
