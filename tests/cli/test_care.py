"""Looking after things: a server's pages are its own, ports exist, and no password is printed."""

import pytest
from typer.testing import CliRunner

from selkd.cli import care, checks, show
from selkd.cli.app import app

SECRET = "http://someone:secret@127.0.0.1:9"


@pytest.fixture
def starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(care.os, "execv", refuse)


def test_the_pages_of_a_server_are_named_and_nothing_is_started(
    starts_nothing: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", SECRET)
    with show.out.capture() as printed:
        care.ui()
    assert printed.get().startswith("http://127.0.0.1:9 shows")
    assert "secret" not in printed.get()


@pytest.mark.parametrize("port", ["0", "65536", "-1", "x"])
def test_a_port_that_does_not_exist_is_refused(starts_nothing: None, port: str) -> None:
    assert CliRunner().invoke(app, ["ui", "--port", port]).exit_code == 2


def test_doctor_prints_no_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", SECRET)
    found = checks.mlflow()
    assert found.state == "note"
    assert found.found.startswith("http://127.0.0.1:9: no answer")
    assert "secret" not in repr(found)
