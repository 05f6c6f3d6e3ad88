"""The service's session store (SQLite): session records, the paths of their files, and the allowed stage changes.

The database is locked exclusively while it is open, so two services never share a data folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import json
import os
import re
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ..core import serialization
from ..core.axes import Vector3
from ..core.errors import SessionNotRefinable, SessionUnknown
from ..core.jobs import recovery
from ..core.mesh_files import MeshKind
from ..core.models import MeshCounts
from ..remesh.refine_settings import RefineSettings
from .session_database import open_database

_PATH_COMPONENT = re.compile(r"\w*(\.\w+)?", re.ASCII)
"""One path component."""


class Stage(enum.StrEnum):
    """The stage of a session, named as in the CSM API of 2024."""

    PREVIEW_DONE = "preview_done"
    TRAINING_REFINE = "training_refine"
    REFINE_DONE = "refine_done"
    REFINE_FAILED = "refine_failed"


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """The parameters of a refine, in API axes.

    ``scaled_bbox`` None keeps the mesh's own size; ``pivot_point`` None puts the origin at the centre.
    """

    scaled_bbox: Vector3 | None = None
    pivot_point: Vector3 | None = None
    settings: RefineSettings = dataclasses.field(default_factory=RefineSettings)


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """A mesh and its latest refine. Times are seconds since 1970.

    ``original`` is the name of the uploaded file. ``run`` is the folder name of the latest refine, ``result`` that of
    the latest successful one, which ``formats``, ``method`` and ``notes`` describe. ``tries`` counts how often the
    latest refine was started.
    """

    code: str
    created_at: float
    updated_at: float
    original: str
    stage: Stage = Stage.PREVIEW_DONE
    order: Order = Order()
    trial_key: str = ""
    ordered_at: float = 0.0
    tries: int = 0
    run: str = ""
    result: str = ""
    formats: tuple[str, ...] = ()
    message: str = ""
    """Why the refine failed; otherwise empty."""
    warnings: tuple[str, ...] = ()
    """The data that a refine will remove from the mesh, such as an armature."""
    method: str = ""
    """The method that made the result."""
    notes: tuple[str, ...] = ()
    """Remarks on the result: why this method was used, what was dropped."""
    counts: MeshCounts | None = None
    """The result's mesh counts; None in sessions of older versions."""


