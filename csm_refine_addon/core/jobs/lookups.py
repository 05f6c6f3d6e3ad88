"""Session lookups before a refine is paid: their records in the job store, and how to run them.

The panel adds a lookup; the worker runs it (:mod:`~.lookup_worker`). A record contains no key and no picture URL: a
session's picture is stored as the name of a file in the thumbnails folder.
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
"""Lookups expire after this time."""
_MADE_AT = re.compile(r"SESSION_(1\d{9})_", re.ASCII)
_KINDS = ("png", "jpg", "webp", "gif")
_PICTURES = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpg", b"GIF87a": "gif", b"GIF89a": "gif"}


class LookupKind(enum.StrEnum):
    """One session, or a page of the list of sessions."""

    SESSION = "session"
    LIST = "list"


@dataclasses.dataclass(frozen=True, slots=True)
class SeenSession:
    """The displayed values of a session. Times are seconds since 1970; ``thumbnail`` is a file name, or empty."""

    code: str
    status: RemoteStatus
    made_at: float | None = None
    seen_at: float = 0.0
    thumbnail: str = ""
    warnings: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Lookup:
    """A lookup with its last result. ``text`` is the session code, or the number of the list's page.

    Page 0 requests the service's first page without a number; 1 and up are sent as the page number.
    """

    kind: LookupKind
    service: str
    text: str
    asked_at: float
    answered_at: float = 0.0
    sessions: tuple[SeenSession, ...] = ()
    is_full: bool = False
    """Whether the page is full, so that there may be another one."""
    error: JobError | None = None
    revision: int = 0

    @property
    def key(self) -> str:
        """The primary key: kind, service and text."""
        return f"{self.kind} {self.service} {self.text}"

    def is_open(self, now: float) -> bool:
        """Whether the lookup has no result yet and has not expired."""
        return self.answered_at < self.asked_at and now - self.asked_at < LOOKUP_LIMIT_S

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Lookup:
        """Return what :meth:`to_json` wrote; unknown keys are dropped."""
        return serialization.decode(cls, document)

    def with_thumbnail(self, code: str, name: str) -> Lookup:
        """Return it with the picture of one session."""
        sessions = (dataclasses.replace(each, thumbnail=name) if each.code == code else each for each in self.sessions)
        return dataclasses.replace(self, sessions=tuple(sessions))


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """The result of a lookup, and the URLs of the pictures to download, by session code."""

    sessions: tuple[SeenSession, ...] = ()
    is_full: bool = False
    error: CsmError | None = None
    pictures: Mapping[str, Secret] = dataclasses.field(default_factory=dict)

    def apply_to(self, lookup: Lookup, now: float) -> Lookup:
        """Return the lookup with this result. If the service was not reached, the earlier sessions are kept."""
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
    """Run the lookup. A CsmError is not raised, but returned as ``Answer.error``."""
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
    """Download a session's picture to ``folder`` and return the file name; empty if that fails."""
    try:
        content = client.image(url)
        kind = _picture_kind(content)
        return _write_file(folder, f"{_thumbnail_stem(url)}.{kind}", content) if kind else ""
    except (CsmError, OSError):
        return ""


def forget_thumbnails(folder: Path, before: float) -> None:
    """Delete the pictures that were last requested before a time."""
    for path in folder.iterdir() if folder.is_dir() else ():
        try:
            if path.stat().st_mtime < before:
                path.unlink()
        except OSError:
            continue  # in use by another process, or gone


def made_at(session: csm_schema.Session) -> float | None:
    """Return the creation time of a session: the reported one, else the one in its code (CSM API reference)."""
    found = _MADE_AT.match(session.code)
    return session.created_at or (float(found[1]) if found else None)


def _is_code(text: str) -> bool:
    try:
        return validation.session_code(text) == text
    except InputError:
        return False


def _thumbnail_stem(url: Secret) -> str:
    """Return a hash of the picture's URL without its signature, which changes with each response."""
    parts = urlsplit(url.reveal())
    return hashlib.sha256(f"{parts.netloc} {parts.path}".encode()).hexdigest()[:32]


def _cached_thumbnail(url: Secret, folder: Path) -> str:
    """Return the file name of a picture that is cached already, and set its modification time to now."""
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
