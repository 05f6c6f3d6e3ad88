"""What these tests know of a client: a port that nobody listens at, and all that an exception may show."""

from __future__ import annotations

import socket
import traceback

from csm_refine_addon.core.models import Secret
from tests.support.api_server import ACCOUNT, KEY


def closed_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def behind(error: BaseException | None):
    """An error and everything that a log may show with it."""
    while error is not None:
        yield error
        yield from behind(error.__context__ if error.__context__ is not error.__cause__ else None)
        error = error.__cause__


def shown(error: BaseException) -> str:
    return "\n".join([*(f"{one} {one!r} {one.args}" for one in behind(error)), *traceback.format_exception(error)])


def assert_no_secret(error: BaseException) -> None:
    text = shown(error)
    for secret in (KEY, ACCOUNT, "s1gnature", "sig=", "mesh.obj"):
        assert secret not in text


def download(client, api, part, progress=None, name="mesh.obj"):
    """Fetch a file of the served storage and return it."""
    client.download(Secret(api.storage.signed(name)), part, progress or (lambda done, total: None))
    return part.read_bytes()
