"""Strangers' bytes end in a value or in a sentence: nothing else is raised, nothing hangs, memory stays small.

By hand, for longer: python3 scripts/fuzz.py TARGET --inputs 1000000
"""

from __future__ import annotations

import contextlib
import copy
import gc
import importlib.util
import json
import re
import subprocess
import sys
import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from csm_refine_addon.core.errors import CsmError
from tests.reliability import fuzz_targets
from tests.reliability.fuzz_targets import DOCUMENT, SESSION, TARGETS, glb
from tests.support.repository import ROOT

MOST_SECONDS = 2.0
MOST_BYTES = 64 << 20
needs_atheris = pytest.mark.skipif(not importlib.util.find_spec("atheris"), reason="atheris is not installed here")
seen: list[dict[str, object]] = []


@pytest.fixture(scope="module", autouse=True)
def _noted(note):
    yield
    if seen:
        note("fuzzing", seen)


def fuzz(target: str, folder, *, inputs: int, seconds: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the fuzzer in a process of its own."""
    command = [sys.executable, "-m", "tests.reliability.fuzz_program", target, str(folder)]
    limits = ["--inputs", str(inputs), "--seconds", str(seconds)]
    return subprocess.run([*command, *limits], cwd=ROOT, capture_output=True, text=True, timeout=1200, check=False)


@pytest.mark.parametrize("target", TARGETS)
def test_what_the_fuzzer_begins_with_is_sound(target):
    """The first input of each target passes: what is made of it gets to the last line."""
    TARGETS[target].run(TARGETS[target].seeds[0])


@needs_atheris
@pytest.mark.parametrize("target", TARGETS)
def test_nothing_but_a_sentence_comes_out(target, tmp_path, length):
    """The fuzzer, guided by coverage, finds no input that raises anything else, takes 5 s, or a gigabyte."""
    started = time.perf_counter()
    inputs = length.choose(short=2_000, long=2_000_000) // len(TARGETS)
    ended = fuzz(target, tmp_path, inputs=inputs, seconds=length.choose(short=0, long=100))
    found = [path.read_bytes() for path in tmp_path.glob("harmful_*")]
    assert (ended.returncode, found) == (0, []), ended.stdout[-3000:] + ended.stderr[-3000:]
    said = dict(re.findall(r"stat::(\w+):\s+(\d+)", ended.stderr))
    row = {"what": target, "inputs": int(said["number_of_executed_units"]), "harmful": 0}
    seen.append({**row, "peak MB": None, "seconds": time.perf_counter() - started})  # libFuzzer's is its starter's, too


@needs_atheris
def test_a_planted_fault_is_found(tmp_path):
    """The fuzzer is worth its time: a wrong exception behind a word that no seed holds is found, and its input kept."""
    ended = fuzz(fuzz_targets.PLANTED, tmp_path, inputs=300_000)
    assert ended.returncode != 0
    assert "KeyError" in ended.stdout + ended.stderr
    (found,) = tmp_path.glob("harmful_*")
    assert found.read_bytes().startswith(b"plant!")


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 5),
    st.sampled_from([2**31, 2**32 - 1, 2**63, 10**30, -(2**63), 1e300, 0.5, 5121, 5123, 5125, 5126, 34963]),
    st.sampled_from(
        ["", "SCALAR", "VEC3", "data:", "data:;base64,AAAA", "../x", "file:///etc/passwd", "\ud800", "é" * 99]
    ),
    st.just([]),
    st.just({}),
    st.lists(st.integers(-1, 3), max_size=3),
    st.just(float("nan")),
    st.just([[[[[]]]]]),
)


def places(document, path=()):
    """Every place in a document, as the keys that lead there."""
    inside = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [place for key, each in inside for place in ((*path, key), *places(each, (*path, key)))]


def changed(document, changes):
    """A copy with other values at some places; a place that is gone by then is left out."""
    document = copy.deepcopy(document)
    for path, value in changes:
        inside = document
        try:
            for key in path[:-1]:
                inside = inside[key]
            inside[path[-1]] = copy.deepcopy(value)
        except (TypeError, LookupError):
            continue
    return document


def changes_of(document):
    return st.lists(st.tuples(st.sampled_from(places(document)), JUNK), min_size=1, max_size=4)


@pytest.fixture
def many(length):
    return length.choose(short=200, long=50_000)


def run_examples(many, strategy, run):
    """Let hypothesis choose ``many`` inputs."""
    check = given(strategy)(run)
    settings(max_examples=many, suppress_health_check=list(HealthCheck))(check)()


def test_any_description_of_a_mesh(many):
    """Whatever stands at any place of a sound description, the check passes or says a sentence."""
    run_examples(
        many, changes_of(DOCUMENT), lambda changes: quietly("GLB", glb(json.dumps(changed(DOCUMENT, changes)).encode()))
    )


def test_any_answer(many):
    """Whatever stands at any place of a session's JSON."""
    run_examples(
        many, changes_of(SESSION), lambda changes: quietly("answers", json.dumps(changed(SESSION, changes)).encode())
    )


NAMES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
    st.lists(
        st.sampled_from(["a", "..", ".", "C:", "con", "NUL.obj", "a.obj", "A.OBJ", "~", "\\", "b.mtl", ""]), min_size=1
    ).map("/".join),
)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_any_names_in_a_zip(many):
    """Whatever a zip's members are called: what is unpacked lies inside the folder."""
    files = st.lists(
        st.tuples(NAMES.filter(bool), st.sampled_from([fuzz_targets.OBJ, fuzz_targets.MTL, b""])), max_size=4
    )
    run_examples(many, files, lambda chosen: quietly("zip", fuzz_targets.zipped(chosen)))


