"""Takes docs/panel.png: the panel in a real Blender with a window, with real jobs of the local service.

python3 scripts/picture.py [--suite sid|trixie]     as root, on Debian; see scripts/window/room.py
"""

from __future__ import annotations

import environment

environment.run_inside(__file__)

import argparse  # noqa: E402 -- what follows needs the environment
import shutil  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402

from window import blender, room  # noqa: E402

SCENARIO = environment.ROOT / "scripts/window/scenarios/panel.py"
PICTURE = environment.ROOT / "docs/panel.png"
SIZE = (1100, 960)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", choices=list(room.SUITES), default="sid", help="default: %(default)s")
    parser.add_argument("--output", type=Path, default=PICTURE, help="default: docs/panel.png")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="csm_refine_picture_") as folder:
        code = blender.run(SCENARIO, Path(folder), suite=options.suite, size=SIZE, limit_s=240)
        if code == 0:
            options.output.parent.mkdir(exist_ok=True)
            shutil.copyfile(Path(folder, "panel.png"), options.output)
            print(options.output)
    return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except room.RoomError as error:
        sys.exit(str(error))
