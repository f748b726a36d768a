"""Search spaces: what a file means, what is refused before anything starts, and what a change of one is."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from selkd.config import Workspace
from selkd.errors import UserError
from selkd.sweeps import goals
from selkd.sweeps.parameters import Log
from selkd.sweeps.space import SearchSpace
from selkd.training.evaluation import costs, scored
from selkd.training.setup import Setup
from selkd.training.workers import Workers

TEXT = """
base: base.yaml
search:
  objective.name: {choice: [kd, selkd]}
  objective.*: declared
  student.width: {integer: [4, 16], step: 4}
forbid: [{objective.name: kd, student.width: 16}]
metrics: {validation/accuracy: maximise, cost/parameters: minimise}
constraints: {cost/multiply_adds: {at_most: 1e6}}
budget: {candidates: 50, seeds: 3}
sampler: tpe
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "base.yaml").write_text("teacher: big\ntraining: {epochs: 2}\n")
    path = tmp_path / "closed-sinkhorn.yaml"
    path.write_text(TEXT)
    return path


def test_a_file_is_read_with_its_base_its_name_and_its_overrides(file: Path) -> None:
    found = SearchSpace.read(file, ["budget.candidates=5", "base.training.epochs=7"])
    assert found.name == "closed-sinkhorn"
    assert found.budget.candidates == 5
    assert found.base == {"teacher": "big", "training": {"epochs": 7}}
    assert set(found.search) == {
        "objective.name", "student.width", "objective.alpha", "objective.gamma", "objective.epsilon",
        "objective.temperature",
    }  # fmt: skip


def test_a_resolved_space_is_read_back_and_depends_on_nothing_else(file: Path) -> None:
    space = SearchSpace.read(file)
    record = json.loads(json.dumps(space.model_dump(mode="json")))
    assert "*" not in json.dumps(record["search"])
    again = SearchSpace.model_validate(record)
    assert again == space
    assert again.model_dump(mode="json") == record
    assert record["sampler"] == {"name": "tpe", "startup": 10, "draws": 24}


@pytest.mark.parametrize("search", ["objective.*", ["objective.*"], {"objective.*": "declared"}])
def test_a_wildcard_finds_what_the_objective_declares_and_can_use(space: Any, search: Any) -> None:
    closed = space(search=search)
    assert set(closed.search) == {"objective.alpha", "objective.gamma", "objective.epsilon"}
    assert closed.search["objective.epsilon"] == Log(log=(0.5, 10.0))
    opened = space(search=search, base=closed.base | {"task": {"mode": "open"}})
    assert "objective.mass" in opened.search


def test_what_is_written_out_wins_over_a_wildcard(space: Any) -> None:
    searched = {"objective.epsilon": {"log": [1, 2]}, "objective.*": "declared"}
    assert space(search=searched).search["objective.epsilon"] == Log(log=(1.0, 2.0))


