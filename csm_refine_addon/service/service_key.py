"""The service's secrets: the API key that clients send, and the key that signs mesh addresses."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from ..core import validation
from ..core.errors import InputError, KeyMissing
from ..core.models import Secret
from ..core.processes.background import KEY_VARIABLE
from ..core.processes.local_service import KeyOrigin
from ..core.secret_files import load_or_create_secret, rights

log = logging.getLogger(__name__)


def service_key(folder: Path, key_file: Path | None, *, is_loopback: bool) -> Secret:
    """Return the key that every request must have.

    Sources, in order: ``key_file``; on loopback only, ``CSM_API_KEY``, then the key in ``folder``, which is created
    once. A world-readable key file is accepted with a warning: container runtimes mount secrets world-readable, and a
    group may share one. A world-writable key file is refused, because anyone could have replaced the key.
    Raises InputError if a non-loopback address has no key file, or the key is not valid.
    """
    try:
        if key_file is not None:
            key = validation.api_key(_read(key_file).rstrip("\r\n"))
            _check_rights(key_file)
            return key
        if is_loopback:
            given = os.environ.get(KEY_VARIABLE, "")
            return validation.api_key(given) if given else load_or_create_secret(folder / "key")
    except KeyMissing as error:
        source = key_file or KEY_VARIABLE
        raise InputError(f"{source} holds no usable key.", "Put one line without spaces into it.") from error
    raise InputError("An address that others can reach needs a key of your choice.", "Give it with --key-file FILE.")


def key_origin(key_file: Path | None) -> KeyOrigin:
    """Return the source that :func:`service_key` takes the key from."""
    if key_file is not None:
        return KeyOrigin.FILE
    return KeyOrigin.ENVIRONMENT if os.environ.get(KEY_VARIABLE) else KeyOrigin.FOLDER


def _check_rights(path: Path) -> None:
    mode = rights(path)
    if mode & stat.S_IWOTH:
        raise InputError(f"Every user of this machine may write the key file {path}.", f"Run chmod 600 {path}.")
    if mode & stat.S_IROTH:
        log.warning("Every user of this machine may read the key file %s. Run chmod 600 on it.", path)


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not plain text"
        raise InputError(f"The key file {path} cannot be read: {reason}.", "Check its path and rights.") from error
