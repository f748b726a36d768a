import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import roc_auc_score

from benchmarks.null_comparisons import Space, Study
from selkd.comparison.compare import answer
from selkd.comparison.question import Question
from selkd.comparison.result import ALL
from selkd.comparison.views import VIEWS, CannotShow
from selkd.objectives.selkd import SelKDSettings
from selkd.training.metrics import open_metrics

BY_NAME = {view.name: view for view in VIEWS}


def numbers(name, comparison) -> Any:
    return BY_NAME[name].numbers(comparison)


def drawn(name, comparison) -> Any:
    return BY_NAME[name].make(comparison)


def test_levels_have_every_chosen_student_and_its_levels_mean(compared, students):
    comparison = compared(students({"kd": 0.6, "selkd": 0.7}))
    found = numbers("levels", comparison)
    assert len(found) == 2 * 3
    for level, mine in found.groupby("level"):
        stated: Any = comparison.levels.set_index("level").loc[level]
        assert mine["value"].mean() == pytest.approx(stated["mean"]) == pytest.approx(mine["mean"].iloc[0])
    assert set(found["value"]) == set(comparison.trials.loc[comparison.trials["chosen"].astype(bool), "value"])


def test_differences_point_from_the_reference_whichever_side_a_contrast_names_first(compared, students):
    comparison = compared(students({"kd": 0.6, "selkd": 0.7, "cross-entropy": 0.5}), baseline="kd")
    found = numbers("differences", comparison).set_index("level")
    assert found.loc["selkd", "difference"] > 0 > found.loc["cross-entropy", "difference"]
    best_first = compared(students({"a": 0.5, "b": 0.8}))
    alone = numbers("differences", best_first).iloc[0]
    means = best_first.levels.set_index("level")["mean"]
    assert (alone["level"], alone["against"]) == ("a", "b")
    assert alone["difference"] == pytest.approx(means["a"] - means["b"])
    assert alone["low"] <= alone["difference"] <= alone["high"]


def test_ranks_are_those_of_the_comparison(compared, students):
    comparison = compared(students({"a": 0.4, "b": 0.5, "c": 0.6}, seeds=5))
    found = numbers("ranks", comparison)
    assert dict(zip(found["level"], found["rank"], strict=True)) == {"c": 1, "b": 2, "a": 3}
    assert found["critical"].iloc[0] == comparison.overall.critical


def test_at_a_declared_look_there_are_no_ranks_and_the_reason_is_the_plan():
    study = Study(Space(looks=(6, 8)), np.random.default_rng(0))
    records = study.records(study.first())
    with pytest.raises(CannotShow, match="at a declared look"):
        numbers("ranks", answer(records, Question("objective.name")))
    undeclared = study.records(study.first(), declared=False)
    assert len(numbers("ranks", answer(undeclared, Question("objective.name")))) == 3


def test_the_front_holds_exactly_what_nothing_beats_in_cost_and_metric(compared):
    plan = {"a": (0.9, 100), "b": (0.8, 10), "c": (0.7, 50), "d": (0.8, 20), "e": (0.95, 1000)}
    runs = [
        {"objective.name": level, "seed": seed, "test/accuracy": value, "validation/accuracy": value,
         "cost/parameters": float(cost), "cost/multiply_adds": 5.0}
        for level, (value, cost) in plan.items() for seed in range(2)
    ]  # fmt: skip
    found = numbers("costs", compared(runs))
    assert set(found["cost"]) == {"parameters"}  # all cost the same multiply-adds
    assert set(found.loc[found["front"], "level"]) == {"a", "b", "e"}


def test_one_architecture_has_no_latencies_to_tell_apart_and_two_show_how_theirs_scatter(compared):
    def runs(sizes):
        return [
            {"objective.name": level, "seed": seed, "test/accuracy": 0.8, "validation/accuracy": 0.8,
             "cost/parameters": size, "cost/row_gradients": size + place, "cost/latency_ms": 1.0 + place + seed}
            for place, (level, size) in enumerate(zip(("kd", "selkd"), sizes, strict=True)) for seed in range(5)
        ]  # fmt: skip

    assert set(numbers("costs", compared(runs((10.0, 10.0))))["cost"]) == {"row-gradients"}
    found = numbers("costs", compared(runs((10.0, 20.0)))).set_index(["cost", "level"])
    assert found.loc[("latency (ms a row)", "kd"), ["at", "least", "most"]].tolist() == [3, 2, 4]


