"""How the local service is to refine, as the panel keeps it with the scene."""

from __future__ import annotations

from typing import Any

import bpy

from ..core.models import LOCAL, LocalSettings
from ..core.processes import local_settings
from .i18n import CONTEXT

TOPOLOGIES = (
    ("KEEP", "Keep", "The mesh as it came, cleaned; nothing else changes"),
    ("TRIS", "Triangles", "The fewest faces for the look, with a new UV layout and baked textures"),
    ("QUADS", "Quads", "Even quads for sculpting and animation, with a new UV layout and baked textures"),
)
DETAILS = (
    ("LOW", "Low", "About 5,000 faces"),
    ("MEDIUM", "Medium", "About 20,000 faces"),
    ("HIGH", "High", "About 60,000 faces"),
    ("TYPED", "Typed In", "As many faces as typed"),
)
SYMMETRIES = (
    ("OFF", "Off", "Both halves as they are"),
    ("AUTO", "Automatic", "One half becomes the mirror of the other where they are nearly alike"),
    ("ON", "On", "One half becomes the mirror of the other"),
)


class CSM_PG_local(bpy.types.PropertyGroup):
    """``scene.csm_refine.local``: what only the local service takes."""

    topology: bpy.props.EnumProperty(
        name="Topology",
        description="What the faces of the refined mesh are like",
        items=TOPOLOGIES,
        translation_context=CONTEXT,
        default="KEEP",
    )
    detail: bpy.props.EnumProperty(
        name="Faces",
        description="How many faces the refined mesh has",
        items=DETAILS,
        translation_context=CONTEXT,
        default="MEDIUM",
    )
    faces: bpy.props.IntProperty(
        name="Number of Faces",
        description="How many faces the refined mesh has",
        translation_context=CONTEXT,
        default=10_000,
        min=local_settings.LEAST_FACES,
        max=local_settings.GREATEST_FACES,
        soft_max=200_000,
    )
    texture_size: bpy.props.IntProperty(
        name="Texture Size",
        description="The side of the baked textures",
        translation_context=CONTEXT,
        default=1024,
        min=local_settings.LEAST_TEXTURE,
        max=local_settings.GREATEST_TEXTURE,
        subtype="PIXEL",
    )
    symmetry: bpy.props.EnumProperty(
        name="Symmetry",
        description="Make one half the mirror of the other, from left to right",
        items=SYMMETRIES,
        translation_context=CONTEXT,
        default="OFF",
    )
    keep_aspect: bpy.props.BoolProperty(
        name="Keep Proportions",
        description="Make the mesh as large as the box allows, instead of stretching it to the box",
        translation_context=CONTEXT,
    )
    drop_parts: bpy.props.FloatProperty(
        name="Drop Parts Below",
        description="Loose parts with less than this share of the surface are dropped; 0 keeps all",
        translation_context=CONTEXT,
        default=local_settings.SMALL_PART * 100,
        min=0.0,
        max=99.0,
        soft_max=10.0,
        precision=2,
        subtype="PERCENTAGE",
    )


CLASSES = (CSM_PG_local,)


def settings_for(service: str, kept: Any) -> LocalSettings | None:
    """Return what ``scene.csm_refine.local`` asks for; None where it goes to another service, or asks for nothing."""
    if service != LOCAL:
        return None
    if kept.topology == "KEEP":
        return local_settings.checked(LocalSettings(preserve_aspect_ratio=kept.keep_aspect))
    return local_settings.checked(
        LocalSettings(
            topology=kept.topology.lower(),
            faces=str(kept.faces) if kept.detail == "TYPED" else kept.detail.lower(),
            texture_resolution=kept.texture_size,
            symmetry=kept.symmetry.lower(),
            preserve_aspect_ratio=kept.keep_aspect,
            drop_parts_below=float(f"{kept.drop_parts / 100:.6g}"),
        )
    )


def fill(kept: Any, asked: LocalSettings | None) -> None:
    """Fill ``scene.csm_refine.local`` from what a job asked for; what it did not say is as it is at first."""
    asked = asked or LocalSettings()
    for name in CSM_PG_local.__annotations__:
        kept.property_unset(name)
    kept.topology = (asked.topology or "keep").upper()
    if asked.faces.isdecimal():
        kept.detail, kept.faces = "TYPED", int(asked.faces)
    elif asked.faces:
        kept.detail = asked.faces.upper()
    if asked.texture_resolution:
        kept.texture_size = asked.texture_resolution
    if asked.symmetry:
        kept.symmetry = asked.symmetry.upper()
    kept.keep_aspect = asked.preserve_aspect_ratio
    if asked.drop_parts_below is not None:
        kept.drop_parts = asked.drop_parts_below * 100


def topology_name(asked: LocalSettings) -> str:
    """Return what is asked for, as its button says it."""
    return next(name for key, name, _ in TOPOLOGIES if key == asked.topology.upper())
