"""One refine from end to end, as the process that the service starts."""

from __future__ import annotations

import json
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bpy

from ...blender.meshes import mesh_io
from ...core import documents
from ...core.errors import CsmError
from .cleaning import clean
from .fitting import fit
from .picture import Picture
from .progress import Progress, write_whole
from .settings import PICTURE, RefineSettings
from .writing import write


def main(argv: Sequence[str]) -> int:
    """Refine what ``argv[0]`` holds; 0 where ``mesh.glb`` was written, 8 where the mesh is not usable, else 1."""
    folder = Path(argv[0])
    try:
        report = refine(folder, json.loads((folder / "order.json").read_text("utf-8")))
        code = 0
    except CsmError as error:
        report = {"ok": False, "error": {"code": error.code, "message": error.message, "action": error.action}}
        code = error.exit_code
    except Exception:  # noqa: BLE001 -- the top of the process: the service says that Blender failed, the log says on what
        traceback.print_exc()
        return 1
    write_whole(folder / "report.json", json.dumps(report))
    return code


def refine(folder: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Do the work of one order and return its report. Raises MeshUnusable."""
    progress = Progress(folder / "progress")
    settings = documents.decode(RefineSettings, order.get("settings", {}))
    bpy.ops.wm.read_factory_settings(use_empty=True)
    progress.reached(5)
    obj = mesh_io.import_mesh(Path(order["mesh"]), folder / "scratch")
    obj.name = obj.data.name = order["code"]
    picture = Picture(obj)
    progress.reached(30)
    clean(obj.data)
    progress.reached(50)
    box, pivot = order.get("scaled_bbox"), order.get("pivot_point")
    notes = fit(obj.data, box, pivot, keep_aspect=settings.preserve_aspect_ratio)
    progress.reached(60)
    formats, failed = write(obj, folder, order["code"], progress)
    low, high = mesh_io.vertex_bounds(obj)
    return {
        "ok": True,
        "formats": formats,
        "notes": [*notes, *failed, *picture.finished(obj, folder / PICTURE)],
        "vertices": len(obj.data.vertices),
        "faces": len(obj.data.polygons),
        "box": [low.tolist(), high.tolist()],
    }
