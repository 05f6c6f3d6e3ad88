"""The command line: one program for Blender's ``--python`` and ``--command``, a Python with ``bpy``, and one without.

stdout carries results only: a line of text, or with ``--json`` exactly one JSON object as the last line, in failures
too. Progress and warnings go to stderr. The exit codes are those of the error tree. SIGINT, SIGTERM and SIGHUP end a
command with 130 and leave its job in the job store.
"""

if __name__ == "__main__":
    from .core import import_paths  # before all others

    import_paths.leave_current_folder_out()

import argparse
import itertools
import json
import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any, NoReturn

from .commands import commands, interrupts, outcome
from .commands.commands import BOX_NAMES, PIVOT_NAMES
from .commands.progress_bar import tell
from .core.errors import CsmError, InputError, StorageError
from .core.jobs.job_factory import FOLLOW_S
from .core.processes.local_settings import LEVELS, SYMMETRIES, TOPOLOGIES
from .core.stdio import write

_log = logging.getLogger("csm_refine.cli")
_VECTORS = {"--bbox": BOX_NAMES, "--pivot": PIVOT_NAMES}
"""Options that take one of these names, or three numbers; later arguments are parsed separately."""
_CHARGES = "it may be charged again"
_NEGATIVE_NUMBER = re.compile(r"-(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$", re.IGNORECASE | re.ASCII)


class _Unexpected(CsmError):
    code = "internal"


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are InputErrors, so that they are reported like every other error."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)
        self._negative_number_matcher = _NEGATIVE_NUMBER  # before Python 3.14 -1e-05 is taken for an option

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message[:1].upper()}{message[1:]}.", f"See {self.prog} --help.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; never raise (the SystemExit of ``--help`` becomes 0)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    with interrupts.handled():
        return commands.serve(arguments[1:]) if arguments[:1] == ["serve"] else _told(arguments)


def _told(arguments: list[str]) -> int:
    """Run a command, write its result to stdout and its remarks and error to stderr, and return its exit code."""
    started_at = time.monotonic()
    found = _run(arguments)
    interrupts.ignore()
    text = f"{found.text}\n" if found.text else ""
    if "--json" in arguments:
        document = {**found.document, "seconds": round(time.monotonic() - started_at, 3)}
        own_line = "\n" if "bpy" in sys.modules else ""  # an exporter may have left a line of its own unfinished
        text = f"{own_line}{json.dumps(document, allow_nan=False)}\n"
    unsaid = write(sys.stdout, text)
    for remark in found.remarks:
        tell(remark)
    if found.error:
        tell(outcome.sentence(found))
    if unsaid is None or isinstance(unsaid, BrokenPipeError):  # the reader closed the pipe on purpose
        return found.exit_code
    tell(f"What came of it could not be written to stdout: {unsaid.strerror}. The journal has it; see status.")
    return found.exit_code or StorageError.exit_code


def exit_process(code: int) -> NoReturn:
    """End a process that has used ``bpy`` before Blender can write anything after the result.

    At a usual exit some Blenders crash or hang (4.2 and 4.5, as a module), and a Blender program writes its version to
    stdout. In the background, a usual exit would also delete Blender's temporary folder; this function deletes it.
    """
    for stream in (sys.stdout, sys.stderr):
        write(stream, "")
    folder = sys.modules["bpy"].app.tempdir if "bpy" in sys.modules else ""
    if os.path.basename(os.path.normpath(folder)).startswith("blender_"):  # never its parent folder
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(code)


def _run(arguments: list[str]) -> outcome.Outcome:
    options = argparse.Namespace(at_hand=None, command=None, warnings=())
    try:
        _parser().parse_args(_joined(arguments), options)
        found: outcome.Outcome = options.command(options)
    except SystemExit:
        return outcome.Outcome()
    except CsmError as error:
        failure = error
    except KeyboardInterrupt:
        failure = outcome.interrupted()
    except Exception as error:  # noqa: BLE001 -- the top of the program
        failure = _unexpected(error)
    else:
        return outcome.warned(found, options.warnings)
    failed = outcome.failure(failure, options.at_hand, is_about_several=commands.is_about_several(options))
    return outcome.warned(failed, options.warnings)


def _unexpected(error: Exception) -> CsmError:
    """Return the CsmError that reports an unexpected exception; log its traceback."""
    if isinstance(error, ModuleNotFoundError) and error.name == "requests":  # every Blender has it
        return InputError("This Python has no module requests.", "Install it: python -m pip install requests")
    _log.exception("unexpected")
    return _Unexpected("Something failed that should not.", "Report it, please.")