def test_a_front_never_joins_students_that_are_tested_on_other_rows(compared):
    runs = [
        {"objective.name": level, "seed": 0, "data.source": source, "test/accuracy": value,
         "validation/accuracy": value, "cost/parameters": cost}
        for source, shift in (("digits", 0.0), ("hard", -0.5))
        for level, value, cost in (("kd", 0.9 + shift, 10.0), ("selkd", 0.8 + shift, 20.0))
    ]  # fmt: skip
    found = numbers("costs", compared(runs))
    assert found.groupby("task")["front"].sum().tolist() == [1, 1]


def test_a_metric_that_is_a_cost_has_no_cost(compared, students):
    comparison = compared(students({"kd": 0.6, "selkd": 0.7}), metric="cost/parameters")
    with pytest.raises(CannotShow, match="cost itself"):
        numbers("costs", comparison)


def test_curves_are_medians_and_quartiles_over_students(compared, students):
    comparison = compared(students({"kd": 0.6}, seeds=5))
    found = numbers("curves", comparison)
    chosen = comparison.trials[comparison.trials["chosen"].astype(bool)]
    last = [comparison.records.history(run).loc[3, "validation/accuracy"] for run in chosen.index]
    row = found.loc[found["step"] == 3].iloc[0]
    assert row["n"] == 5
    assert [row["low"], row["median"], row["high"]] == pytest.approx(np.quantile(last, (0.25, 0.5, 0.75)))
    assert set(numbers("losses", comparison)["name"]) == {"train/truth", "train/loss"}


def test_words_for_curves_go_from_group_to_group(compared, students):
    said = drawn("curves", compared(students({"kd": 0.6, "selkd": 0.7}, rows=(20, 100)))).alt
    ends = said.partition("At the end: ")[2]
    assert re.fullmatch(
        r"\S*=20: (kd|selkd) [\d.]+; (kd|selkd) [\d.]+\. \S*=100: (kd|selkd) [\d.]+; (kd|selkd) [\d.]+\.", ends
    )


def test_at_most_ten_students_of_a_level_are_read(compared, students):
    assert numbers("curves", compared(students({"kd": 0.6}, seeds=12)))["n"].max() == 10


def test_category_gains_are_differences_of_pairs(compared):
    gains = {"three": 0.2, "five": -0.1}
    runs = [
        {"objective.name": level, "seed": seed, "test/accuracy": 0.5, "validation/accuracy": 0.5,
         **{f"test/accuracy/{name}": 0.3 + 0.1 * seed + gain * (level == "selkd") for name, gain in gains.items()}}
        for level in ("cross-entropy", "selkd") for seed in range(4)
    ]  # fmt: skip
    found = numbers("categories", compared(runs, baseline="cross-entropy")).set_index("category")
    assert found["difference"].to_dict() == pytest.approx(gains)
    assert (found["n"] == 4).all() and (found["over"] == "cross-entropy").all()


def test_gains_by_category_stay_within_what_accuracies_can_differ_by(compared):
    values = {"kd": (0.1, 0.9), "selkd": (0.9, 0.2)}
    runs = [
        {"objective.name": level, "seed": seed, "test/accuracy": 0.5, "validation/accuracy": 0.5,
         "test/accuracy/three": value}
        for level, both in values.items() for seed, value in enumerate(both)
    ]  # fmt: skip
    [found] = numbers("categories", compared(runs, baseline="kd")).to_dict("records")
    assert (found["low"], found["high"]) == (-1, 1)


