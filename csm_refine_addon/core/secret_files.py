"""Locally generated secrets, each in a file that only its owner can read."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import stat
import string
from pathlib import Path

from .errors import StorageError
from .models import Secret

LENGTH = 32
_LETTERS = string.ascii_letters + string.digits
_log = logging.getLogger("csm_refine.secrets")


def load_or_create_secret(path: Path) -> Secret:
    """Return the secret in a file; create one of 32 random letters and digits if missing. Raises StorageError.

    If other users can read the file, for example after a copy or a backup, its mode is corrected with a warning.
    """
    if not os.path.exists(path):
        _make(path)
    return _read(path)


def _make(path: Path) -> None:
    """Create the complete file atomically; if another process created it first, keep that one."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write("".join(secrets.choice(_LETTERS) for _ in range(LENGTH)))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            draft.replace(path)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be written: {error.strerror}.", "Make its folder writable, or choose another folder."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()


def rights(path: Path) -> int:
    """Return the file's mode; 0 on Windows, which uses access control lists."""
    return path.stat().st_mode if os.name == "posix" else 0


def _read(path: Path) -> Secret:
    try:
        kept = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no plain text"
        raise StorageError(f"{path} cannot be read: {reason}.", "Check its rights, or delete it.") from error
    if kept:
        _close_to_others(path)
        return Secret(kept)
    path.unlink(missing_ok=True)  # created but not written: the machine crashed in between
    return load_or_create_secret(path)


def _close_to_others(path: Path) -> None:
    if rights(path) & (stat.S_IRWXG | stat.S_IRWXO):
        path.chmod(0o600)
        _log.warning("Others could read %s; now its owner alone can. Remove it, and a new one is made.", path)
