"""Looking a session up before anything is paid: questions and answers as they stand in the journal, and how to answer.

A panel writes a question down; a worker answers it (:mod:`~.answering`). Neither a key nor an address is part of it:
of a session's picture there is only the name of a file in the thumbnails' folder.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .. import private_files, serialization, validation
from ..errors import BlenderOffline, CsmError, InputError, ServiceUnreachable
from ..models import JobError, RemoteStatus, Secret

if TYPE_CHECKING:  # Blender's panels draw from the values here; the client brings the network's libraries
    from ..providers import csm_schema
    from ..providers.client import Client

PAGE_SIZE = 10
"""The list's documented default."""
LOOKUP_LIMIT_S = 60.0
"""A question that nobody has answered by then is nobody's any more."""
_MADE_AT = re.compile(r"SESSION_(1\d{9})_", re.ASCII)
_KINDS = ("png", "jpg", "webp", "gif")
_PICTURES = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpg", b"GIF87a": "gif", b"GIF89a": "gif"}


class LookupKind(enum.StrEnum):
    """What is asked for."""

    SESSION = "session"
    LIST = "list"


@dataclasses.dataclass(frozen=True, slots=True)
class SeenSession:
    """What is shown of a session. Times are seconds since 1970; ``thumbnail`` is a file's name, or empty."""

    code: str
    status: RemoteStatus
    made_at: float | None = None
    seen_at: float = 0.0
    thumbnail: str = ""
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Lookup:
    """A question with the last answer to it. ``text`` is the session's code, or the number of the list's page.

    Page 0 is the service's first one, asked for without a number; 1 and up are asked for by their number.
    """

    kind: LookupKind
    service: str
    text: str
    asked_at: float
    answered_at: float = 0.0
    sessions: tuple[SeenSession, ...] = ()
    is_full: bool = False
    """Whether the page holds as many sessions as it may: there may be another one."""
    error: JobError | None = None
    revision: int = 0

    @property
    def key(self) -> str:
        """What makes it the same question."""
        return f"{self.kind} {self.service} {self.text}"

    def is_open(self, now: float) -> bool:
        """Whether an answer is still to be expected."""
        return self.answered_at < self.asked_at and now - self.asked_at < LOOKUP_LIMIT_S

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Lookup:
        """Return what :meth:`to_json` wrote; keys that this version does not know are dropped."""
        return serialization.decode(cls, document)

    def with_thumbnail(self, code: str, name: str) -> Lookup:
        """Return it with the picture of one session."""
        sessions = (dataclasses.replace(each, thumbnail=name) if each.code == code else each for each in self.sessions)
        return dataclasses.replace(self, sessions=tuple(sessions))


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What the service said, and where the pictures are that have to be fetched, by the session's code."""

    sessions: tuple[SeenSession, ...] = ()
    is_full: bool = False
    error: CsmError | None = None
    pictures: Mapping[str, Secret] = dataclasses.field(default_factory=dict)

    def apply_to(self, lookup: Lookup, now: float) -> Lookup:
        """Return the question with this answer. What was seen before stays, if it may still be so."""
        answered_at = max(now, lookup.asked_at)
        if self.error is None:
            return dataclasses.replace(
                lookup, answered_at=answered_at, sessions=self.sessions, is_full=self.is_full, error=None
            )
        error = JobError(self.error.code, self.error.message, self.error.action)
        keep = isinstance(self.error, ServiceUnreachable | BlenderOffline)
        return dataclasses.replace(
            lookup, answered_at=answered_at, sessions=lookup.sessions if keep else (), error=error
        )


def run(client: Client, lookup: Lookup, thumbnails: Path, now: float) -> Answer:
    """Ask the service. What it refuses is an answer, too: nothing is raised that the user can do something about."""
    from ..providers import csm_schema  # the panel needs the dataclasses above and nothing of the API

    try:
        if lookup.kind is LookupKind.SESSION:
            session = dataclasses.replace(client.read_session(lookup.text), code=lookup.text)
            page = csm_schema.SessionPage((session,), 1)
        else:
            page = client.list_sessions(int(lookup.text) or None, PAGE_SIZE)
    except CsmError as error:
        return Answer(error=error)
    sessions, pictures = [], {}
    for session in (each for each in page.sessions if _is_code(each.code)):
        thumbnail = _cached_thumbnail(session.image, thumbnails) if session.image else ""
        sessions.append(SeenSession(session.code, session.status, made_at(session), now, thumbnail, session.warnings))
        if session.image and not thumbnail:
            pictures[session.code] = session.image
    return Answer(tuple(sessions), page.count >= PAGE_SIZE, pictures=pictures)


def fetch_thumbnail(client: Client, url: Secret, folder: Path) -> str:
    """Bring a session's picture into ``folder`` and return its file's name; empty where it cannot be had."""
    try:
        content = client.image(url)
        kind = _picture_kind(content)
        return _write_file(folder, f"{_thumbnail_stem(url)}.{kind}", content) if kind else ""
    except (CsmError, OSError):
        return ""


def forget_thumbnails(folder: Path, before: float) -> None:
    """Delete the pictures that were last asked for before a time."""
    for path in folder.iterdir() if folder.is_dir() else ():
        try:
            if path.stat().st_mtime < before:
                path.unlink()
        except OSError:
            continue  # in use by another process, or gone


def made_at(session: csm_schema.Session) -> float | None:
    """Return when a session was made: as the service says, else as its code says (CSM API reference)."""
    found = _MADE_AT.match(session.code)
    return session.created_at or (float(found[1]) if found else None)


def _is_code(text: str) -> bool:
    try:
        return validation.session_code(text) == text
    except InputError:
        return False


def _thumbnail_stem(url: Secret) -> str:
    """Return what names a picture's file: its address without the signature, which differs each time, as a hash."""
    parts = urlsplit(url.reveal())
    return hashlib.sha256(f"{parts.netloc} {parts.path}".encode()).hexdigest()[:32]


def _cached_thumbnail(url: Secret, folder: Path) -> str:
    """Return the name of a picture that is there already; it counts as asked for anew."""
    for name in (f"{_thumbnail_stem(url)}.{kind}" for kind in _KINDS):
        try:
            os.utime(folder / name)
        except OSError:
            continue
        return name
    return ""


def _picture_kind(content: bytes) -> str:
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    return next((kind for start, kind in _PICTURES.items() if content.startswith(start)), "")


def _write_file(folder: Path, name: str, content: bytes) -> str:
    private_files.make_folder(folder)
    part = folder / f"{name}.{secrets.token_hex(4)}.part"
    private_files.write_bytes(part, content)
    os.replace(part, folder / name)
    return name
