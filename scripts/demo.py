"""The main job, without account and without network: python3 scripts/demo.py

Makes a sample object in a scene of its own, has the local service make a session out of it, refines that session with
the object's box and pivot, places the result and measures it. Leaves demo/result.blend, demo/result.glb and
demo/before_after.png.
"""

from __future__ import annotations

import sys
from os.path import abspath, dirname

sys.path.insert(0, dirname(dirname(abspath(__file__))))
sys.path.insert(0, dirname(abspath(__file__)))  # python -P leaves it out

import environment

environment.run_inside(__file__)

import argparse  # noqa: E402 -- what follows needs the environment
import contextlib  # noqa: E402
import io  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import time  # noqa: E402
from typing import Any  # noqa: E402

argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
FOLDER = environment.ROOT / "demo"
os.environ["CSM_REFINE_HOME"] = str(FOLDER / "home")

import bpy  # noqa: E402

from csm_refine_addon import cli  # noqa: E402
from csm_refine_addon.blender.scene import export  # noqa: E402
from demonstration import picture, sample  # noqa: E402


def main() -> int:
    started_at = time.monotonic()
    FOLDER.mkdir(exist_ok=True)
    source = FOLDER / "source.blend"
    sample.make_scene(source)
    code = command("create", "--object", sample.NAME, "--blend", str(source), "--service", "local")["session"]
    print(f"session {code} made out of the object {sample.NAME}")
    result = command(
        "refine", code, "--object", sample.NAME, "--service", "local", "--output", str(FOLDER / "result.blend")
    )
    print(f"sent: scaled_bbox {rounded(result['scaled_bbox'])}, pivot_point {rounded(result['pivot_point'])}")
    export.export(bpy.data.objects[result["object"]], FOLDER / "result.glb")
    picture.before_and_after(sample.NAME, result["object"], FOLDER / "before_after.png")
    for name in ("result.blend", "result.glb", "before_after.png"):
        print(FOLDER / name)
    print(f"placing error {result['fit_error']:.1e} of the box's diagonal, {time.monotonic() - started_at:.0f} s")
    return 0


def command(*arguments: str) -> dict[str, Any]:
    """Run a command of the product and return its JSON object; end the demo with its exit code if it fails."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = cli.main([*arguments, "--json"])
    if code:
        cli.exit_process(code)
    answer: dict[str, Any] = json.loads(said.getvalue().splitlines()[-1])
    return answer


def rounded(values: list[float]) -> list[float]:
    return [round(value, 4) for value in values]


cli.exit_process(main())
