"""The last process of a refine: UV layout, textures, box and files for the chosen result.

Without a ``choice`` in the order the cleaned source is used.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..blender.background import mesh_io, topology
from ..core import disk_errors, mesh_counts, private_files, serialization
from ..core.errors import CsmError
from . import tuning
from .comparison_picture import ComparisonPicture
from .final_fit import fit
from .progress import Progress, Step, refusal
from .refine_settings import PICTURE, RefineSettings
from .result_writer import write
from .retexture import retexture_shape
from .run_method import limit_memory
from .source_reader import load, read_source


def main(request: Mapping[str, str]) -> int:
    """Finish the refine in the folder; return 0 if ``mesh.glb`` was written, 8 if the mesh is unusable, else 1."""
    folder = Path(request["folder"])
    try:
        report = refine(folder, json.loads((folder / "order.json").read_text("utf-8")))
        code = 0
    except CsmError as error:
        report = refusal(error)
        code = error.exit_code
    except Exception as error:  # noqa: BLE001 -- top of the process: the service reports it, the log has details
        traceback.print_exc()
        return disk_errors.exit_code(error)
    private_files.write_atomically(folder / "report.json", json.dumps(report))
    return code


def refine(folder: Path, order: dict[str, Any]) -> dict[str, Any]:
    """Process one order and return its report. Raises MeshUnusable."""
    progress = Progress(folder / "progress")
    settings = serialization.decode(RefineSettings, order.get("settings", {}))
    progress.begin(Step.UNWRAPPING if order.get("choice") else Step.READING)
    progress.reached(5)
    obj, notes = read_source(folder, order, settings)
    picture = ComparisonPicture(obj)
    choice = order.get("choice", "")
    progress.reached(6 if choice else 50)
    frame = mesh_io.vertex_bounds(obj)
    if choice:
        limit_memory(tuning.MEMORY_LIMIT)
        shape = load(folder / "scratch" / f"{choice}.npz")
        obj = retexture_shape(shape, obj, settings.texture_resolution, progress)
    box, pivot = order.get("scaled_bbox"), order.get("pivot_point")
    notes += fit(obj.data, box, pivot, keep_aspect=settings.preserve_aspect_ratio, frame=frame)
    progress.begin(Step.WRITING)
    progress.reached(80)
    formats, failed = write(obj, folder, order["code"], progress)
    low, high = mesh_io.vertex_bounds(obj)
    return {
        "ok": True,
        "formats": formats,
        "method": choice or "cleaned",
        "notes": [*notes, *order.get("notes", []), *failed, *picture.finished(obj, folder / PICTURE)],
        "vertices": len(obj.data.vertices),
        "faces": len(obj.data.polygons),
        "result": mesh_counts.document(topology.measure(obj.data)),
        "box": [low.tolist(), high.tolist()],
    }
