"""Runs the checks and every test that needs no window, and ends with a table and one line of totals.

Without options: ruff, mypy, and the tests with the Blender for the Python at hand. With --all: also the tests of
core on each Python without Blender, and everything on each Blender of the matrix, and more of the faults and crashes.
With --long: instead of these, faults, crashes, hostile input and load at full length, on one Blender; it writes
docs/reliability.md. What cannot run is named as NOT RUN.
With --window: instead of these, the tests in real Blenders with a window, as root on Debian; they leave their pictures
and a sheet of all of them in build/window. Arguments after -- go to pytest.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))  # python -P leaves it out

import environment
from testing.reliability import write_page
from testing.report import NOT_RUN, Row, print_summary
from testing.runs import DEADLINE_S, Console, Run, check_runs, pytest_run
from testing.windows import SUITES, install_tools, keep_pictures, write_sheet

WITH_BLENDER = ("tests/core", "tests/service", "tests/blender", "tests/package")
WITHOUT_BLENDER = ("tests/core",)
ABOUT_THE_SOURCES = ("tests/meta",)
OF_THE_JUDGE = ("tests/judge",)
IN_TROUBLE = ("tests/reliability",)
KILLS = ("tests/reliability/test_crashes.py", "tests/reliability/test_three_processes.py")
LONG_S = 3 * 60 * 60
IN_A_WINDOW = ("tests/window",)
AT_A_TIME = min(2, os.cpu_count() or 1)


def plan(everything: bool, blender: str | None, pytest_arguments: list[str]) -> list[Run]:
    """The runs in the order of their start; the long ones first where several go side by side."""
    here = environment.python_at_hand()
    checks = [
        *check_runs(environment.checks(here)),
        pytest_run("the sources", environment.plain(here), ABOUT_THE_SOURCES, pytest_arguments),
        pytest_run("the judge", environment.judge(here, tests=True), OF_THE_JUDGE, pytest_arguments),
    ]
    versions = list(environment.PYTHON_OF_BLENDER) if everything else [blender or environment.BLENDER_OF_PYTHON[here]]
    blenders = [
        pytest_run(f"Blender {version}", environment.blender(version, tests=True), WITH_BLENDER, pytest_arguments)
        for version in versions
    ]
    if not everything:
        return [*checks, *blenders, reliability_run("short", blender, pytest_arguments)]
    plain = [
        pytest_run(f"core on Python {version}", environment.plain(version), WITHOUT_BLENDER, pytest_arguments)
        for version in environment.BLENDER_OF_PYTHON
    ]
    return [reliability_run("all", blender, pytest_arguments), *blenders, *checks, *plain]


def reliability_run(length: str, blender: str | None, pytest_arguments: list[str]) -> Run:
    """Faults, crashes, hostile input and load, on one Blender."""
    return _in_trouble("in trouble", length, blender, pytest_arguments)


def long_plan(pytest_arguments: list[str]) -> list[Run]:
    """The same at full length; kills and everything else go side by side."""
    without_kills = [f"--ignore={path}" for path in KILLS]
    if any(Path(environment.ROOT, text.partition("::")[0]).exists() for text in pytest_arguments):
        return [_in_trouble("in trouble", "long", None, pytest_arguments)]
    return [
        _in_trouble("in trouble, kills", "long", None, [*KILLS, *pytest_arguments]),
        _in_trouble("in trouble, the rest", "long", None, [*without_kills, *pytest_arguments]),
    ]


def _in_trouble(name: str, length: str, blender: str | None, arguments: list[str]) -> Run:
    version = blender or environment.BLENDER_OF_PYTHON[environment.python_at_hand()]
    where = environment.reliability(version)
    deadline_s = LONG_S if length == "long" else DEADLINE_S
    arguments = ["--length", length, *arguments]
    return pytest_run(f"{name}, Blender {version}", where, IN_TROUBLE, arguments, deadline_s=deadline_s)


def window_plan(suite: str | None, pytest_arguments: list[str]) -> list[Run]:
    """One run for each Blender with a window."""
    here = environment.blender(environment.BLENDER_OF_PYTHON[environment.python_at_hand()], tests=True)
    return [
        pytest_run(f"window, Blender {version}", here, IN_A_WINDOW, ["--suite", name, *pytest_arguments])
        for name, version in SUITES.items()
        if suite in (None, name)
    ]


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
    which.add_argument("--long", action="store_true", help="faults, crashes, hostile input and load at full length")
    which.add_argument("--window", action="store_true", help="real Blenders with a window")
    parser.add_argument("--suite", choices=list(SUITES), help="with --window: only the Blender of this Debian")
    parser.add_argument("--keep-pictures", action="store_true", help="with --window: renew the pictures in docs")
    parser.add_argument("pytest", nargs="*", metavar="-- ARGUMENTS", help="for pytest, for example: -- -k journal")
    return parser.parse_args(arguments)


def in_windows(options: argparse.Namespace) -> int:
    """Run the tests in windows, and leave their pictures; those in docs are renewed on request, and by a full run."""
    install_tools()
    failed = print_summary(one_by_one(window_plan(options.suite, options.pytest)))
    write_sheet()
    if options.keep_pictures:
        keep_pictures()
    return failed


def main() -> int:
    options = parse(sys.argv[1:])
    if options.window:
        return in_windows(options)
    if options.long:
        failed = print_summary(side_by_side(long_plan(options.pytest)))
        write_page()
        return failed
    runs = plan(options.all, options.blender, options.pytest)
    return print_summary(side_by_side(runs) if options.all else one_by_one(runs))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except environment.SetupError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
