"""The local service as a child process: its settings are the first line on stdin, as JSON, and no argument is read."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from .server import main

if __name__ == "__main__":
    request = json.loads(sys.stdin.buffer.readline())
    sys.exit(main([], {**request, "data": Path(request["data"])}))
