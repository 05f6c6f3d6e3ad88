"""JSON response bodies of the API: the envelope, sessions (v2 and v3) and the queue record.

Field names, types and constants follow the CSM API reference. A session has the fields of 2024 and of 2025 side by
side, as in the hosted service in March 2025. Where the reference leaves a point open, the docstring states the choice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ..core import mesh_counts
from ..remesh.refine_settings import Topology
from .request_schema import AUTOMATIC_BBOX
from .sessions import Session, Stage

ANONYMOUS = "000000"
_SESSION_STATUS = {
    Stage.PREVIEW_DONE: "incomplete",
    Stage.TRAINING_REFINE: "in_progress",
    Stage.REFINE_DONE: "complete",
    Stage.REFINE_FAILED: "failed",
}
_V3_STATUS = {Stage.REFINE_DONE: "complete", Stage.REFINE_FAILED: "failed"}


def envelope(status: int, message: str, data: Any, error: str = "") -> dict[str, Any]:
    """Return the envelope of a v2 response."""
    return {"error": error, "message": message, "statusCode": status, "data": data}


def session_data(
    session: Session,
    percent: int,
    urls: Mapping[str, str],
    preview: Mapping[str, str],
    picture: str = "",
    blend_version: Sequence[int] = (),
    step: tuple[str, int] | None = None,
) -> dict[str, Any]:
    """Return a session in the v2 form. ``urls`` and ``preview`` map formats to signed URLs; missing ones become ``""``.

    Extensions to the CSM API: ``mesh_url_blend`` and ``blend_version`` (see :func:`mesh_urls`), ``error_message``,
    ``picture_url`` (source and result side by side), ``step`` (of a running refine, with its number of tries),
    ``warnings`` (data that a refine will remove from the mesh), ``method``, ``notes`` and ``result`` (about the
    result). ``percentage`` is always 0, as in the hosted service.
    """
    order, settings = session.order, session.order.settings
    is_done = session.stage is Stage.REFINE_DONE
    return {
        "_id": _id(session.code),
        "user_id": None,
        "session_code": session.code,
        "image_url": "",
        "input_image": "",
        **mesh_urls(urls, blend_version),
        "preview_mesh_url_zip": preview.get("zip", ""),
        "preview_mesh_url_glb": preview.get("glb", ""),
        "preview_mesh_url_usdz": "",
        "mp4_url": "",
        "session_gif": "",
        "percentage": 0,
        "status": str(session.stage),
        "spins": [],
        "is_deleted": False,
        "manual_segmentation": False,
        "geometry_model": "local",
        "texture_model": "original" if settings.topology is Topology.KEEP else "baked",
        "topology": settings.topology,
        "resolution": "keep" if settings.topology is Topology.KEEP else str(settings.budget),
        "faces": settings.faces or settings.level,
        "texture_resolution": settings.texture_resolution,
        "keep_parts": settings.drop_parts_below or True,
        "symmetry": settings.symmetry,
        "scaled_bbox": list(order.scaled_bbox or [int(side) for side in AUTOMATIC_BBOX]),
        "preserve_aspect_ratio": settings.preserve_aspect_ratio,
        "pivot_point": list(order.pivot_point or (0, 0, 0)),
        "updated_at": _time(session.updated_at),
        "created_at": _time(session.created_at),
        "session_status": _SESSION_STATUS[session.stage],
        "percent_done": percent,
        "step": {"id": step[0], "try": step[1]} if step else None,
        "error_message": session.message,
        "picture_url": picture,
        "warnings": list(session.warnings),
        "method": session.method if is_done else "",
        "notes": list(session.notes) if is_done else [],
        "result": mesh_counts.document(session.counts) if is_done and session.counts else None,
    }


def mesh_urls(urls: Mapping[str, str], blend_version: Sequence[int] = ()) -> dict[str, Any]:
    """Return the mesh URLs under their v2 names; ``mesh_url`` is that of the zip.

    ``mesh_url_blend`` and ``blend_version``, the version of the Blender that wrote the .blend, are extensions.
    """
    named = {f"mesh_url_{kind}": urls.get(kind, "") for kind in ("obj", "zip", "glb", "fbx", "usdz", "blend")}
    return {"mesh_url": urls.get("zip", ""), **named, "blend_version": list(blend_version)}


def session_v3(session: Session, percent: int, urls: Mapping[str, str]) -> dict[str, Any]:
    """Return a session in the v3 form, which has no envelope."""
    named = {f"{kind}_url": urls.get(kind, "") for kind in ("glb", "obj", "fbx", "usdz")}
    return {
        "_id": session.code,
        "session_code": session.code,
        "type": "image_to_3d",
        "status": _V3_STATUS.get(session.stage, "incomplete"),
        "percent_done": percent,
        "created_at": _time(session.created_at),
        "updated_at": _time(session.updated_at),
        "output": {"meshes": [{"_id": _id(session.code + session.result), "data": named}] if urls else []},
    }


def queue_record(session: Session) -> dict[str, Any]:
    """Return the response to a refine request: a queue record; numbers are strings, ``task_data`` is a JSON string."""
    names = {"scenario": session.code, "unique_trial_key": session.trial_key}
    task = {**names, **dict.fromkeys(("customer_email", "image_url", "text_prompt", "keyword", "discord_user_id"), "")}
    job = {
        "scenario": session.code,
        "job_priority": "2",
        "username": "local",
        "call": "dreamfusion",
        "user_id": ANONYMOUS,
        "status": "unprocessed",
        "start_time": f"{session.ordered_at:.7f}",
        "unique_trial_key": session.trial_key,
        "task_data": json.dumps(task),
        "id": f"job:dreamfusion:{session.code}_{session.trial_key}",
    }
    return {**names, "status": "unprocessed", "complete_job_data": job}


def _id(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
