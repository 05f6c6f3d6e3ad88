"""Checks of a glTF document against its binary data; glTF 2.0, sections 3.5 to 3.9 and 5."""

from __future__ import annotations

import array
import base64
import binascii
import io
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

from ..errors import MeshUnusable
from ..limits import Limits
from . import kinds
from .images import HEAD_BYTES as IMAGE_HEAD_BYTES, Pixels
from .kinds import AGAIN, damaged, not_finite, too_many

Document = dict[str, Any]
KNOWN_EXTENSIONS = frozenset(
    {
        *("KHR_lights_punctual", "KHR_mesh_quantization", "KHR_texture_transform", "KHR_animation_pointer"),
        *("EXT_texture_webp", "EXT_mesh_gpu_instancing"),
    }
)
MATERIAL_EXTENSIONS = "KHR_materials_"
COMPRESSIONS = frozenset({"KHR_draco_mesh_compression", "EXT_meshopt_compression", "KHR_meshopt_compression"})
INSTANCING = "EXT_mesh_gpu_instancing"
VALUES_PER_FACE = 4
"""Corners of a quad: no array of a sound mesh is longer."""
_COUNTED = ("nodes", "meshes", "accessors", "bufferViews", "materials", "textures", "images", "skins", "animations")
_COMPONENT_BYTES = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
_COMPONENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_FLOAT = 5126
_INDEX_CODES = {5121: "B", 5123: "H", 5125: "I"}
_STRIPS = frozenset({5, 6})
_TRIANGLES = 4


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes of an open file: a buffer, or a part of one with the stride of its items (0: packed)."""

    file: IO[bytes]
    start: int
    length: int
    stride: int = 0

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes that lie within the stretch, fewer where it ends before."""
        self.file.seek(self.start + offset)
        return self.file.read(min(length, self.length - offset))


def check(document: Document, binary: Stretch, limits: Limits) -> None:
    """Refuse what is incomplete, contradicts itself, or asks for too much.

    Raises MeshUnusable; where the document has not the form of glTF also TypeError, ValueError, KeyError,
    AttributeError, IndexError or OverflowError.
    """
    if not any(mesh["primitives"] for mesh in document.get("meshes", ())):
        raise MeshUnusable("The GLB holds no mesh.", AGAIN)
    _check_extensions(document)
    _check_counts(document, limits)
    views = _views(document, binary)
    for accessor in document.get("accessors", ()):
        _check_accessor(accessor, views, limits)
    _check_images(document, views, limits)
    _check_nodes(document.get("nodes", ()), limits)
    _Meshes(document, views).check(limits)


def _check_extensions(document: Document) -> None:
    used, required = set(document.get("extensionsUsed", ())), set(document.get("extensionsRequired", ()))
    for name in sorted((used | required) & COMPRESSIONS):
        raise MeshUnusable(f"The GLB is compressed with {name}, which is not read.", "Export it without compression.")
    for name in sorted(required - KNOWN_EXTENSIONS):
        if not name.startswith(MATERIAL_EXTENSIONS):
            raise MeshUnusable(f"The GLB needs the extension {name[:64]}, which is not known.", "Export it without.")


def _check_counts(document: Document, limits: Limits) -> None:
    for name in _COUNTED:
        if len(document.get(name, ())) > limits.nodes:
            raise too_many(name, limits.nodes)
    channels = sum(len(animation.get("channels", ())) for animation in document.get("animations", ()))
    primitives = sum(len(mesh["primitives"]) for mesh in document["meshes"])
    joints = sum(len(skin.get("joints", ())) for skin in document.get("skins", ()))
    for name, count in (("animation channels", channels), ("parts of meshes", primitives), ("joints", joints)):
        if count > limits.nodes:
            raise too_many(name, limits.nodes)


# Buffers, views, accessors


def _views(document: Document, binary: Stretch) -> list[Stretch]:
    if any(_is_outside(part) for name in ("buffers", "images") for part in document.get(name, ())):
        raise MeshUnusable("The GLB needs other files that did not come with it.", "Export it with everything inside.")
    buffers = [_buffer(buffer, binary, number) for number, buffer in enumerate(document.get("buffers", ()))]
    return [_view(view, buffers) for view in document.get("bufferViews", ())]


