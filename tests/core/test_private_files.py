"""The data folder is the user's alone: modes of what is made in it, and which folders are refused."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import sys
from pathlib import Path

import pytest

from csm_refine_addon.core import private_files
from csm_refine_addon.core.data_dir import DataDir
from csm_refine_addon.core.errors import StorageError
from csm_refine_addon.core.jobs.job_store import JobStore
from csm_refine_addon.core.models import JobState
from tests.core.harness import copying_blender
from tests.core.terminal import ended
from tests.support.api_server import CODE, TRIANGLE_OBJ, session_2024
from tests.support.modes import not_private

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows has no modes")
STRANGER = 12345
UMASKS = (0o000, 0o022, 0o077, 0o777)
needs_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")


@contextlib.contextmanager
def umask(mask: int):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mask", UMASKS, ids=oct)
def test_what_is_made_is_private(tmp_path, mask):
    """Folders that are missing are made with 0700, files with 0600, under any umask; existing folders stay."""
    (tmp_path / "there").mkdir(mode=0o755)
    home = DataDir(tmp_path / "there" / "a" / "home")
    with umask(mask):
        with JobStore(home.journal):
            pass
        home.job_folder("1")
        private_files.write_text(home.folder / "text", "x")
        private_files.write_bytes(home.folder / "bytes", b"x")
    assert not_private(tmp_path / "there" / "a") == []
    assert mode(tmp_path / "there") == 0o755


@pytest.mark.parametrize("mask", UMASKS, ids=oct)
def test_the_database_in_a_transaction(tmp_path, mask):
    """SQLite's own files beside the database are as private as the database."""
    with umask(mask), JobStore(tmp_path / "home" / "journal.sqlite") as journal, journal._transaction():
        journal._next_revision()
        assert (tmp_path / "home" / "journal.sqlite-journal").exists()
        assert not_private(tmp_path / "home") == []


def test_a_damaged_database(tmp_path):
    """The copy that is kept aside, the new database and the lock are private too."""
    home = DataDir(tmp_path / "home")
    with umask(0):
        with JobStore(home.journal):
            pass
        home.journal.write_bytes(b"no database" * 1000)
        with JobStore(home.journal):
            pass
    assert len(list(home.folder.glob("journal.corrupt-*"))) == 1
    assert not_private(home.folder) == []


@pytest.mark.parametrize("before", [0o755, 0o750, 0o711, 0o704], ids=oct)
def test_a_folder_that_others_can_read(tmp_path, caplog, before):
    """It is closed to them, and the log says so."""
    tmp_path.chmod(before)
    with caplog.at_level(logging.INFO):
        DataDir(tmp_path).open()
    assert mode(tmp_path) == 0o700
    assert str(tmp_path) in caplog.text


@pytest.mark.parametrize("before", [0o777, 0o770, 0o775, 0o702, 0o1777], ids=oct)
def test_a_folder_that_others_can_write_to(tmp_path, before):
    """It is refused with the command that cures it, in each way in, and left as it is."""
    folder = tmp_path / "a home"
    folder.mkdir()
    folder.chmod(before)
    home = DataDir(folder)
    for open_it in (home.ensure, lambda: JobStore(home.journal), lambda: home.job_folder("1")):
        with pytest.raises(StorageError, match="Other users can write") as caught:
            open_it()
        assert f"chmod -R go-rwx '{folder}'" in caught.value.action
    assert mode(folder) == before
    assert list(folder.iterdir()) == []


@needs_root
@pytest.mark.parametrize("before", [0o700, 0o755], ids=oct)
def test_a_folder_of_another_user(tmp_path, before):
    """It is refused, for root too, whose files there would lock its owner out."""
    tmp_path.chmod(before)
    os.chown(tmp_path, STRANGER, -1)
    with pytest.raises(StorageError, match="belongs to another user") as caught:
        DataDir(tmp_path).ensure()
    assert "CSM_REFINE_HOME" in caught.value.action
    assert mode(tmp_path) == before


def test_a_link_of_the_user(tmp_path):
    """A symbolic link counts as the folder that it leads to."""
    target, link = tmp_path / "target", tmp_path / "link"
    target.mkdir(mode=0o755)
    link.symlink_to(target)
    DataDir(link).ensure()
    assert mode(target) == 0o700
    target.chmod(0o777)
    with pytest.raises(StorageError, match="Other users can write"):
        DataDir(link).ensure()
    target.rmdir()
    with pytest.raises(StorageError, match="cannot be written"):
        DataDir(link).ensure()


@needs_root
def test_a_link_of_another_user(tmp_path):
    """It is refused, though it leads to a private folder of this user's."""
    target, link = tmp_path / "target", tmp_path / "link"
    target.mkdir(mode=0o700)
    link.symlink_to(target)
    os.chown(link, STRANGER, -1, follow_symlinks=False)
    with pytest.raises(StorageError, match="belongs to another user"):
        DataDir(link).ensure()


@pytest.mark.parametrize("arguments", [("jobs",), ("submit", CODE), ("status",), ("create", "mesh.glb")])
def test_the_command_line_refuses(terminal, api, arguments):
    """The exit code is that of StorageError, the JSON has the sentence and the cure, and nothing is sent."""
    terminal.home.folder.mkdir()
    terminal.home.folder.chmod(0o777)
    (terminal.folder / "mesh.glb").write_bytes(b"glTF")
    done = terminal.run(*arguments, "--json")
    assert done.code == StorageError.exit_code
    assert "Other users can write" in done.document["error"]["message"]
    assert "chmod" in done.document["error"]["action"]
    assert api.refines == []


def test_the_service_refuses(terminal):
    """A data folder that others can write to is not served."""
    data = terminal.folder / "data"
    data.mkdir()
    data.chmod(0o777)
    done = terminal.run("serve", "--port", "0", "--data", str(data), "--blender", sys.executable)
    assert (done.code, done.out) == (StorageError.exit_code, "")
    assert "Other users can write" in done.err


@pytest.mark.parametrize("mask", ["0", "022"])
def test_a_whole_run_by_the_command_line(terminal, api, mask):
    """After a submit, download and preparation by the command line everything in the data folder is private."""
    api.storage.put("mesh.obj", TRIANGLE_OBJ)
    api.before, api.after = [session_2024("preview_done")], [session_2024("refine_done", "mesh.obj")]
    program = str(copying_blender(terminal.folder))
    with_mask = ("/bin/sh", "-c", f'umask {mask}; exec "$@"', "sh")
    for command in (("submit", CODE), ("wait",)):
        done = ended(terminal.start(*command, before=with_mask, CSM_REFINE_BLENDER=program))
        assert done.code == 0, done.err
    job = terminal.job()
    assert (job.state, Path(job.mesh_path).is_file()) == (JobState.READY, True)
    assert not_private(terminal.home.folder) == []