def _joined(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with each box and pivot joined to one; argparse would also take the arguments after them."""
    found: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        names = _VECTORS.get(word, ())
        limit = 0 if not names else 1 if rest[:1] and rest[0] in names else 3
        values = list(itertools.takewhile(_is_value, rest[:limit]))
        del rest[: len(values)]
        found.append(f"{word}={' '.join(values)}" if values else word)
    return found


def _is_value(word: str) -> bool:
    return not word.startswith("-") or bool(_NEGATIVE_NUMBER.match(word))


def _words(text: str) -> list[str]:
    return text.split(" ")


def _parser() -> argparse.ArgumentParser:
    common = _common_options()
    service = _service_options()
    parser = _Parser(prog="csm_refine", description="Refine a 3D session and place the result in Blender.")
    subparsers = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    def add(name: str, command: Any, text: str, *parents: _Parser) -> argparse.ArgumentParser:
        found = subparsers.add_parser(name, help=text, description=text, parents=[common, *parents])
        found.set_defaults(command=command)
        return found

    request, local = _request_options(), _local_options()
    refine = add("refine", commands.refine, "submit, wait, place, and save or export", service, request, local)
    refine.add_argument("code", metavar="CODE", help="a session code, or anything that contains one")
    _add_output(refine)
    refine.add_argument("--again", action="store_true", help=f"send although the session has a job: {_CHARGES}")
    _add_take_over(refine)
    submit = add("submit", commands.submit, "submit and return", service, request, local)
    submit.add_argument("code", metavar="CODE", nargs="?", help="a session code, or anything that contains one")
    submit.add_argument(
        "--again",
        metavar="JOB",
        nargs="?",
        const=True,
        help=f"send this ended or unclear job again, or with CODE another refine: {_CHARGES}",
    )
    status = add("status", commands.status, "one look at the service", service)
    status.add_argument("target", metavar="JOB|CODE", nargs="?", help="default: the newest job")
    status.add_argument("--timeout", type=float, metavar="S", help="how long to wait for the answer")
    _add_take_over(submit)
    wait = add("wait", commands.wait, "follow jobs to their end", service)
    wait.add_argument("jobs", metavar="JOB", nargs="*", help="default: all unfinished ones")
    wait.add_argument("--timeout", type=float, metavar="S", help="how long to follow, from now")
    _add_take_over(wait)
    fetch = add("fetch", commands.fetch, "download and prepare without placing", service)
    fetch.add_argument("job", metavar="JOB")
    _add_take_over(fetch)
    place = add("place", commands.place, "place a ready job in the open file", service)
    place.add_argument("job", metavar="JOB")
    place.add_argument("--blend", metavar="FILE", help="open this file first")
    _add_output(place)
    add("stop", commands.stop, "cancel a job of the local service; track another one no longer").add_argument(
        "job", metavar="JOB"
    )
    add("jobs", commands.jobs, "list the journal")
    clean = add("clean", commands.clean, "delete files that no job needs")
    clean.add_argument("--dry-run", action="store_true", help="only say what would be deleted")
    create = add("create", commands.create, "make a session on the local service out of a mesh", service)
    create.add_argument("mesh", metavar="MESHFILE", nargs="?", help="GLB, OBJ, FBX, or a zip of OBJ, MTL and textures")
    create.add_argument("--object", metavar="NAME", help="an object of the open file instead")
    create.add_argument("--blend", metavar="FILE", help="open this file first")
    subparsers.add_parser("serve", help="run the local refine service (see serve --help)")
    return parser


def _common_options() -> _Parser:
    common = _Parser(add_help=False)
    common.add_argument("--json", action="store_true", help="one JSON object as the last line of stdout")
    return common


def _service_options() -> _Parser:
    service = _Parser(add_help=False)
    service.add_argument("--service", metavar="csm|local|URL", help="default: $CSM_SERVICE, else the preference")
    service.add_argument("--allow-http", action="store_true", help="allow plain http to another machine")
    return service


def _request_options() -> _Parser:
    request = _Parser(add_help=False)
    request.add_argument("--blend", metavar="FILE", help="open this file first")
    request.add_argument("--object", metavar="NAME", help="the source of box, pivot and place")
    request.add_argument("--bbox", type=_words, metavar="B", help="object, auto, or W H D (API axes)")
    request.add_argument("--pivot", type=_words, metavar="P", help="object, center, bottom, auto, or X Y Z (API axes)")
    request.add_argument("--timeout", type=float, metavar="S", help=f"how long to follow (default: {FOLLOW_S:.0f})")
    return request


def _local_options() -> _Parser:
    parser = _Parser(add_help=False)
    local = parser.add_argument_group("for the local service only")
    local.add_argument("--topology", metavar="|".join(TOPOLOGIES), help="default: keep, which cleans only")
    local.add_argument("--faces", metavar="N|" + "|".join(LEVELS), help="default: medium")
    local.add_argument("--texture-size", type=int, metavar="N", help="pixels of a side, 128 to 4096")
    local.add_argument("--symmetry", metavar="|".join(SYMMETRIES), help="make one half the mirror of the other")
    local.add_argument("--keep-aspect", action="store_true", help="fit into the box without stretching")
    local.add_argument("--keep-parts", action="store_true", help="keep loose specks, which tris and quads drop")
    return parser


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", metavar="FILE", help=".blend (the scene), .glb, .obj, .fbx, .usdz (the result)")


def _add_take_over(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--take-over", action="store_true", help="go on with this key though the job has another one")


if __name__ == "__main__":
    exit_process(main())
