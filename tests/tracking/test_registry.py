"""Students in MLflow's registry, and records fetched from it: whole, once, checked, and nothing executed."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from mlflow import MlflowClient

from selkd.errors import UserError
from selkd.tracking import TrialRecord, deliver, load_student, published, save_student
from selkd.tracking.fetching import fetch_record, fetch_student, find_run, is_address, source_of
from selkd.tracking.published import check_names, delivered, publish


@pytest.fixture
def run_id(finished: TrialRecord, uri: str, tmp_path: Path) -> str:
    """The run of a finished trial that was delivered."""
    deliver(finished.folder, uri, "tests")
    return delivered(finished, tmp_path, uri)


def register(uri: str, run_id: str, name: str = "digits", alias: str = "champion") -> Any:
    return publish(uri, run_id, name, alias, "what it does", {"selkd.mode": "open"})


def versions(uri: str) -> list[tuple[str, str]]:
    return sorted((v.name, str(v.version)) for v in MlflowClient(uri).search_model_versions())


def model_files(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "mlartifacts").rglob("models/*/artifacts/**/*") if path.is_file()]


def test_the_same_run_is_one_version_and_says_what_it_is(run_id, uri):
    assert register(uri, run_id).made
    again = register(uri, run_id)
    assert (again.number, again.made) == ("1", False)
    assert versions(uri) == [("digits", "1")]
    version = MlflowClient(uri).get_model_version_by_alias("digits", "champion")
    assert (version.description, version.run_id) == ("what it does", run_id)
    assert version.tags["selkd.mode"] == "open"


def test_the_alias_moves_to_the_student_promoted_last(run_id, uri, trial, classifier, card, tmp_path):
    register(uri, run_id)
    other = trial("student-2")
    with torch.no_grad():
        next(classifier.parameters()).mul_(2)
    saved = save_student(other.folder / "student", classifier, card)
    other.finish("finished", {}, None)
    deliver(other.folder, uri, "tests")
    second = register(uri, delivered(other, tmp_path, uri))
    assert second.number == "2"
    for address, wanted in (("models:/digits@champion", saved), ("models:/digits/latest", saved)):
        assert load_student(fetch_student(uri, address, tmp_path / address[-4:]))[1] == wanted
    first = load_student(fetch_student(uri, "models:/digits/1", tmp_path / "first"))[1]
    assert first.weights_sha256 != saved.weights_sha256
    register(uri, run_id)
    assert source_of(uri, "models:/digits@champion").run_id == run_id


def test_dying_after_any_call_and_promoting_again_makes_one_version(run_id, uri, monkeypatch, dying):
    connect = published.connect
    deaths = 0
    for last in range(1, 30):
        monkeypatch.setattr(published, "connect", lambda uri, last=last: dying(connect(uri), last))
        try:
            register(uri, run_id, f"digits-{last}")
            break
        except SystemExit:
            deaths += 1
        monkeypatch.setattr(published, "connect", connect)
        register(uri, run_id, f"digits-{last}")
        assert source_of(uri, f"models:/digits-{last}@champion").run_id == run_id
    assert deaths >= 7
    assert versions(uri) == sorted((f"digits-{k}", "1") for k in range(1, deaths + 2))


def test_every_address_gives_the_student_that_was_trained(run_id, uri, finished, tmp_path):
    register(uri, run_id)
    wanted = load_student(finished.folder / "student")[1]
    for k, address in enumerate(("models:/digits@champion", "models:/digits/1", f"runs:/{run_id}/student")):
        assert is_address(address)
        assert load_student(fetch_student(uri, address, tmp_path / str(k)))[1] == wanted


def test_nothing_that_is_registered_is_a_pickle(run_id, uri, tmp_path):
    register(uri, run_id)
    files = model_files(tmp_path)
    assert {path.suffix for path in files} == {"", ".py", ".json", ".safetensors", ".txt", ".yaml"}
    assert not any(path.read_bytes().startswith((b"\x80", b"PK")) for path in files)


def test_code_in_the_registry_is_not_executed(run_id, uri, tmp_path):
    register(uri, run_id)
    [code] = [path for path in model_files(tmp_path) if path.name == "served.py"]
    code.write_text("raise AssertionError('executed')")
    load_student(fetch_student(uri, "models:/digits@champion", tmp_path / "fetched"))


def test_weights_damaged_in_the_registry_are_refused_and_the_alias_stays(run_id, uri, tmp_path):
    register(uri, run_id)
    [weights] = [path for path in model_files(tmp_path) if path.suffix == ".safetensors"]
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(UserError, match=r"models:/digits@champion: .*damaged.*does not match the checksum"):
        fetch_student(uri, "models:/digits@champion", tmp_path / "fetched")
    with pytest.raises(UserError, match="damaged"):
        register(uri, run_id, alias="candidate")
    assert set(MlflowClient(uri).get_registered_model("digits").aliases) == {"champion"}


def test_a_student_deleted_in_mlflow_is_named_and_brought_back_by_who_has_it(run_id, uri, finished, tmp_path):
    client = MlflowClient(uri)
    [model] = client.search_logged_models([client.get_run(run_id).info.experiment_id])
    client.delete_logged_model(model.model_id)
    with pytest.raises(UserError, match="somebody deleted it"):
        fetch_student(uri, f"runs:/{run_id}/student", tmp_path / "fetched")
    with pytest.raises(UserError, match="Promote it again on the machine"):
        register(uri, run_id)
    register(uri, delivered(finished, tmp_path, uri))
    fetch_student(uri, "models:/digits@champion", tmp_path / "fetched")


def test_what_is_not_there_is_named_with_what_is(run_id, uri, tmp_path):
    register(uri, run_id)
    for address, told in (
        ("models:/digit@champion", "no model 'digit'.*Did you mean 'digits'"),
        ("models:/digits@champ", "no alias 'champ'.*Did you mean 'champion'"),
        ("models:/digits/9", "no version 9; the newest is 1"),
        ("models:/digits", "no address"),
        (f"runs:/{'0' * 32}/student", "no student of this run"),
        (f"models:/m-{'0' * 32}", "MLflow at sqlite.* says: "),
    ):
        with pytest.raises(UserError, match=told):
            fetch_student(uri, address, tmp_path / "fetched")


def test_a_model_of_somebody_else_is_no_student(uri, tmp_path):
    client = MlflowClient(uri)
    (tmp_path / "foreign").mkdir()
    client.create_registered_model("foreign")
    client.create_model_version("foreign", (tmp_path / "foreign").as_uri())
    with pytest.raises(UserError, match="models:/foreign/1: "):
        fetch_student(uri, "models:/foreign/1", tmp_path / "fetched")


def test_names_with_quotes_and_markup_are_names(run_id, uri, tmp_path):
    name = """o'x "y" <b>[bold] 🦊"""
    register(uri, run_id, name)
    assert not register(uri, run_id, name).made
    fetch_student(uri, f"models:/{name}@champion", tmp_path / "fetched")


