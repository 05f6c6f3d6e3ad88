"""How much memory the worker process takes while it downloads a gigabyte; Linux, from /proc."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmark import sampling, service
from benchmark.sampling import Bench, Figure

SIZE_BYTES = 1 << 30
FLAT_BYTES = 8 << 20
"""What it may grow between the first tenth of the download and its end."""
LOOK_EVERY_S = 0.02
LIMIT_S = 300.0


def measure(bench: Bench) -> list[Figure]:
    with service.running("--zeros", str(SIZE_BYTES), "--refine-s", "0") as address:
        found = bench.sample(__file__, address)
    growth = found["largest"] - found["early"]
    how = f"{found['before'] >> 20} MB before the download, {found['early'] >> 20} after a tenth of it, "
    how += f"at most {found['largest'] >> 20} (checks of the file included), {found['end'] >> 20} at the end; "
    how += f"{SIZE_BYTES >> 20} MB in {found['seconds']:.1f} s"
    goal = f"flat: at most {FLAT_BYTES >> 20} MB"
    grown = f"{growth / 1e6:.1f} MB"
    return [Figure("growth of the worker while it downloads 1 GB", grown, how, goal, growth <= FLAT_BYTES)]


def download(address: str) -> dict[str, Any]:
    """Have the worker follow a refine that is done, and look at it until its job has ended."""
    sys.path.insert(0, str(sampling.SCRIPTS.parent))
    from csm_refine_addon.core.data_dir import resolve_data_dir
    from csm_refine_addon.core.jobs import job_factory, worker
    from csm_refine_addon.core.jobs.job_store import JobStore
    from csm_refine_addon.core.models import JobState, RefineRequest, Secret

    home = resolve_data_dir().ensure()
    job = job_factory.new_job(RefineRequest(service.CODE), address, now=time.time(), poll_s=(0.2, 0.2))
    with JobStore(home.journal) as journal:
        journal.add(job)
        process = worker.start(home, sys.executable, "")
        if process.stdin is None:
            raise AssertionError("stdin is a pipe")
        process.stdin.write(worker.control_line(online=True, keys={address: Secret(service.KEY)}, chosen=(address,)))
        process.stdin.flush()
        seen, part = _Seen(process.pid), home.job_folder(job.id) / "mesh.part"
        ends_at = time.monotonic() + LIMIT_S
        while (job := journal.get(job.id)).state not in (JobState.FAILED, JobState.READY):
            seen.look(part.stat().st_size if part.exists() else 0)
            if time.monotonic() > ends_at:
                raise TimeoutError(f"the job is still {job}")
            time.sleep(LOOK_EVERY_S)
        seen.look(0)
        process.stdin.close()
        process.wait()
    if job.error is None or job.bytes_done < SIZE_BYTES:
        raise RuntimeError(f"the download did not end as it should: {job}")
    return dataclasses.asdict(seen.figures())


@dataclasses.dataclass(frozen=True)
class Figures:
    """Resident memory in bytes; how long the download took."""

    before: int
    early: int
    largest: int
    end: int
    seconds: float


class _Seen:
    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/statm")
        self._looks: list[tuple[float, int, int]] = []

    def look(self, bytes_done: int) -> None:
        resident = int(self._status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        self._looks.append((time.monotonic(), bytes_done, resident))

    def figures(self) -> Figures:
        downloading = [(at, done, resident) for at, done, resident in self._looks if done > 0]
        first = self._looks.index(downloading[0])
        early = next(index for index, look in enumerate(self._looks) if look[1] >= SIZE_BYTES // 10)
        resident = [look[2] for look in self._looks]
        seconds = downloading[-1][0] - downloading[0][0]
        return Figures(resident[first], resident[early], max(resident[early:]), resident[-1], seconds)


if __name__ == "__main__":
    sampling.answer(download(sys.argv[1]))
