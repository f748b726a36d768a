import itertools
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics

from selkd.tracking.figures import confusion_figure, curves_figure, open_set_figure, roc_curve
from selkd.training.metrics import open_metrics


def texts(figure):
    return [t.get_text() for axes in figure.axes for t in axes.texts]


def tick_names(axis):
    return [t.get_text() for t in axis.get_ticklabels()]


def drawn(figure, tmp_path):
    figure.savefig(tmp_path / "figure.png", dpi=50)
    return (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_confusion_shows_every_count_with_labels_down_and_answers_across(tmp_path):
    matrix = torch.tensor([[5, 1, 0], [2, 7, 3], [0, 0, 0]])
    names = ["T-shirt/top", "costs $5 or $6", "not selected"]
    figure = confusion_figure(matrix, names)
    assert drawn(figure, tmp_path)
    axes = figure.axes[0]
    assert texts(figure) == ["5", "1", "0", "2", "7", "3", "0", "0", "0"]
    assert tick_names(axes.xaxis) == names and tick_names(axes.yaxis) == names
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("answer", "label")
    assert np.allclose(np.asarray(axes.images[0].get_array())[1], [2 / 12, 7 / 12, 3 / 12])


def test_confusion_of_many_categories_stays_readable(tmp_path):
    figure = confusion_figure(np.eye(100, dtype=int), [f"c{k}" for k in range(100)])
    assert drawn(figure, tmp_path)
    assert texts(figure) == []
    assert len(tick_names(figure.axes[0].xaxis)) <= 20


def history(**columns):
    return pd.DataFrame({name.replace("__", "/"): values for name, values in columns.items()}, index=[1, 2, 3])


def test_curves_show_loss_terms_and_validation_metrics_and_nothing_else(tmp_path):
    figure = curves_figure(
        history(
            train__truth=[3.0, 2, 1],
            train__loss=[3.0, 2, 1],
            train__lr=[0.1] * 3,
            train__rows_per_second=[9e4] * 3,
            validation__nll=[2.0, float("nan"), 1],
            validation__accuracy=[0.1, 0.2, 0.3],
            validation__accuracy__three=[0.1, 0.2, 0.3],
        )
    )
    assert drawn(figure, tmp_path)
    left, right = figure.axes
    assert [line.get_label() for line in left.lines] == ["train: truth", "train: loss", "validation: nll"]
    assert [line.get_label() for line in right.lines] == ["accuracy"]
    assert list(np.asarray(left.lines[2].get_xdata())) == [1, 3]
    assert left.get_xlabel() == right.get_xlabel() == "epoch"


@pytest.mark.parametrize("frame", [pd.DataFrame(), history(train__loss=[float("nan")] * 3)])
def test_curves_of_nothing_are_drawn_empty(frame, tmp_path):
    assert drawn(curves_figure(frame), tmp_path)


def test_the_lines_of_a_panel_differ_in_colour_and_dashes():
    figure = curves_figure(history(**{f"train__term{k}": [1.0, 2, 3] for k in range(6)}))
    lines = figure.axes[0].lines
    assert len({line.get_color() for line in lines}) == 6
    for one, two in itertools.pairwise(lines):
        assert one.get_linestyle() != two.get_linestyle()


def test_the_areas_are_those_of_the_metrics(tmp_path):
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(200, 4, generator=random).mul(2).round()  # rounded: equal scores occur
    labels = torch.randint(0, 4, (200,), generator=random)
    expected = open_metrics(logits, labels, ["a", "b", "c"])
    scores = 1 - logits.double().softmax(1)[:, -1]
    figure = open_set_figure(scores, labels < 3, logits[:, :3].argmax(1) == labels)
    assert drawn(figure, tmp_path)
    areas = [float(str(axes.lines[0].get_label()).removeprefix("area ")) for axes in figure.axes]
    assert areas == pytest.approx([expected["auroc"], expected["oscr"]], abs=6e-4)


def test_oscr_is_left_out_where_it_is_not_known_what_was_classified_correctly():
    figure = open_set_figure([0.1, 0.9], [False, True])
    assert [axes.get_title() for axes in figure.axes] == ["ROC"]


@pytest.mark.parametrize("inside", [True, False])
def test_rows_of_one_kind_define_no_curve(inside, tmp_path):
    figure = open_set_figure([0.1, 0.9], [inside, inside], [True, True])
    assert drawn(figure, tmp_path)
    assert texts(figure) == ["not defined by these rows"] * 2


def test_no_global_state_of_pyplot_is_touched():
    pyplot = sys.modules.get("matplotlib.pyplot")
    confusion_figure(np.eye(2), ["a", "b"])
    assert sys.modules.get("matplotlib.pyplot") is pyplot
    assert pyplot is None or pyplot.get_fignums() == []


@pytest.mark.parametrize("tied", [False, True])
def test_the_roc_curve_is_scikit_learns(tied: bool) -> None:
    rng = np.random.default_rng(0)
    scores, inside = rng.integers(0, 20, 200) / 7 if tied else rng.random(200), rng.random(200) < 0.4
    others, accepted, _ = metrics.roc_curve(inside, scores, drop_intermediate=False)
    found = roc_curve(scores, inside)
    np.testing.assert_allclose(found[0], others)
    np.testing.assert_allclose(found[1], accepted)
