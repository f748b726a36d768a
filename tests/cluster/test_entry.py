"""Where the job runs: retries, deadline, stop, and secrets that are printed by nobody."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from selkd.cluster import entry
from selkd.cluster.entry import Entry, Order

PACKAGE = Path(__file__).parents[2] / "platform"


def run(script: str, **order: object) -> tuple[tuple[str, int, str], str]:
    """How a Python script ended as a job's command, and what was printed."""
    printed = io.BytesIO()
    ended = Entry(Order([sys.executable, "-c", script], **order), printed, pauses=(0.0,)).run()  # pyright: ignore[reportArgumentType]
    return ended, printed.getvalue().decode()


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
    return subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("code", [0, 1, 2, 77])
def test_the_exit_code_is_the_commands(code: int) -> None:
    (status, found, _), _ = run(f"raise SystemExit({code})")
    assert (status, found) == ("failed" if code else "succeeded", code)


def test_a_killed_command_has_the_code_that_a_shell_gives_it() -> None:
    assert run("import os; os.kill(os.getpid(), 9)")[0][1] == 137


def test_a_command_that_failed_is_begun_again(tmp_path: Path) -> None:
    count = tmp_path / "count"
    script = f"p = open({str(count)!r}, 'a'); p.write('x'); p.flush(); raise SystemExit(p.tell() < 3)"
    (status, code, _), printed = run(script, retries=5)
    assert (status, code, count.read_text()) == ("succeeded", 0, "xxx")
    assert "attempt 2 of 6 ended with exit code 1; trying again" in printed


def test_a_users_mistake_is_not_tried_again(tmp_path: Path) -> None:
    count = tmp_path / "count"
    assert run(f"open({str(count)!r}, 'a').write('x'); raise SystemExit(2)", retries=5)[0][1] == 2
    assert count.read_text() == "x"


def test_retries_end() -> None:
    (status, code, reason), printed = run("raise SystemExit(9)", retries=2)
    assert (status, code, reason) == ("failed", 9, "exit code 9")
    assert printed.count("trying again") == 2


def test_a_deadline_ends_the_command_and_its_retries() -> None:
    (status, code, reason), printed = run("import time; time.sleep(60)", seconds=0.3, retries=9)
    assert (status, code) == ("failed", 124)
    assert "deadline" in reason
    assert "trying again" not in printed


def test_what_does_not_heed_a_deadline_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry, "GRACE", 0.3)
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    began = time.monotonic()
    assert run(script, seconds=1.5)[0][1] == 124
    assert time.monotonic() - began < 30


def test_a_stop_is_not_tried_again() -> None:
    """Whoever stops tells the entry and the command, as Ray does."""
    script = "import os, signal, time; os.kill(os.getppid(), signal.SIGTERM); time.sleep(0.2); raise SystemExit(1)"
    assert threading.current_thread() is threading.main_thread()
    (status, code, _), _ = run(script, retries=5)
    assert (status, code) == ("stopped", 143)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_secrets_reach_the_command_and_no_line_of_its_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "password"
    file.write_text("correct horse\n")
    monkeypatch.setenv("FROM_HERE", "hunter22")
    secrets = {"FIRST": {"env": "FROM_HERE"}, "SECOND": {"file": str(file)}}
    script = (
        "import os, sys; print(len(os.environ['FIRST']), os.environ['FIRST'], 'and', os.environ['SECOND']);"
        "print(os.environ['SECOND'], file=sys.stderr)"
    )
    ended, printed = run(script, secrets=secrets)
    assert ended[0] == "succeeded"
    assert printed.splitlines() == ["8 *** and ***", "***"]


@pytest.mark.parametrize("reference", [{"env": "SELKD_NOT_SET"}, {"file": "/nowhere/at/all"}])
def test_a_secret_that_is_not_there_is_a_users_mistake(reference: dict[str, str]) -> None:
    (status, code, reason), printed = run("print('ran')", secrets={"PASSWORD": reference})
    assert (status, code) == ("failed", 2)
    assert "environment.secrets.PASSWORD" in reason
    assert "ran" not in printed


def test_what_the_command_leaves_behind_does_not_hold_the_job(tmp_path: Path) -> None:
    """A daemon that keeps the output open."""
    pid = tmp_path / "pid"
    script = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'],"
        f" start_new_session=True); open({str(pid)!r}, 'w').write(str(p.pid))"
    )
    try:
        assert run(script)[0][0] == "succeeded"
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)


def test_as_a_process_it_says_how_it_ended(tmp_path: Path) -> None:
    order = Order([sys.executable, "-c", "print('hello'); raise SystemExit(7)"], outcome=str(tmp_path / "outcome.json"))
    found = python("-m", "selkd.cluster.entry", order.text)
    assert (found.returncode, found.stdout) == (7, "hello\n")
    assert json.loads((tmp_path / "outcome.json").read_text())["code"] == 7


def test_the_entry_needs_nothing_but_the_standard_library() -> None:
    """It starts beside every command, and on nodes of all kinds."""
    heavy = ("pydantic", "yaml", "ray", "psutil", "torch")
    probe = f"import sys, selkd.cluster.entry; print([name for name in {heavy} if name in sys.modules])"
    assert python("-c", probe).stdout.strip() == "[]"
