"""Entry point of the local service as a child process: settings are one line of JSON on stdin, not arguments."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from .server import main

if __name__ == "__main__":
    request = json.loads(sys.stdin.buffer.readline())
    sys.exit(main([], {**request, "data": Path(request["data"])}))