@pytest.mark.parametrize(
    ("name", "alias"), [("a/b", "x"), ("a:b", "x"), (" ", "x"), ("a", "v3"), ("a", "latest"), ("a", "a b"), ("a", "")]
)
def test_names_that_mlflow_refuses_are_refused_before_anything_is_done(name, alias):
    with pytest.raises(UserError, match="--name" if alias == "x" else "--alias"):
        check_names(name, alias)


def test_a_record_comes_back_from_mlflow_as_it_was(finished, uri, tmp_path):
    path = finished.folder / "predictions-test.parquet"
    pd.DataFrame({"row": [1, 2]}).to_parquet(path)
    finished.artifact(path)
    finished.finish("finished", {"test/accuracy": 0.5}, None)
    deliver(finished.folder, uri, "tests")
    found = find_run(uri, "student-1")
    assert found is not None
    assert found == find_run(uri, found.run_id)
    record = fetch_record(uri, found.run_id, tmp_path / "elsewhere")
    assert record.ledger.events() == finished.ledger.events()
    assert (record.folder / path.name).read_bytes() == path.read_bytes()
    assert load_student(record.folder / "student")[1] == load_student(finished.folder / "student")[1]
    [kept] = (tmp_path / "mlartifacts").rglob(path.name)
    kept.write_bytes(b"other")
    with pytest.raises(UserError, match=r"predictions-test\.parquet in MLflow is not the file that its ledger names"):
        fetch_record(uri, found.run_id, tmp_path / "again")


def test_runs_without_a_record_are_refused_with_the_reason(trial, uri, tmp_path):
    deliver(trial().folder, uri, "tests")
    running = find_run(uri, "student-1")
    assert running is not None
    with pytest.raises(UserError, match="has not heard that it ended"):
        fetch_record(uri, running.run_id, tmp_path / "fetched")
    client = MlflowClient(uri)
    foreign = client.create_run("0").info.run_id
    with pytest.raises(UserError, match="not recorded by selkd"):
        find_run(uri, foreign)
    client.set_tag(foreign, "selkd.kind", "study")
    with pytest.raises(UserError, match="a whole study"):
        find_run(uri, foreign)
    assert find_run(uri, "0" * 32) is None
    assert find_run(uri, "it's") is None


def test_no_server_is_a_readable_error(tmp_path):
    with pytest.raises(UserError, match=r"127\.0\.0\.1:1: no answer.*Start it, or set MLFLOW_TRACKING_URI"):
        fetch_student("http://127.0.0.1:1", "models:/digits@champion", tmp_path / "fetched")
