"""One result judged by its source: every number there is, from two mesh files, whoever made them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from . import distances, layout, topology, views
from .solids import Polygons, Solid, read_polygons, read_solid

TEXELS = 100_000


@dataclasses.dataclass
class Judge:
    """Keeps what it needs of a source, for all its results."""

    source: Solid

    def __post_init__(self) -> None:
        corners = self.source.corners.reshape(-1, 3)
        self._centre = (corners.min(axis=0) + corners.max(axis=0)) / 2
        self._views = views.look(self.source, self._centre, self.source.diagonal)

    def judge(self, result: Solid, polygons: Polygons | None = None) -> dict[str, Any]:
        """Return all measures; shares are from 0 to 1, angles in degrees, distances in 1e-4 of the diagonal."""
        seen = views.look(result, self._centre, self.source.diagonal)
        return {
            **distances.measure(self.source, result),
            **views.measure(self._views, seen),
            **topology.measure(polygons or _as_polygons(result)),
            **layout.measure(result),
            **self._textures(result),
        }

    def _textures(self, result: Solid) -> dict[str, Any]:
        """How much of the atlas is black that should not be, texel by texel as far as there are not too many."""
        if result.uvs is None:
            return {"unbaked": None, "normal_map": result.has_normal_map}
        side = max((max(picture.shape[:2]) for picture in result.pictures), default=1)
        found = layout.texels(result.uvs, min(side, layout.SIDE))
        if not len(found.texel):
            return {"unbaked": None, "normal_map": result.has_normal_map}
        some = np.random.default_rng(3).permutation(len(found.texel))[:TEXELS]
        share = distances.unbaked(self.source, result, found.triangle[some], found.weights[some])
        return {"unbaked": share, "normal_map": result.has_normal_map}


def _as_polygons(solid: Solid) -> Polygons:
    vertices, triangles = solid.welded
    return Polygons(vertices, triangles.ravel(), np.full(len(triangles), 3))


def main(arguments: list[str]) -> int:
    """Print the measures of SOURCE, RESULT and, where it is given, the OBJ with the faces as they were."""
    source, result = (read_solid(Path(path)) for path in arguments[:2])
    polygons = read_polygons(Path(arguments[2])) if len(arguments) > 2 else None
    print(json.dumps(Judge(source).judge(result, polygons), indent=1))
    return 0
