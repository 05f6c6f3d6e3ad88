"""Secrets that this machine makes for itself, each in a file that only its owner may read."""

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
    """Return the secret in a file; 32 random letters and digits are made if there is none. Raises StorageError.

    Rights that it has got on its way, by a copy or a backup, are taken from it again, with a warning.
    """
    if not os.path.exists(path):
        _make(path)
    return _read(path)


def _make(path: Path) -> None:
    """Make the file, whole from the start: another process that comes at this moment reads it, or made it first."""
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
    """Return the file's mode; 0 on Windows, whose rights stand elsewhere."""
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
    path.unlink(missing_ok=True)  # made, never written: the machine went down in between
    return load_or_create_secret(path)


def _close_to_others(path: Path) -> None:
    if rights(path) & (stat.S_IRWXG | stat.S_IRWXO):
        path.chmod(0o600)
        _log.warning("Others could read %s; now its owner alone can. Remove it, and a new one is made.", path)
