"""An intake that keeps ten bytes of a body and waits 0.05 s for what does not come; tells its port on stdout."""

from __future__ import annotations

import socket
import sys

from csm_refine_addon.service import intake


def tell_what_came(environ, start_response):
    """Answer with how much of a body was kept, and how much was counted."""
    text = f"{len(environ['wsgi.input'].read())} of {environ.get('CONTENT_LENGTH', '0')}".encode()
    start_response("200 OK", [("Content-Length", str(len(text)))])
    return [text]


if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    intake.start(tell_what_came, listener, limit=lambda *_request: 10, greatest_body=1 << 20, patience_s=0.05)
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()
