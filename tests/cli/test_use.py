"""Using a student from the command line: what is written, what is shown, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image

from selkd import models, students
from selkd.cli import show, use
from selkd.config import Workspace
from selkd.errors import UserError
from selkd.models.classifier import Classifier
from selkd.tracking import StudentCard, TrialRecord, save_student


@pytest.fixture
def student(tmp_path: Path) -> Callable[[float], str]:
    """Save an untrained open student with a threshold, away from any run."""
    torch.manual_seed(0)
    network = models.build("mlp", channels=1, outputs=3, image_size=8, hidden=[4])

    def save(threshold: float) -> str:
        card = StudentCard(
            categories=("three", "five"), mode="open", architecture="mlp", settings={"hidden": [4]}, channels=1,
            image_size=8, mean=(0.5,), std=(0.25,), threshold=threshold,
        )  # fmt: skip
        save_student(tmp_path / "copy", Classifier(network, [0.5], [0.25]).eval(), card)
        return str(tmp_path / "copy")

    return save


@pytest.fixture
def image(tmp_path: Path) -> Path:
    Image.new("L", (8, 8), 99).save(tmp_path / "one.png")
    return tmp_path / "one.png"


def test_answers_are_written_into_a_folder_that_was_absent(student, image: Path, tmp_path: Path) -> None:
    use.predict(student(0.0), [image], tmp_path / "absent" / "x.csv")
    assert list(pd.read_csv(tmp_path / "absent" / "x.csv")["file"]) == [str(image)]
    with pytest.raises(UserError, match="cannot write"):
        use.predict(student(0.0), [image], image / "x.csv")


def test_json_is_printed_beside_a_file_too(student, image: Path, tmp_path: Path, capsys) -> None:
    use.predict(student(0.0), [image], tmp_path / "x.csv", json=True)
    assert json.loads(capsys.readouterr().out)[0]["file"] == str(image)
    assert (tmp_path / "x.csv").is_file()


def test_a_rejected_row_shows_what_the_threshold_was_compared_with(student, image: Path) -> None:
    name = student(1.0)
    [row] = students.predict(name, [image]).to_dict("records")
    with show.out.capture() as shown:
        use.predict(name, [image])
    assert row["rejected"]
    assert f"acceptance {1 - row['p/not selected']:.3f}" in " ".join(shown.get().split())


def test_a_student_away_from_its_run_is_not_evaluated(student, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no record beside this student"):
        students.evaluate(student(0.5), "validation", Workspace(tmp_path / "workspace"))


def test_an_empty_name_is_no_student(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the name is empty"):
        students.find("", Workspace(tmp_path))


def test_a_ledger_that_is_a_folder_is_a_readable_error(tmp_path: Path) -> None:
    (tmp_path / "ledger.jsonl").mkdir()
    with pytest.raises(UserError, match=r"ledger\.jsonl: cannot be read"):
        TrialRecord(tmp_path)
