"""Downloads: a mesh into a part file that the next attempt goes on with, and small pictures.

No key is ever sent along, since a mesh's address is its own credential, and may lead to any host.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import errors, limits, private_files
from ..models import Secret
from . import retry_after

if TYPE_CHECKING:
    import requests

    from .transport import Transport

IMAGE_LIMIT_BYTES = 5 * 1024 * 1024
RESERVE_BYTES = 64 << 20
"""What a download leaves free on the disk: the journal must be able to say why it ended."""
ROOM_STEP_BYTES = 4 << 20
"""After so many bytes the disk is looked at again."""
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d+/(\d{1,18}|\*)", re.ASCII)


class SignatureExpired(errors.ServiceUnreachable):
    """The storage refuses the mesh's address (403, 404): the session knows a new one."""


@dataclass(frozen=True, slots=True)
class MeshDownload:
    """One mesh file, from its address to the file ``part``.

    ``on_progress`` gets the bytes there and in all (None: not said); an exception out of it ends the download.
    ``timeout_s`` bounds each wait for a piece, ``window_s`` the whole, unless it comes at the least rate.
    """

    http: Transport
    timeout_s: float
    window_s: float
    part: Path
    on_progress: Callable[[int, int | None], None]

    @property
    def _tag_file(self) -> Path:
        """Where the ETag of the part is kept."""
        return self.part.with_name(self.part.name + ".etag")

    def run(self, url: Secret) -> None:
        """Bring the file, going on where the part ends if the storage still has the same one.

        Raises SignatureExpired; ServiceUnreachable, after which the part can be gone on with; MeshTooLarge;
        StorageError where the disk has no room; BlenderOffline.
        """
        try:
            done, total = self.http.within(self.window_s, lambda: self._fetch(url, self._asked()))
        except errors.MeshTooLarge:
            self.part.unlink(missing_ok=True)
            raise
        if total is not None and done != total:
            raise errors.ServiceUnreachable("The download of the mesh was cut off.", errors.LATER)
        self._tag_file.unlink()

    def _asked(self) -> dict[str, str]:
        """Ask for the rest of a cut download, if the file is still the one that it was (RFC 9110, 13.1.5)."""
        size = self.part.stat().st_size if self.part.exists() else 0
        tag = self._tag_file.read_text(encoding="utf-8") if size and self._tag_file.exists() else ""
        return {"Range": f"bytes={size}-", "If-Range": tag} if tag else {}

    def _fetch(self, url: Secret, asked: dict[str, str]) -> tuple[int, int | None]:
        """Write what the storage sends; return the bytes that are there, and in all if it is said."""
        headers = {"Accept-Encoding": "identity", **asked}  # a range counts the bytes as they are sent
        with self.http.request("GET", url.reveal(), headers=headers, timeout=self.timeout_s) as answer:
            start = self._start(answer, asked)
            total = _total_bytes(answer, start)
            _check_size(total or 0)
            if not start:
                private_files.write_text(self._tag_file, _strong_tag(answer))
            with open(self.part, "ab" if start else "wb", opener=private_files.opener) as target:
                done = room_for = start
                self.on_progress(done, total)
                for piece in self.http.pieces(answer):
                    self.http.came(len(piece))
                    if done + len(piece) > room_for:
                        room_for = done + len(piece) + ROOM_STEP_BYTES
                        self._check_room(done, max(room_for, total or 0))
                    done += target.write(piece)
                    _check_size(done)
                    self.on_progress(done, total)
        return done, total

    def _start(self, answer: requests.Response, asked: dict[str, str]) -> int:
        """Return where in the file the answer begins; raise where it is neither the whole nor the rest asked for.

        Some storages know ``Range`` but not ``If-Range``, and send the rest of another file: then it has another
        ``ETag``, which a partial answer has to name (RFC 9110, 15.3.7).
        """
        status = answer.status_code
        if status == 200:
            return 0
        if status in (401, 403, 404, 410):
            raise SignatureExpired(f"The mesh's address is no longer valid ({status}).", errors.LATER)
        if status in (429, 503):
            pause_s = retry_after.seconds(answer.headers, time.time())
            raise errors.ServiceBusy(f"The mesh's storage is busy ({status}).", errors.LATER, pause_s)
        if status not in (206, 416):
            raise errors.ServiceUnreachable(f"The mesh's storage answers {status}.", errors.LATER)
        found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        same_file = asked and answer.headers.get("ETag") == asked["If-Range"]
        if status == 206 and same_file and found and asked["Range"] == f"bytes={found[1]}-":
            return int(found[1])
        self._tag_file.unlink(missing_ok=True)
        raise errors.ServiceUnreachable("The mesh's storage has another file now.", errors.LATER)

    def _check_room(self, done: int, size: int) -> None:
        """Raise StorageError where the disk has no room for a file that is to grow from ``done`` to ``size``."""
        free = shutil.disk_usage(self.part.parent).free
        if size - done > free - RESERVE_BYTES:
            raise errors.StorageError(
                f"The disk has no room for the mesh: {_megabytes(free)} are free in {self.part.parent}.",
                "Free some disk space, then retry: what has arrived is kept.",
            )


def image(http: Transport, url: Secret, *, timeout_s: float, limit_bytes: int = IMAGE_LIMIT_BYTES) -> bytes:
    """Return a picture, whatever it is. Raises ServiceUnreachable, also where it is too large or takes too long."""

    def fetch() -> bytes:
        found = bytearray()
        with http.request("GET", url.reveal(), timeout=timeout_s) as answer:
            for piece in http.pieces(answer) if answer.status_code == 200 else ():
                found += piece
                if len(found) > limit_bytes:
                    raise errors.ServiceUnreachable("The session's picture is too large.")
        if not found:
            raise errors.ServiceUnreachable(f"The session's picture is not there ({answer.status_code}).")
        return bytes(found)

    return http.within(timeout_s, fetch)


def _check_size(size: int) -> None:
    most = limits.current().download_bytes
    if size > most:
        raise errors.MeshTooLarge(
            f"The mesh file is larger than {_megabytes(most)}.",
            f"Refine with fewer faces, or raise download_bytes in {limits.VARIABLE}.",
        )


def _strong_tag(answer: requests.Response) -> str:
    """Return the ETag if byte ranges of this answer can be put together under it, else nothing."""
    tag = answer.headers.get("ETag", "")
    return "" if _is_packed(answer) or tag.startswith("W/") else tag


def _total_bytes(answer: requests.Response, start: int) -> int | None:
    """Return the size of the whole file; a storage may send less of it than was asked for."""
    found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", "")) if start else None
    if found and found[2] != "*":
        return int(found[2])
    length = answer.headers.get("Content-Length", "")
    return start + int(length[:18]) if length.isdecimal() and not _is_packed(answer) else None


def _is_packed(answer: requests.Response) -> bool:
    return answer.headers.get("Content-Encoding", "identity").lower() != "identity"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f} MB"
