"""What only the local service takes beside box and pivot: how it is to refine. Checked before anything is sent."""

from __future__ import annotations

from typing import Any

from .. import addresses
from ..errors import InputError
from ..models import LocalSettings

TOPOLOGIES = ("keep", "tris", "quads")
"""The cleaned mesh as it came; the fewest faces for the look; quads for sculpting and animation."""
LEVELS = ("low", "medium", "high")
SYMMETRIES = ("off", "auto", "on")
LEAST_FACES, GREATEST_FACES = 16, 2_000_000
LEAST_TEXTURE, GREATEST_TEXTURE = 128, 4096
SMALL_PART = 1e-3
"""Of the surface: a loose part with less is a speck, as scans and image-to-3D models leave them."""


def checked(settings: LocalSettings) -> LocalSettings | None:
    """Return the settings, or None where they ask for nothing. Raises InputError with what is wrong."""
    _require_word("topology", settings.topology, TOPOLOGIES)
    _require_word("symmetry", settings.symmetry, SYMMETRIES)
    if not settings.faces.isdecimal():
        _require_word("number of faces", settings.faces, LEVELS)
    elif not LEAST_FACES <= int(settings.faces) <= GREATEST_FACES:
        raise InputError(
            f"The number of faces is {settings.faces}; it must lie between {LEAST_FACES} and {GREATEST_FACES}.",
            "Or give low, medium or high.",
        )
    size = settings.texture_resolution
    if size and not LEAST_TEXTURE <= size <= GREATEST_TEXTURE:
        raise InputError(
            f"The texture size is {size}; it must lie between {LEAST_TEXTURE} and {GREATEST_TEXTURE} pixels.",
            "1024 does for most.",
        )
    makes_anew = settings.topology not in ("", "keep")
    if not makes_anew and (settings.faces or size or settings.symmetry or settings.drop_parts_below):
        raise InputError(
            "Faces, texture size, symmetry and loose parts are for a new topology; the present one is kept.",
            "Choose the topology tris or quads.",
        )
    return settings if settings != LocalSettings() else None


def require_local(service: str, settings: LocalSettings | None) -> None:
    """Raise InputError where settings would go to a service that does not know them: the vendor's never gets them."""
    if settings is not None and not addresses.is_loopback(service):
        raise InputError(
            "Topology, faces, texture size, symmetry, aspect and loose parts are for the local service only.",
            "Use the local service (--service local), or leave them out.",
        )


def of_options(options: Any) -> LocalSettings | None:
    """Return what the command line's options ask for. Raises InputError."""
    makes_anew = options.topology not in (None, "keep")
    keeps_parts = 0.0 if options.keep_parts else SMALL_PART if makes_anew else None
    settings = LocalSettings(
        topology=options.topology or "",
        faces=options.faces or "",
        texture_resolution=options.texture_size or 0,
        symmetry=options.symmetry or "",
        preserve_aspect_ratio=options.keep_aspect,
        drop_parts_below=keeps_parts,
    )
    return checked(settings)


def _require_word(name: str, value: str, words: tuple[str, ...]) -> None:
    if value and value not in words:
        raise InputError(f"The {name} is {value}; it must be one of {', '.join(words)}.", "Choose one of them.")
