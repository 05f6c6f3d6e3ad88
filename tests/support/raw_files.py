"""Mesh files written byte by byte, with numpy alone: also such as no exporter would write."""

from __future__ import annotations

import dataclasses
import json
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
_FLOAT, _SHORT, _UNSIGNED = 5126, 5123, 5125
_KINDS = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}


@dataclasses.dataclass(frozen=True)
class Material:
    """A material: pictures as (rows, columns, 3) uint8, sRGB where they are colours; None for a plain white one."""

    picture: Array | None = None
    roughness_metallic: Array | None = None
    """Green is roughness, blue is metallic (glTF)."""
    normal: Array | None = None
    colour: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclasses.dataclass(frozen=True)
class Piece:
    """A part of a mesh with one material: positions (n, 3) with Y up, triangles (m, 3), UVs (n, 2) with V down.

    ``colours`` are (n, 3), sRGB, 0 to 1. ``joints`` and ``weights`` are (n, 4); ``moved`` is a shape key's (n, 3).
    """

    positions: Array
    triangles: Array
    uvs: Array | None = None
    colours: Array | None = None
    material: Material | None = None
    joints: Array | None = None
    weights: Array | None = None
    moved: Array | None = None


def write_obj(path: Path, piece: Piece) -> Path:
    """Write positions, colours (as most image-to-3D models do, behind the position) and triangles."""
    columns = [piece.positions] if piece.colours is None else [piece.positions, piece.colours]
    rows = np.concatenate(columns, axis=1)
    with path.open("w", encoding="ascii") as file:
        np.savetxt(file, rows, "v" + " %.6f" * rows.shape[1])
        np.savetxt(file, piece.triangles + 1, "f %d %d %d")
    return path


def write_glb(path: Path, pieces: Sequence[Piece], *, scale: Sequence[float] = (1, 1, 1), bones: int = 0) -> Path:
    """Write one node with one mesh; each piece is a primitive of it. ``bones`` hang it on an armature of so many."""
    return _Glb(pieces, list(scale), bones).write(path)


