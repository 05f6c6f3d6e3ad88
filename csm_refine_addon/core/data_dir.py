"""The folder of journal and downloads: where it is, and what stands where in it."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from . import private_files
from .errors import StorageError

HOME_VARIABLE = "CSM_REFINE_HOME"


@dataclass(frozen=True, slots=True)
class DataDir:
    """The folder's layout. Only methods touch the disk; folders that they make are private: :mod:`.private_files`."""

    folder: Path

    @property
    def journal(self) -> Path:
        """The SQLite journal of all jobs."""
        return self.folder / "journal.sqlite"

    @property
    def service(self) -> Path:
        """The local service's own folder: its key, its address, its sessions."""
        return self.folder / "service"

    @property
    def worker_log(self) -> Path:
        """What the worker process says."""
        return self.folder / "worker.log"

    @property
    def thumbnails(self) -> Path:
        """The sessions' pictures."""
        return self.folder / "thumbnails"

    @property
    def jobs(self) -> Path:
        """A folder for each job, by its id."""
        return self.folder / "jobs"

    def job_folder(self, job_id: str) -> Path:
        """Return the folder of a job's mesh, prepared .blend and report; made if missing."""
        return self._made(self.jobs / job_id)

    def source(self, job_id: str) -> Path:
        """Return the copy of the objects that a job's session is to be made of.

        It is kept while that can be tried again, also after the job has failed, was cancelled or stopped: until the
        session exists, or the job is removed. The mesh file made of it goes when its upload has ended in any way.
        """
        return self.jobs / job_id / "source.blend"

    def delete_job_folder(self, job_id: str) -> bool:
        """Delete the folder of a job that there is not, or not any more; False where something of it stays."""
        import shutil  # here: enabling the extension does not wait for it

        folder = self.jobs / job_id
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()

    def clear_job_folder(self, job_id: str) -> None:
        """Delete what a cancelled job has on disk, except for its :meth:`source`, which *Retry* may need."""
        import shutil

        folder, source = self.jobs / job_id, self.source(job_id)
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            elif path != source:
                with contextlib.suppress(OSError):  # in use (Windows): it goes with the job
                    path.unlink()
        with contextlib.suppress(OSError):  # there is none, or the source is in it
            folder.rmdir()

    def service_folder(self) -> Path:
        """Return the local service's own folder; made if missing."""
        return self._made(self.service)

    def ensure(self) -> DataDir:
        """Open the folder and see that it can be written, or raise StorageError."""
        import tempfile  # and with it shutil and zip: nothing that enabling the add-on should wait for

        self.open()
        try:
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise self._not_writable(error) from error
        return self

    def open(self) -> None:
        """Make the folder, or check that an existing one is the user's alone. Raises StorageError."""
        try:
            private_files.open_data_dir(self.folder)
        except OSError as error:
            raise self._not_writable(error) from error

    def _made(self, folder: Path) -> Path:
        self.open()
        try:
            private_files.make_folder(folder)
        except OSError as error:
            raise self._not_writable(error) from error
        return folder

    def _not_writable(self, error: OSError) -> StorageError:
        return StorageError(
            f"The folder {self.folder} cannot be written: {error.strerror or error}.",
            f"Make it writable, or set {HOME_VARIABLE} to another folder.",
        )


def resolve_data_dir(default: Path | None = None) -> DataDir:
    """Return the home that ``CSM_REFINE_HOME`` names, else ``default``, else the platform's user data folder."""
    named = os.environ.get(HOME_VARIABLE)
    if named:
        return DataDir(Path(os.path.expanduser(named)).absolute())  # Path.expanduser raises for an unknown user
    return DataDir(default or _user_data_folder() / "csm_refine")


def _user_data_folder() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
