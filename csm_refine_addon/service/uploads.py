"""Request bodies: size limits, and temporary files for uploaded meshes."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from ..core.errors import InputError

BODY_LIMIT_BYTES = 64 * 1024
"""For JSON bodies, and for all requests without the key."""
MESH_LIMIT_BYTES = 2 << 30
_BLOCK_BYTES = 1 << 20


class BodyTooLarge(InputError):
    """The request's body exceeds the limit of its route."""


@dataclass(frozen=True, slots=True)
class UploadFolder:
    """The folder of uploaded meshes, and the maximum size of one in bytes."""

    folder: Path
    limit_bytes: int = MESH_LIMIT_BYTES

    @contextlib.contextmanager
    def receive(self, body: IO[bytes], length: int) -> Iterator[Path]:
        """Yield a temporary file that holds the upload; delete it at the end unless it was moved.

        Raises BodyTooLarge before anything is written.
        """
        _check_length(length, self.limit_bytes, "Send a smaller mesh, or start the service with a larger --mesh-limit.")
        self.folder.mkdir(exist_ok=True)
        path = self.folder / secrets.token_hex(16)
        try:
            _copy(body, path, length)
            yield path
        finally:
            path.unlink(missing_ok=True)


def read_json_body(body: IO[bytes], length: int) -> bytes:
    """Read a JSON body. Raises BodyTooLarge."""
    _check_length(length, BODY_LIMIT_BYTES, "Send a small JSON object.")
    return body.read(length)


def _check_length(length: int, limit: int, action: str) -> None:
    """Raise BodyTooLarge if a body has more bytes than ``limit``."""
    if length > limit:
        size = f"{limit >> 20} MB" if limit >= 1 << 20 else f"{limit >> 10} KB"
        raise BodyTooLarge(f"The request's body is larger than {size}.", action)


def _copy(source: IO[bytes], target: Path, remaining: int) -> None:
    with target.open("wb") as file:
        while remaining and (block := source.read(min(_BLOCK_BYTES, remaining))):
            file.write(block)
            remaining -= len(block)
        file.flush()
        os.fsync(file.fileno())
