"""What eight cameras see of a mesh: silhouette, base colour, and whether they look at the front of its faces."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene

from .solids import Array, Solid

SIDE = 512
TURNS = np.radians(np.arange(8) * 45.0)
TILTS = np.radians([20.0, -20.0] * 4)
BACKGROUND = 0.5


class View(NamedTuple):
    """One camera's picture: whether something is there (side, side), its colour (.., 3), and if its front is seen."""

    covered: Array
    colour: Array
    front: Array
    facing: Array
    """The cosine between the face's normal and the way to the camera; 0 where nothing is."""


def look(solid: Solid, centre: Array, diagonal: float, side: int = SIDE) -> list[View]:
    """Return what the eight cameras see, without perspective; they stand around one box for source and result."""
    scene = EmbreeScene()
    TriangleMesh(scene, np.ascontiguousarray(((solid.corners - centre) / diagonal).astype(np.float32)))
    return [_view(solid, scene, turn, tilt, side) for turn, tilt in zip(TURNS, TILTS, strict=True)]


def measure(source: list[View], result: list[View]) -> dict[str, float]:
    """Compare the pictures: silhouettes as intersection over union, colours as PSNR, and faces seen from behind."""
    covered = np.array(
        [[np.sum(a.covered & b.covered), np.sum(a.covered | b.covered)] for a, b in _pairs(source, result)]
    )
    squares = [((a.colour - b.colour) ** 2)[a.covered | b.covered] for a, b in _pairs(source, result)]
    seen = np.concatenate(squares)
    error = float(np.mean(seen)) if len(seen) else 0.0
    behind = sum(int(np.sum(a.front & b.covered & ~b.front)) for a, b in _pairs(source, result))
    return {
        "silhouettes": float(np.mean(np.where(covered[:, 1] > 0, covered[:, 0] / np.maximum(covered[:, 1], 1), 1.0))),
        "look": float(-10 * np.log10(max(error, 1e-10))),
        "flipped": behind / max(1, int(covered[:, 0].sum())),
    }


def _pairs(source: list[View], result: list[View]) -> list[tuple[View, View]]:
    return list(zip(source, result, strict=True))


def _view(solid: Solid, scene: EmbreeScene, turn: float, tilt: float, side: int) -> View:
    to_camera = np.array([np.sin(turn) * np.cos(tilt), np.sin(tilt), np.cos(turn) * np.cos(tilt)])
    right = np.array([np.cos(turn), 0.0, -np.sin(turn)])
    up = np.cross(to_camera, right)
    across = (np.arange(side) + 0.5) / side - 0.5
    u, v = np.meshgrid(across * 1.02, -across * 1.02)
    origins = (u.ravel()[:, None] * right + v.ravel()[:, None] * up + to_camera * 2).astype(np.float32)
    rays = np.broadcast_to(-to_camera, origins.shape).astype(np.float32)
    hits = scene.run(origins, rays, output=True)
    covered = hits["primID"] >= 0
    triangle = hits["primID"][covered]
    second, third = hits["u"][covered].astype(np.float64), hits["v"][covered].astype(np.float64)
    colour = np.full((len(origins), 3), BACKGROUND)
    colour[covered] = solid.colour_at(triangle, np.stack([1 - second - third, second, third], axis=1))
    facing = np.zeros(len(origins))
    facing[covered] = solid.normals[triangle] @ to_camera
    shape = (side, side)
    return View(covered.reshape(shape), colour.reshape(*shape, 3), (facing > 0).reshape(shape), facing.reshape(shape))
