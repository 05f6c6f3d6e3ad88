"""The refinery's numbers, each with the reason or the measurement behind it."""

from __future__ import annotations

MERGE_FRACTION = 1e-6
"""Vertices closer than this part of the box's diagonal are one."""
FLAT_FRACTION = 1e-6
"""A side shorter than this part of the longest one has no extent that could be stretched."""

FACES_OF_LEVEL = {"low": 5_000, "medium": 20_000, "high": 60_000}
"""Low and medium are the two sizes that everything here was measured at; high is near what image-to-3D models give."""
LEAST_FACES, GREATEST_FACES = 16, 2_000_000
TEXTURE_RESOLUTION = 1024
LEAST_TEXTURE, GREATEST_TEXTURE = 128, 4096
SMALL_PART = 1e-3
"""Of the surface: below, a loose part counts as a speck where ``keep_parts`` is false."""