def test_a_taught_teacher_is_the_bases_teacher(space: Any) -> None:
    found = space(teacher={"name": "wise"}, base={"objective": {"name": "selkd"}})
    assert found.base["teacher"] == "wise"
    assert SearchSpace.model_validate(found.model_dump(mode="json")) == found


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"search": {}}, "nothing is searched"),
    ({"search": {"objective.epsilom": {"log": [1, 2]}}}, "Did you mean 'objective.epsilon'"),
    ({"search": {"objective.epsilon": {"loog": [1, 2]}}}, "Did you mean 'log'"),
    ({"search": {"objective.epsilon": {"log": [1, 2], "wen": {}}}}, "Did you mean 'when'"),
    ({"search": {"objective.epsilon": {"uniform": [-1, 2]}}}, r"-1.0 is not possible: objective.epsilon"),
    ({"search": {"student.width": {"integer": [1, 10_000]}}}, "10000 is not possible"),
    ({"search": {"objective.temperature": {"log": [1, 2]}}}, "none has objective.name kd"),
    ({"search": {"objective.mass": {"uniform": [0.5, 1]}}}, "no candidate has it"),
    ({"search": {"student.width": {"choice": [4], "when": {"student.model": "mlp"}}}}, "no candidate has it"),
    ({"search": {"student.model": {"choice": ["cnn", "cmn"]}}}, "Did you mean 'cnn'"),
    ({"search": {"objective.name": {"choice": ["kd", ["selkd"]]}}}, r"\['selkd'\] names nothing. Valid: .*selkd"),
    ({"search": {"objective.name": {"grid": [["kd"]]}, "objective.*": "declared"}}, "names nothing"),
    ({"search": {"objective": {"choice": ["kd", ["selkd"]]}, "objective.*": "declared"}}, "names nothing"),
    ({"search": {"objective": {"choice": ["kd", {"name": ["selkd"]}]}}}, "names nothing"),
    ({"search": {"selection.samples": {"choice": [3]}}}, "3 names nothing"),
    ({"search": {"objective": {"choice": ["kd", {"name": "selkd", "epsilo": 2}]}}}, "Did you mean 'epsilon'"),
    ({"search": "student.width"}, "no range is declared"),
    ({"search": "objectiv.*"}, "unknown key"),
    ({"search": {"seed": {"integer": [0, 5]}}}, "budget.seeds"),
    ({"search": {"data.seed": {"integer": [0, 5]}}}, "share their splits"),
    ({"search": {"student.width": {"subset": {"size": 2}}}}, "Use it for task.categories"),
    ({"search": {"training.batch_size": {"choice": [8], "when": {"student.modle": "cnn"}}}}, "student.model"),
    (
        {
            "search": {
                "data.augment.flip": {"choice": [True], "when": {"data.augment.crop": 1}},
                "data.augment.crop": {"choice": [1], "when": {"data.augment.flip": True}},
            }
        },
        "goes in a circle",
    ),
    (
        {
            "search": {
                "objective.student_columns": {"choice": ["free", "batch"]},
                "objective.teacher_columns": {"choice": ["target", "batch"]},
            }
        },
        "Forbid it",
    ),
    ({"forbid": [{"objective.name": "selkd"}]}, "every candidate is forbidden"),
    ({"forbid": [{}]}, "empty entry"),
    ({"forbid": [{"objective.nam": "kd"}]}, "objective.name"),
    ({"first": [{"student.width": 3}]}, "not searched"),
    ({"metrics": {}}, "metrics: none"),
    ({"metrics": {"validation/acuracy": "maximise"}}, "Did you mean 'validation/accuracy'"),
    ({"metrics": {"accuracy": "maximise"}}, "Did you mean 'validation/accuracy'"),
    ({"metrics": {"validation/auroc": "maximise"}}, "task.mode closed"),
    ({"metrics": {"test/accuracy": "maximise"}}, "nothing may be chosen. Use 'validation/accuracy'"),
    ({"metrics": ["validation/acuracy"]}, "Did you mean 'validation/accuracy'"),
    ({"metrics": [3]}, "metrics"),
    ({"metrics": [["validation/nll"]]}, "metrics"),
    ({"metrics": {"validation/accuracy": "up"}}, "Valid: maximise, minimise"),
    ({"metrics": {"target/accuracy": "maximise"}}, "needs a target"),
    ({"target": ["three"]}, "does nothing"),
    ({"constraints": {"cost/parametrs": {"at_most": 3}}}, "Did you mean 'cost/parameters'"),
    ({"constraints": {"cost/parameters": {}}}, "give at_least, at_most"),
    ({"constraints": {"cost/parameters": {"at_least": 2, "at_most": 1}}}, "Exchange them"),
    ({"constraints": {"validation/accuracy": {"at_least": 90}}}, "is 1 at most, never at_least 90. Lower it"),
    ({"constraints": {"gain/accuracy": {"at_most": -2}}}, "is -1 at least, never at_most -2. Raise it"),
    ({"constraints": {"cost/parameters": {"at_most": -1}}}, "is 0 at least, never at_most -1. Raise it"),
    ({"sampler": "tpee"}, "Did you mean 'tpe'"),
    ({"sampler": {"name": "tpe", "start": 3}}, "Did you mean 'startup'"),
    ({"sampler": "grid"}, "cannot try every value of objective.epsilon"),
    ({"sampler": "random", "warm_start": "other"}, "does not look at results"),
    ({"stopping": "medain"}, "Did you mean 'median'"),
    ({"stopping": "asha", "metrics": {"gain/accuracy": "maximise"}}, "not known during training"),
    ({"budget": {}}, "nothing ends this study"),
    ({"budjet": {}}, "Did you mean 'budget'"),
    ({"base": {"objective": "selkd"}}, "base: teacher"),
    ({"base": "other.yaml"}, "only from a space in a file"),
    ({"base": {"seed": 3}}, "base.seed: does nothing, .*Write seed beside base, or remove it"),
    ({"base": {"name": "mine"}}, "base.name: does nothing, .*Write name beside base"),
    ({"base": {"experiment": "mine"}}, "base.experiment: does nothing"),
    ({"base": {"data": {"seed": 3}}, "budget": {"candidates": 2, "resplit": True}}, "budget.resplit gives each seed"),
    ({"comparison": {"by": "objective.gama"}}, "comparison.by: 'objective.gama' is not searched"),
    ({"search": {"objective": {"choice": ["kd"]}}, "comparison": {"by": "objective"}}, "is a group of keys"),
    ({"comparison": {"by": "objective.alpha", "looks": [4, 8]}}, "the first is after budget.seeds, 1"),
    ({"comparison": {"by": "objective.alpha", "looks": [8, 4]}}, "do not grow"),
    ({"comparison": {"by": "objective.alpha", "within": ["data.rows"]}}, "comparison.within"),
    ({"teacher": {"name": "wise"}}, "is not the taught teacher 'wise'"),
    ({"name": "a b"}, "name"),
]


