"""The only place that sees the API's raw JSON: builds request bodies and reads replies.

JSON enters as ``object`` and leaves as a dataclass. The forms of 2024 and 2025, their mixture, and v3's are
understood. Source of every field: the vendor's published API reference and SDK, 2023 to 2025.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from .. import mesh_counts
from ..addresses import parse
from ..errors import InputError, ServiceUnreachable
from ..models import MeshCounts, RefineRequest, RemoteKind, RemoteStatus, Secret

_K = RemoteKind
STATUS_WORDS: dict[str, RemoteKind] = {
    "uploaded": _K.BEFORE,
    "spin_generate_processing": _K.BEFORE,
    "spin_generate_done": _K.BEFORE,
    "training_preview": _K.BEFORE,
    "spin_generate_failed": _K.BROKEN,
    "preview_failed": _K.BROKEN,
    "preview_done": _K.REFINABLE,
    "unprocessed": _K.RUNNING,
    "training_refine": _K.RUNNING,
    "queued": _K.RUNNING,
    "in_progress": _K.RUNNING,
    "incomplete": _K.RUNNING,
    "refine_done": _K.DONE,
    "complete": _K.DONE,
    "done": _K.DONE,
    "completed": _K.DONE,
    "finished": _K.DONE,
    "refine_failed": _K.FAILED,
    "failed": _K.FAILED,
    "cancelled": _K.FAILED,
}
"""What a status word means. Any other word is a running refine's, and shown as it is: new words did appear."""
_WORDS_OF_2024 = frozenset(
    word for word, kind in STATUS_WORDS.items() if kind in (_K.BEFORE, _K.BROKEN, _K.REFINABLE)
) | {"unprocessed", "training_refine", "refine_done", "refine_failed"}

_URL = re.compile(r"([Hh][Tt][Tt][Pp][Ss]?://)(?:[^\s/?#]*@)?([^\s/?#]*)\S*")  # re.IGNORECASE takes 15 ms to compile
_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]+(?:@|%40)[\w-]+(?:\.[\w-]+)+")
_SIGNED = re.compile(r"\b([Ss]ig|[Ss]ignature|[Tt]oken|[Xx]-[Aa]mz-\w+|[Xx]-[Gg]oog-\w+)=[^\s&]+")

MESH_PREFERENCE = ("glb", "zip", "obj", "any", "fbx")
"""The kinds of mesh URLs, the one to take first in front; "any" is ``mesh_url``, whose content only its bytes tell."""
QUADS_PREFERENCE = ("fbx", "zip", "obj", "any", "glb")
"""The same where quads shall stay quads: glTF has triangles only, OBJ one UV map and no normal maps."""
_V2_URL_KEYS = {
    "glb": "mesh_url_glb",
    "zip": "mesh_url_zip",
    "obj": "mesh_url_obj",
    "any": "mesh_url",
    "fbx": "mesh_url_fbx",
}
ENVELOPE = ("error", "message", "statusCode", "data")
"""The keys of every v2 answer (CSM API reference). Gateways use some of them: Azure's two, Fastify's three."""
NOT_TAKEN = frozenset({400, 401, 402, 403, 404, 409, 422, 429, 503})
"""The status codes with which the API itself says that it did not take a submission."""
MAX_TEXT = 8192
"""Signs of a text that is taken for one; a signed URL has up to some 2,000."""
MOST_SENTENCES = 20
MOST_TRIES = 99
_STEP = re.compile(r"[a-z_]{1,40}")
_V3_URL_KEYS = {"glb": "glb_url", "obj": "obj_url", "fbx": "fbx_url"}


@dataclass(frozen=True, slots=True)
class Session:
    """A session as the service shows it. ``mesh_urls`` are the refined mesh's, by kind; never the preview's."""

    code: str
    status: RemoteStatus
    updated_at: str
    mesh_urls: Mapping[str, Secret]
    message: str = ""
    created_at: float | None = None
    """When it was made, in seconds since 1970; None where the service does not say."""
    image: Secret | None = None
    """The address of the picture that it was made of."""
    picture: Secret | None = None
    """The address of the picture of source and result, which the local service makes."""
    blend: Secret | None = None
    """The address of the refined mesh as a .blend. It is used only where it is the local service's."""
    warnings: tuple[str, ...] = ()
    """What a refine will take from the mesh; the local service says it."""
    notes: tuple[str, ...] = ()
    """What the local service says of its result."""
    result: MeshCounts | None = None
    """What the local service counted of its result."""
    topology: str = ""
    """Of which faces the refined mesh is to be, in the service's own word: ``tris``, ``quads``."""

    @property
    def has_known_word(self) -> bool:
        """Whether its status is one of :data:`STATUS_WORDS`."""
        return self.status.word.lower() in STATUS_WORDS

    @property
    def mesh_fingerprint(self) -> str:
        """A hash over the mesh URLs without their signatures."""
        paths = [f"{kind} {urlsplit(url.reveal()).path}" for kind, url in sorted(self.mesh_urls.items())]
        return hashlib.sha256("\n".join(paths).encode()).hexdigest() if paths else ""

    def best_mesh(self, *, quads: bool = False) -> Secret | None:
        """Return the URL to download, or None where there is none; with ``quads`` of a kind that keeps them first."""
        preference = QUADS_PREFERENCE if quads else MESH_PREFERENCE
        return next((self.mesh_urls[kind] for kind in preference if kind in self.mesh_urls), None)


