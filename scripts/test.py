"""Run the checks and every test that needs no window; print a table and one line of totals.

Without options: ruff, mypy, and the tests with the Blender for the Python at hand.
--all is what a merge needs: core on each Python without Blender and its network and process tests in each Blender;
the other tests whole on the oldest and the newest Blender, and without the refining on the one between.
--long runs in full what --all thins: every test on every Blender, and faults, crashes, hostile input and load at full
length; it writes build/reliability.md. A run that cannot start is listed as NOT RUN.
--window runs the tests in real Blenders with a window, as root on Debian: all of them on the newest Blender and a
smoke part on the older one (--window --long: all on both). They leave their pictures and a sheet of all of them in
build/window. Arguments after -- go to pytest.
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
from testing.windows import NEWEST_SUITE, SUITES, install_tools, keep_pictures, write_sheet

CORE = ("tests/core",)
CORE_IN_BLENDER = (
    "tests/core/test_addresses.py",
    "tests/core/test_background.py",
    "tests/core/test_client.py",
    "tests/core/test_process_limits.py",
    "tests/core/test_deadlines.py",
    "tests/core/test_downloads.py",
    "tests/core/test_local_service.py",
    "tests/core/test_transport.py",
    "tests/core/test_worker.py",
)
"""What depends on the Python, the requests and the urllib3 that a Blender brings along."""
IN_BLENDER = ("tests/blender", "tests/package")
REFINING = ("tests/service",)
ABOUT_THE_SOURCES = ("tests/meta",)
OF_THE_JUDGE = ("tests/judge",)
IN_TROUBLE = ("tests/reliability",)
KILLS = ("tests/reliability/test_crashes.py", "tests/reliability/test_three_processes.py")
LONG_S = 3 * 60 * 60
IN_A_WINDOW = ("tests/window",)
SMOKE_IN_A_WINDOW = ("tests/window/test_first_steps.py", "tests/window/test_refining.py")
AT_A_TIME = min(2, os.cpu_count() or 1)


def plan(everything: bool, blender: str | None, pytest_arguments: list[str]) -> list[Run]:
    """The runs in the order of their start; the long ones first where several go side by side."""
    here = environment.python_at_hand()
    checks = [
        *check_runs(environment.checks(here)),
        pytest_run("the sources", environment.plain(here), ABOUT_THE_SOURCES, pytest_arguments),
        pytest_run("the judge", environment.judge(here, tests=True), OF_THE_JUDGE, pytest_arguments),
    ]
    reliability = _in_trouble("in trouble", "short", blender, pytest_arguments)
    if not everything:
        version = blender or environment.BLENDER_OF_PYTHON[here]
        return [*checks, blender_run(version, (*CORE, *REFINING, *IN_BLENDER), pytest_arguments), reliability]
    return [reliability, *merge_runs(pytest_arguments), *checks, *core_runs(pytest_arguments)]


def merge_runs(pytest_arguments: list[str]) -> list[Run]:
    """Each Blender of the matrix, thinned to what differs between them."""
    folders = {
        version: (
            *CORE_IN_BLENDER,
            *(REFINING if version in environment.OLDEST_AND_NEWEST_BLENDER else ()),
            *IN_BLENDER,
        )
        for version in environment.PYTHON_OF_BLENDER
    }
    return [blender_run(version, these, pytest_arguments) for version, these in folders.items()]


def blender_run(version: str, folders: tuple[str, ...], arguments: list[str]) -> Run:
    return pytest_run(f"Blender {version}", environment.blender(version, tests=True), folders, arguments)


def core_runs(pytest_arguments: list[str]) -> list[Run]:
    """Core on each Python without Blender."""
    return [
        pytest_run(f"core on Python {version}", environment.plain(version), CORE, pytest_arguments)
        for version in environment.BLENDER_OF_PYTHON
    ]


def long_plan(pytest_arguments: list[str]) -> list[Run]:
    """Everything at full length on every Blender; kills and the other reliability tests go side by side."""
    arguments = ["--length", "long", *pytest_arguments]
    whole = [
        pytest_run(
            f"Blender {version}",
            environment.blender(version, tests=True),
            (*CORE, *REFINING, *IN_BLENDER),
            arguments,
            deadline_s=LONG_S,
        )
        for version in environment.PYTHON_OF_BLENDER
    ]
    if any(Path(environment.ROOT, text.partition("::")[0]).exists() for text in pytest_arguments):
        return [_in_trouble("in trouble", "long", None, pytest_arguments), *whole]
    without_kills = [f"--ignore={path}" for path in KILLS]
    return [
        _in_trouble("in trouble, kills", "long", None, [*KILLS, *pytest_arguments]),
        _in_trouble("in trouble, the rest", "long", None, [*without_kills, *pytest_arguments]),
        *whole,
        *core_runs(pytest_arguments),
    ]


def _in_trouble(name: str, length: str, blender: str | None, arguments: list[str]) -> Run:
    version = blender or environment.BLENDER_OF_PYTHON[environment.python_at_hand()]
    where = environment.reliability(version)
    deadline_s = LONG_S if length == "long" else DEADLINE_S
    arguments = ["--length", length, *arguments]
    return pytest_run(f"{name}, Blender {version}", where, IN_TROUBLE, arguments, deadline_s=deadline_s)


def window_plan(suite: str | None, long: bool, pytest_arguments: list[str]) -> list[Run]:
    """One run for each Blender with a window; a suite that is asked for runs whole."""
    here = environment.blender(environment.BLENDER_OF_PYTHON[environment.python_at_hand()], tests=True)
    whole = {name for name in SUITES if long or name in (suite, NEWEST_SUITE)}
    return [
        pytest_run(
            f"window, Blender {version}",
            here,
            IN_A_WINDOW if name in whole else SMOKE_IN_A_WINDOW,
            ["--suite", name, *pytest_arguments],
        )
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
    which.add_argument("--window", action="store_true", help="real Blenders with a window")
    parser.add_argument("--long", action="store_true", help="in full, whatever --all or --window thins")
    parser.add_argument("--suite", choices=list(SUITES), help="with --window: only the Blender of this Debian")
    parser.add_argument("--keep-pictures", action="store_true", help="with --window: renew the pictures in docs")
    parser.add_argument("pytest", nargs="*", metavar="-- ARGUMENTS", help="for pytest, for example: -- -k journal")
    return parser.parse_args(arguments)


def in_windows(options: argparse.Namespace) -> int:
    """Run the tests in windows, and leave their pictures; those in docs are renewed on request, and by a full run."""
    install_tools()
    failed = print_summary(one_by_one(window_plan(options.suite, options.long, options.pytest)))
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