def test_gains_by_category_are_over_the_twins_of_the_same_subset(compared):
    def run(policy, seed, names, objective, value):
        return {
            "selection.categories.policy": policy, "seed": seed, "objective.name": objective,
            "categories": ", ".join(names), "role": "twin" if objective == "cross-entropy" else "student",
            "test/accuracy": value, "validation/accuracy": value, **{f"test/accuracy/{name}": value for name in names},
        }  # fmt: skip

    subsets = {"random": ["one", "two"], "best": ["two", "six"]}
    lifts = {"random": 0.1, "best": 0.3}
    runs = [
        run(policy, seed, names, objective, 0.5 + (lifts[policy] if objective == "kd" else 0))
        for policy, names in subsets.items() for seed in range(3) for objective in ("kd", "cross-entropy")
    ]  # fmt: skip
    comparison = compared(runs, "selection.categories.policy", "gain/accuracy")
    found = numbers("categories", comparison).set_index(["level", "category"])["difference"]
    assert found.to_dict() == pytest.approx(
        {("random", "one"): 0.1, ("random", "two"): 0.1, ("best", "two"): 0.3, ("best", "six"): 0.3}
    )
    kept = numbers("kept-categories", comparison).set_index(["level", "category"])["share"]
    assert kept["random", "one"] == kept["best", "six"] == 1 and kept["random", "six"] == 0


def test_the_key_that_decides_is_more_important_than_one_that_does_not(compared):
    random = np.random.default_rng(0)
    runs = []
    for seed in range(6):
        for name in ("kd", "selkd"):
            for epsilon in (1.0, 2.0, 4.0):
                value = (0.8 if epsilon == 2 else 0.5) + 0.01 * random.normal()
                runs.append({"objective.name": name, "objective.epsilon": epsilon, "seed": seed,
                             "test/accuracy": value, "validation/accuracy": value})  # fmt: skip
    found = numbers("importances", compared(runs)).set_index("key")
    assert found.index[0] == "objective.epsilon"
    assert found.loc["objective.epsilon", "importance"] > 10 * abs(found.loc["objective.name", "importance"])
    assert found["predicted"].iloc[0] > 0.9
    slices = numbers("slices", compared(runs))
    assert set(slices.loc[slices["chosen"], "value"]) == {"2"} and (slices["n"] == 6).all()


def test_areas_are_those_of_the_recorded_metrics(compared, students):
    comparison = compared(students({"kd": 0.5}, seeds=1, is_open=True))
    run = comparison.trials.index[comparison.trials["chosen"].astype(bool)][0]
    frame = pd.read_parquet(comparison.records.artifact(run, "predictions-test.parquet"))
    logits = torch.tensor(frame[[c for c in frame if c.startswith("score/")]].to_numpy())
    labels = torch.tensor([["three", "five", "not selected"].index(label) for label in frame["label"]])
    expected = open_metrics(logits, labels, ["three", "five"])
    areas = numbers("open-set", comparison).drop_duplicates("curve").set_index("curve")["area"]
    assert areas["ROC"] == pytest.approx(expected["auroc"], abs=1e-6)
    assert areas["OSCR"] == pytest.approx(expected["oscr"], abs=1e-6)
    assert roc_auc_score(labels < 2, 1 - logits.softmax(1)[:, -1]) == pytest.approx(areas["ROC"])


def test_at_full_coverage_the_risk_is_the_error(compared, students):
    comparison = compared(students({"kd": 0.4}, seeds=3))
    chosen = comparison.trials.index[comparison.trials["chosen"].astype(bool)]
    errors = [
        (frame["prediction"] != frame["label"]).mean()
        for frame in (pd.read_parquet(comparison.records.artifact(run, "predictions-test.parquet")) for run in chosen)
    ]
    found = numbers("risk-coverage", comparison)
    assert found.loc[found["x"] == 1, "mean"].item() == pytest.approx(np.mean(errors))
    assert found["mean"].iloc[10] < np.mean(errors)  # the surest answers are better
    assert "Wrong is a row of the task answered with another category" in drawn("risk-coverage", comparison).alt


