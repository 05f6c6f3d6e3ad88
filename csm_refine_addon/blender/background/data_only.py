"""A mesh and its looks as plain data: nothing in them that runs, moves, points to other files, or tells where it was.

A driver is Python code that Blender runs where scripts are allowed; a script node is code, too. :func:`make_plain`
takes such things off while a mesh is prepared; :func:`is_plain` looks once more, in a millisecond, at what was appended
from a file that lay on the disk meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import bpy

SCRIPT = "SCRIPT"
_FILLER = "/" * 1023  # Blender's FILE_MAX, without the zero at the end


def make_plain(obj: bpy.types.Object) -> None:
    """Take off what is no part of a mesh and its looks; other objects are left alone."""
    obj.modifiers.clear()
    obj.constraints.clear()
    for tree in _trees(obj):
        for node in [node for node in tree.nodes if node.type == SCRIPT]:
            tree.nodes.remove(node)
        for node in tree.nodes:
            _drop_other_blocks(node)
        _drop_other_blocks(tree)  # annotations
    _drop_other_blocks(obj.data)
    for block in _blocks(obj):
        if hasattr(block, "animation_data_clear"):
            block.animation_data_clear()
        for key in list(block.keys()):
            del block[key]
        if block.asset_data:
            block.asset_clear()
    for image in images_of(obj):
        image.filepath_raw = f"//{bpy.path.basename(image.filepath_raw)}" if image.filepath_raw else ""


def _drop_other_blocks(owner: Any) -> None:
    """Set pointers to objects, texts, other meshes to None: such blocks would come along when this one is appended."""
    for key in list(owner.keys()):
        del owner[key]
    for setting in owner.bl_rna.properties:
        if setting.type == "POINTER" and not setting.is_readonly:
            value = getattr(owner, setting.identifier)
            if isinstance(value, bpy.types.ID) and not isinstance(value, bpy.types.Image | bpy.types.NodeTree):
                setattr(owner, setting.identifier, None)


def is_plain(obj: bpy.types.Object) -> bool:
    """Tell whether an object is nothing but a mesh with materials and images; for what was appended in this moment.

    Later it may hold what this window's add-ons keep with objects: up to 4.5, to read such a property makes it.
    """
    if obj.parent or obj.modifiers or obj.constraints or obj.particle_systems or obj.instance_type != "NONE":
        return False
    if obj.rigid_body or obj.data.shape_keys or any(map(_holds_more, _blocks(obj))):
        return False
    nodes = [node for tree in _trees(obj) for node in tree.nodes]
    return not any(node.type == SCRIPT for node in nodes)


def has_images_inside(obj: bpy.types.Object) -> bool:
    """Tell whether all images that an object shows are packed."""
    return all(image.packed_file or image.packed_files for image in images_of(obj))


def without_origin(obj: bpy.types.Object) -> None:
    """Put copies in the place of appended blocks that hold the path of the file that they came from.

    Blender keeps that path for later appends (``ID.library_weak_reference``, read only) and saves it with the user's
    file. A copy has none, shares the arrays, and takes 0.03 ms for 1.3 million triangles.
    """
    copies: dict[Any, Any] = {}

    def fresh(block: Any) -> Any:
        if block is None or block.library_weak_reference is None:
            return block
        if block not in copies:
            copies[block] = _copy(block)
        return copies[block]

    obj.data = fresh(obj.data)
    for slot, material in enumerate(obj.data.materials):
        obj.data.materials[slot] = fresh(material)
    for tree in _trees(obj):
        for node in tree.nodes:
            for part in ("image", "node_tree"):
                if getattr(node, part, None):
                    setattr(node, part, fresh(getattr(node, part)))
    bpy.data.batch_remove(list(copies))
    for image in images_of(obj):
        forget_place(image)


def forget_place(image: bpy.types.Image) -> None:
    """Say of packed files what the image says, not where they lay.

    Up to 4.5, Blender takes memory for that path as others left it, and saves all 1,024 bytes with the user's file. So
    it is filled first.
    """
    for part in image.packed_files:
        part.filepath = _FILLER
        part.filepath = image.filepath_raw


def _copy(block: Any) -> Any:
    name, copy = block.name, block.copy()
    block.name = "old"
    copy.name = name
    return copy


def _holds_more(block: Any) -> bool:
    return bool(getattr(block, "animation_data", None) or block.keys() or block.asset_data or block.library)


def _blocks(obj: bpy.types.Object) -> Iterator[Any]:
    yield obj
    yield obj.data
    yield from (material for material in obj.data.materials if material)
    yield from _trees(obj)
    yield from images_of(obj)


def images_of(obj: bpy.types.Object) -> list[Any]:
    """Return the images in an object's materials and their node groups, each once."""
    images = (getattr(node, "image", None) for tree in _trees(obj) for node in tree.nodes)
    return list(dict.fromkeys(image for image in images if image))


def _trees(obj: bpy.types.Object) -> list[Any]:
    """Return the node trees of an object's materials, and the groups in them, each once."""
    found = [material.node_tree for material in obj.data.materials if material and material.node_tree]
    for tree in found:  # it grows meanwhile
        groups = (getattr(node, "node_tree", None) for node in tree.nodes)
        found += dict.fromkeys(group for group in groups if group and group not in found)
    return found
