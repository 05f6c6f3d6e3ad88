"""Bodies of requests: how large they may be, and where a mesh that has come in lies until it is checked."""

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
"""Of JSON; and for each request without the key."""
MESH_LIMIT_BYTES = 2 << 30
_BLOCK_BYTES = 1 << 20


class BodyTooLarge(InputError):
    """The request's body is larger than what the address takes."""


@dataclass(frozen=True, slots=True)
class Inbox:
    """The folder for meshes that come in, and the most bytes that one may have."""

    folder: Path
    limit_bytes: int = MESH_LIMIT_BYTES

    @contextlib.contextmanager
    def taken_in(self, body: IO[bytes], length: int) -> Iterator[Path]:
        """Give the file with a body of this length, on disk, under a name of ours; remove it if it is still there.

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


def small_body(body: IO[bytes], length: int) -> bytes:
    """Return a body that is no mesh. Raises BodyTooLarge."""
    _check_length(length, BODY_LIMIT_BYTES, "Send a small JSON object.")
    return body.read(length)


def _check_length(length: int, limit: int, cure: str) -> None:
    """Raise BodyTooLarge for a body that has more bytes than ``limit``: it has not been kept."""
    if length > limit:
        size = f"{limit >> 20} MB" if limit >= 1 << 20 else f"{limit >> 10} KB"
        raise BodyTooLarge(f"The request's body is larger than {size}.", cure)


def _copy(source: IO[bytes], target: Path, left: int) -> None:
    with target.open("wb") as file:
        while left and (block := source.read(min(_BLOCK_BYTES, left))):
            file.write(block)
            left -= len(block)
        file.flush()
        os.fsync(file.fileno())