def test_flips_count_every_row_once(compared):
    table = pd.DataFrame(
        {"row": range(6), "label": list("aaabbb"), "prediction": list("aabbba"), "teacher": list("abaabb")}
        | {"score/a": np.zeros(6), "score/b": np.zeros(6)}
    )
    runs = [{"objective.name": "kd", "seed": 0, "test/accuracy": 0.5, "validation/accuracy": 0.5,
             "files": {"predictions-test": table}}]  # fmt: skip
    row = numbers("flips", compared(runs)).iloc[0]
    cells = [row[cell] for cell in ("both right", "student alone right", "teacher alone right", "both wrong")]
    assert cells == [2, 2, 2, 0] and row["rows"] == 6


def test_without_the_teachers_answers_on_test_flips_are_read_off_the_recorded_batch(compared, students):
    runs = students({"kd": 0.6}, seeds=1)
    for run in runs:
        run["files"]["predictions-test"] = run["files"]["predictions-test"].drop(columns="teacher")
    found = numbers("flips", compared(runs)).iloc[0]
    probe = runs[0]["files"]["probe"]
    assert "validation" in found["of"]
    assert found["rows"] == probe["label"].isin(["three", "five"]).sum()


def test_plans_of_an_objective_without_plans_are_probabilities(compared, students):
    comparison = compared(students({"kd": 0.6}, seeds=1))
    found = numbers("plans", comparison)
    run = found["run"].iloc[0]
    probe = pd.read_parquet(comparison.records.artifact(run, "probe.parquet"))
    row = found.loc[found["row"] == found["row"].iloc[0]]
    logits = probe.loc[probe["row"] == row["row"].iloc[0], ["student/three", "student/five"]].to_numpy()[0]
    assert row["student"].to_numpy() == pytest.approx(np.exp(logits) / np.exp(logits).sum())
    assert list(found["label"].drop_duplicates()) == ["three", "five"]  # sorted by label, the task's rows alone


def test_a_runs_own_settings_make_its_plans(compared, students):
    runs = students({"selkd": 0.6}, seeds=1)
    for run in runs:
        run |= {
            "objective.teacher_columns": "target",
            "objective.student_columns": "free",
            "objective.target": (0.75, 0.25),
        }
    found = numbers("plans", compared(runs))
    by_category = found.groupby("category")[["teacher", "student"]].sum()
    rows = found["row"].nunique()
    assert by_category["teacher"].to_dict() == pytest.approx({"three": 0.75 * rows, "five": 0.25 * rows}, rel=1e-4)
    assert by_category["student"].sum() == pytest.approx(rows)
    assert found["epsilon"].iloc[0] == 1.0
    fields = set(SelKDSettings.model_fields)
    assert {"epsilon", "teacher_columns", "student_columns", "target", "mass", "normalise"} <= fields


def test_an_open_plan_moves_the_mass_of_the_selected_rows(compared, students):
    found = numbers("plans", compared(students({"kd": 0.6}, seeds=1, is_open=True)))
    selected = found.loc[found["label"] != "not selected", "row"].nunique()
    assert found["teacher"].sum() == pytest.approx(selected) == pytest.approx(found["student"].sum())
    assert found["row"].nunique() == 24


def test_rows_used_alike_overlap_fully_and_a_single_row_is_most_concentrated(compared):
    even, half, one = [1, 1, 1, 1], [2, 2, 0, 0], [4, 0, 0, 0]
    runs = [
        {"selection.samples.policy": policy, "seed": 0, "test/accuracy": 0.5, "validation/accuracy": 0.5,
         "files": {"rows-used": pd.DataFrame({"row": range(4), "label": list("aabb"), "used": used})}}
        for policy, used in (("all", even), ("random", half), ("margin", one))
    ]  # fmt: skip
    found = numbers("kept-rows", compared(runs, "selection.samples.policy"))
    gini = found.loc[found["what"] == "concentration"].set_index("level")["value"]
    assert gini.to_dict() == pytest.approx({"all": 0, "random": 0.5, "margin": 0.75})
    pairs = found.loc[found["what"] == "overlap"]
    overlap = {frozenset((row.level, row.other)): row.value for row in pairs.itertuples()}
    assert overlap[frozenset(("all", "random"))] == pytest.approx(2 / 6)
    assert overlap[frozenset(("random", "margin"))] == pytest.approx(2 / 6)
    shares = found.loc[found["what"] == "share of uses"].set_index(["level", "other"])["value"]
    assert shares["margin", "a"] == 1 and shares["all", "b"] == 0.5


