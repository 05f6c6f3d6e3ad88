"""Measures what was promised, prints a table and writes docs/benchmarks.md.

python3 scripts/bench.py [--only arrival,click,session,enabling,memory,overhead] [--window]

Reports whether each goal is met; ends with 0 whatever the figures are, with 1 where a measurement could not be taken.
What is left out keeps its figures of before in the document. --window adds a run in a Blender with a window, as root
on Debian.
"""

from __future__ import annotations

import sys
from os.path import abspath, dirname

sys.path.insert(0, dirname(abspath(__file__)))  # python -P leaves it out

import environment

environment.run_inside(__file__)

import argparse  # noqa: E402 -- what follows needs the environment
from collections.abc import Callable  # noqa: E402

import build  # noqa: E402
from benchmark import arrival, click, enabling, machine, overhead, report, session, window, worker_memory  # noqa: E402
from benchmark.sampling import Bench, Figure, SampleFailed  # noqa: E402
from window.room import RoomError  # noqa: E402

FOLDER = environment.ROOT / "bench"
DOCUMENT = environment.ROOT / "docs/benchmarks.md"
MEASUREMENTS: dict[str, tuple[str, Callable[[Bench], list[Figure]]]] = {
    "arrival": ("A mesh arrives", arrival.measure),
    "click": ("The click", click.measure),
    "session": ("New Session from Selection", session.measure),
    "enabling": ("Blender's start", enabling.measure),
    "memory": ("The worker's memory", worker_memory.measure),
    "overhead": ("A whole job", overhead.measure),
    "window": ("A mesh arrives in a window", window.measure),
}


def main() -> int:
    chosen = parse(sys.argv[1:])
    FOLDER.mkdir(exist_ok=True)
    bench = Bench(FOLDER, build.build(FOLDER))
    failed = [name for name in chosen if not take(name, bench)]
    print(f"\n{DOCUMENT}" + (f"\nnot measured: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def take(name: str, bench: Bench) -> bool:
    """Measure, show and keep one section; tell whether it could be measured."""
    title, measure = MEASUREMENTS[name]
    is_window = name == "window"
    command = "python3 scripts/bench.py" + (" --window" if is_window else "")
    conditions = machine.conditions(window.blender_there() if is_window else machine.module(), command)
    print(f"measuring: {title}", file=sys.stderr, flush=True)
    try:
        section = report.Section(title, conditions, measure(bench))
    except (SampleFailed, RoomError) as error:
        print(f"{name} could not be measured: {error}", file=sys.stderr)
        return False
    report.show(section)
    sections = report.keep(FOLDER / "figures.json", name, section)
    report.write(DOCUMENT, [sections[known] for known in MEASUREMENTS if known in sections])
    return True


def parse(arguments: list[str]) -> list[str]:
    """The names of the measurements to take, in their order."""
    without_window = [name for name in MEASUREMENTS if name != "window"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="NAMES", help=f"some of {','.join(without_window)}, with commas between")
    parser.add_argument("--window", action="store_true", help="also in a Blender with a window; --only '' for it alone")
    options = parser.parse_args(arguments)
    only = without_window if options.only is None else [name for name in options.only.split(",") if name]
    unknown = [name for name in only if name not in without_window]
    if unknown:
        parser.error(f"there is no measurement {', '.join(unknown)}")
    return [name for name in MEASUREMENTS if name in only or (name == "window" and options.window)]


if __name__ == "__main__":
    sys.exit(main())
