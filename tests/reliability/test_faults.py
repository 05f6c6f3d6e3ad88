"""Every fault of the service, the network and the machine, at every stage that it can hit.

Each job goes its whole way against a real server behind the proxy of faults, with a clock that moves only when one
waits. Whatever happens: never more refines are taken than the user said yes to, the end is a state with a sentence
and a cure, and a fault that passes is got over without the user, unless the service clearly said no.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from csm_refine_addon.core import limits
from csm_refine_addon.core.models import Job, JobState as S
from tests.reliability import faults_command
from tests.reliability.faults_cases import UNCERTAIN, Case, can_last, machine_cases, network_cases
from tests.reliability.faults_machine import CLOCKS, LockedFolder, SmallDisk, on_a_thread
from tests.reliability.faults_trial import Seen, Trial, assert_key_stayed, lifted_after, once, trial_of
from tests.support import sample_meshes
from tests.support.faults import Plan, Rule, Stage

MESH = sample_meshes.glb(sample_meshes.asymmetric_mesh(3))
LONGEST_S = 3 * 60 * 60.0
"""Waiting, by the job's clock."""
FOLLOWED_S = 300.0
"""How long a job is followed whose fault does not pass."""
LASTING_IN_SHORT = {("500-html", Stage.POLL), ("429-bare", Stage.POST), ("expired", Stage.DOWNLOAD)}
AT_A_TIME = 4
"""Command lines, which mostly wait."""
STANDS_AT = {
    Stage.BASELINE: S.PREPARED,
    Stage.POST: S.PREPARED,
    Stage.POLL: S.RUNNING,
    Stage.DOWNLOAD: S.DOWNLOADING,
    Stage.PREPARE: S.PREPARING,
    Stage.PLACE: S.READY,
}
"""Where the journal has a job that could not be written on at a stage."""


@pytest.fixture(scope="module")
def rows(note):
    found = []
    yield found
    note("faults", found)


def row(case: Case, seen: Seen, posts: int) -> dict:
    return {
        "fault": case.name,
        "stage": str(case.stage),
        "by": "engine, its own clock",
        "result": seen.result,
        "POSTs": posts,
        "exit code": seen.exit_code,
        "seconds": seen.seconds,
        "sentence": seen.sentence,
    }


def assert_kept(trial: Trial, seen: Seen) -> None:
    """What holds whatever went wrong."""
    assert trial.proxy.accepted <= trial.yes
    assert seen.has_sentence_and_cure, seen.sentence
    assert seen.seconds <= LONGEST_S
    assert not any(exchange.path.startswith("/old/") for exchange in trial.proxy.seen)
    assert_key_stayed(trial.proxy)


def assert_cured(trial: Trial, seen: Seen) -> None:
    """Once the fault is over, what the sentence advises leads to the result, and nothing is paid twice."""
    trial.proxy.apply(Plan([], trial.proxy.plan.tls))
    cured = trial.cured(seen)
    assert cured.job.state is S.READY, cured.sentence
    assert Path(cured.job.blend_path).read_bytes() == trial.api.storage.files["mesh.glb"]
    assert trial.proxy.accepted == 1
    assert trial.proxy.accepted <= trial.yes


