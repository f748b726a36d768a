import json
import pickle
import warnings

import numpy as np
import pytest
import torch
from mlflow import MlflowClient, MlflowException

from selkd.errors import UserError
from selkd.files import checksum
from selkd.models.deploy import Deployed
from selkd.tracking import deliver, load_student, save_student
from selkd.tracking.pyfunc import save_pyfunc


@pytest.fixture
def saved(tmp_path, classifier, card):
    save_student(tmp_path / "student", classifier, card)
    return tmp_path / "student"


@pytest.fixture
def load_model():
    with warnings.catch_warnings(action="ignore"):  # MLflow warns of its own types when it is imported
        from mlflow.pyfunc import load_model
    return load_model


@pytest.fixture
def images():
    return torch.rand(9, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def test_a_student_comes_back_as_it_was(saved, classifier, card, images):
    loaded, found = load_student(saved)
    assert not loaded.training
    assert torch.equal(loaded(images), classifier(images))
    assert found == card.model_copy(update={"weights_sha256": checksum(saved / "weights.safetensors")})


def test_loading_leaves_random_numbers_as_they_were(saved):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    load_student(saved)
    assert torch.equal(torch.rand(1), expected)


def test_weights_that_are_not_those_of_the_card_are_refused(saved, classifier):
    weights = saved / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(UserError, match=r"weights.safetensors: does not match the checksum in card.json"):
        load_student(saved)
    weights.unlink()
    with pytest.raises(UserError, match="missing"):
        load_student(saved)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"mode": "ajar"}, "mode"),
        ({"extra": 1}, "extra"),
        ({"categories": ["a", "b", "c"]}, "do not fit"),
        ({"categories": []}, "categories"),
        ({"categories": ["a", "a"]}, "twice"),
        ({"mean": [0.1, 0.2]}, "mean and std"),
        ({"std": [0.0]}, "std"),
        ({"architecture": "cnm"}, "cnn"),
        ({"settings": {"widht": 2}}, "width"),
    ],
)
def test_a_card_that_contradicts_itself_or_the_weights_is_refused(saved, change, named):
    card = json.loads((saved / "card.json").read_text())
    (saved / "card.json").write_text(json.dumps(card | change))
    with pytest.raises(UserError, match=named):
        load_student(saved)


def test_a_card_that_is_no_json_is_refused(saved):
    (saved / "card.json").write_text("{")
    with pytest.raises(UserError, match=r"card\.json"):
        load_student(saved)


def test_a_student_that_its_card_does_not_describe_is_not_saved(tmp_path, classifier, card):
    with pytest.raises(UserError, match="do not fit"):
        save_student(tmp_path / "student", classifier, card.model_copy(update={"settings": {"width": 3}}))


def test_a_student_saved_again_replaces_the_one_before(saved, classifier, card, images):
    with torch.no_grad():
        next(classifier.parameters()).mul_(2)
    save_student(saved, classifier, card)
    assert torch.equal(load_student(saved)[0](images), classifier(images))


def poison(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("something was unpickled")

    class Poisoned(pickle._Unpickler):
        find_class = refuse

    monkeypatch.setattr(pickle, "Unpickler", Poisoned)
    for name in ("load", "loads"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr("cloudpickle.load", refuse)
    monkeypatch.setattr("torch.load", refuse)


def test_mlflow_loads_the_student_without_unpickling(finished, uri, images, load_model, monkeypatch):
    deliver(finished.folder, uri, "tests")
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("tests")
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    poison(monkeypatch)
    model = load_model(f"runs:/{run.info.run_id}/student")
    found = model.predict(images.numpy())
    classifier, card = load_student(finished.folder / "student")
    answer, probabilities = Deployed(classifier, 2, card.threshold)(images)
    assert found["category"].tolist() == [("three", "five", "not selected")[k] for k in answer]
    assert found["rejected"].tolist() == (answer == 2).tolist()
    columns = ["p/three", "p/five", "p/not selected"]
    assert np.array_equal(found[columns].to_numpy(), probabilities.detach().numpy())
    assert model.metadata.signature.outputs.input_names() == ["category", "rejected", *columns]


def test_mlflow_refuses_images_of_another_shape(saved, load_model, tmp_path):
    save_pyfunc(tmp_path / "model", saved)
    model = load_model(str(tmp_path / "model"))
    with pytest.raises(MlflowException, match="shape"):
        model.predict(np.zeros((2, 3, 8, 8), dtype=np.float32))


def test_the_model_folder_holds_no_pickle_and_pins_what_it_needs(saved, tmp_path):
    save_pyfunc(tmp_path / "model", saved)
    files = {p.relative_to(tmp_path / "model").as_posix(): p for p in (tmp_path / "model").rglob("*") if p.is_file()}
    assert set(files) == {
        "MLmodel",
        "conda.yaml",
        "python_env.yaml",
        "requirements.txt",
        "served.py",
        "artifacts/student/card.json",
        "artifacts/student/weights.safetensors",
    }
    assert not any(path.read_bytes().startswith((b"\x80", b"PK")) for path in files.values())
    pinned = dict(line.split("==") for line in files["requirements.txt"].read_text().split())
    assert pinned["torch"] == torch.__version__.split("+")[0] and "selkd" in pinned


def test_a_closed_student_rejects_nothing(tmp_path, classifier, card, images, load_model):
    closed = card.model_copy(update={"categories": ("a", "b", "c"), "mode": "closed", "threshold": None})
    save_student(tmp_path / "student", classifier, closed)
    save_pyfunc(tmp_path / "model", tmp_path / "student")
    found = load_model(str(tmp_path / "model")).predict(images.numpy())
    assert not found["rejected"].any()
    assert set(found["category"]) <= {"a", "b", "c"} and "p/not selected" not in found
