"""A GLB as heavy as they come: 1.3 million triangles that share no vertex, three textures of 2048 x 2048, 180 MB."""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np

RINGS, SEGMENTS = 650, 1000
TRIANGLES = 2 * RINGS * SEGMENTS
TEXTURE_SIDE = 2048
TEXTURES = ("baseColorTexture", "metallicRoughnessTexture", "normalTexture")
_FLOAT, _UNSIGNED, _VERTICES, _INDICES = 5126, 5125, 34962, 34963


def cached(folder: Path) -> Path:
    """Return the file in a folder; written if it is not there."""
    path = folder / f"{TRIANGLES}_triangles.glb"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        write(part)
        os.replace(part, path)
    return path


def write(path: Path) -> None:
    positions, normals, uvs = _surface()
    count = len(positions)
    parts = [
        positions.tobytes(),
        normals.tobytes(),
        uvs.tobytes(),
        np.arange(count, dtype=np.uint32).tobytes(),
        *(_png(seed) for seed in range(len(TEXTURES))),
    ]
    document = _document(parts, count, positions)
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    binary = b"".join(_padded(part) for part in parts)
    length = 12 + 8 + len(text) + 8 + len(binary)
    with path.open("wb") as file:
        file.write(struct.pack("<4sII", b"glTF", 2, length))
        file.write(struct.pack("<I4s", len(text), b"JSON") + text)
        file.write(struct.pack("<I4s", len(binary), b"BIN\0") + binary)


def _surface() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A knobbly ball as loose triangles, counter-clockwise from outside: positions, normals, UVs, float32."""
    u = np.linspace(0.0, 1.0, SEGMENTS + 1)[None, :]
    v = np.linspace(0.002, 0.998, RINGS + 1)[:, None]
    around, down = 2 * np.pi * u, np.pi * v
    outwards = np.stack([np.sin(down) * np.cos(around), np.cos(down) + 0 * u, -np.sin(down) * np.sin(around)], axis=-1)
    radius = 1 + 0.1 * np.sin(9 * around) * np.sin(7 * down) + 0.01 * np.sin(61 * around) * np.sin(53 * down)
    corners = _corners()
    grid = outwards * radius[..., None] * (0.5, 0.9, 0.4)
    positions = grid.reshape(-1, 3)[corners].astype(np.float32)
    sides = positions.reshape(-1, 3, 3)
    normals = np.cross(sides[:, 1] - sides[:, 0], sides[:, 2] - sides[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    uvs = np.stack(np.broadcast_arrays(u, v), axis=-1).reshape(-1, 2)[corners].astype(np.float32)
    return positions, np.repeat(normals, 3, axis=0).astype(np.float32), uvs


def _corners() -> np.ndarray:
    """The grid points of each triangle's corners, one after the other."""
    ring, segment = np.mgrid[0:RINGS, 0:SEGMENTS]
    a = (ring * (SEGMENTS + 1) + segment).ravel()
    b, c, d = a + SEGMENTS + 1, a + SEGMENTS + 2, a + 1
    return np.stack([a, b, c, a, c, d], axis=1).ravel()


def _png(seed: int) -> bytes:
    """Noise, which no compression makes smaller: an image cannot be heavier."""
    rows = np.zeros((TEXTURE_SIDE, 1 + TEXTURE_SIDE * 3), dtype=np.uint8)  # a 0 before each row: not filtered
    rows[:, 1:] = np.random.default_rng(seed).integers(0, 256, (TEXTURE_SIDE, TEXTURE_SIDE * 3), dtype=np.uint8)
    header = struct.pack(">IIBBBBB", TEXTURE_SIDE, TEXTURE_SIDE, 8, 2, 0, 0, 0)
    image = zlib.compress(rows.tobytes(), 1)
    chunks = ((b"IHDR", header), (b"IDAT", image), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(kind, content) for kind, content in chunks)


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _padded(part: bytes) -> bytes:
    return part + b"\0" * (-len(part) % 4)


def _document(parts: list[bytes], count: int, positions: np.ndarray) -> dict[str, object]:
    targets = (_VERTICES, _VERTICES, _VERTICES, _INDICES)
    views, offset = [], 0
    for index, part in enumerate(parts):
        view = {"buffer": 0, "byteOffset": offset, "byteLength": len(part)}
        views.append({**view, "target": targets[index]} if index < len(targets) else view)
        offset += len(part) + -len(part) % 4
    kinds = ((_FLOAT, "VEC3"), (_FLOAT, "VEC3"), (_FLOAT, "VEC2"), (_UNSIGNED, "SCALAR"))
    accessors: list[dict[str, object]] = [
        {"bufferView": index, "componentType": component, "count": count, "type": kind}
        for index, (component, kind) in enumerate(kinds)
    ]
    accessors[0] |= {"min": positions.min(axis=0).tolist(), "max": positions.max(axis=0).tolist()}
    surface = {TEXTURES[0]: {"index": 0}, TEXTURES[1]: {"index": 1}}
    attributes = {"POSITION": 0, "NORMAL": 1, "TEXCOORD_0": 2}
    return {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, "name": "mesh"}],
        "meshes": [{"primitives": [{"attributes": attributes, "indices": 3, "material": 0}]}],
        "materials": [{"pbrMetallicRoughness": surface, TEXTURES[2]: {"index": 2}}],
        "textures": [{"source": index} for index in range(len(TEXTURES))],
        "images": [{"bufferView": 4 + index, "mimeType": "image/png"} for index in range(len(TEXTURES))],
        "accessors": accessors,
        "bufferViews": views,
        "buffers": [{"byteLength": offset}],
    }