class Sessions:
    """The session store. All methods are thread-safe; a change is on disk when the method returns."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        """Open the store in ``folder``.

        Raises InputError if another service has it open, StorageError if it cannot be written or is of a newer version.
        """
        self._folder = folder
        self._clock = clock
        self._lock = threading.RLock()
        self._database = open_database(folder / "sessions.sqlite", _is_readable)

    def close(self) -> None:
        """Close the database and release its lock."""
        with self._lock:
            self._database.close()

    def run_folder(self, session: Session) -> Path:
        """Return the folder of the session's latest refine."""
        return self._folder / session.code / session.run

    def result_file(self, session: Session, name: str) -> Path:
        """Return the path of a file of the session's latest successful refine; the file may not exist."""
        return self._folder / session.code / session.result / name

    def original(self, session: Session) -> Path:
        """Return the path of the uploaded mesh file."""
        return self._folder / session.code / "original" / session.original

    def create(self, mesh: Path, kind: MeshKind, warnings: tuple[str, ...] = ()) -> Session:
        """Move a checked mesh file into a new session at ``preview_done``; on failure, remove the session's folder."""
        now = self._clock()
        folder = None
        try:
            with self._transaction() as database:
                code = self._new_code(database, now)
                folder = self._folder / code
                session = Session(code, now, now, original=f"mesh.{kind}", warnings=warnings)
                target = self.original(session)
                target.parent.mkdir(parents=True)
                os.replace(mesh, target)
                database.execute("INSERT INTO sessions (code, document) VALUES (?, ?)", (code, _encode(session)))
        except BaseException:
            if folder:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        return session

    def _new_code(self, database: sqlite3.Connection, now: float) -> str:
        while True:
            code = f"SESSION_{int(now) % 10**10:010d}_{secrets.randbelow(9 * 10**6) + 10**6}"
            is_known = database.execute("SELECT 1 FROM sessions WHERE code = ?", (code,)).fetchone()
            if not is_known and not (self._folder / code).exists():
                return code

    def find(self, code: str) -> Session:
        """Return a session. Raises SessionUnknown."""
        with self._lock:
            row = self._database.execute("SELECT document FROM readable WHERE code = ?", (code,)).fetchone()
            is_known = self._database.execute("SELECT 1 FROM sessions WHERE code = ?", (code,)).fetchone()
        if row is None and is_known:
            raise SessionUnknown("This version of the service cannot read this session.", "Update the extension.")
        if row is None:
            raise SessionUnknown("This service has no session of this code.", "Check the code, and which service.")
        return _decode(row[0])

    def newest(self, limit: int, offset: int) -> tuple[list[Session], int]:
        """Return a page of sessions, newest first, and the total number."""
        with self._lock:
            rows = self._database.execute(
                "SELECT document FROM readable ORDER BY number DESC LIMIT ? OFFSET ?", (limit, offset)
            ).fetchall()
            (total,) = self._database.execute("SELECT COUNT(*) FROM readable").fetchone()
        return [_decode(document) for (document,) in rows], total

    def unfinished(self) -> list[Session]:
        """Return the sessions at ``training_refine``, by the time of the request, oldest first."""
        with self._lock:
            rows = self._database.execute("SELECT document FROM readable").fetchall()
        found = [session for (document,) in rows if (session := _decode(document)).stage is Stage.TRAINING_REFINE]
        return sorted(found, key=lambda session: session.ordered_at)

    def order_refine(self, code: str, order: Order) -> Session:
        """Set a session to ``training_refine``. Raises SessionUnknown, SessionNotRefinable if it already is."""
        now = self._clock()
        return self._change(
            code,
            lambda session: dataclasses.replace(
                _require_idle(session),
                stage=Stage.TRAINING_REFINE,
                order=order,
                trial_key=f"{int(now * 100):012d}{secrets.token_hex(9)}",
                ordered_at=now,
                tries=0,
                run=secrets.token_hex(16),
                message="",
            ),
        )

    def start_try(self, code: str) -> Session:
        """Increment the number of starts of the current refine."""
        return self._change(code, lambda session: dataclasses.replace(session, tries=session.tries + 1))

    def finish(
        self,
        code: str,
        formats: tuple[str, ...],
        method: str = "",
        notes: tuple[str, ...] = (),
        counts: MeshCounts | None = None,
    ) -> Session:
        """Make the running refine's files the session's result; delete the previous result."""
        previous = self.find(code).result
        session = self._change(
            code,
            lambda session: dataclasses.replace(
                session,
                stage=Stage.REFINE_DONE,
                result=session.run,
                formats=formats,
                method=method,
                notes=notes,
                counts=counts,
                message="",
            ),
        )
        if previous and previous != session.result:
            shutil.rmtree(self._folder / code / previous, ignore_errors=True)
        return session

    def fail(self, code: str, message: str) -> Session:
        """Set the session to ``refine_failed`` with the reason."""
        return self._change(
            code, lambda session: dataclasses.replace(session, stage=Stage.REFINE_FAILED, message=message)
        )

    def back_to_preview(self, code: str) -> Session:
        """Set a session that is not refining back to ``preview_done``. Raises as :meth:`order_refine`."""
        return self._change(
            code, lambda session: dataclasses.replace(_require_idle(session), stage=Stage.PREVIEW_DONE, message="")
        )

    def delete(self, code: str) -> None:
        """Delete a session that is not refining, with its files. Raises SessionUnknown.

        Files that are in use (Windows) are deleted at the next start of the service.
        """
        self.find(code)
        with self._transaction() as database:
            database.execute("DELETE FROM sessions WHERE code = ?", (code,))
            database.execute("INSERT OR IGNORE INTO removed VALUES (?)", (code,))
        shutil.rmtree(self._folder / code, ignore_errors=True)
        if not (self._folder / code).exists():
            with self._transaction() as database:
                database.execute("DELETE FROM removed WHERE code = ?", (code,))

    def _change(self, code: str, change: Callable[[Session], Session]) -> Session:
        with self._transaction() as database:
            before = self.find(code)
            # At least a millisecond later: the API's timestamps have milliseconds, and clients compare them.
            updated_at = max(self._clock(), before.updated_at + 0.001)
            session = dataclasses.replace(change(before), updated_at=updated_at)
            database.execute("UPDATE sessions SET document = ? WHERE code = ?", (_encode(session), code))
        return session

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._database.execute("BEGIN")
                yield self._database
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise


def _require_idle(session: Session) -> Session:
    if session.stage is Stage.TRAINING_REFINE:
        raise SessionNotRefinable("This session is being refined already.", "Wait until it has ended.")
    return session


def _is_readable(code: str, document: str) -> bool:
    """Return whether a row is a session of this version with safe path components."""
    try:
        session = serialization.decode(Session, json.loads(document), strict=True)
        parts = (session.code, session.original, session.run, session.result)
        return session.code == code and all(map(_PATH_COMPONENT.fullmatch, parts))
    except recovery.DECODE_ERRORS:
        return False


def _encode(session: Session) -> str:
    return json.dumps(dataclasses.asdict(session))


def _decode(document: str) -> Session:
    return serialization.decode(Session, json.loads(document))
