"""Fuzz what takes strangers' bytes: python3 scripts/fuzz.py TARGET [--inputs N] [--seconds S] [--seed N]

Without a TARGET it names them. What it found to be new, and an input that did harm, stay in build/fuzz/TARGET; the next
run goes on from there. Linux only, as atheris is.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))  # python -P leaves it out

import environment

environment.run_inside(__file__, environment.reliability(environment.BLENDER_OF_PYTHON[environment.python_at_hand()]))

if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
    print(f"{__doc__}\nTARGET: {', '.join(importlib.import_module('tests.reliability.fuzz_targets').TARGETS)}")
    sys.exit(0 if environment.HELP & set(sys.argv[1:]) else 2)
target, *options = sys.argv[1:]
folder = environment.ROOT / "build" / "fuzz" / target
importlib.import_module("tests.reliability.fuzz_program").main([target, str(folder), *options])
