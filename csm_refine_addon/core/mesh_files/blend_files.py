"""What a .blend holds, by the marks of its blocks, before any Blender opens it.

A .blend is a header and blocks, each with a code of its kind and its length. Blender 5.0 widened both
(https://developer.blender.org/docs/features/core/blendfile/).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from ..errors import MeshUnusable

DATA_ONLY = frozenset({b"OB", b"ME", b"MA", b"IM", b"NT"})
"""Object, mesh, material, image, and the node groups of materials."""
ALWAYS_THERE = frozenset(
    {b"DATA", b"GLOB", b"REND", b"TEST", b"DNA1", b"ENDB", b"USER", b"SC", b"WM", b"WS", b"SR", b"SN", b"LS", b"BR"}
)
"""A scene and windows: every file has them, and an append of objects leaves them there."""
MOST_BLOCKS = 1_000_000
_HEADERS = {b"BLENDER-v": (12, struct.Struct("<4si8xii")), b"BLENDER17-01v": (17, struct.Struct("<4si8xqq"))}


def refuse_more_than_data(path: Path) -> None:
    """Refuse a prepared .blend that holds anything besides a mesh and its looks: texts, actions, links to other files.

    Takes some milliseconds: only the blocks' headers are read. Raises MeshUnusable.
    """
    try:
        found = set(block_codes(path))
    except OSError as error:
        raise MeshUnusable(f"The prepared file {path.name} cannot be read.", "Retry the job.") from error
    if found - DATA_ONLY - ALWAYS_THERE:
        raise more_than_a_mesh(path.name)


def more_than_a_mesh(name: str) -> MeshUnusable:
    """Return the error of a prepared .blend that is not what was prepared."""
    return MeshUnusable(f"The prepared file {name} holds more than a mesh; nothing of it was taken.", "Retry the job.")


def block_codes(path: Path) -> Iterator[bytes]:
    """Yield the code of each block, up to the last one. Raises MeshUnusable where it is no uncompressed .blend."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(32)
        known = [parts for mark, parts in _HEADERS.items() if head.startswith(mark)]
        if not known:
            raise _unreadable(path)
        ((position, header),) = known
        for _ in range(MOST_BLOCKS):
            file.seek(position)
            raw = file.read(header.size)
            if len(raw) < header.size:
                break
            fields = header.unpack(raw)
            code, length = fields[0].rstrip(b"\0"), fields[1] if header.size == 24 else fields[2]
            yield code
            position += header.size + length
            if code == b"ENDB":
                return
            if length < 0 or position > size:
                break
    raise _unreadable(path)


def _unreadable(path: Path) -> MeshUnusable:
    return MeshUnusable(f"The prepared file {path.name} cannot be read.", "Retry the job.")
