"""What an object knows of the job it came from, or is the source of: kept with the object in the .blend.

It survives saving, renaming, copying and appending, so an object is found again by it and not by its name alone. It
holds no key and no address of a mesh. Where several objects carry the same mark, because one was copied, the one that
still has the recorded name is meant, else one that the view layer shows.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import bpy

from ...core.models import TERMINAL, Box, Job, JobState
from ..geometry.selection_bounds import LEAST_PAUSE_S, PAUSE_PER_COST
from . import open_file

MOST_JOBS = 20
"""An object remembers so many jobs that it was the source of."""


class CSM_PG_mark(bpy.types.PropertyGroup):
    """``object.csm_refine``: of which session and job the object is the result, and of which jobs the source."""

    session_code: bpy.props.StringProperty(name="Session", description="The session whose refined mesh this is")
    job: bpy.props.StringProperty(name="Job", description="The job that brought it")
    service: bpy.props.StringProperty(name="Service", description="The service's base URL, or local")
    has_box: bpy.props.BoolProperty(name="Has a Box", description="Whether a box was asked for")
    box_centre: bpy.props.FloatVectorProperty(
        name="Box Centre", description="Of the box that was asked for, seen from the origin", size=3
    )
    box_size: bpy.props.FloatVectorProperty(name="Box Size", description="Of the box that was asked for", size=3)
    mirrored: bpy.props.BoolProperty(name="Mirrored", description="Whether the mesh was mirrored with its source")
    source_of: bpy.props.StringProperty(name="Source Of", description="The jobs that this object is the source of")
    merged_into: bpy.props.StringProperty(
        name="Merged Into", description="The jobs that took this object and their source object as one"
    )
    hid_in_viewport: bpy.props.BoolProperty(name="Hidden in Viewport", description="It was hidden for its result")
    hid_in_render: bpy.props.BoolProperty(name="Hidden in Renders", description="It was hidden for its result")


def of(obj: Any) -> Any:
    """Return an object's mark; its texts are empty where it is no result.

    Up to 4.5, an object that is asked for its mark has one from then on, saved with the file: see :func:`is_marked`.
    """
    return obj.csm_refine


def is_marked(obj: Any) -> bool:
    """Tell whether an object has a mark, and leave none."""
    return bool(obj.is_property_set("csm_refine"))


def is_result(obj: Any) -> bool:
    """Tell whether an object came out of a job."""
    return obj is not None and is_marked(obj) and bool(of(obj).session_code)


def box_of(obj: Any) -> Box | None:
    """Return the box that was asked for, in the object's frame, or None."""
    mark = of(obj)
    return Box(tuple(mark.box_centre), tuple(mark.box_size)) if mark.has_box else None


def mark_result(obj: Any, job: Job) -> None:
    """Let an object know of which job it is the result."""
    mark = of(obj)
    mark.session_code, mark.job, mark.service = job.request.session_code, job.id, job.service
    box = job.placement.box if job.placement else None
    mark.has_box = box is not None
    mark.mirrored = bool(job.placement and job.placement.mirrored)
    if box is not None:
        mark.box_centre, mark.box_size = box.centre, box.size
    _index.results = {**_index.results, job.id: obj.name}
    mark_stale()


def mark_source(job: Job) -> None:
    """Let a job's source object know of the job; nothing where it has none, or it belongs to another file."""
    obj = find_source(job)
    if obj is None or obj.library is not None:
        return
    of(obj).source_of = _with_job(of(obj).source_of, job)
    for other in find_merged(job):
        if other.library is None:
            of(other).merged_into = _with_job(of(other).merged_into, job)
    mark_stale()


def _with_job(known: str, job: Job) -> str:
    others = [each for each in known.split() if each != job.id]
    return " ".join([*others, job.id][-MOST_JOBS:])


@dataclass(frozen=True, slots=True)
class _Marked:
    """Every marked object of the file, by job."""

    results: dict[str, list[Any]]
    sources: dict[str, list[Any]]

    @property
    def jobs(self) -> set[str]:
        """The jobs of those objects that are not linked from another file."""
        both = (*self.results.items(), *self.sources.items())
        return {job_id for job_id, objects in both if any(obj.library is None for obj in objects)}


def _marked() -> _Marked:
    found = _Marked({}, {})
    for obj in filter(is_marked, bpy.data.objects):
        mark = of(obj)
        if mark.job:
            found.results.setdefault(mark.job, []).append(obj)
        for job_id in mark.source_of.split():
            found.sources.setdefault(job_id, []).append(obj)
    return found


def result_jobs() -> set[str]:
    """Return the ids of the jobs whose results stand in the file."""
    return {str(of(obj).job) for obj in bpy.data.objects if is_marked(obj) and of(obj).job}


def find_result(job: Job, marked: _Marked | None = None) -> Any:
    """Return the object that was placed, however it is called now, or None."""
    marked = marked or _marked()
    return _meant(marked.results.get(job.id, []), job.placed_object)


def find_source(job: Job, marked: _Marked | None = None) -> Any:
    """Return the job's source object, however it is called now, or None.

    Without a mark, because an undo took it, the name counts; not that of an object of another file.
    """
    name = job.placement.object_name if job.placement else None
    if not name:
        return None
    marked = marked or _marked()
    found = _meant(marked.sources.get(job.id, []), name)
    return bpy.data.objects.get(name) if found is None and open_file.asked_for(job) else found


