"""The mesh origin: a WSGI application that serves signed mesh files, with Range, ETag and If-Range, and nothing else.

It stands on a port of its own, as the hosted service keeps its files on another host: no API key is wanted here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from .auth import HostCheck, is_from_a_page
from .signed_urls import SignedUrls

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_PATH = re.compile(r"/(SESSION_\d{10}_\d{7})/([a-z0-9]{1,32})/([a-z]{1,32}\.[a-z]{1,8})", re.ASCII)
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
_TYPES = {
    ".glb": "model/gltf-binary",
    ".zip": "application/zip",
    ".obj": "model/obj",
    ".fbx": "application/octet-stream",
    ".usdz": "model/vnd.usdz+zip",
    ".blend": "application/x-blender",
    ".png": "image/png",
}
_ERRORS = {
    "403 Forbidden": ("AuthenticationFailed", "The signature of this address is not valid, or it has expired."),
    "404 Not Found": ("BlobNotFound", "The specified file does not exist."),
    "405 Method Not Allowed": ("UnsupportedHttpVerb", "Files can be read only."),
    "421 Misdirected Request": ("InvalidHost", "This service is reached by another name."),
}


@dataclass(frozen=True, slots=True)
class Slice:
    """The bytes to send: from ``start``, ``length`` many."""

    start: int
    length: int


def parse_range(header: str, size: int) -> Slice | None:
    """Return what one ``bytes=`` range asks of a file (RFC 9110, section 14); None where it asks for all of it.

    Several ranges, another unit and nonsense count as no range. Raises ValueError where the range lies outside.
    """
    found = _RANGE.fullmatch(header.replace(" ", ""))
    if not found or found.groups() == ("", ""):
        return None
    first, last = found.groups()
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= size:
        raise ValueError(header)
    return Slice(start, end - start)


class MeshOrigin:
    """Serves ``/CODE/RUN/NAME`` out of ``folder``, where the query is signed."""

    def __init__(self, folder: Path, links: SignedUrls, hosts: HostCheck) -> None:
        self._folder = folder
        self._links = links
        self._hosts = hosts

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request; errors come as XML, like those of the storage that CSM uses."""
        path = environ.get("PATH_INFO", "")
        refusal = self._refusal(environ, path)
        if refusal:
            return _refuse(refusal, start_response)
        file = self._folder.joinpath(*path.split("/"))
        try:
            opened = file.open("rb")
        except OSError:  # of a refine that a later one has replaced, perhaps just now
            return _refuse("404 Not Found", start_response)
        return _send(file, opened, environ, start_response)

    def _refusal(self, environ: WSGIEnvironment, path: str) -> str | None:
        if not self._hosts.allows(environ.get("HTTP_HOST", "")):
            return "421 Misdirected Request"
        query = dict(parse_qsl(environ.get("QUERY_STRING", "")[:2000]))
        if is_from_a_page(environ) or not _PATH.fullmatch(path) or not self._links.allows(path, query):
            return "403 Forbidden"
        return None if environ["REQUEST_METHOD"] in {"GET", "HEAD"} else "405 Method Not Allowed"


def _refuse(status: str, start_response: StartResponse) -> Iterable[bytes]:
    """Answer without a length, after which Waitress closes the connection."""
    code, message = _ERRORS[status]
    head = '<?xml version="1.0" encoding="utf-8"?>'
    body = f"{head}<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    start_response(status, [("Content-Type", "application/xml")])
    return iter([body])


def _send(path: Path, file: Any, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    status = os.fstat(file.fileno())
    etag = f'"{status.st_size:x}-{status.st_mtime_ns:x}"'
    changed = formatdate(status.st_mtime, usegmt=True)
    headers = [("Accept-Ranges", "bytes"), ("ETag", etag), ("Last-Modified", changed), ("Cache-Control", "private")]
    if environ.get("HTTP_IF_NONE_MATCH") == etag:
        file.close()
        start_response("304 Not Modified", headers)
        return []
    try:
        part = _wanted_part(environ, status.st_size, etag, status.st_mtime)
    except ValueError:
        file.close()
        headers += [("Content-Range", f"bytes */{status.st_size}"), ("Content-Length", "0")]
        start_response("416 Range Not Satisfiable", headers)
        return []
    return _stream(file, status.st_size, part, [*headers, _type_of(path)], environ, start_response)


def _stream(
    file: Any,
    size: int,
    part: Slice | None,
    headers: list[tuple[str, str]],
    environ: WSGIEnvironment,
    start_response: StartResponse,
) -> Iterable[bytes]:
    sent = part or Slice(0, size)
    headers = [*headers, ("Content-Length", str(sent.length))]
    if part:
        headers.append(("Content-Range", f"bytes {part.start}-{part.start + part.length - 1}/{size}"))
    start_response("206 Partial Content" if part else "200 OK", headers)
    if environ["REQUEST_METHOD"] == "HEAD":
        file.close()
        return []
    file.seek(sent.start)
    stream: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
    return stream


def _wanted_part(environ: WSGIEnvironment, size: int, etag: str, changed_at: float) -> Slice | None:
    header = environ.get("HTTP_RANGE", "")
    condition = environ.get("HTTP_IF_RANGE", "")
    if not header or (condition and condition != etag and not _is_date_of(condition, changed_at)):
        return None
    return parse_range(header, size)


def _is_date_of(condition: str, changed_at: float) -> bool:
    try:
        return int(parsedate_to_datetime(condition).timestamp()) == int(changed_at)
    except (ValueError, OverflowError):  # OverflowError: a zone of more hours than can be counted
        return False


def _type_of(path: Path) -> tuple[str, str]:
    return ("Content-Type", _TYPES.get(path.suffix, "application/octet-stream"))