def _buffer(buffer: Document, binary: Stretch, number: int) -> Stretch:
    length = _whole(buffer["byteLength"])
    if "uri" in buffer:
        content = _data(buffer["uri"])
        there = Stretch(io.BytesIO(content), 0, len(content))
    else:
        there = binary if number == 0 else Stretch(binary.file, 0, 0)
    if length > there.length:
        raise damaged("its binary part is shorter than it says")
    return Stretch(there.file, there.start, length)


def _is_outside(part: Document) -> bool:
    uri = part.get("uri")
    return uri is not None and not uri.startswith("data:")


def _data(uri: str) -> bytes:
    """Return what a data URI holds, base64 (RFC 2397); it was read with the document, whose size is limited."""
    head, comma, text = uri.partition(",")
    if not comma or not head.endswith(";base64"):
        raise damaged("data in its description is not base64")
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise damaged("data in its description is not base64") from error


def _view(view: Document, buffers: Sequence[Stretch]) -> Stretch:
    buffer = buffers[_whole(view["buffer"])]
    offset, length = _whole(view.get("byteOffset", 0)), _whole(view["byteLength"])
    if offset + length > buffer.length:
        raise damaged("a part of its data lies outside the file")
    return Stretch(buffer.file, buffer.start + offset, length, _whole(view.get("byteStride", 0)))


def _whole(number: Any) -> int:
    """Return a whole number that is not negative; JSON may hold anything else."""
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError("not a whole number")
    if number < 0:
        raise damaged("a part of its data lies outside the file")
    return number


def _check_accessor(accessor: Document, views: Sequence[Stretch], limits: Limits) -> None:
    count, most = _whole(accessor["count"]), VALUES_PER_FACE * max(limits.vertices, limits.faces)
    if count > most:
        raise too_many("values in an array", most)
    item = _item_bytes(accessor)
    if accessor.get("bufferView") is not None:
        _refuse_beyond(accessor, views, count, item)
    if sparse := accessor.get("sparse"):
        some = _whole(sparse["count"])
        _refuse_beyond(sparse["indices"], views, some, _COMPONENT_BYTES[sparse["indices"]["componentType"]])
        _refuse_beyond(sparse["values"], views, some, item)
        if some > count or _greatest(sparse["indices"], views, some) >= count:
            raise damaged("an array has exceptions beyond its end")


def _item_bytes(accessor: Document) -> int:
    return _COMPONENT_BYTES[accessor["componentType"]] * _COMPONENTS[accessor["type"]]


def _refuse_beyond(part: Document, views: Sequence[Stretch], count: int, item: int) -> None:
    view, offset = views[_whole(part["bufferView"])], _whole(part.get("byteOffset", 0))
    if offset + (view.stride or item) * (count - 1) + item > view.length:
        raise damaged("an array reaches beyond its data")


def _greatest(part: Document, views: Sequence[Stretch], count: int) -> int:
    """Return the greatest of the indices that lie packed in a view; -1 where there are none."""
    code = _INDEX_CODES.get(part["componentType"])
    if code is None:
        raise damaged("its indices are no whole numbers")
    view, offset = views[part["bufferView"]], part.get("byteOffset", 0)
    size = array.array(code).itemsize
    if view.stride not in (0, size):
        raise damaged("its indices do not lie one after the other")
    return max((max(block) for block in _blocks(view, offset, count * size, code)), default=-1)


def _blocks(view: Stretch, offset: int, length: int, code: str) -> Iterator[array.array[Any]]:
    end = offset + length
    while offset < end:
        block = array.array(code, view.read(offset, min(end - offset, kinds.BLOCK_BYTES)))
        if sys.byteorder == "big":
            block.byteswap()
        yield block
        offset += len(block) * block.itemsize


def _check_images(document: Document, views: Sequence[Stretch], limits: Limits) -> None:
    pixels = Pixels(limits)
    for image in document.get("images", ()):
        if image.get("uri") is not None:
            content = _data(image["uri"])
        elif image.get("bufferView") is not None:
            content = views[_whole(image["bufferView"])].read(0, IMAGE_HEAD_BYTES)
        else:
            continue
        if not pixels.add(io.BytesIO(content)):
            raise MeshUnusable("The GLB holds an image of no known kind.", "Export it with PNG, JPEG or WebP images.")