def png(picture: Array) -> bytes:
    """Return a picture, (rows, columns, 3) uint8, as a PNG."""
    rows, columns, _ = picture.shape
    lines = np.zeros((rows, 1 + columns * 3), dtype=np.uint8)
    lines[:, 1:] = picture.reshape(rows, -1)
    header = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def linear(srgb: Array) -> Array:
    """Return colours as light: glTF's vertex colours and factors are linear."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


class _Glb:
    """A document that grows with each piece; buffers are views of one binary chunk."""

    def __init__(self, pieces: Sequence[Piece], scale: list[float], bones: int) -> None:
        self._parts: list[bytes] = []
        self._views: list[dict[str, object]] = []
        self._accessors: list[dict[str, object]] = []
        self._images: list[dict[str, object]] = []
        self._materials: list[dict[str, object]] = []
        primitives = [self._primitive(piece) for piece in pieces]
        mesh = {"primitives": primitives, **({"weights": [0.0]} if pieces[0].moved is not None else {})}
        node: dict[str, object] = {"mesh": 0, "name": "raw", "scale": scale}
        self._document: dict[str, object] = {
            "asset": {"version": "2.0"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [node],
            "meshes": [mesh],
        }
        if bones:
            self._hang_on_bones(node, bones)

    def write(self, path: Path) -> Path:
        self._document |= {"accessors": self._accessors, "bufferViews": self._views}
        self._document["buffers"] = [{"byteLength": sum(map(len, self._parts))}]
        if self._materials:
            self._document["materials"] = self._materials
        if self._images:
            textures = [{"source": number} for number in range(len(self._images))]
            self._document |= {"images": self._images, "textures": textures}
        text = json.dumps(self._document).encode()
        text += b" " * (-len(text) % 4)
        binary = b"".join(self._parts)
        with path.open("wb") as file:
            file.write(struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + len(binary)))
            file.write(struct.pack("<I4s", len(text), b"JSON") + text)
            file.write(struct.pack("<I4s", len(binary), b"BIN\0") + binary)
        return path

    def _primitive(self, piece: Piece) -> dict[str, object]:
        attributes = {"POSITION": self._accessor(piece.positions.astype(np.float32), _FLOAT, bounds=True)}
        if piece.uvs is not None:
            attributes["TEXCOORD_0"] = self._accessor(piece.uvs.astype(np.float32), _FLOAT)
        if piece.colours is not None:
            attributes["COLOR_0"] = self._accessor(linear(piece.colours).astype(np.float32), _FLOAT)
        if piece.joints is not None and piece.weights is not None:
            attributes["JOINTS_0"] = self._accessor(piece.joints.astype(np.uint16), _SHORT)
            attributes["WEIGHTS_0"] = self._accessor(piece.weights.astype(np.float32), _FLOAT)
        primitive: dict[str, object] = {"attributes": attributes}
        primitive["indices"] = self._accessor(piece.triangles.astype(np.uint32).reshape(-1, 1), _UNSIGNED)
        if piece.moved is not None:
            moved = (piece.moved - piece.positions).astype(np.float32)
            primitive["targets"] = [{"POSITION": self._accessor(moved, _FLOAT, bounds=True)}]
        if piece.material is not None:
            primitive["material"] = self._material(piece.material)
        return primitive

    def _material(self, material: Material) -> int:
        surface: dict[str, object] = {}
        if material.colour != (1.0, 1.0, 1.0):
            surface["baseColorFactor"] = [*linear(np.array(material.colour)).tolist(), 1.0]
        if material.picture is not None:
            surface["baseColorTexture"] = {"index": self._image(material.picture)}
        if material.roughness_metallic is not None:
            surface["metallicRoughnessTexture"] = {"index": self._image(material.roughness_metallic)}
        else:
            surface |= {"metallicFactor": 0.0, "roughnessFactor": 0.8}
        entry: dict[str, object] = {"pbrMetallicRoughness": surface, "doubleSided": True}
        if material.normal is not None:
            entry["normalTexture"] = {"index": self._image(material.normal)}
        self._materials.append(entry)
        return len(self._materials) - 1

    def _image(self, picture: Array) -> int:
        self._images.append({"bufferView": self._view(png(picture)), "mimeType": "image/png"})
        return len(self._images) - 1

    def _hang_on_bones(self, node: dict[str, object], bones: int) -> None:
        """A chain of bones, each at the origin of the one before."""
        nodes: list[dict[str, object]] = [node]
        for number in range(1, bones + 1):
            children = {"children": [number + 1]} if number < bones else {}
            nodes.append({"name": f"bone {number}", "translation": [0.0, 0.2, 0.0], **children})
        inverse = np.tile(np.eye(4, dtype=np.float32), (bones, 1, 1))
        inverse[:, 3, 1] = -0.2 * np.arange(1, bones + 1)  # column by column, as glTF has it
        view = self._view(inverse.tobytes())
        self._accessors.append({"bufferView": view, "componentType": _FLOAT, "count": bones, "type": "MAT4"})
        skin = {"joints": list(range(1, bones + 1)), "inverseBindMatrices": len(self._accessors) - 1}
        node["skin"] = 0
        self._document |= {"nodes": nodes, "scenes": [{"nodes": [0, 1]}], "skins": [skin]}

    def _accessor(self, values: Array, component: int, *, bounds: bool = False) -> int:
        entry: dict[str, object] = {
            "bufferView": self._view(np.ascontiguousarray(values).tobytes()),
            "componentType": component,
            "count": len(values),
            "type": _KINDS[values.shape[1]],
        }
        if bounds:
            entry |= {"min": values.min(axis=0).tolist(), "max": values.max(axis=0).tolist()}
        self._accessors.append(entry)
        return len(self._accessors) - 1

    def _view(self, content: bytes) -> int:
        offset = sum(map(len, self._parts))
        self._parts.append(content + b"\0" * (-len(content) % 4))
        self._views.append({"buffer": 0, "byteOffset": offset, "byteLength": len(content)})
        return len(self._views) - 1
