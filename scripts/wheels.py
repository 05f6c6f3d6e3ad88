"""Downloads the two wheels that the local service needs, bottle and waitress, into wheels/: python3 scripts/wheels.py

The other scripts do it by themselves where they are needed; this one is for a machine without network, or for a
Blender that is offline: run it where pip works, then copy the folder wheels/.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # python -I and PYTHONSAFEPATH=1 leave it out

import environment

if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    try:
        print("\n".join(map(str, environment.bundled_wheels())))
    except environment.SetupError as error:
        sys.exit(str(error))