def id_of(case: Case) -> str:
    return f"{case.name} @ {case.stage}"


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Opens the trial of a case, with what the case needs besides the proxy."""
    with contextlib.ExitStack() as stack:

        def open_trial(case: Case) -> Trial:
            tls = address = ""
            if case.fault == "certificate":
                tls = str(tmp_path / "authority.pem")
                monkeypatch.setenv("REQUESTS_CA_BUNDLE", tls)
            trial = stack.enter_context(
                trial_of(tmp_path / "home", case.new_rules(), tls=tls, address=address, mesh=MESH)
            )
            _prepare(trial, case, monkeypatch)
            return trial

        yield open_trial


def _prepare(trial: Trial, case: Case, monkeypatch) -> None:
    if case.fault == "refused":
        _on_entering(trial, case.stage, case.new_rules())
        lifted_after(trial, "refused", 2)
    elif case.fault == "dns-failure" and case.stage is Stage.DOWNLOAD:
        lifted_after(trial, "dns-failure", 6)
    elif case.fault == "dns-failure":
        trial.unknown_name_at = case.stage
    elif case.fault in ("drip", "no-answer"):
        trial.client.close()
        trial.client = trial.new_client(trial.proxy.url, 0.5)
    elif case.fault == "endless":
        monkeypatch.setenv(limits.VARIABLE, '{"download_bytes": 3000000}')


def _on_entering(trial: Trial, stage: Stage, rules: list[Rule]) -> None:
    """Bring the rules in when the job comes to a stage, for a fault that would be noticed before."""
    trial.proxy.apply(Plan([], trial.proxy.plan.tls))
    once(trial, stage, lambda: trial.proxy.apply(Plan(rules, trial.proxy.plan.tls)))


@pytest.mark.parametrize("case", network_cases(), ids=id_of)
def test_faults_of_service_and_network(case, opened, rows):
    """The fault comes about, nothing is paid twice, and the job ends as the table of cases says."""
    trial = opened(case)
    seen = trial.drive(trial.add())
    rows.append(row(case, seen, trial.proxy.accepted))
    assert trial.proxy.hits[case.fault]
    assert_kept(trial, seen)
    assert seen.result == case.result, seen.sentence
    assert_cured(trial, seen)


def ranges(trial: Trial) -> list[str]:
    """What the storage was asked for, request by request."""
    return [seen.headers.get("range", "") for seen in trial.api.storage.seen]


@pytest.mark.parametrize("tenth", range(10))
def test_a_cut_mesh_is_gone_on_with(tenth, opened):
    """Cut at any place, the download asks only for the rest; of nothing there is no rest."""
    (case,) = [case for case in network_cases() if case.name == f"mesh-cut at {tenth}0 %"]
    trial = opened(case)
    assert trial.drive(trial.add()).result == "READY"
    assert ranges(trial) == ["", f"bytes={len(MESH) * tenth // 10}-" if tenth else ""]


@pytest.mark.parametrize("knows_if_range", [True, False])
@pytest.mark.parametrize("tenth", range(1, 10))
def test_a_mesh_that_changed_is_begun_anew(tenth, knows_if_range, opened):
    """Where the file is another one after the cut, of the same length even, none of the old bytes are in the result."""
    rules = ({"fault": "mesh-cut", "at": tenth / 10, "times": 1}, {"fault": "no-if-range"})
    trial = opened(Case("mesh-cut", Stage.DOWNLOAD, rules[:1] if knows_if_range else rules))
    other = MESH.replace(b'"roughnessFactor":0.8', b'"roughnessFactor":0.7')

    def change() -> None:
        if trial.proxy.hits["mesh-cut"]:
            trial.api.storage.put("mesh.glb", other, '"2"')

    trial.clock.each = change
    seen = trial.drive(trial.add())
    assert seen.result == "READY"
    assert other != MESH
    assert Path(seen.job.blend_path).read_bytes() == other


@pytest.mark.parametrize("stage", [None, Stage.BASELINE, Stage.POST, Stage.POLL])
def test_a_proxy_in_between(stage, tmp_path, monkeypatch, rows):
    """The system's proxy is used; where it refuses for a while the job waits and goes on, but for an answer to the POST
    itself: that may not be the proxy's, and is looked up."""
    rules = [] if stage is None else [Rule("proxy-refuses", stage, times=2)]
    with trial_of(tmp_path / "home", rules, address="http://service.example", mesh=MESH) as trial:
        monkeypatch.setenv("HTTP_PROXY", trial.proxy.url)
        monkeypatch.setenv("http_proxy", trial.proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        seen = trial.drive(trial.add())
        name = "a proxy in between" if stage is None else "a proxy in between, which refuses"
        rows.append(row(Case("proxy", stage or Stage.BASELINE, (), label=name), seen, trial.proxy.accepted))
        assert_kept(trial, seen)
        assert seen.result == ("READY" if stage is not Stage.POST else UNCERTAIN), seen.sentence
        assert {exchange.headers["host"] for exchange in trial.proxy.seen if exchange.stage is not Stage.DOWNLOAD} == {
            "service.example"
        }


@pytest.mark.parametrize("case", machine_cases(), ids=id_of)
def test_faults_of_the_machine(case, rows):
    """A jump of the clock ends no job that the service goes on with; a disk or folder that cannot be written stops
    it before anything is sent, and it goes on once that is over."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "home")
        home.mkdir()
        Path(folder).chmod(0o755)
        if case.fault in CLOCKS:
            _clock_jumps(case, home, rows)
        else:
            on_a_thread(lambda: _disk_refuses(case, home, rows))


def _clock_jumps(case: Case, home: Path, rows: list) -> None:
    with trial_of(home, [], mesh=MESH) as trial:
        once(trial, case.stage, lambda: trial.clock.jump(CLOCKS[case.fault]))
        seen = _to_the_end(trial)
        rows.append(row(case, seen, trial.proxy.accepted))
        assert_kept(trial, seen)
        assert seen.result == "PLACED", seen.sentence
        assert seen.seconds < 120
        assert trial.proxy.accepted == 1


def _disk_refuses(case: Case, home: Path, rows: list) -> None:
    stop, go_on = _disk(case, home)
    with trial_of(home, [], mesh=MESH) as trial:
        once(trial, case.stage, stop)
        seen = _to_the_end(trial)
        posts = trial.proxy.accepted
        go_on()
        rows.append(row(case, seen, posts))
        assert_kept(trial, seen)
        assert (seen.result, seen.exit_code) == (f"{STANDS_AT[case.stage]}: storage", 2)
        assert posts == (case.stage not in (Stage.BASELINE, Stage.POST))
        assert _to_the_end(trial, seen.job).result == "PLACED"
        assert trial.proxy.accepted == 1


def test_a_disk_that_fills_up_as_the_refine_leaves(tmp_path, rows):
    """The answer cannot be written down any more: what was sent is looked for afterwards, and not sent again."""
    case = Case("disk-full", Stage.POST, (), label="disk-full, once the POST has left")

    def run() -> None:
        disk = SmallDisk(tmp_path)
        with trial_of(tmp_path, [], mesh=MESH) as trial:
            trial.on_enter = lambda job: disk.fill() if job.state is S.SUBMITTING else None
            seen = trial.drive(trial.add())
            rows.append(row(case, seen, trial.proxy.accepted))
            assert (seen.result, trial.proxy.accepted) == ("SUBMITTING: storage", 1)
            disk.free()
            trial.on_enter = lambda job: None
            assert trial.drive(seen.job).result == "READY"
            assert trial.proxy.accepted == 1

    on_a_thread(run)


def test_a_disk_without_room_for_the_mesh(tmp_path, rows):
    """The journal can still say it: the job has failed with a cure, and Retry goes on once there is room."""
    case = Case("disk-full", Stage.DOWNLOAD, (), label="disk-full, but for the journal")

    def run() -> None:
        disk = SmallDisk(tmp_path)
        with trial_of(tmp_path, [], mesh=MESH) as trial:
            once(trial, Stage.DOWNLOAD, lambda: disk.fill(leave_bytes=1 << 20))
            seen = trial.drive(trial.add())
            rows.append(row(case, seen, trial.proxy.accepted))
            assert_kept(trial, seen)
            assert (seen.result, seen.exit_code) == ("FAILED: storage", 2)
            disk.free()
            assert_cured(trial, seen)

    on_a_thread(run)


def _disk(case: Case, home: Path) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return what begins the fault, and what ends it."""
    if case.fault == "disk-full":
        disk = SmallDisk(home)
        return disk.fill, disk.free
    folder = LockedFolder(home)
    return folder.lock, folder.unlock


def _to_the_end(trial: Trial, job: Job | None = None) -> Seen:
    """Drive a job, and place its result; as far as it goes."""
    seen = trial.drive(job or trial.add())
    if seen.error is None and seen.job.state is S.READY:
        trial.on_enter(seen.job)
        seen = trial.place(seen.job)
    return seen


def pytest_generate_tests(metafunc):
    """A fault that stays is tried at every stage in the longer runs."""
    if "lasting" in metafunc.fixturenames:
        cases = [case for case in network_cases() if can_last(case)]
        if metafunc.config.getoption("--length") == "short":
            cases = [case for case in cases if (case.fault, case.stage) in LASTING_IN_SHORT]
        metafunc.parametrize("lasting", [case.for_good() for case in cases], ids=id_of)


def test_faults_that_do_not_pass(lasting, opened, rows):
    """A fault that stays ends in a state with a sentence and a cure, in bounded time, and costs nothing twice."""
    trial = opened(lasting)
    seen = trial.drive(trial.add(timeout_s=FOLLOWED_S))
    rows.append(row(lasting, seen, trial.proxy.accepted))
    assert_kept(trial, seen)
    assert seen.seconds <= FOLLOWED_S + 60
    assert seen.sentence or seen.job.state is S.READY
    assert_cured(trial, seen)


@pytest.mark.timeout(3600)
def test_the_command_line(tmp_path, rows, length):
    """`refine` as a process ends with the exit code of its result, and its JSON tells the same."""
    cases = [case for case in network_cases() if faults_command.can_be_commanded(case)]
    chosen = length.choose(short=faults_command.IN_SHORT, long=None)
    cases = [case for case in cases if chosen is None or (case.name, case.stage) in chosen]
    folders = [tmp_path / str(number) for number in range(len(cases))]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        ends = list(pool.map(lambda case, folder: faults_command.run_refine(case, folder, MESH), cases, folders))
    wrong = []
    for case, ended in zip(cases, ends, strict=True):
        rows.append(row_of_command(case, ended))
        wrong += [] if ended.is_as_it_should_be(case) else [(id_of(case), ended)]
    assert wrong == []


def row_of_command(case: Case, ended: faults_command.Ended) -> dict:
    error = ended.document["error"]
    return {
        "fault": case.name,
        "stage": str(case.stage),
        "by": "command line",
        "result": f"{ended.document['state']}: {error['code']}" if error else ended.document["state"],
        "POSTs": ended.posts,
        "exit code": ended.exit_code,
        "seconds": ended.seconds,
        "sentence": f"{error['message']} {error['action']}" if error else "",
    }
