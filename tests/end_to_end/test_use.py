"""A finished student put to use: record, evaluation, prediction, export, and delivery to MLflow."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

import selkd as library
from selkd.config import RunConfig, Workspace
from selkd.errors import UserError
from selkd.models.deploy import load_exported
from selkd.students import deployed
from selkd.tracking import TrialRecord, tracking_uri
from selkd.training.run import Trained, train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trained(taught: Workspace) -> Trained:
    config = RunConfig.model_validate(
        {
            "name": "used",
            "task": {"categories": ["three", "five", "eight", "nine"], "mode": "open"},
            "teacher": "teacher",
            "student": {"model": "cnn", "width": 8},
            "objective": {"name": "selkd", "epsilon": 2.0},
            "training": {"epochs": 8, "batch_size": 32},
            "workers": {"device": "cpu"},
        }
    )
    return train(config, taught)


def test_the_record_holds_what_comparisons_need(trained: Trained, taught: Workspace) -> None:
    record = TrialRecord(trained.folder)
    assert record.test_reads == 1
    assert yaml.safe_load((trained.folder / "config.yaml").read_text())["objective"]["epsilon"] == 2.0
    test = pd.read_parquet(trained.folder / "predictions-test.parquet")
    right = np.mean(test["prediction"].to_numpy() == test["label"].to_numpy())
    assert right == pytest.approx(trained.metrics["test/accuracy"], abs=1e-6)
    assert test["row"].is_unique
    validation = pd.read_parquet(trained.folder / "predictions-validation.parquet")
    assert not set(test["row"]) & set(validation["row"])
    [begin] = [event for event in record.ledger.events() if event["event"] == "begin"]
    assert set(begin["provenance"]) >= {"git", "versions", "hardware", "fingerprints"}
    assert all(begin["provenance"]["fingerprints"][name] for name in ("data", "teacher", "evidence"))
    probe = pd.read_parquet(trained.folder / "probe.parquet")
    assert sum(c.startswith("teacher/") for c in probe) == 10
    assert sum(c.startswith("student/") for c in probe) == 5
    for figure in ("confusion-test", "curves", "open-set-test"):
        with Image.open(trained.folder / "figures" / f"{figure}.png") as image:
            assert image.width > 400
    for name in ("test/balanced", "teacher/test/balanced", "test/always_reject", "cost/parameters",
                 "cost/multiply_adds",
                 "cost/latency_ms", "threshold", "test/balanced_at_threshold"):  # fmt: skip
        assert name in trained.metrics, name


def test_mlflow_has_the_run_and_loads_the_student_without_unpickling(
    trained: Trained, taught: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pickle

    import mlflow
    from mlflow import MlflowClient

    uri = tracking_uri(taught.root)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("selkd")
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id], f"tags.`selkd.trial` = '{trained.key}'")
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test/balanced"] == pytest.approx(trained.metrics["test/balanced"])
    assert run.data.params["objective.epsilon"] == "2.0"
    points = client.get_metric_history(run.info.run_id, "validation/balanced")
    assert [p.step for p in points] == list(range(1, 10))  # eight epochs, then the final value

    def refuse(*_: Any) -> None:
        raise AssertionError("something was unpickled")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    mlflow.set_tracking_uri(uri)
    model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/student")
    images = np.random.default_rng(0).random((5, 1, 8, 8)).astype(np.float32)
    answers = model.predict(images)
    ours, _ = deployed(trained.key, taught)
    answer, probabilities = ours(torch.from_numpy(images))
    names = ["three", "five", "eight", "nine", "not selected"]
    assert list(answers["category"]) == [names[i] for i in answer.tolist()]
    np.testing.assert_allclose(answers["p/three"], probabilities[:, 0].detach().numpy(), atol=1e-6)


def test_evaluating_again_gives_the_recorded_metrics_and_counts_the_reading(
    trained: Trained, taught: Workspace
) -> None:
    before = TrialRecord(trained.folder).test_reads
    found = library.evaluate(trained.key, "test", taught)
    assert (found.key, found.part) == (trained.key, "test")
    assert found.metrics["balanced_at_threshold"] == pytest.approx(
        trained.metrics["test/balanced_at_threshold"], abs=1e-6
    )
    assert TrialRecord(trained.folder).test_reads == before + 1
    assert library.evaluate(trained.key, "validation", taught).metrics["balanced"] == pytest.approx(
        trained.metrics["validation/balanced"], abs=1e-6
    )


def test_prediction_of_image_files_is_the_students(trained: Trained, taught: Workspace, tmp_path: Path) -> None:
    data = library.load("digits", root=taught.data)
    for row in range(20):
        pixels = data.train.pixels(torch.tensor([row]))[0, 0].numpy()
        Image.fromarray(pixels).save(tmp_path / f"{row:03d}.png")
    frame = library.predict(trained.key, [tmp_path], taught)
    model, card = deployed(trained.key, taught)
    answer, probabilities = model(data.train.pixels(torch.arange(20)) / 255)
    names = [*card.categories, "not selected"]
    assert list(frame["category"]) == [names[i] for i in answer.tolist()]
    np.testing.assert_allclose(frame["p/three"], probabilities[:, 0].detach().numpy(), atol=1e-6)


def test_what_is_no_image_is_named(trained: Trained, taught: Workspace, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"not an image")
    with pytest.raises(UserError, match=r"broken\.png"):
        library.predict(trained.key, [tmp_path], taught)
    with pytest.raises(UserError, match="no image files"):
        (tmp_path / "empty").mkdir()
        library.predict(trained.key, [tmp_path / "empty"], taught)


def test_the_exported_program_answers_like_the_student(trained: Trained, taught: Workspace, tmp_path: Path) -> None:
    path = tmp_path / "student.pt2"
    assert library.export(trained.key, path, taught) < 1e-5
    program, card = load_exported(path)
    assert card["categories"] == ["three", "five", "eight", "nine"]
    assert card["threshold"] == trained.metrics["threshold"]
    model, _ = deployed(trained.key, taught)
    images = torch.rand(13, 1, 8, 8)
    for ours, theirs in zip(model(images), program(images), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_a_student_that_was_tampered_with_is_refused(trained: Trained, taught: Workspace, tmp_path: Path) -> None:
    copy = tmp_path / "student"
    copy.mkdir()
    for file in trained.student.iterdir():
        content = bytearray(file.read_bytes())
        if file.suffix == ".safetensors":
            content[-3] ^= 1
        (copy / file.name).write_bytes(content)
    with pytest.raises(UserError, match="checksum"):
        library.export(str(copy), tmp_path / "out.pt2", taught)
    assert not (tmp_path / "out.pt2").exists()


def test_commands_answer_machines_in_json(selkd: Any, workspace: Workspace, student_file: Path, tmp_path: Path) -> None:
    code, out, err = selkd.run("train", student_file, "training.epochs=1", "--json")
    assert code == 0, err
    found = json.loads(out)
    for arguments in (
        ["evaluate", found["key"]],
        ["export", found["key"], tmp_path / "s.pt2"],
        ["sync"],
        ["doctor", "--quick"],
    ):
        code, out, err = selkd.here(*arguments, "--json")
        assert code == 0, err
        json.loads(out)
