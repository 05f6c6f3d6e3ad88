"""The data directory: its location and the layout of its files."""

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
        """The SQLite database of the job store."""
        return self.folder / "journal.sqlite"

    @property
    def service(self) -> Path:
        """The local service's own folder: its key, its address, its sessions."""
        return self.folder / "service"

    @property
    def worker_log(self) -> Path:
        """The log of the worker process."""
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
        """Return the path of the .blend with the source objects for a job's new session.

        It is kept for retries, also after the job failed, was cancelled or stopped, until the session exists or the
        job is removed. The mesh file exported from it is deleted when its upload has succeeded or failed.
        """
        return self.jobs / job_id / "source.blend"

    def delete_job_folder(self, job_id: str) -> bool:
        """Delete the folder of a removed job; False if some of it could not be deleted."""
        import shutil  # here, so that enabling the extension stays fast

        folder = self.jobs / job_id
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()

    def clear_job_folder(self, job_id: str) -> None:
        """Delete the files of a cancelled job, except its :meth:`source`, which *Retry* may need."""
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
        """Create the folder and check that it is writable. Raises StorageError."""
        import tempfile  # imports shutil and zipfile: here, so that enabling the extension stays fast

        self.open()
        try:
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise self._not_writable(error) from error
        return self

    def open(self) -> None:
        """Create the folder, or check that only the user can access an existing one. Raises StorageError."""
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
    """Return the directory in ``CSM_REFINE_HOME``, else ``default``, else one in the platform's user data folder."""
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