@pytest.mark.parametrize(("changes", "said"), REFUSED, ids=lambda value: str(value)[:60])
def test_a_wrong_space_is_refused_in_words(space: Any, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as told:
        space(**changes)
    assert str(told.value).startswith("search space: ")


def test_a_wrong_file_is_named(file: Path) -> None:
    file.write_text(TEXT.replace("student.width: {integer", "student.widht: {integer"))
    with pytest.raises(UserError, match=r"closed-sinkhorn.yaml: search: 'student.widht'.*'student.width'"):
        SearchSpace.read(file)


def test_a_forbidden_combination_makes_an_impossible_one_possible_to_search(space: Any) -> None:
    searched = {
        "objective.student_columns": {"choice": ["free", "batch"]},
        "objective.teacher_columns": {"choice": ["target", "batch"]},
    }
    found = space(
        search=searched,
        forbid=[{"objective.student_columns": "batch", "objective.teacher_columns": "target"}],
    )
    assert found.candidates.size(lambda _: 0).total == 3


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("validation/nll", {"validation/nll": "minimise"}),
        ("validation/accuracy", {"validation/accuracy": "maximise"}),
        (["gain/nll", "cost/parameters"], {"gain/nll": "minimise", "cost/parameters": "minimise"}),
        ({"validation/nll": "maximize"}, {"validation/nll": "maximise"}),
    ],
    ids=str,
)
def test_a_metric_named_alone_has_its_usual_direction(space: Any, written: Any, meant: dict[str, str]) -> None:
    assert space(metrics=written).metrics == meant


def test_every_metric_has_a_usual_direction_that_somebody_chose() -> None:
    """Whoever adds a metric says here which way is better."""
    smaller = {name.rpartition("/")[2] for mode in ("closed", "open") for name in goals.known(mode)
               if goals.directions(name)[name] == "minimise"}  # fmt: skip
    larger = {name.rpartition("/")[2] for mode in ("closed", "open") for name in goals.known(mode)} - smaller
    assert smaller == {"nll", "calibration_error", "fpr_at_95_tpr", "parameters", "multiply_adds", "latency_ms"}
    answers = {"accuracy", "in_task_accuracy", "reject_recall", "balanced", "macro_f1"}
    curves = {"auroc", "aupr", "oscr", "always_reject", "always_reject_balanced"}
    assert larger == answers | {f"{name}_at_threshold" for name in answers} | curves


def test_a_difference_names_keys_and_knows_what_is_harmless(space: Any) -> None:
    before = space()
    more = space(budget={"candidates": 80}, concurrent=3, description="longer")
    assert before.difference(more).lines == [
        'description: "" -> "longer"', "budget.candidates: 20 -> 80", "concurrent: null -> 3",
    ]  # fmt: skip
    assert before.difference(more).harmless
    workers = space(budget={"candidates": 20}, base=before.base | {"workers": {"count": 2}})
    assert before.difference(workers).harmless, "any number of workers gives the same student"
    assert before.difference(before) == ([], True)
    wider = space(search={"objective.epsilon": {"log": [0.5, 20]}})
    told = before.difference(wider)
    assert "search.objective.epsilon.log: [0.5, 10.0] -> [0.5, 20.0]" in told.lines
    assert not told.harmless
    assert not before.difference(space(budget={"candidates": 20, "seeds": 2})).harmless