def quietly(target: str, data: bytes) -> None:
    with contextlib.suppress(CsmError):
        TARGETS[target].run(data)


LARGE = {
    "a message of 8 MB": ("answers", lambda: json.dumps({"message": "a.-" * 2_700_000}).encode()),
    "a status of 8 MB": ("answers", lambda: json.dumps({"data": {"status": "x@" * 4_000_000}}).encode()),
    "lists in lists": ("answers", lambda: b"[" * 8_000_000),
    "20,000 sessions": ("answers", lambda: json.dumps({"data": [{"status": "x"}] * 20_000}).encode()),
    "a number of 8 MB": ("answers", lambda: b'{"statusCode": ' + b"9" * 8_000_000 + b"}"),
    "a paste of 1 MB": ("typed", lambda: b"session_" * 125_000),
    "a paste of codes": ("typed", lambda: b"SESSION_1_2 " * 80_000),
    "a glTF of 300,000 lists": ("glTF", lambda: b"[" + b"[]," * 300_000 + b"[]]"),
    "an OBJ in one line": ("OBJ", lambda: b"v " + b"0 " * 6_000_000),
    "an OBJ of short lines": ("OBJ", lambda: b"v 0 0 0\n" * 1_000_000 + b"f 1 1 1\n"),
    "an MTL of names": ("MTL", lambda: b"map_Kd " + b"a/" * 1_000_000),
    "an FBX of strings": ("FBX", lambda: fuzz_targets.fbx(60)),
    "a .blend of empty blocks": ("blend", lambda: b"BLENDER-v405" + (b"DATA" + bytes(20)) * 100_000),
}


@pytest.mark.parametrize(("target", "made"), LARGE.values(), ids=LARGE)
def test_large_inputs_take_little(target, made, request):
    """The worst of its size that we know of: two seconds and some ten times its bytes at most."""
    data = made()
    gc.collect()
    gc.freeze()  # what the test run itself holds is no part of it: it is gone through again and again otherwise
    started = time.process_time()
    quietly(target, data)
    seconds = time.process_time() - started
    gc.unfreeze()
    tracemalloc.start()
    try:
        quietly(target, data)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seconds < MOST_SECONDS
    assert most < MOST_BYTES + 12 * len(data)
    name = request.node.callspec.id
    seen.append({"what": name, "inputs": 1, "harmful": 0, "peak MB": most / 2**20, "seconds": seconds})