# Nodes and meshes


def _check_nodes(nodes: Sequence[Document], limits: Limits) -> None:
    """Nodes are strict trees (3.5.2): each has one parent at most, none is above itself."""
    children = [child for node in nodes for child in node.get("children", ())]
    if len(set(children)) < len(children) or not all(_whole(child) < len(nodes) for child in children):
        raise damaged("its nodes are no trees")
    level, seen = list(set(range(len(nodes))) - set(children)), 0
    for _ in range(limits.node_depth):
        seen += len(level)
        level = [child for index in level for child in nodes[index].get("children", ())]
    if level:
        raise too_many("nodes inside each other", limits.node_depth)
    if seen < len(nodes):
        raise damaged("its nodes are no trees")


class _Meshes:
    """The meshes, as often as they are shown, and what their faces lead to."""

    def __init__(self, document: Document, views: Sequence[Stretch]) -> None:
        self._document = document
        self._views = views
        self._greatest: dict[int, int] = {}
        self._finite: set[int] = set()

    def check(self, limits: Limits) -> None:
        """Refuse too many vertices or faces, indices that lead beyond the vertices, positions that are not finite."""
        vertices = faces = 0
        for mesh, times in zip(self._document["meshes"], self._times_shown(), strict=True):
            for primitive in mesh["primitives"]:
                some, more = self._count(primitive)
                vertices, faces = vertices + times * some, faces + times * more
        if vertices > limits.vertices:
            raise too_many("vertices", limits.vertices)
        if faces > limits.faces:
            raise too_many("faces", limits.faces)

    def _times_shown(self) -> list[int]:
        times = [0] * len(self._document["meshes"])
        for node in self._document.get("nodes", ()):
            if node.get("mesh") is not None:
                times[_whole(node["mesh"])] += self._instances(node)
        return [max(number, 1) for number in times]

    def _instances(self, node: Document) -> int:
        placed = node.get("extensions", {}).get(INSTANCING, {}).get("attributes", {})
        return max((self._accessor(index)["count"] for index in placed.values()), default=1)

    def _accessor(self, index: Any) -> Document:
        found: Document = self._document["accessors"][_whole(index)]
        return found

    def _count(self, primitive: Document) -> tuple[int, int]:
        """Return how many vertices and faces a primitive makes, its shape keys included."""
        attributes, mode = primitive["attributes"], primitive.get("mode", _TRIANGLES)
        counts = {self._accessor(index)["count"] for index in attributes.values()}
        if "POSITION" not in attributes:
            return 0, 0
        if len(counts) > 1:
            raise damaged("a mesh has more of one thing than of another")
        self._refuse_odd_positions(attributes["POSITION"])
        vertices = corners = counts.pop()
        if primitive.get("indices") is not None:
            corners = self._accessor(primitive["indices"])["count"]
            if self._greatest_of(primitive["indices"]) >= vertices:
                raise damaged("its faces lead to vertices that are not there")
        return vertices * (1 + len(primitive.get("targets", ()))), corners if mode in _STRIPS else corners // 3

    def _greatest_of(self, index: int) -> int:
        if index not in self._greatest:
            accessor = self._accessor(index)
            parts = [(accessor, accessor["count"])] if accessor.get("bufferView") is not None else []
            if sparse := accessor.get("sparse"):
                values = {**sparse["values"], "componentType": accessor["componentType"]}
                parts.append((values, sparse["count"]))
            self._greatest[index] = max((_greatest(part, self._views, count) for part, count in parts), default=0)
        return self._greatest[index]

    def _refuse_odd_positions(self, index: int) -> None:
        """Refuse float32 values that are not finite: importers turn them into zeros, which bends the mesh silently."""
        accessor = self._accessor(index)
        if index in self._finite or accessor["componentType"] != _FLOAT or accessor.get("bufferView") is None:
            return
        self._finite.add(index)
        view = self._views[accessor["bufferView"]]
        if view.stride in (0, _item_bytes(accessor)):
            length = accessor["count"] * _item_bytes(accessor)
            for block in _blocks(view, accessor.get("byteOffset", 0), length, "f"):
                if not math.isfinite(sum(block)):  # no sum of so few float32 values leaves the range of a float64
                    raise not_finite()
