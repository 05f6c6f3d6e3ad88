"""What may be asked of the refinery, beside box and pivot. No Blender: the service checks and stores it."""

from __future__ import annotations

import dataclasses
import enum

from . import tuning

PICTURE = "picture.png"
"""The file in a refine's folder that shows source and result."""


class Topology(enum.StrEnum):
    """What the faces shall be like."""

    KEEP = "keep"
    """As they came: cleaned only."""
    TRIS = "tris"
    """The fewest faces for the look."""
    QUADS = "quads"
    """For sculpting and animation."""


class Symmetry(enum.StrEnum):
    """Whether one half shall be the mirror of the other one."""

    OFF = "off"
    AUTO = "auto"
    """Where the mesh is nearly so already."""
    ON = "on"


class Level(enum.StrEnum):
    """How many faces, in words."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@dataclasses.dataclass(frozen=True, slots=True)
class RefineSettings:
    """The settings of one refine; the defaults are the cleaning that keeps everything.

    ``faces`` is a number, or 0 where ``level`` says it. ``texture_resolution`` is a side in pixels. A loose part
    with less than ``drop_parts_below`` of the surface is dropped; 0 keeps all.
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
        """How many faces the result shall have."""
        return self.faces or tuning.FACES_OF_LEVEL[self.level]
