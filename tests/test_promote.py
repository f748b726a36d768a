"""What a promoted student's card says: its numbers, their intervals, and names shown as they are."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from markdown_it import MarkdownIt
from mlflow import MlflowClient
from PIL import Image

from selkd import models
from selkd.cli import promote as command
from selkd.cli import show, use
from selkd.config import Workspace
from selkd.data.tasks import NOT_SELECTED
from selkd.errors import UserError
from selkd.models.classifier import Classifier
from selkd.promotion import promote
from selkd.promotion.card import MOST, Origin, markdown, plain
from selkd.promotion.measured import Estimate, _mean, _share, estimates
from selkd.tracking import StudentCard, TrialRecord, save_student
from selkd.training.metrics import closed_metrics, open_metrics

ODD = ("<script>alert(1)</script>", "*a* | _b_ `c` ~~d~~", "[x](http://y.z)", "קטגוריה", "🦊 &amp; \\", "a\nb")
BEGUN = {
    "git": {"commit": "a" * 40, "dirty": True},
    "fingerprints": {"data": "d" * 64, "teacher": "t" * 64},
    "versions": {"selkd": "0.1.0", "torch": "2.0"},
}
CONFIG = {"data": {"source": "digits"}, "objective": {"name": "kd"}, "seed": 3, "teacher": "big"}


def card_of(categories: tuple[str, ...], threshold: float | None = 0.6) -> StudentCard:
    return StudentCard(
        categories=categories, mode="closed" if threshold is None else "open", architecture="cnn", settings={},
        channels=1, image_size=8, mean=(0.5,), std=(0.25,), threshold=threshold, weights_sha256="e" * 64,
    )  # fmt: skip


def origin(others: tuple[str, ...] = (), reads: int = 1) -> Origin:
    return Origin("student-1", "f" * 32, CONFIG, BEGUN, others, reads)


def predictions(logits: torch.Tensor, labels: torch.Tensor, card: StudentCard) -> pd.DataFrame:
    """As a finished run records them."""
    names = np.asarray((*card.categories, NOT_SELECTED), dtype=object)
    scores = {f"score/{name}": column.numpy() for name, column in zip(card.outputs, logits.T, strict=True)}
    return pd.DataFrame({"row": range(len(labels)), "label": names[labels], "prediction": names[labels], **scores})


def named(found: list[Estimate]) -> dict[str, float]:
    return {one.name: one.value for one in found}


def shown(text: str) -> str:
    """What a reader of the rendered card sees, tags left out by the renderer's own tokens."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    parts = [child.content for token in tokens for child in token.children or [] if child.type == "text"]
    assert not any(
        child.type in ("html_inline", "link_open", "em_open", "s_open", "code_inline")
        for token in tokens
        for child in token.children or []
        if "selkd" not in child.content
    ), text
    assert not any(token.type == "html_block" for token in tokens)
    return "".join(parts)


def test_numbers_are_those_of_the_student_as_it_is_deployed() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(300, 3, generator=generator, dtype=torch.float64)
    labels = torch.randint(3, (300,), generator=generator)
    card = card_of(("three", "five"))
    found = named(estimates(predictions(logits, labels, card), card))
    wanted = open_metrics(logits, labels, card.categories, card.threshold)
    assert found["balanced"] == pytest.approx(wanted["balanced_at_threshold"])
    assert found["in-task accuracy"] == pytest.approx(wanted["in_task_accuracy_at_threshold"])
    assert found["reject recall"] == pytest.approx(wanted["reject_recall_at_threshold"])
    closed = card_of(("a", "b", "c"), None)
    wanted = closed_metrics(logits, labels, closed.categories)
    found = named(estimates(predictions(logits, labels, closed), closed))
    assert found == pytest.approx({name.split("/")[-1]: wanted[name] for name in wanted if "accuracy" in name})


def test_a_share_has_wilsons_interval() -> None:
    one = _share("x", np.array([True] * 8 + [False] * 2))
    assert one is not None
    z = 1.959963984540054
    middle, half = (0.8 + z * z / 20) / (1 + z * z / 10), z * math.sqrt(0.8 * 0.2 / 10 + z * z / 400) / (1 + z * z / 10)
    assert (one.low, one.high) == (pytest.approx(middle - half), pytest.approx(middle + half))
    assert (round(one.low, 3), round(one.high, 3)) == (0.490, 0.943)


def test_the_interval_of_a_balanced_value_covers_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(600):
        first, second = _share("a", rng.random(40) < 0.7), _share("b", rng.random(60) < 0.95)
        one = _mean("balanced", first, second)
        assert one is not None and 0 <= one.low <= one.value <= one.high <= 1
        covered += one.low <= (0.7 + 0.95) / 2 <= one.high
    assert 0.92 <= covered / 600 <= 0.985


def test_without_rows_of_a_kind_nothing_is_said_of_it() -> None:
    card = card_of(("three", "five"))
    labels = torch.zeros(5, dtype=torch.int64)
    found = estimates(predictions(torch.randn(5, 3), labels, card), card)
    assert [one.name for one in found] == ["in-task accuracy", "three"]


