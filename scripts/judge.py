"""Judges a refined mesh by its source: python3 scripts/judge.py SOURCE RESULT [OBJ]

Prints distance, look, silhouettes, topology and UV layout as JSON. OBJ is the result as it was before its faces became
triangles; a GLB has no others.
"""

from __future__ import annotations

import sys
from os.path import abspath, dirname

sys.path.insert(0, dirname(abspath(__file__)))  # python -P leaves it out

import environment

environment.run_inside(__file__, environment.judge(environment.python_at_hand()))

import argparse  # noqa: E402 -- what follows needs the environment

from refining.judge import main  # noqa: E402

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="SOURCE")
    parser.add_argument("result", metavar="RESULT")
    parser.add_argument("polygons", metavar="OBJ", nargs="?")
    sys.exit(main([path for path in vars(parser.parse_args()).values() if path]))