@dataclass(frozen=True, slots=True)
class SessionPage:
    """A page of the account's sessions in the service's order; ``count`` is how many it sent, the deleted ones, too."""

    sessions: tuple[Session, ...]
    count: int


@dataclass(frozen=True, slots=True)
class RefineAck:
    """The queue record that answers a refine."""

    status: RemoteStatus
    trial_key: str


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: the worse of the HTTP status and ``statusCode``, the user's text, the data.

    ``hidden`` is the key, taken out of every text should the service repeat it. ``is_envelope``: see
    :func:`read_reply`.
    """

    status: int
    text: str
    data: object = field(repr=False)  # it repeats URLs and the account's e-mail
    hidden: Secret | None = None
    is_envelope: bool = False

    @property
    def is_good(self) -> bool:
        """Whether both status codes are 2xx."""
        return 200 <= self.status < 300

    @property
    def says_not_taken(self) -> bool:
        """Whether the API itself, and nothing between, says that it did not take a submission."""
        return self.is_envelope and self.status in NOT_TAKEN


def refine_body(request: RefineRequest) -> dict[str, object]:
    """Return the refine's JSON body; what the service is to decide is left out."""
    body: dict[str, object] = dict(request.local.body) if request.local else {}
    if request.scaled_bbox is not None:
        body["scaled_bbox"] = list(request.scaled_bbox)
    if request.pivot_point is not None:
        body["pivot_point"] = list(request.pivot_point)
    return body


def read_reply(status: int, body: bytes, hidden: Secret | None = None) -> Reply:
    """Read an answer. A body that is not a JSON object (a gateway's HTML page) gives no text and no data.

    The API's own envelope is a JSON object with all of :data:`ENVELOPE`: ``error`` and ``message`` are texts, and
    ``statusCode`` repeats the HTTP status, or tells a failure that HTTP calls a success.
    """
    try:
        document: object = json.loads(body)
    except (ValueError, RecursionError):
        return Reply(status, "", None)
    if not isinstance(document, dict):
        return Reply(status, "", document)
    inner = _inner_status(document.get("statusCode"))
    if inner is not None and not 200 <= inner < 300 and 200 <= status < 300:
        status = inner
    texts = (document.get(key) for key in ("message", "error", "detail"))
    text = next((text for text in texts if isinstance(text, str) and text.strip()), "")
    is_envelope = "data" in document or "statusCode" in document
    data = document.get("data", None if is_envelope else document)
    return Reply(status, _for_the_user(text, hidden), data, hidden, _is_envelope(document, status))


def _is_envelope(document: Mapping[str, Any], status: int) -> bool:
    has_texts = all(isinstance(document.get(key), str) for key in ("error", "message"))
    return has_texts and all(key in document for key in ENVELOPE) and _inner_status(document["statusCode"]) == status


def read_session(reply: Reply) -> Session:
    """Return the session in a good reply. Raises ServiceUnreachable where there is none."""
    data = reply.data
    if not isinstance(data, dict):
        raise _nonsense("session")
    if not _status_word(data):
        raise _nonsense("session with a status")
    return _session(data, reply.hidden)


def read_sessions(reply: Reply) -> SessionPage:
    """Return the page in a good reply to a request for a list.

    A session whose status is missing has an empty word. Raises ServiceUnreachable where there is no list.
    """
    data = reply.data
    found = data.get("results") if isinstance(data, dict) else data
    if not isinstance(found, list):
        raise _nonsense("list of sessions")
    known = [each for each in found if isinstance(each, dict) and each.get("is_deleted") is not True]
    return SessionPage(tuple(_session(each, reply.hidden) for each in known), len(found))


