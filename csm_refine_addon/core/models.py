"""Frozen dataclasses of a refine job: request, placement, remote status, report, job."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

from . import serialization
from .axes import Vector3

Quaternion = tuple[float, float, float, float]
"""w, x, y, z."""

LOCAL = "local"
"""The address of the local service in a job: its port changes with each start."""
CSM_BASE_URL = "https://api.csm.ai"


class Secret:
    """A key or a signed URL. Its ``repr`` and ``str`` are redacted, and it cannot be pickled."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the plain value."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __reduce__(self) -> Any:
        raise TypeError("a secret is not written anywhere")


class JobState(enum.StrEnum):
    """The state of a job. ``state_machine.TRANSITIONS`` lists the allowed transitions."""

    PREPARED = "PREPARED"
    SUBMITTING = "SUBMITTING"
    UNCERTAIN = "UNCERTAIN"
    RUNNING = "RUNNING"
    DOWNLOADING = "DOWNLOADING"
    PREPARING = "PREPARING"
    READY = "READY"
    PLACED = "PLACED"
    FAILED = "FAILED"
    STOPPED = "STOPPED"


class RemoteKind(enum.StrEnum):
    """The meaning of a status word of the service for a refine."""

    BEFORE = "before"
    """The preview mesh is not finished."""
    BROKEN = "broken"
    """Failed before the preview mesh."""
    REFINABLE = "refinable"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclasses.dataclass(frozen=True, slots=True)
class RemoteStatus:
    """The service's status word and its meaning; ``percent`` is 0 to 100, or None if the service does not report it."""

    word: str
    kind: RemoteKind
    percent: float | None = None
    step: str = ""
    """What a refine of the local service is doing, as :mod:`~..remesh.progress` names it; empty: not known."""
    attempt: int = 1
    """Counts how often the step was begun: another method is tried where one fails."""


@dataclasses.dataclass(frozen=True, slots=True)
class Box:
    """A box in an object's rotated frame: ``centre`` relative to the object's origin, ``size`` along its axes.

    Blender axes x, y, z in Blender units (sent to the service as metres).
    """

    centre: Vector3
    size: Vector3

    @property
    def diagonal(self) -> float:
        """Length of the box's diagonal."""
        return float(sum(side * side for side in self.size) ** 0.5)


@dataclasses.dataclass(frozen=True, slots=True)
class Placement:
    """The target of the refined mesh: world ``origin`` and ``rotation`` (Blender axes), and the box to fill.

    ``box`` is None if the service chooses the size. ``object_name`` is None if there is no source object. The source
    fields hold the measured values, to detect later moves of the source; comparisons of placements ignore them.
    """

    origin: Vector3 = (0.0, 0.0, 0.0)
    rotation: Quaternion = (1.0, 0.0, 0.0, 0.0)
    box: Box | None = None
    object_name: str | None = None
    source_origin: Vector3 | None = dataclasses.field(default=None, compare=False)
    """None: there is no source, or an older version wrote the job; the result stands where it was measured then."""
    source_scale: Vector3 | None = dataclasses.field(default=None, compare=False)
    """As ``matrix_world.decompose()`` has it: negative on all axes where the source is mirrored."""
    mirrored: bool = False
    """Whether the mesh that comes back is to be mirrored."""
    merged_names: tuple[str, ...] = ()
    """The objects that were measured with the source as one; their names, without its own."""


@dataclasses.dataclass(frozen=True, slots=True)
class LocalSettings:
    """Settings of a local remesh. Empty, 0 and None use the default of the service.

    ``faces`` is a number, or ``low``, ``medium``, ``high``; ``texture_resolution`` is a side in pixels; loose
    parts with less than ``drop_parts_below`` of the surface are dropped.
    """

    topology: str = ""
    faces: str = ""
    texture_resolution: int = 0
    symmetry: str = ""
    preserve_aspect_ratio: bool = False
    drop_parts_below: float | None = None

    @property
    def body(self) -> dict[str, object]:
        """The request's JSON keys; the vendor's names are used where they exist."""
        faces: object = int(self.faces) if self.faces.isdecimal() else self.faces
        values: dict[str, object] = {
            "topology": self.topology,
            "faces": faces,
            "texture_resolution": self.texture_resolution,
            "symmetry": self.symmetry,
            "preserve_aspect_ratio": self.preserve_aspect_ratio,
        }
        body = {name: value for name, value in values.items() if value}
        return body if self.drop_parts_below is None else {**body, "keep_parts": self.drop_parts_below or True}


@dataclasses.dataclass(frozen=True, slots=True)
class RefineRequest:
    """The body of a refine request, in API axes. None omits the key, so that the service decides.

    ``session_code`` is empty until the session of a job with ``source_blend`` has been created.
    """

    session_code: str
    scaled_bbox: Vector3 | None = None
    pivot_point: Vector3 | None = None
    local: LocalSettings | None = None
    """Settings of the local service; they are sent to no other service."""


@dataclasses.dataclass(frozen=True, slots=True)
class Baseline:
    """The state of the session before the POST, to distinguish an old result from a new one.

    ``mesh_fingerprint`` is a hash of the mesh URLs without their signatures; the URLs themselves are never stored.
    """

    word: str
    updated_at: str
    mesh_fingerprint: str


@dataclasses.dataclass(frozen=True, slots=True)
class Texture:
    """An image of the mesh, with its size in pixels; width and height are 0 if it cannot be read."""

    name: str
    width: int
    height: int
    is_plain: bool = False
    """Whether it is a colour texture whose pixels are all the same."""


