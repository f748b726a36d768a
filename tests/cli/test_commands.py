"""The command line: quick help, readable errors, exit codes, JSON."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

COMMANDS = [
    *("demo", "teach", "train", "evaluate", "predict", "export", "submit", "jobs", "cluster"),
    *("data", "teachers", "doctor", "sync", "ui"),
]


def selkd(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from selkd.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False, timeout=120)


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    probe = (
        "import sys\nsys.argv = ['selkd', '--help']\nfrom selkd.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print([m for m in ('torch', 'ray', 'mlflow', 'pandas', 'numpy') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout
    assert found.strip().endswith("[]")
    for command in COMMANDS:
        assert command in found


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    found = selkd(command, "--help")
    assert found.returncode == 0
    assert len(found.stdout.splitlines()) > 8


def test_a_users_mistake_is_one_error_with_exit_code_2(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("trainnig: {epochs: 3}\n")
    for arguments in (["train", str(path)], ["train", str(tmp_path / "absent.yaml")], ["train", str(path), "oops"]):
        found = selkd(*arguments, cwd=tmp_path)
        assert found.returncode == 2
        assert found.stderr.startswith("error ")
        assert "Traceback" not in found.stderr
        assert found.stdout == ""
    assert "Did you mean 'training'" in selkd("train", str(path), cwd=tmp_path).stderr.replace("\n", " ")


def test_unknown_commands_and_options_exit_with_2(tmp_path: Path) -> None:
    assert selkd("tarin").returncode == 2
    assert selkd("train", "--frsh", "x.yaml").returncode == 2


def test_doctor_answers_in_json(tmp_path: Path) -> None:
    found = selkd("doctor", "--quick", "--json", cwd=tmp_path)
    checks = json.loads(found.stdout)
    assert found.returncode == 0
    assert {check["name"] for check in checks} >= {"installation", "workspace", "disk"}


def test_data_show_answers_in_json(tmp_path: Path) -> None:
    found = json.loads(selkd("data", "show", "digits", "--json", cwd=tmp_path).stdout)
    assert found["shape"] == [1, 8, 8]
    assert sum(sum(counts) for counts in found["rows"].values()) == 1797


def test_what_is_not_a_student_is_named_with_the_nearest(tmp_path: Path) -> None:
    found = selkd("export", "nothing", "out.pt2", cwd=tmp_path)
    assert found.returncode == 2
    assert "'nothing' is neither a run" in found.stderr
