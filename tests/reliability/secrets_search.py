"""Looks for secrets in bytes, whatever was done to them, and says where it has looked."""

from __future__ import annotations

import base64
import functools
import gzip
import io
import os
import threading
import time
import urllib.parse
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import zstandard

from tests.support.api_server import KEY

SECRETS = {"key": KEY, "signature": "s1gnature", "e-mail": "account@mail.example"}
"""As the scripted service knows them: each of its answers that can, repeats them."""
PIECE = 12
"""A part of so many characters counts as the secret: half a key is one try in 10^28 instead of 10^57."""
PROCESSES = "arguments and variables of processes"
BETWEEN = b" \r\n\t\"'\\,;+\x00"
"""What may stand between the pieces of one that was split."""


def forms(secret: str) -> dict[str, set[bytes]]:
    """Return what a secret looks like, by the name of the form; each piece of it counts."""
    raw = secret.encode()
    pieces = {secret[start : start + PIECE] for start in range(max(1, len(secret) - PIECE + 1))}
    each = [f"%{byte:02x}" for byte in raw]
    return {
        "plain": {piece.encode() for piece in pieces},
        "percent-encoded": {
            urllib.parse.quote(secret, safe="").encode(), "".join(each).encode(), "".join(each).upper().encode()
        },
        "base64": set(_base64(raw)),
        "hexadecimal": {raw.hex().encode(), raw.hex().upper().encode()},
        "JSON-escaped": {"".join(f"\\u{byte:04x}" for byte in raw).encode(), secret.replace("@", "\\u0040").encode()},
        "HTML-escaped": {secret.replace("@", "&#64;").encode(), "".join(f"&#{byte};" for byte in raw).encode()},
    }  # fmt: skip


def _base64(raw: bytes) -> Iterator[bytes]:
    """Yield the middle of the secret's base64 at each of the three places that it can begin at in a text."""
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + raw)
        middle = encoded[shift + (shift > 0) : (len(raw) + shift) // 3 * 4]
        yield middle
        yield middle.translate(bytes.maketrans(b"+/", b"-_"))


@functools.cache
def _all_forms() -> tuple[tuple[str, bytes], ...]:
    return tuple((name, look) for name, secret in SECRETS.items() for looks in forms(secret).values() for look in looks)


def found_in(content: bytes) -> set[str]:
    """Return the names of the secrets that are in some bytes, or in what is packed in them."""
    found = set()
    for part in unpacked(content):
        squeezed = part.translate(None, BETWEEN)
        found |= {name for name, look in _all_forms() if look in part or look in squeezed}
    return found


def unpacked(content: bytes) -> Iterator[bytes]:
    """Yield some bytes and, where they are an archive or compressed (a .blend, too), what is in them."""
    yield content
    if content.startswith(b"\x1f\x8b"):
        yield from unpacked(gzip.decompress(content))
    elif content.startswith(b"\x28\xb5\x2f\xfd"):
        yield from unpacked(zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True).read())
    elif content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield name.encode()
                yield from unpacked(archive.read(name))


@dataclass
class Places:
    """Where was looked, how much there was, and what was found; a row of the report for each kind of place."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def look(self, kind: str, content: bytes | str, name: str = "") -> None:
        """Look into one thing."""
        raw = content.encode("utf-8", "surrogateescape") if isinstance(content, str) else content
        row = self.rows.setdefault(kind, {"where": kind, "looked at": 0, "bytes": 0, "found": []})
        row["looked at"] += 1
        row["bytes"] += len(raw)
        row["found"] += [f"{secret} in {name or 'it'}" for secret in sorted(found_in(raw))]

    def look_into(self, kind: str, folder: Path, allowed: Callable[[Path], bool] = lambda path: False) -> None:
        """Look into every file of a folder, and at its name; but for those that are there to hold a secret."""
        for path in sorted(folder.rglob("*")):
            self.look(kind, path.name, "a file's name")
            if path.is_file() and not path.is_symlink() and not allowed(path):
                self.look(kind, path.read_bytes(), path.name)

    @property
    def found(self) -> list[str]:
        """Everything that was found, with where."""
        return [f"{row['where']}: {each}" for row in self.rows.values() for each in row["found"]]


class ProcessWatch:
    """Looks at the arguments and variables of processes, for as long as the block lasts.

    Of all that carry a mark among their variables, and of what descends from those that were ``given`` the key by the
    user, which themselves may have it. A child that looks like its parent has not begun its own program, and is left
    out; of the others, what is seen twice, a tenth of a second apart, counts.
    """

    VARIABLE = "SECRETS_WATCHED"
    AGAIN_S = 0.1

    def __init__(self, places: Places) -> None:
        self.mark = os.urandom(8).hex()
        self.given: set[int] = set()
        self.seen: dict[int, str] = {}
        """Command lines, by process id."""
        self._places = places
        self._first: dict[tuple[int, str], float] = {}
        self._leaks: dict[tuple[int, str], bytes] = {}
        self._sizes: dict[int, int] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._end.set()
        self._thread.join()
        for pid, command in self.seen.items():
            leaks = [content for (other, _kind), content in self._leaks.items() if other == pid]
            name = command.replace("\0", " ")[:80]
            self._places.look(PROCESSES, leaks[0] if leaks else b"", name)
            self._places.rows[PROCESSES]["bytes"] += 0 if leaks else self._sizes[pid]

    def _watch(self) -> None:
        while not self._end.wait(0.02):
            for name in sorted((name for name in os.listdir("/proc") if name.isdecimal()), key=int):
                self._look_at(int(name))

    def _look_at(self, pid: int) -> None:
        if pid in self.given or pid == os.getpid():
            return
        try:
            variables = Path(f"/proc/{pid}/environ").read_bytes()
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            has_begun = arguments != Path(f"/proc/{parent}/cmdline").read_bytes()
        except OSError:
            return
        is_child = parent in self.given or parent in self.seen
        if not (is_child or f"{self.VARIABLE}={self.mark}".encode() in variables) or not (arguments and has_begun):
            return
        self.seen[pid] = arguments.decode("utf-8", "replace")
        self._sizes[pid] = len(arguments) + len(variables)
        for kind, content in (("variables", variables), ("arguments", arguments)):
            if found_in(content):
                first = self._first.setdefault((pid, kind), time.monotonic())
                if time.monotonic() - first >= self.AGAIN_S:
                    self._leaks[pid, kind] = content
