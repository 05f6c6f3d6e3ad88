"""The command that prints the key: how it is run, what its failures say, and who waits for it."""

from __future__ import annotations

import os
import shlex
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from csm_refine_addon.core.errors import KeyMissing
from csm_refine_addon.core.models import Secret
from csm_refine_addon.core.processes.background import Cancelled
from csm_refine_addon.core.providers import credentials
from csm_refine_addon.core.providers.credentials import AGAIN_AFTER_S, KeyCommand, Keyring
from csm_refine_addon.core.secret_files import load_or_create_secret
from tests.support.api_server import KEY, wait_until

HERE = "https://here.example"
ELSEWHERE = "https://elsewhere.example"


def python(code: str, *arguments: str) -> str:
    """Return a command line that runs Python code."""
    return shlex.join([sys.executable, "-I", "-c", code, *arguments])


def asked(command: str, limit_s: float = 20.0) -> Secret:
    return credentials.ask(command, threading.Event().wait, limit_s)


# --- one command


def test_the_first_line_is_the_key():
    """What stands in the first line is the key, whatever follows it, and whatever ends the line."""
    assert asked(python(f"print('{KEY}')")) == Secret(KEY)
    assert asked(python(f"import sys; sys.stdout.write('{KEY}\\r\\nuser: me\\n' + 'x' * 1000000)")) == Secret(KEY)


def test_no_shell_reads_the_command():
    """Words are split as a shell does, but nothing in them is expanded, piped or run."""
    said = python(
        "import sys; print('|'.join(sys.argv[1:]).replace(' ', '_'))", "a b", "$HOME", ";", "echo", "*", "`id`"
    )
    assert asked(said).reveal() == "a_b|$HOME|;|echo|*|`id`"


def test_a_command_does_not_get_the_key(monkeypatch):
    """The environment's key is not passed on, and there is nobody to ask: no terminal, no input."""
    monkeypatch.setenv("CSM_API_KEY", KEY)
    code = "import os, sys; print(os.environ.get('CSM_API_KEY', 'none') + repr(sys.stdin.read()))"
    assert asked(python(code)).reveal() == "none''"


FAILURES = {
    "no program": ("there-is-no-such-program", "cannot be started"),
    "a folder": ("/", "cannot be started"),
    "an open quotation mark": ("pass 'csm", "quotation mark"),
    "exit code": (python(f"print('{KEY}'); raise SystemExit(3)"), r"exit code 3"),
    "nothing": (python("pass"), "first line is empty"),
    "an empty first line": (python(f"print(); print('{KEY}')"), "first line is empty"),
    "a sentence": (python("print('Enter your passphrase:')"), "holds spaces"),
    "no text": (python("import os; os.write(1, bytes(range(256)))"), "characters that no key has"),
    "an endless line": (python(f"import sys; sys.stdout.write('{KEY} ' * 100000)"), "holds spaces"),
}


@pytest.mark.parametrize(("command", "sentence"), FAILURES.values(), ids=FAILURES)
def test_a_failure_is_a_sentence_without_the_command(command, sentence):
    """Each failure says what is wrong and what to do; neither the command nor its output is in it or in its causes."""
    with pytest.raises(KeyMissing, match=sentence) as caught:
        asked(command)
    assert "preferences" in caught.value.action
    told = "".join(traceback.format_exception(caught.value, chain=True)).replace(__file__, "")
    context = caught.value.__context__
    for text in (str(caught.value), repr(context), str(context)):
        assert not [word for word in ("there-is-no", "pass 'csm", KEY, "passphrase") if word in text]
    assert KEY not in told


def test_a_key_in_the_wrong_field_is_not_repeated():
    """A key that was pasted where the command belongs does not get into the sentence about it."""
    with pytest.raises(KeyMissing) as caught:
        asked(KEY)
    assert KEY not in f"{caught.value} {caught.value.__context__} {caught.value.__cause__}"


def test_stderr_is_not_heard(capfd):
    """What a helper says on its stderr, which may be the key, comes into no log of ours."""
    with pytest.raises(KeyMissing):
        asked(python(f"import sys; sys.stderr.write('{KEY}'); sys.exit(1)"))
    assert KEY not in "".join(capfd.readouterr())


@pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX's")
def test_a_command_is_given_up_with_its_children(tmp_path):
    """When the process or the wait ends, the command is gone, and what it started, too."""
    pid = tmp_path / "pid"
    sleep = "import time; time.sleep(600)"
    start = f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', {sleep!r}])"
    command = python(f"{start}; open({str(pid)!r}, 'w').write(f'{{child.pid}}.'); {sleep}")

    def has_started(seconds: float) -> bool:
        threading.Event().wait(seconds)
        return pid.exists() and pid.read_text().endswith(".")

    with pytest.raises(Cancelled):
        credentials.ask(command, has_started)
    wait_until(lambda: _is_gone(int(pid.read_text()[:-1])), 5.0)


def test_a_command_that_is_not_done():
    """After the time limit it is ended, with a sentence."""
    with pytest.raises(KeyMissing, match="not done within 0 s"):
        asked(python("import time; time.sleep(600)"), 0.1)


def _is_gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


# --- of several sources


def test_the_order_of_the_sources(monkeypatch):
    """The environment comes first, then the command, then the preferences; without any there is no key."""
    preferred, printed = Secret("preferred"), python("print('printed')")

    def found(command, key):
        return credentials.this_process(command, lambda: key, threading.Event().wait)(HERE)

    assert found("", None) is None
    assert found("", preferred) == preferred
    assert found(printed, preferred) == Secret("printed")
    monkeypatch.setenv("CSM_API_KEY", KEY)
    assert found(printed, preferred) == Secret(KEY)