def _session(data: Mapping[str, Any], hidden: Secret | None) -> Session:
    word = _status_word(data)
    kind = STATUS_WORDS.get(word.lower(), RemoteKind.RUNNING)
    image, picture = _url(data, "image_url") or _url(data, "input_image"), _url(data, "picture_url")
    blend = _url(data, "mesh_url_blend")
    return Session(
        _text(data, "session_code") or _text(data, "_id"),
        RemoteStatus(_for_the_user(word, hidden), kind, _percent(data), *_step(data)),
        _text(data, "updated_at"),
        _v3_urls(data) or _v2_urls(data),
        _for_the_user(_text(data, "error") or _text(data, "error_message"), hidden),
        _moment(_text(data, "created_at")),
        Secret(image) if image else None,
        Secret(picture) if picture else None,
        Secret(blend) if blend else None,
        _sentences(data, "warnings", hidden),
        _sentences(data, "notes", hidden),
        mesh_counts.read(data.get("result")),
        _for_the_user(_text(data, "topology"), hidden),
    )


def read_refine(reply: Reply) -> RefineAck:
    """Return the queue record in a good reply; every field of it may be missing (nothing else depends on it)."""
    data = reply.data if isinstance(reply.data, dict) else {}
    word = _text(data, "status") or _text(data, "session_status") or "unprocessed"
    return RefineAck(
        RemoteStatus(_for_the_user(word, reply.hidden), RemoteKind.RUNNING), _text(data, "unique_trial_key")
    )


def _status_word(data: Mapping[str, Any]) -> str:
    """``status`` where it is a word of the 2024 form, else ``session_status``, else v3's ``status``."""
    status = _text(data, "status")
    return status if status.lower() in _WORDS_OF_2024 else _text(data, "session_status") or status


def _percent(data: Mapping[str, Any]) -> float | None:
    """``percent_done`` of the 2025 form; the 2024 form's ``percentage`` is always 0 and says nothing."""
    percent = data.get("percent_done")
    if isinstance(percent, bool) or not isinstance(percent, int | float) or not 0 <= percent <= 100:
        return None
    return float(percent)


def _step(data: Mapping[str, Any]) -> tuple[str, int]:
    """``step`` of the local service: what a refine that runs is doing, and for the how many-th time."""
    step = data.get("step")
    name = _text(step, "id") if isinstance(step, dict) else ""
    number = step.get("try") if isinstance(step, dict) else None
    is_number = isinstance(number, int) and not isinstance(number, bool) and 0 < number <= MOST_TRIES
    return (name, int(number or 1)) if _STEP.fullmatch(name) and is_number else ("", 1)


def _v2_urls(data: Mapping[str, Any]) -> dict[str, Secret]:
    return {kind: Secret(url) for kind, key in _V2_URL_KEYS.items() if (url := _url(data, key))}


def _v3_urls(data: Mapping[str, Any]) -> dict[str, Secret]:
    output = data.get("output")
    if not isinstance(output, dict):
        return {}
    meshes = output.get("meshes")
    places = [*(meshes if isinstance(meshes, list) else []), output.get("mesh")]
    for place in places:
        mesh = place.get("data", place) if isinstance(place, dict) else None
        if isinstance(mesh, dict):
            urls = {kind: Secret(url) for kind, key in _V3_URL_KEYS.items() if (url := _url(mesh, key))}
            if urls:
                return urls
    return {}


def _url(data: Mapping[str, Any], key: str) -> str:
    url = _text(data, key)
    try:
        parse(url)
    except InputError:
        return ""
    return url


def _moment(text: str) -> float | None:
    """Return a time in ISO 8601 as seconds since 1970; one without a zone is in UTC."""
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    return value.strip() if isinstance(value, str) and len(value) <= MAX_TEXT else ""


def _sentences(data: Mapping[str, Any], key: str, hidden: Secret | None) -> tuple[str, ...]:
    """Return the texts of a list; empty where it is none."""
    found = data.get(key)
    lines = found[:MOST_SENTENCES] if isinstance(found, list) else []
    said = (_for_the_user(line, hidden) for line in lines if isinstance(line, str))
    return tuple(line for line in said if line)


def _inner_status(value: object) -> int | None:
    """Return ``statusCode``, which may be a string as other numbers are; 0 for a number that is no status."""
    if isinstance(value, str) and value.strip().isdecimal():
        value = int(value.strip()[:4])
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 100 <= value < 600 else 0


def _for_the_user(text: str, hidden: Secret | None) -> str:
    """Return the service's words as one printable line.

    Of a URL only the host stays, the rest is a secret; e-mail addresses and what looks like a signature go, too.
    """
    if hidden:
        text = text.replace(hidden.reveal(), "…")
    line = "".join(sign for sign in " ".join(text[:MAX_TEXT].split()) if sign.isprintable())
    return _SIGNED.sub(r"\1=…", _MAIL.sub("…", _URL.sub(r"\1\2/…", line)))[:500]


def _nonsense(expected: str) -> ServiceUnreachable:
    return ServiceUnreachable(
        f"The service's answer holds no {expected}.", "Check the service's address; try again later."
    )
