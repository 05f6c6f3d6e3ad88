"""The fuzzer, in a process of its own: atheris changes what it watches when it is imported, and ends the process.

    python -m tests.reliability.fuzz_program TARGET FOLDER [--inputs N] [--seconds S] [--seed N]

It ends with 0 where no input did harm. Else it prints the exception, and FOLDER holds the input.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from pathlib import Path

SECONDS_FOR_ONE_INPUT = 5
MEGABYTES = 1024


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="fuzz_program", description=__doc__)
    parser.add_argument("target")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=0, help="end after so many, too; 0: never")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    options.folder.mkdir(parents=True, exist_ok=True)
    tempfile.tempdir = str(options.folder)  # no code of ours runs once libFuzzer ends the process
    import atheris

    with atheris.instrument_imports(include=["csm_refine_addon", "tests.reliability.fuzz_planted"]):
        from csm_refine_addon.core.errors import CsmError
        from tests.reliability import fuzz_targets

    target = fuzz_targets.ALL[options.target]

    def once(data: bytes) -> None:
        try:
            target.run(data)
        except CsmError as error:
            assert error.message.endswith("."), error.message  # noqa: PT017 -- this is no test but what is fuzzed

    atheris.Setup([sys.argv[0], *_settings(options, target)], once)
    atheris.Fuzz()


def _settings(options, target) -> list[str]:
    """The options of libFuzzer (https://llvm.org/docs/LibFuzzer.html#options), which takes its inputs from a folder."""
    corpus = options.folder / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed_{number}").write_bytes(seed)
    words = options.folder / "words"
    words.write_text("".join(_quoted(word) for word in target.words if word))
    limits = {
        "runs": options.inputs,
        "seed": options.seed,
        "max_len": target.most_bytes,
        "timeout": SECONDS_FOR_ONE_INPUT,
        "rss_limit_mb": MEGABYTES + begun_with_mb(),
        "dict": words,
        "artifact_prefix": f"{options.folder}/harmful_",
        "max_total_time": options.seconds,
        "verbosity": 0,
        "print_final_stats": 1,
    }
    return [str(corpus), *(f"-{name}={value}" for name, value in limits.items())]


def begun_with_mb() -> int:
    """Return the peak that Linux hands on from the process that started this one, and that libFuzzer counts in."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def _quoted(word: bytes) -> str:
    return '"' + "".join(f"\\x{code:02x}" for code in word) + '"\n'


if __name__ == "__main__":
    main(sys.argv[1:])