def test_the_twin_differs_in_the_objective_alone(space: Any) -> None:
    found = space(
        search={"task.categories": {"subset": {"size": 2}}, "objective.epsilon": {"log": [1, 2]}},
        metrics={"gain/accuracy": "maximise"},
    )
    assert found.needs_twin and not space().needs_twin
    config = found.config({"task.categories": ["one", "two"], "objective.epsilon": 1.5}, 4)
    twin = found.twin(config)
    assert twin.objective.name == "cross-entropy"
    assert twin.model_dump(exclude={"objective"}) == config.model_dump(exclude={"objective"})
    other = found.config({"task.categories": ["one", "two"], "objective.epsilon": 1.2}, 4)
    assert found.twin(other).key == twin.key, "candidates with the same subset and seed share their twin"


def test_values_are_means_over_seeds_and_constraints_are_relative_misses(space: Any) -> None:
    found = space(
        metrics={"gain/accuracy": "maximise", "target/accuracy": "maximise", "cost/parameters": "minimise"},
        target=["three", "five"],
        constraints={"cost/parameters": {"at_most": 100}, "validation/accuracy": {"at_least": 0.8}},
    )
    common = {"validation/accuracy/three": 1.0, "validation/accuracy/one": 0.1}
    trials = [
        common | {"validation/accuracy": 0.9, "cost/parameters": 120.0},
        common | {"validation/accuracy": 0.7, "cost/parameters": 130.0},
    ]
    twins = [{"validation/accuracy": 0.8}, {"validation/accuracy": 0.7}]
    told = found.objective_values(trials, twins)
    assert told.values == pytest.approx([0.05, 0.5, 125.0])
    assert told.constraints == pytest.approx([0.25, 0.0])
    assert told.finite
    assert math.isnan(found.objective_values(trials, [{}, {}]).values[0])


@pytest.mark.parametrize("mode", ["closed", "open"])
def test_the_known_metrics_are_those_that_runs_record(mode: str, tmp_path: Path, space: Any) -> None:
    base = {"task": {"mode": mode, "categories": ["one", "two"]}, "student": {"width": 4}}
    config = space(search={"student.width": {"choice": [4]}}, base=base).config({}, 0)
    setup = Setup.of(config, Workspace(tmp_path), Workers(), torch.device("cpu"))
    student: nn.Module = setup.student()
    answers = scored(setup, student.eval(), setup.splits.validation)
    recorded = {f"validation/{name}" for name in answers.metrics(answers.threshold()) if "accuracy/" not in name}
    recorded |= set(costs(setup, student))
    assert recorded == {name for name in goals.known(mode) if not name.startswith("gain/")}


def test_the_front_is_what_nothing_beats() -> None:
    points = {0: [0.9, 100.0], 1: [0.8, 50.0], 2: [0.8, 60.0], 3: [0.95, 100.0], 4: [0.8, 50.0]}
    assert goals.front(points, ["maximise", "minimise"]) == [1, 3, 4]


def test_seeds_split_the_data_anew_where_that_is_asked(file: Path) -> None:
    parameters = {"objective.name": "kd", "student.width": 4}
    for resplit, expected in ((False, [0, 0]), (True, [3, 4])):
        space = SearchSpace.read(file, [f"budget.resplit={str(resplit).lower()}"])
        configs = [space.config(parameters, seed) for seed in (3, 4)]
        assert [config.data.seed for config in configs] == expected
        assert [space.twin(config).data.seed for config in configs] == expected


def test_a_declared_comparison_does_not_change_once_students_are_trained(file: Path) -> None:
    before = SearchSpace.read(file, ["comparison.by=objective.name", "comparison.looks=[3, 6]"])
    assert before.comparison is not None
    assert before.comparison.looks == [3, 6]
    assert not before.difference(SearchSpace.read(file, ["comparison.by=objective.name"])).harmless


def test_a_taught_teacher_is_the_runs_own_unless_a_policy_chooses(space: Any) -> None:
    taught = {"teacher": {"name": "big", "student": {"model": "mlp"}}}
    assert space(**taught).base["teacher"] == "big"
    chosen = {"objective": "transport", "selection": {"teachers": "overlap"}}
    assert "teacher" not in space(**taught, base=chosen, search={"objective.epsilon": "declared"}).base