@dataclasses.dataclass(frozen=True, slots=True)
class MeshCounts:
    """Counts of faces by number of sides, vertices, edges and connected parts; None: not measured."""

    triangles: int
    quads: int
    ngons: int
    vertices: int
    open_edges: int | None = None
    """Edges with one face."""
    non_manifold_edges: int | None = None
    """Edges with more than two faces."""
    pieces: int | None = None
    """Parts that share no vertex."""
    uv_islands: int | None = None
    """None also where there is no UV map."""

    @property
    def is_watertight(self) -> bool | None:
        """Whether each edge has exactly two faces; None if not measured."""
        if self.open_edges is None or self.non_manifold_edges is None:
            return None
        return self.open_edges == 0 and self.non_manifold_edges == 0


@dataclasses.dataclass(frozen=True, slots=True)
class MeshReport:
    """Measurements of the background Blender; ``box`` is the returned mesh's, in Blender axes, relative to its origin.

    The fields from ``images`` on are None, or empty, in reports of older versions, which do not measure them.
    """

    triangles: int
    vertices: int
    materials: int
    textures: tuple[str, ...]
    box: Box
    size_bytes: int
    problems: tuple[str, ...] = ()
    correction: str = ""
    """What *Fit to Box* changed, as text; empty if nothing was changed."""
    images: tuple[Texture, ...] = ()
    counts: MeshCounts | None = None
    """Counts of the mesh as it will be placed."""
    has_uv: bool | None = None
    size: Vector3 | None = None
    """Size along Blender's axes, as it will be placed."""
    difference: float | None = None
    """Largest side difference of the returned mesh from its box, relative to the box's diagonal; None without a box."""
    joined_quads: int = 0
    """Number of quads that were joined from the file's triangles."""


@dataclasses.dataclass(frozen=True, slots=True)
class JobError:
    """A failure as stored with the job: ``code`` of the error class, message, and what to do."""

    code: str
    message: str
    action: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """One refine, from the click to the placed mesh. Times are seconds since 1970; paths are absolute."""

    id: str
    request: RefineRequest
    service: str
    """A base URL, or :data:`LOCAL`."""
    created_at: float
    timeout_s: float
    """Time limit of the job, counted from the click or the last *Retry*."""
    deadline_at: float
    revision: int = 0
    state: JobState = JobState.PREPARED
    placement: Placement | None = None
    poll_first_s: float = 5.0
    poll_longest_s: float = 30.0
    """The poll interval of a running refine grows from the first to the longest."""
    fit_to_box: bool = True
    place_automatically: bool = True
    fetch_only: bool = False
    """Download the existing result of the session; never send a refine."""
    account: str = ""
    """The fingerprint of the key that the job is bound to (see ``account_binding``); empty: not bound yet."""
    source_blend: str = ""
    """A .blend with the source objects, from which the local service first creates the session."""
    source_objects: tuple[str, ...] = ()
    """The names of the objects in ``source_blend`` that make up the source; the first one gives the frame."""
    blend_file: str = ""
    """The .blend file of the source object; empty if it was never saved."""
    window: str = ""
    """Id of the file session that created the job; only there the result is placed automatically."""
    baseline: Baseline | None = None
    sent_at: float | None = None
    """Time just before the POST; written and synced before it is sent."""
    accepted_at: float | None = None
    trial_key: str = ""
    """The queue record's ``unique_trial_key``, for the vendor's support."""
    look_until: float = 0.0
    """End of the automatic lookups of an unclear submission."""
    seen_running: bool = False
    remote: RemoteStatus | None = None
    answered_at: float | None = None
    """Time of the last response of the service."""
    polls: int = 0
    empty_ends: int = 0
    """Consecutive responses with the status *done* but without a mesh."""
    failures: int = 0
    """Consecutive failed requests."""
    due_at: float = 0.0
    """Earliest time of the next request."""
    trouble: str = ""
    """Why an unfinished job waits: offline, service unreachable."""
    bytes_done: int = 0
    bytes_total: int | None = None
    no_blend: bool = False
    """Whether the local service's .blend was written by a Blender newer than the background Blender here."""
    mesh_path: str = ""
    blend_path: str = ""
    picture_path: str = ""
    """A PNG of source and result side by side; empty if the service made none."""
    notes: tuple[str, ...] = ()
    """Notes of the local service about its result."""
    wants_quads: bool = False
    """Whether quads were requested, by this job or when the session was created."""
    reported_counts: MeshCounts | None = None
    """Counts of the result, as reported by the local service."""
    report: MeshReport | None = None
    placed_object: str = ""
    fit_error: float | None = None
    """Largest side difference relative to the box's diagonal, measured after placing."""
    placed_counts: MeshCounts | None = None
    """Counts of the object in the scene, when it was placed."""
    placed_size: Vector3 | None = None
    """Its box along its own axes, measured after placing."""
    placed_note: str = ""
    """What is to be said of its place: that the source was scaled since it was measured."""
    error: JobError | None = None
    finished_at: float | None = None
    is_cancelled: bool = False
    """Whether it was stopped by ending its refine at the local service."""

    def to_json(self) -> dict[str, Any]:
        """Return the job as plain JSON types, for the job store and for diagnostics."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Job:
        """Return the job that :meth:`to_json` wrote; unknown keys are dropped."""
        return serialization.decode(cls, document)


TERMINAL: frozenset[JobState] = frozenset({JobState.PLACED, JobState.FAILED, JobState.STOPPED})
"""States without automatic next steps."""