def test_every_training_row_is_told_with_how_often_each_level_used_it(compared):
    used = {"random": ([5, 7, 9], [1, 0, 1]), "margin": ([5, 7, 9], [0, 4, 0]), "categories": ([7, 2], [1, 1])}
    labels = {5: "b", 7: "a", 9: "a", 2: "c"}
    runs = [
        {"selection.samples.policy": policy, "seed": seed, "test/accuracy": 0.5, "validation/accuracy": 0.5,
         "files": {"rows-used": pd.DataFrame({"row": rows, "label": [labels[row] for row in rows], "used": times})}}
        for policy, (rows, times) in used.items() for seed in range(2)
    ]  # fmt: skip
    comparison = compared(runs, "selection.samples.policy")
    found = numbers("kept-samples", comparison)
    told = found.pivot(index="level", columns="row", values="used")
    for policy, (rows, times) in used.items():
        assert told.loc[policy].dropna().to_dict() == dict(zip(rows, times, strict=True))
    assert list(dict.fromkeys(found["row"])) == [7, 9, 5, 2], "by category, and in it those that were used most first"
    assert "margin used 1 of 3, each 4 times at most" in drawn("kept-samples", comparison).alt
    assert drawn("kept-samples", comparison).figure.axes[0].get_xlabel() == "training rows by category"


def test_levels_that_used_the_same_rows_say_so(compared):
    table = pd.DataFrame({"row": range(4), "label": list("aabb"), "used": [1, 0, 2, 1]})
    runs = [{"selection.samples.policy": policy, "seed": 0, "test/accuracy": 0.5, "validation/accuracy": 0.5,
             "files": {"rows-used": table}} for policy in ("all", "random")]  # fmt: skip
    with pytest.raises(CannotShow, match="same rows equally often"):
        numbers("kept-rows", compared(runs, "selection.samples.policy"))
    with pytest.raises(CannotShow, match="same rows equally often"):
        numbers("kept-samples", compared(runs, "selection.samples.policy"))


def test_groups_are_kept_apart_and_in_the_order_of_their_values(compared, students):
    comparison = compared(students({"kd": 0.6, "selkd": 0.7}, rows=(500, 20, 100)))
    order = [f"data.rows_per_category={count}" for count in (20, 100, 500)]
    for name in ("levels", "curves", "risk-coverage", "flips", "slices"):
        assert list(dict.fromkeys(numbers(name, comparison)["group"])) == order
    assert set(numbers("differences", comparison)["group"]) == {ALL, *order}


def weighed(level: str, seed: int, rows: list[tuple[int, str, float, float, int]] | None) -> dict[str, Any]:
    table = pd.DataFrame(rows or [], columns=["epoch", "teacher", "gap", "ratio", "rows"])
    table = table.astype({"gap": np.float32, "ratio": np.float32})
    return {"weighting.policy": level, "seed": seed, "test/accuracy": 0.5, "validation/accuracy": 0.5,
            "files": {} if rows is None else {"ratios": table}}  # fmt: skip


def test_ratios_are_pooled_over_students_and_told_apart_by_teacher_and_gap(compared):
    runs = [
        weighed("tgeo", 0, [(1, "right", 0.2, 0.6, 30), (1, "right", 0.4, 0.6, 5), (2, "wrong", 0.8, 0.05, 7)]),
        weighed("tgeo", 1, [(1, "right", 0.0, 0.6, 20), (1, "right", 0.2, 0.95, 50)]),
        weighed("plain", 0, None),
        weighed("plain", 1, None),
    ]
    found = numbers("ratios", compared(runs, "weighting.policy"))
    assert set(found["level"]) == {"tgeo"} and set(found["n"]) == {2}
    rows = found.set_index(["teacher", "gap", "epoch", "ratio"])["rows"].to_dict()
    assert rows == {
        ("right", "small", 1, 0.6): 50, ("right", "small", 1, 0.95): 50, ("right", "large", 1, 0.6): 5,
        ("wrong", "large", 2, 0.05): 7,
    }  # fmt: skip
    assert found.groupby(["teacher", "gap", "epoch"])["share"].sum().tolist() == pytest.approx([1, 1, 1])


