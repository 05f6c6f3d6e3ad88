"""WSGI application that serves mesh files at signed URLs, with Range, ETag and If-Range.

It listens on its own port and needs no API key, because the hosted service serves its files from another host.
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

from .auth import HostCheck, is_from_web_page
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
class ByteRange:
    """A byte range: ``length`` bytes from offset ``start``."""

    start: int
    length: int


def parse_range(header: str, size: int) -> ByteRange | None:
    """Parse a Range header with one ``bytes=`` range (RFC 9110, section 14); return None for the whole file.

    Several ranges, other units and malformed values are ignored. Raises ValueError if the range is not satisfiable.
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
    return ByteRange(start, end - start)


class MeshServer:
    """Serves ``/CODE/RUN/NAME`` from ``folder`` if the query has a valid signature."""

    def __init__(self, folder: Path, links: SignedUrls, hosts: HostCheck) -> None:
        self._folder = folder
        self._links = links
        self._hosts = hosts

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve a request; errors are XML documents, like those of Azure blob storage, which CSM uses."""
        path = environ.get("PATH_INFO", "")
        refusal = self._refusal(environ, path)
        if refusal:
            return _send_error(refusal, start_response)
        file = self._folder.joinpath(*path.split("/"))
        try:
            opened = file.open("rb")
        except OSError:  # a later refine may have replaced this result
            return _send_error("404 Not Found", start_response)
        return _send_file(file, opened, environ, start_response)

    def _refusal(self, environ: WSGIEnvironment, path: str) -> str | None:
        if not self._hosts.allows(environ.get("HTTP_HOST", "")):
            return "421 Misdirected Request"
        query = dict(parse_qsl(environ.get("QUERY_STRING", "")[:2000]))
        if is_from_web_page(environ) or not _PATH.fullmatch(path) or not self._links.allows(path, query):
            return "403 Forbidden"
        return None if environ["REQUEST_METHOD"] in {"GET", "HEAD"} else "405 Method Not Allowed"


def _send_error(status: str, start_response: StartResponse) -> Iterable[bytes]:
    """Return an error response without a Content-Length, which makes Waitress close the connection."""
    code, message = _ERRORS[status]
    head = '<?xml version="1.0" encoding="utf-8"?>'
    body = f"{head}<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    start_response(status, [("Content-Type", "application/xml")])
    return iter([body])


def _send_file(path: Path, file: Any, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    status = os.fstat(file.fileno())
    etag = f'"{status.st_size:x}-{status.st_mtime_ns:x}"'
    changed = formatdate(status.st_mtime, usegmt=True)
    headers = [("Accept-Ranges", "bytes"), ("ETag", etag), ("Last-Modified", changed), ("Cache-Control", "private")]
    if environ.get("HTTP_IF_NONE_MATCH") == etag:
        file.close()
        start_response("304 Not Modified", headers)
        return []
    try:
        part = _requested_range(environ, status.st_size, etag, status.st_mtime)
    except ValueError:
        file.close()
        headers += [("Content-Range", f"bytes */{status.st_size}"), ("Content-Length", "0")]
        start_response("416 Range Not Satisfiable", headers)
        return []
    return _stream(file, status.st_size, part, [*headers, _content_type(path)], environ, start_response)


def _stream(
    file: Any,
    size: int,
    part: ByteRange | None,
    headers: list[tuple[str, str]],
    environ: WSGIEnvironment,
    start_response: StartResponse,
) -> Iterable[bytes]:
    sent = part or ByteRange(0, size)
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


def _requested_range(environ: WSGIEnvironment, size: int, etag: str, changed_at: float) -> ByteRange | None:
    header = environ.get("HTTP_RANGE", "")
    condition = environ.get("HTTP_IF_RANGE", "")
    if not header or (condition and condition != etag and not _matches_date(condition, changed_at)):
        return None
    return parse_range(header, size)


def _matches_date(condition: str, changed_at: float) -> bool:
    try:
        return int(parsedate_to_datetime(condition).timestamp()) == int(changed_at)
    except (ValueError, OverflowError):  # OverflowError: the UTC offset is too large
        return False


def _content_type(path: Path) -> tuple[str, str]:
    return ("Content-Type", _TYPES.get(path.suffix, "application/octet-stream"))
