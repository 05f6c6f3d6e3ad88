"""Is ours the better choice for my meshes? python3 scripts/bench_refine.py [MESH ...] [--faces N ...] [--only TOOLS]

Runs our refinery and what Blender gives (with --more also Instant Meshes, pymeshlab and xatlas) on the same meshes,
measures every result with code that knows nothing of which tool made it, and writes a table and a contact sheet: to
docs/refining for our own raw meshes, to build/refining for others. A run takes minutes for each mesh.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))  # python -P leaves it out

import environment

MORE = "--more" in sys.argv
environment.run_inside(__file__, environment.judge(environment.python_at_hand(), more=MORE))

import argparse  # noqa: E402 -- what follows needs the environment

from refining import pages, rounds, sheet  # noqa: E402
from refining.tools import TOOLS  # noqa: E402

FOLDER = environment.ROOT / "build/refining"
DOCUMENTS = environment.ROOT / "docs/refining"


def main() -> int:
    options = parse()
    FOLDER.mkdir(parents=True, exist_ok=True)
    meshes = [mesh.resolve() for mesh in options.mesh] or rounds.own_meshes(FOLDER / "raw")
    blender = environment.blender(environment.BLENDER_OF_PYTHON[environment.python_at_hand()]).ensure()
    about = pages.conditions(sys.argv[1:])
    entries = []
    for label, mesh in rounds.labelled(meshes).items():
        print(label, file=sys.stderr)
        entries += rounds.run(label, mesh, options.faces, options.only, FOLDER, blender)
    pages.show(entries)
    target = options.output or (FOLDER if options.mesh else DOCUMENTS)
    target.mkdir(parents=True, exist_ok=True)
    pages.write(target / "benchmark.md", entries, about)
    sheet.write_all(entries, target)
    sheet.copy_pictures(entries, target)
    print(target / "benchmark.md")
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(  # --more is looked for as a whole word, above
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("mesh", nargs="*", type=Path, help="GLB or OBJ; default: our own raw meshes")
    parser.add_argument("--faces", nargs="+", type=int, default=[5000, 20000], metavar="N")
    parser.add_argument("--only", metavar="TOOLS", help=f"some of {','.join(TOOLS)}, with commas between")
    parser.add_argument("--more", action="store_true", help="also the tools of the optional group")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="where the table and the pictures go")
    options = parser.parse_args()
    names = [name for name, tool in TOOLS.items() if options.more or not tool.is_optional]
    options.only = options.only.split(",") if options.only else names
    unknown = [name for name in options.only if name not in TOOLS]
    if unknown:
        parser.error(f"there is no tool {', '.join(unknown)}")
    optional = [name for name in options.only if name not in names]
    if optional:
        parser.error(f"{', '.join(optional)}: of the optional group, which --more installs")
    missing = [str(mesh) for mesh in options.mesh if not mesh.is_file()]
    if missing:
        parser.error(f"there is no file {', '.join(missing)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
