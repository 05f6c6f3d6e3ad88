"""Runs the checks and every test that needs no window, and ends with a table and one line of totals.

Without options: ruff, mypy, and the tests with the Blender for the Python at hand. With --all: also the tests of
core on each Python without Blender, and everything on each Blender of the matrix. What cannot run is named as NOT RUN.
Arguments after -- go to pytest.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import environment
from testing.report import NOT_RUN, Row, print_summary
from testing.runs import Console, Run, check_runs, pytest_run

WITH_BLENDER = ("tests/core", "tests/service", "tests/blender", "tests/package")
WITHOUT_BLENDER = ("tests/core",)
ABOUT_THE_SOURCES = ("tests/meta",)
AT_A_TIME = min(2, os.cpu_count() or 1)


def plan(everything: bool, blender: str | None, pytest_arguments: list[str]) -> list[Run]:
    """The runs in the order of their start; the long ones first where several go side by side."""
    here = environment.python_at_hand()
    checks = [
        *check_runs(environment.checks(here)),
        pytest_run("the sources", environment.plain(here), ABOUT_THE_SOURCES, pytest_arguments),
    ]
    versions = list(environment.PYTHON_OF_BLENDER) if everything else [blender or environment.BLENDER_OF_PYTHON[here]]
    blenders = [
        pytest_run(f"Blender {version}", environment.blender(version, tests=True), WITH_BLENDER, pytest_arguments)
        for version in versions
    ]
    if not everything:
        return [*checks, *blenders]
    plain = [
        pytest_run(f"core on Python {version}", environment.plain(version), WITHOUT_BLENDER, pytest_arguments)
        for version in environment.BLENDER_OF_PYTHON
    ]
    return [*blenders, *checks, *plain]


def carry_out(run: Run, console: Console) -> Row:
    started = time.monotonic()
    try:
        pythons = [needed.ensure() for needed in run.environments]
    except environment.SetupError as error:
        return Row(run.name, f"{NOT_RUN}: {error}", time.monotonic() - started)
    return run.start(pythons[0], console)


def one_by_one(runs: list[Run]) -> list[Row]:
    console = Console(live=True)
    return [carry_out(run, console) for run in runs]


def side_by_side(runs: list[Run]) -> list[Row]:
    console = Console(live=False)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        try:
            return list(pool.map(lambda run: carry_out(run, console), runs))
        except KeyboardInterrupt:  # a normal end would wait for the runs that have not begun
            console.end_all()
            os._exit(130)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--all", action="store_true", help="every Blender and every Python of the matrix")
    which.add_argument("--blender", choices=list(environment.PYTHON_OF_BLENDER), help="this Blender, not the default")
    parser.add_argument("pytest", nargs="*", metavar="-- ARGUMENTS", help="for pytest, for example: -- -k journal")
    return parser.parse_args(arguments)


def main() -> int:
    options = parse(sys.argv[1:])
    runs = plan(options.all, options.blender, options.pytest)
    return print_summary(side_by_side(runs) if options.all else one_by_one(runs))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except environment.SetupError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
