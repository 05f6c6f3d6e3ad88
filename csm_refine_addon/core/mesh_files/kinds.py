"""The kind of a mesh file by its first bytes, and the error messages that all kinds share."""

from __future__ import annotations

import enum
import re
from pathlib import Path

from ..errors import MeshUnusable

HEAD_BYTES = 4096
BLOCK_BYTES = 1 << 20
FBX_MAGIC = b"Kaydara FBX Binary"
BLEND_MAGIC = b"BLENDER"
"""Of an uncompressed .blend."""
AGAIN = "Download it again, or refine again."
RAISE = "Use a simpler mesh, or raise the limit in CSM_REFINE_LIMITS."
_OBJ_LINE = re.compile(rb"(?:#|v|vt|vn|vp|f|o|g|s|mtllib|usemtl|l|p)(?:[ \t#]|$)")


class MeshKind(enum.StrEnum):
    """A kind of mesh file; the value is its usual suffix without the dot."""

    GLB = "glb"
    ZIP = "zip"
    OBJ = "obj"
    FBX = "fbx"
    BLEND = "blend"


def sniff(source: Path | bytes) -> MeshKind:
    """Return the kind by the first bytes, never by the name: CSM's ``mesh_url_zip`` may hold a bare OBJ.

    Raises MeshUnusable for anything else, with a sentence that names error pages and empty files as such.
    """
    head = source if isinstance(source, bytes) else _head(source)
    if head.startswith(b"glTF"):
        return MeshKind.GLB
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return MeshKind.ZIP
    if head.startswith(FBX_MAGIC):
        return MeshKind.FBX
    if head.startswith(BLEND_MAGIC):
        return MeshKind.BLEND
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    first = next((line.strip() for line in text.splitlines() if line.strip()), b"")
    if b"\0" not in text and _OBJ_LINE.match(first):
        return MeshKind.OBJ
    raise _not_a_mesh(head, text)


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> MeshUnusable:
    return MeshUnusable(f"The mesh file {path.name} cannot be read: {error.strerror or error}.", AGAIN)


def damaged(what: str) -> MeshUnusable:
    return MeshUnusable(f"The mesh file is damaged: {what}.", AGAIN)


def too_many(what: str, limit: int) -> MeshUnusable:
    return MeshUnusable(f"The mesh file has more than {limit:,} {what}.", RAISE)


def not_finite() -> MeshUnusable:
    return MeshUnusable("The mesh has vertices that are not finite numbers.", "Refine again, or take another mesh.")


def _not_a_mesh(head: bytes, text: bytes) -> MeshUnusable:
    if not head:
        return MeshUnusable("The mesh file is empty.", AGAIN)
    if text.startswith((b"<", b"{", b"[")):
        return MeshUnusable("An error page came instead of a mesh file.", AGAIN)
    if text.startswith(b"; FBX"):
        return MeshUnusable("The mesh file is an FBX in text form, which is not read.", "Use GLB, OBJ or binary FBX.")
    return MeshUnusable("The file is no mesh of a known kind (GLB, OBJ, zip of OBJ, FBX).", "Use one of these.")
