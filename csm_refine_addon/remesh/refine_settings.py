"""Settings of a refine, without box and pivot. Does not import Blender: the service validates and stores them."""

from __future__ import annotations

import dataclasses
import enum

from . import tuning

PICTURE = "picture.png"
"""File name of the comparison picture in the folder of a refine."""


class Topology(enum.StrEnum):
    """Kind of faces of the result."""

    KEEP = "keep"
    """Unchanged: the mesh is only cleaned."""
    TRIS = "tris"
    """Triangles: the fewest faces for the same appearance."""
    QUADS = "quads"
    """Quads, for sculpting and animation."""


class Symmetry(enum.StrEnum):
    """Whether one half of the result mirrors the other half."""

    OFF = "off"
    AUTO = "auto"
    """Only if the source is nearly symmetric."""
    ON = "on"


class Level(enum.StrEnum):
    """Named number of faces."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclasses.dataclass(frozen=True, slots=True)
class RefineSettings:
    """The settings of one refine; the defaults only clean the mesh.

    ``faces`` is the number of faces, or 0 to use ``level``. ``texture_resolution`` is a side in pixels. Loose
    parts with less than the share ``drop_parts_below`` of the surface are removed; 0 keeps all.
    """

    topology: Topology = Topology.KEEP
    faces: int = 0
    level: Level = Level.MEDIUM
    texture_resolution: int = tuning.TEXTURE_RESOLUTION
    symmetry: Symmetry = Symmetry.OFF
    preserve_aspect_ratio: bool = False
    drop_parts_below: float = 0.0

    @property
    def budget(self) -> int:
        """Target number of faces."""
        return self.faces or tuning.FACES_OF_LEVEL[self.level]