def find_merged(job: Job) -> list[Any]:
    """Return the objects that were measured as one with the job's source object, however they are called now."""
    names = job.placement.merged_names if job.placement else ()
    if not names:
        return []
    found = [obj for obj in bpy.data.objects if is_marked(obj) and job.id in of(obj).merged_into.split()]
    if found or not open_file.asked_for(job):
        return found
    return [obj for obj in map(bpy.data.objects.get, names) if obj is not None]


def _meant(objects: list[Any], name: str) -> Any:
    shown = bpy.context.view_layer.objects
    ranked = sorted(objects, key=lambda obj: (obj.name != name, obj.name not in shown))
    return ranked[0] if ranked else None


# --- for draw: which objects there are, looked up by the timer ----------------------------------------------------


class _Index:
    """Names only: an object may be gone by the time it is drawn."""

    def __init__(self) -> None:
        self.results: dict[str, str] = {}
        self.sources: dict[str, str] = {}
        """By job; empty where it has none, missing where none was looked for."""
        self.jobs: set[str] = set()
        """Every job that an object of this very file knows of."""
        self.orphans: set[str] = set()
        """Those of them whose own file is gone, or never was one."""
        self.files: dict[str, bool] = {}
        """Whether other files are there, by path: the disk is asked once."""
        self.stale = self.is_new = True
        self.due_at = -math.inf


_index = _Index()


def mark_stale() -> None:
    """Note that objects may have come, gone or been renamed. Free: handlers call it."""
    _index.stale = True


def forget() -> None:
    """Drop everything, for a newly loaded file."""
    _index.__init__()  # type: ignore[misc]  # back to how it began


def update(jobs: Iterable[Job], now: float) -> bool:
    """Look the objects of placed and waiting jobs up anew where that is due; tell whether something changed."""
    if not _index.stale or now < _index.due_at:
        return False
    _index.stale = _index.is_new = False
    began = time.perf_counter()
    before = (_index.results, _index.sources, _index.jobs)
    marked, known = _marked(), list(jobs)
    _index.results = {job.id: obj.name for job in known if (obj := find_result(job, marked)) is not None}
    _index.sources = {job.id: getattr(find_source(job, marked), "name", "") for job in known}
    _index.jobs = marked.jobs
    _index.orphans = {job.id for job in known if job.id in _index.jobs and _is_orphan(job)}
    _index.due_at = now + max(LEAST_PAUSE_S, PAUSE_PER_COST * (time.perf_counter() - began))
    return before != (_index.results, _index.sources, _index.jobs)


def _is_orphan(job: Job) -> bool:
    """Tell whether no file but the open one has a claim to a job that goes on."""
    path = job.blend_file
    if job.state in TERMINAL or open_file.asked_for(job):
        return False
    if path and path not in _index.files:
        _index.files[path] = os.path.exists(path)
    return not _index.files.get(path, False)


def is_stale() -> bool:
    """Tell whether objects are to be looked up anew, as soon as that is due."""
    return _index.stale


def has_looked() -> bool:
    """Tell whether the objects of this file have been looked up since it was opened."""
    return not _index.is_new


def knows(job: Job) -> bool:
    """Tell whether the objects of a job have been looked up since this file was opened."""
    return job.id in _index.sources


def is_of_this_file(job: Job) -> bool:
    """Tell whether a job is one of the open file's: it was asked for from here, or an object was known to know of it.

    Such an object may have come from another file, which is the job's, too: see :func:`is_awaited`.
    """
    return open_file.asked_for(job) or job.id in _index.jobs


def is_missing(job: Job) -> bool:
    """Return, for ``draw``, whether a placed result of this file is not in it any more, and can be placed again."""
    is_placed = job.state is JobState.PLACED and bool(job.blend_path)
    return is_placed and has_looked() and is_of_this_file(job) and not result_name(job)


def is_awaited(job: Job) -> bool:
    """Tell whether a result comes into the open file by itself: it was asked for from here, or from no other file.

    So the result of an object of a file that was saved, or moved, after the click still finds its place; and an object
    that was appended into another file, or stands in a copy of its own, does not draw it there.
    """
    return open_file.asked_for(job) or job.id in _index.orphans


def result_name(job: Job) -> str:
    """Return the placed object's present name as last looked up, or an empty text where it is not in this file."""
    return _index.results.get(job.id, "")


def source_name(job: Job) -> str:
    """Return the source object's present name as last looked up, or an empty text where it is not in this file."""
    return _index.sources.get(job.id, "")


CLASSES = (CSM_PG_mark,)


@contextmanager
def known() -> Iterator[None]:
    """Let Blender know of the mark for as long as the block lasts: a script may place without the add-on enabled."""
    if hasattr(bpy.types.Object, "csm_refine"):
        yield
        return
    bpy.utils.register_class(CSM_PG_mark)
    add()
    try:
        yield
    finally:
        take_away()
        bpy.utils.unregister_class(CSM_PG_mark)


def add() -> None:
    """Hang the mark on every object."""
    types: Any = bpy.types
    types.Object.csm_refine = bpy.props.PointerProperty(type=CSM_PG_mark)


def take_away() -> None:
    """Undo :func:`add`; what the objects know stays in their file."""
    types: Any = bpy.types
    del types.Object.csm_refine
    forget()