def test_a_card_says_task_rejection_numbers_limits_and_origin() -> None:
    measured = [Estimate("balanced", 0.9, 0.85, 0.93, 120)]
    text = shown(markdown(card_of(("three", "five")), measured, origin(("one", "two"), 3)))
    for wanted in (
        'Says which of 2 categories an image shows: three, five. Or answers "not selected".',
        "below 0.6000, a threshold set on validation rows",
        "the other categories of its data (one, two)",
        "8 x 8 pixels, grey",
        "0.850 to 0.930",
        "Intervals (Wilson; the balanced value: MOVER)",
        "read 3 times",
        f"teacher: big ({'t' * 64})",
        f"{'a' * 40} with uncommitted changes",
        "e" * 64,
    ):
        assert wanted in text, wanted
    closed = shown(markdown(card_of(("three", "five"), None), measured, origin()))
    assert "Nothing: every image is given one of the categories" in closed
    assert "flattered" not in closed


@pytest.mark.parametrize("name", ODD)
def test_names_with_markup_are_shown_as_they_are_and_do_nothing(name: str) -> None:
    card = card_of((name, "five"))
    text = markdown(card, [Estimate(name, 0.5, 0.4, 0.6, 9)], origin((name,)))
    assert shown(text).count(" ".join(name.split())) == 3
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert "<script" not in html and "<a " not in html and html.count("<tr>") == 2
    assert shown(plain(name)) == " ".join(name.split())


@pytest.mark.parametrize("count", [30, 100, 1000])
@pytest.mark.parametrize("length", [3, 90])
def test_a_card_of_many_categories_fits_what_mlflow_keeps(count: int, length: int) -> None:
    names = tuple(f"{k:0{length}d}" for k in range(count))
    measured = [Estimate(name, 0.5, 0.4, 0.6, 9) for name in ("balanced", "in-task accuracy", "reject recall", *names)]
    text = markdown(card_of(names), measured, origin(names))
    assert len(text) <= MOST
    assert "in-task accuracy" in text and "**Provenance**" in text


def test_a_record_without_git_says_that_the_code_is_unknown() -> None:
    begun: dict[str, Any] = {"git": None, "versions": {}}
    text = markdown(card_of(("a", "b")), [], Origin("s", "f" * 32, CONFIG | {"teacher": None}, begun, (), 1))
    assert "code: unknown" in text and "teacher: none" in text


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with one finished run, of an untrained student whose categories have odd names."""
    workspace = Workspace(tmp_path / "workspace")
    monkeypatch.setenv("SELKD_WORKSPACE", str(workspace.root))
    record = TrialRecord(workspace.runs / "odd-1")
    record.begin("odd-1", "odd", {**CONFIG, "name": "odd", "experiment": "selkd"}, {}, BEGUN)
    card = card_of(ODD, 0.5).model_copy(update={"architecture": "mlp", "settings": {"hidden": [2]}})
    torch.manual_seed(0)
    network = models.build("mlp", channels=1, outputs=len(ODD) + 1, image_size=8, hidden=[2])
    save_student(record.folder / "student", Classifier(network, [0.5], [0.25]), card)
    path = record.folder / "predictions-test.parquet"
    predictions(torch.randn(90, len(ODD) + 1), torch.arange(90) % (len(ODD) + 1), card).to_parquet(path)
    record.artifact(path)
    record.count_test_read()
    record.finish("finished", {"test/balanced": 0.5}, None)
    return workspace


def test_odd_names_come_through_the_registry_to_the_reader(workspace: Workspace, tmp_path: Path, capsys) -> None:
    name = "[bold]x 🦊"
    command.promote("odd-1", name=name, json=True)
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["measured"]][3:] == list(ODD)
    version = MlflowClient(f"sqlite:///{workspace.root}/mlflow.db").get_model_version_by_alias(name, "champion")
    assert version.description == found["card"]
    assert json.loads(version.tags["selkd.categories"]) == list(ODD)
    with show.out.capture() as table:
        command.promote("odd-1", name=name)
    assert f"Next: `selkd predict models:/{name}@champion IMAGES`" in table.get()
    assert "<script>alert(1)</script>" in table.get()
    Image.new("L", (8, 8), 99).save(tmp_path / "one.png")
    use.predict(f"models:/{name}@champion", [tmp_path / "one.png"], json=True)
    [answer] = json.loads(capsys.readouterr().out)
    assert {key.removeprefix("p/") for key in answer} >= set(ODD)


def test_a_name_that_cannot_be_one_is_refused_before_the_run_is_looked_for(workspace: Workspace) -> None:
    with pytest.raises(UserError, match="--name"):
        promote("nosuchrun", name="a/b", workspace=workspace)
    with pytest.raises(UserError, match=r"nosuchrun.*\(1 there\) nor in MLflow at .* \(0 there\)"):
        promote("nosuchrun", workspace=workspace)


def test_a_run_whose_student_or_answers_are_gone_is_refused(workspace: Workspace) -> None:
    (workspace.runs / "odd-1" / "predictions-test.parquet").unlink()
    with pytest.raises(UserError, match=r"predictions-test\.parquet: missing"):
        promote("odd-1", workspace=workspace)
    (workspace.runs / "odd-1" / "student" / "card.json").unlink()
    with pytest.raises(UserError, match="its student is not there"):
        promote("odd-1", workspace=workspace)
