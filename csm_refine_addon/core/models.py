"""The nouns of a refine job, as frozen values: request, placement, remote status, job."""

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
"""The service address that stands for the local service, whose port changes."""
CSM_BASE_URL = "https://api.csm.ai"


class Secret:
    """A key or a signed URL: printed, logged and compared without ever showing itself."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself, for the one call that needs it."""
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
    """Where a job stands. Which may follow which is the table in ``flow.TRANSITIONS``."""

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
    """What a status word of the service means for a refine."""

    BEFORE = "before"
    """Not yet at the preview mesh."""
    BROKEN = "broken"
    """Failed before the preview mesh."""
    REFINABLE = "refinable"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclasses.dataclass(frozen=True, slots=True)
class RemoteStatus:
    """The service's own word and its meaning; ``percent`` is 0 to 100, or None where the service does not say."""

    word: str
    kind: RemoteKind
    percent: float | None = None


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
    """Where the refined mesh belongs: world ``origin`` and ``rotation`` (Blender axes), and the box to fill.

    ``box`` is None where the service chooses the size. ``object_name`` is None where there is no source object. The
    fields of the source are as measured: how far it has moved since is seen by them; no comparison counts them.
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
    """What is asked of the local refinery. Empty, 0 and None: left to the service.

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
        """The request's keys, under the vendor's own names where it has them."""
        faces: object = int(self.faces) if self.faces.isdecimal() else self.faces
        said: dict[str, object] = {
            "topology": self.topology,
            "faces": faces,
            "texture_resolution": self.texture_resolution,
            "symmetry": self.symmetry,
            "preserve_aspect_ratio": self.preserve_aspect_ratio,
        }
        body = {name: value for name, value in said.items() if value}
        return body if self.drop_parts_below is None else {**body, "keep_parts": self.drop_parts_below or True}


@dataclasses.dataclass(frozen=True, slots=True)
class RefineRequest:
    """What is asked of the service, in API axes. None leaves a key out of the body: the service decides.

    ``session_code`` is empty until the session of a job with ``source_blend`` has been created.
    """

    session_code: str
    scaled_bbox: Vector3 | None = None
    pivot_point: Vector3 | None = None
    local: LocalSettings | None = None
    """How the local service is to refine; no other one gets it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Baseline:
    """How the session stood before the POST, to tell an old result from a new one.

    ``mesh_fingerprint`` is a hash over the mesh URLs without their signatures: the URLs themselves are never kept.
    """

    word: str
    updated_at: str
    mesh_fingerprint: str


@dataclasses.dataclass(frozen=True, slots=True)
class Texture:
    """An image of the mesh, with its size in pixels; both are 0 where it cannot be read."""

    name: str
    width: int
    height: int
    is_plain: bool = False
    """Whether it colours the mesh, and every pixel of it is the same."""


@dataclasses.dataclass(frozen=True, slots=True)
class MeshCounts:
    """Faces by their number of sides, vertices, and how the faces hang together; None: not measured."""

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
        """Whether each edge has exactly two faces; None where nobody measured it."""
        if self.open_edges is None or self.non_manifold_edges is None:
            return None
        return self.open_edges == 0 and self.non_manifold_edges == 0


@dataclasses.dataclass(frozen=True, slots=True)
class MeshReport:
    """What the preparing Blender found in the mesh; ``box`` is as returned, in Blender axes around its origin.

    The fields from ``images`` on are None, or empty, in reports of older versions, which did not measure them.
    """

    triangles: int
    vertices: int
    materials: int
    textures: tuple[str, ...]
    box: Box
    size_bytes: int
    problems: tuple[str, ...] = ()
    correction: str = ""
    """What *Fit to box* changed, in words; empty where nothing had to be changed."""
    images: tuple[Texture, ...] = ()
    counts: MeshCounts | None = None
    """Of the mesh as it will be placed."""
    has_uv: bool | None = None
    size: Vector3 | None = None
    """Along Blender's axes, as it will be placed."""
    difference: float | None = None
    """How far the mesh, as returned, was from its box, relative to the box's diagonal; None without a box."""
    joined_quads: int = 0
    """How many quads were made of a file's triangles."""


@dataclasses.dataclass(frozen=True, slots=True)
class JobError:
    """A failure as it is kept with the job and shown: ``code`` of the error class, sentence, and cure."""

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
    """How long to follow, counted from the click or the last *Retry*."""
    deadline_at: float
    revision: int = 0
    state: JobState = JobState.PREPARED
    placement: Placement | None = None
    poll_first_s: float = 5.0
    poll_longest_s: float = 30.0
    """The pauses between looks at a running refine grow from the first to the longest."""
    fit_to_box: bool = True
    place_automatically: bool = True
    fetch_only: bool = False
    """The result that the session has is fetched; nothing is ever sent."""
    account: str = ""
    """The fingerprint of the key that it goes on with (see ``accounts``); empty: of the first one that drives it."""
    source_blend: str = ""
    """A .blend with the source objects, out of which the local service is to make the session first."""
    source_objects: tuple[str, ...] = ()
    """The names of the objects in ``source_blend`` that make up the source; the first one gives the frame."""
    blend_file: str = ""
    """The file that the source object stands in; empty where it was never saved."""
    window: str = ""
    """The open file of the running Blender that made the job; it alone places the result by itself."""
    baseline: Baseline | None = None
    sent_at: float | None = None
    """When the POST was about to leave; written and synced before it did."""
    accepted_at: float | None = None
    trial_key: str = ""
    """The queue record's ``unique_trial_key``, for the vendor's support."""
    look_until: float = 0.0
    """Until when an unclear submission is looked up by itself."""
    seen_running: bool = False
    remote: RemoteStatus | None = None
    answered_at: float | None = None
    """When the service last answered."""
    polls: int = 0
    empty_ends: int = 0
    """Answers in a row that said *done* without a mesh."""
    failures: int = 0
    """Requests that failed in a row."""
    due_at: float = 0.0
    """When the next request may be made."""
    trouble: str = ""
    """Why the job waits, while it is not failed: offline, service out of reach."""
    bytes_done: int = 0
    bytes_total: int | None = None
    no_blend: bool = False
    """Whether the local service's .blend was written by a newer Blender than the one that prepares here."""
    mesh_path: str = ""
    blend_path: str = ""
    picture_path: str = ""
    """A PNG of source and result side by side; empty where the service made none."""
    notes: tuple[str, ...] = ()
    """What the local service says of its result."""
    wants_quads: bool = False
    """Whether quads were asked for, here or when the session was made."""
    reported_counts: MeshCounts | None = None
    """What the local service counted of its result."""
    report: MeshReport | None = None
    placed_object: str = ""
    fit_error: float | None = None
    """Largest side difference relative to the box's diagonal, measured after placing."""
    placed_counts: MeshCounts | None = None
    """Of the object in the scene, when it was placed."""
    placed_size: Vector3 | None = None
    """Its box along its own axes, measured after placing."""
    placed_note: str = ""
    """What is to be said of its place: that the source was scaled since it was measured."""
    error: JobError | None = None
    finished_at: float | None = None
    is_cancelled: bool = False
    """Whether it was stopped by ending its refine at the local service."""

    def to_json(self) -> dict[str, Any]:
        """Return the job as plain JSON types, for the journal and for diagnostics."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Job:
        """Return the job that :meth:`to_json` wrote; keys that this version does not know are dropped."""
        return serialization.decode(cls, document)


TERMINAL: frozenset[JobState] = frozenset({JobState.PLACED, JobState.FAILED, JobState.STOPPED})
"""States in which nothing more happens by itself."""