def test_words_for_ratios_are_the_means_of_the_last_epoch(compared):
    rows = [(1, "right", 0.0, 0.0, 10), (2, "right", 0.0, 0.5, 30), (2, "right", 0.6, 0.65, 10),
            (2, "wrong", 0.6, 0.1, 4), (2, "wrong", 0.6, 0.15, 4)]  # fmt: skip
    found = drawn("ratios", compared([weighed("tgeo", seed, rows) for seed in range(2)], "weighting.policy"))
    assert "tgeo right 0.56, wrong 0.15." in found.alt
    kinds = [axes for axes in found.figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in kinds] == [
        "right,\nsmall gap", "right,\nlarge gap", "wrong,\nsmall gap", "wrong,\nlarge gap",
    ]  # fmt: skip
    assert [len(axes.images) for axes in kinds] == [1, 1, 0, 1]
    heat = kinds[0].images[0].get_array()
    assert heat.shape == (20, 2) and heat[0, 0] == 1 and heat[10, 1] == 1 and heat.sum() == 2
    assert kinds[1].images[0].get_array().mask[:, 0].all()  # no such rows in the first epoch


def spoiled(level: str, seed: int, rows: list[tuple[int, str, str, float, float, int]]) -> dict[str, Any]:
    run = weighed(level, seed, None)
    table = pd.DataFrame(rows, columns=["epoch", "fault", "teacher", "gap", "ratio", "rows"])
    run["files"] = {"ratios": table.astype({"gap": np.float32, "ratio": np.float32})}
    return run


def test_ratios_of_rows_that_were_spoiled_on_purpose_have_panels_of_their_own(compared):
    rows = [(1, "none", "right", 0.0, 0.5, 30), (1, "labels", "wrong", 0.6, 0.1, 10),
            (1, "labels+images", "wrong", 0.6, 0.3, 30), (1, "images", "right", 0.0, 0.6, 10)]  # fmt: skip
    runs = [spoiled("tgeo", seed, rows) for seed in range(2)]
    found = numbers("ratios", compared(runs, "weighting.policy"))
    by_fault = found.groupby("fault")["rows"].sum().to_dict()
    assert by_fault == {"none": 60, "labels": 20, "labels+images": 60, "images": 20}
    view = drawn("ratios", compared(runs, "weighting.policy"))
    titles = [axes.get_title() for axes in view.figure.axes if axes.get_title()]
    assert titles[4:] == ["sound", "wrong label", "noise"]
    assert "tgeo right 0.55, wrong 0.28, sound 0.53, wrong label 0.28, noise 0.40." in view.alt


def test_ratios_of_a_record_that_tells_no_faults_are_not_called_sound(compared):
    told = [(1, "none", "right", 0.0, 0.5, 30)]
    runs = [weighed("old", 0, [(1, "right", 0.0, 0.5, 8)]), spoiled("new", 0, told)]
    found = numbers("ratios", compared(runs, "weighting.policy"))
    assert found.set_index("level")["fault"].to_dict() == {"old": "", "new": "none"}
    assert "old right 0.53 and new right 0.53, sound 0.53." in drawn("ratios", compared(runs, "weighting.policy")).alt


def test_where_nobody_weighed_the_reason_is_told(compared):
    runs = [weighed(level, seed, rows) for level, rows in (("a", None), ("b", [])) for seed in range(2)]
    with pytest.raises(CannotShow, match="no shown student weighed labels against a teacher"):
        numbers("ratios", compared(runs, "weighting.policy"))
