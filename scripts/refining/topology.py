"""What the faces are like: how many, of how many corners, how square, and whether they close."""

from __future__ import annotations

import numpy as np

from .solids import Array, Polygons, weld


def measure(polygons: Polygons) -> dict[str, float]:
    """Return faces, their triangles, the share of quads, their mean degrees off square, and edges without two faces."""
    first, second = _edges(polygons)
    ends = np.sort(np.stack([first, second], axis=1), axis=1)
    kept = ends[:, 0] != ends[:, 1]
    forwards = (first < second)[kept]
    _, number, uses = np.unique(ends[kept], axis=0, return_inverse=True, return_counts=True)
    turns = np.bincount(number.ravel(), weights=np.where(forwards, 1.0, -1.0), minlength=len(uses))
    return {
        "faces": len(polygons.sizes),
        "triangles": int(np.sum(polygons.sizes - 2)),
        "quads": float(np.mean(polygons.sizes == 4)),
        "off_square": _off_square(polygons),
        "watertight": bool(np.all(uses == 2)),
        "open_edges": int(np.sum(uses == 1)),
        "non_manifold": int(np.sum(uses > 2)),
        "at_odds": int(np.sum((uses == 2) & (turns != 0))),
    }


def _edges(polygons: Polygons) -> tuple[Array, Array]:
    """Return both ends of each face's edges, as numbers of places: two vertices at the same one are one."""
    _, place = weld(polygons.vertices[:, None, :].repeat(3, axis=1))
    corner = place[:, 0][polygons.corners]
    starts = np.concatenate([[0], np.cumsum(polygons.sizes)[:-1]])
    following = np.arange(len(corner)) + 1
    following[starts + polygons.sizes - 1] = starts
    return corner, corner[following]


def _off_square(polygons: Polygons) -> float:
    """Return by how many degrees the corners of quads differ from a right angle, in the mean; 0 where none are."""
    starts = np.concatenate([[0], np.cumsum(polygons.sizes)[:-1]])[polygons.sizes == 4]
    if not len(starts):
        return 0.0
    corners = polygons.vertices[polygons.corners[starts[:, None] + np.arange(4)]]
    ahead, back = np.roll(corners, -1, axis=1) - corners, np.roll(corners, 1, axis=1) - corners
    lengths = np.linalg.norm(ahead, axis=2) * np.linalg.norm(back, axis=2)
    cosine = np.einsum("nkx,nkx->nk", ahead, back) / np.where(lengths > 0, lengths, 1.0)
    return float(np.mean(np.abs(90.0 - np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))))
