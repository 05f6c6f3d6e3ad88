"""Writing to stdout and stderr, to which nobody may listen: closed from the start, a reader gone, a full disk."""

from __future__ import annotations

from typing import TextIO


def write(stream: TextIO | None, text: str) -> OSError | None:
    """Write to a stream at once, or not at all, and return why not. Never raises.

    ``None`` is what Python has for a stream that was closed from the start: nobody wants to know. The same holds for
    one that is closed meanwhile. What a stream's encoding has no letters for is written as escapes.
    """
    if stream is None:
        return None
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except OSError as error:
        return error
    except ValueError:  # closed meanwhile
        pass
    return None