def test_a_command_is_run_when_the_key_is_needed_and_once(tmp_path):
    """Nothing runs before the first question, and the second one does not run it again."""
    count = tmp_path / "count"
    key_of = credentials.this_process(counting(count), lambda: None, threading.Event().wait)
    assert not count.exists()
    assert key_of(HERE) == key_of(ELSEWHERE) == Secret("k1")
    assert count.read_text() == "x"


def test_a_command_that_fails_is_run_once_too(tmp_path):
    """A locked password manager asks once for all of a command's jobs, and each of them says why."""
    count = tmp_path / "count"
    key_of = credentials.this_process(counting(count, "exit(1)"), lambda: None, threading.Event().wait)
    for service in (HERE, ELSEWHERE):
        with pytest.raises(KeyMissing, match="key command failed"):
            key_of(service)
    assert count.read_text() == "x"


def counting(count: Path, then: str = "print('k' + str(len(open(name).read())))") -> str:
    """Return a command that notes each run in a file."""
    return python(f"name = {str(count)!r}; file = open(name, 'a'); file.write('x'); file.close(); {then}")


# --- in the worker


class Ring:
    """A keyring with a clock that stands, and a command that counts its runs."""

    def __init__(self, folder: Path, then: str = "print('k' + str(len(open(name).read())))") -> None:
        self.count = folder / "count"
        self.now = 0.0
        self.keyring = Keyring(threading.Event().wait, lambda: self.now)
        self.text = counting(self.count, then)
        self.tell()

    def tell(self, asked: int = 0, given=None, services=(HERE,)) -> None:
        self.keyring.take(given or {}, KeyCommand(self.text, tuple(services), asked))

    def key(self) -> Secret:
        return wait_until(lambda: self.keyring.key(HERE))

    def failure(self) -> str:
        def failed():
            try:
                return self.keyring.key(HERE)
            except KeyMissing as error:
                return str(error)

        return wait_until(failed)

    @property
    def runs(self) -> int:
        return len(self.count.read_text())


def test_nobody_waits_for_a_command(tmp_path):
    """While it runs there is no key; then it is kept, and not asked for again."""
    ring = Ring(tmp_path)
    assert ring.keyring.key(HERE) is None
    assert ring.key() == Secret("k1")
    ring.now += 10 * AGAIN_AFTER_S
    ring.tell(asked=7)
    assert ring.keyring.key(HERE) == Secret("k1")
    assert ring.runs == 1


def test_a_commands_key_goes_where_it_is_meant_to_go(tmp_path):
    """Of an address that is not among the command's, no key is known, and the command is not run for it."""
    ring = Ring(tmp_path)
    assert ring.keyring.awaited(ELSEWHERE) is None
    assert not ring.count.exists()
    ring.tell(given={HERE: Secret("given")})
    assert ring.keyring.awaited(HERE) == Secret("given")


def test_a_refused_key_is_asked_for_anew(tmp_path):
    """A key that the service refuses may have been exchanged: the command is run again, once."""
    ring = Ring(tmp_path)
    ring.keyring.forget(Secret("another"))
    used = ring.key()
    ring.keyring.forget(used)
    assert wait_until(lambda: ring.keyring.key(HERE)) == Secret("k2")


def test_a_failed_command_is_run_again_later_or_when_asked(tmp_path):
    """It is not run over and over, as it may ask the user for something: after a pause, or after a press."""
    ring = Ring(tmp_path, "raise SystemExit(2)")
    assert "exit code 2" in ring.failure()
    assert "exit code 2" in ring.failure()
    assert ring.runs == 1
    ring.tell(asked=1)
    assert "exit code 2" in ring.failure()
    assert ring.runs == 2
    ring.now += AGAIN_AFTER_S
    assert "exit code 2" in ring.failure()
    assert ring.runs == 3


def test_a_check_waits_for_the_command(tmp_path):
    """A process that is there for one question waits for the key, and for the reason why there is none."""
    assert Ring(tmp_path).keyring.awaited(HERE) == Secret("k1")
    with pytest.raises(KeyMissing, match="exit code 2"):
        Ring(tmp_path, "raise SystemExit(2)").keyring.awaited(HERE)


def test_another_command_is_another_key(tmp_path):
    """When the preference changes, the old command's key is used no more."""
    ring = Ring(tmp_path)
    ring.key()
    ring.text = python("print('other')")
    ring.tell()
    assert ring.key() == Secret("other")


def test_secret_files_are_the_owners(tmp_path):
    """A secret of our own is made once, for its owner alone; one that was never written is made again."""
    path = tmp_path / "secret"
    path.write_text("")
    made = load_or_create_secret(path)
    assert load_or_create_secret(path) == made
    assert len(made.reveal()) == 32
    assert os.name != "posix" or path.stat().st_mode & 0o777 == 0o600


def test_a_secret_that_several_make_at_once_is_one(tmp_path):
    """Commands that start together for the first time: each gets the same secret, and none a file half written."""
    together = threading.Barrier(4)

    def secrets(_number: int) -> list[str]:
        found = []
        for number in range(100):
            together.wait(10)
            found.append(load_or_create_secret(tmp_path / str(number)).reveal())
        return found

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(secrets, range(4)))
    assert found == found[:1] * 4
    assert len(list(tmp_path.iterdir())) == 100
