"""Write to stdout and stderr; never raise if they are closed, disconnected or on a full disk."""

from __future__ import annotations

from typing import TextIO


def write(stream: TextIO | None, text: str) -> OSError | None:
    """Write and flush a text; return the OSError if that fails, else None. Never raises.

    A stream that is None (closed before Python started) or closed is ignored. Characters outside its encoding are
    written as escapes.
    """
    if stream is None:
        return None
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except OSError as error:
        return error
    except ValueError:  # the stream is closed
        pass
    return None
