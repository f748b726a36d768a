"""An option that could not act is refused with what stands against it; defaults and full records are not."""

from typing import Any

import pytest

from selkd.config import RunConfig, validate
from selkd.errors import UserError

OPEN = {"categories": ["three", "five"], "mode": "open"}
CLOSED = {"categories": ["three", "five"]}


def selkd(task: dict[str, Any], **objective: Any) -> dict[str, Any]:
    return {"task": task, "teacher": "t", "objective": {"name": "selkd", **objective}}


def tgeo(**weighting: Any) -> dict[str, Any]:
    return {"data": {"outer": 0.1}, "teacher": "t", "objective": "kd", "weighting": {"policy": "tgeo", **weighting}}


def ranked(**teachers: Any) -> dict[str, Any]:
    return {"objective": "transport", "selection": {"teachers": {"policy": "transport", **teachers}}}


@pytest.mark.parametrize(
    ("config", "key", "other", "remedy"),
    [
        (selkd(OPEN, teacher_columns="free"), "objective.teacher_columns", "task.mode: open", "task.mode=closed"),
        (selkd(OPEN, student_columns="target"), "objective.student_columns", "task.mode: open", "task.mode=closed"),
        (selkd(OPEN, target=[0.5, 0.5]), "objective.target", "task.mode: open", "task.mode=closed"),
        (selkd(CLOSED, mass=0.7), "objective.mass", "task.mode: closed", "task.mode=open"),
        (selkd(CLOSED, normalise="raw"), "objective.normalise", "task.mode: closed", "task.mode=open"),
        (selkd(CLOSED, target=[0.5, 0.5], teacher_columns="free"), "objective.target", "teacher_columns", "=target"),
        *(
            (selkd(OPEN, parity="official", **{name: value}), f"objective.{name}", "parity: official", "=null")
            for name, value in {"epsilon": 2.0, "mass": 0.5, "student_columns": "target", "target": [0.5, 0.5],
                                "normalise": "raw", "tolerance": 1e-3, "max_iterations": 3}.items()
        ),
        (
            {"training": {"schedule": {"milestones": [0.5]}}},
            "training.schedule.milestones", "training.schedule.name: cosine", "training.schedule.name=step",
        ),
        (
            {"training": {"schedule": {"name": "constant", "factor": 0.5}}},
            "training.schedule.factor", "training.schedule.name: constant", "training.schedule.name=step",
        ),
        (
            {"training": {"teacher": "online", "views": 9}},
            "training.views", "training.teacher: online", "training.teacher=stored",
        ),
        (
            {"training": {"steps": 9}, "selection": {"samples": {"policy": "all", "equal": "steps"}}},
            "selection.samples.equal", "training.steps: 9", "training.epochs",
        ),
        (
            {"selection": {"samples": {"policy": "pruning", "rounds": 9}}},
            "selection.samples.rounds", "selection.samples.score: random", "selection.samples.score=el2n",
        ),
        (
            {"task": CLOSED, "selection": {"categories": "random"}},
            "task.categories", "selection.categories.policy: random", "selection.categories.policy=explicit",
        ),
        *(
            (tgeo(parity="official", **{name: value}), f"weighting.{name}", "parity: official", "=null")
            for name, value in {"every": 3, "lr": 0.5, "dim": 4, "relations": "intra", "features": "summary"}.items()
        ),
        (tgeo(layers=1, dim=4), "weighting.dim", "weighting.layers: 1", "weighting.layers=2"),
        (tgeo(layers=1, heads=2), "weighting.heads", "weighting.layers: 1", "weighting.layers=2"),
        *(
            (ranked(level=level, **{name: 7}), f"selection.teachers.{name}", f".level: {level}", f".level={needed}")
            for name, level, needed in (("steps", 1, 2), ("second", 0, 2), ("first", 0, 1), ("rows", 0, 1))
        ),
        (ranked(spread=0.1), "selection.teachers.spread", "selection.teachers.number: 1", ".number=2"),
        (tgeo(parts="vertices", edges="squared"), "weighting.edges", "weighting.parts: vertices", "parts=both"),
    ],
)  # fmt: skip
def test_both_keys_and_the_remedy_are_named(config: dict[str, Any], key: str, other: str, remedy: str) -> None:
    with pytest.raises(UserError) as error:
        validate(RunConfig, config, "run.yaml")
    assert str(error.value).startswith(f"run.yaml: {key}: ")
    assert other in str(error.value)
    assert f"Remove {key}, or set " in str(error.value)
    assert remedy in str(error.value)


@pytest.mark.parametrize(
    "config",
    [
        selkd(OPEN, mass=0.7, normalise="raw"),
        selkd(CLOSED, target=[0.5, 0.5], teacher_columns="target"),
        selkd(OPEN, parity="official"),
        tgeo(layers=3, dim=4, parts="edges", edges="squared"),
        {"training": {"schedule": {"name": "step", "factor": 0.5, "milestones": [0.5]}}},
        {"training": {"teacher": "online"}},
        {"task": {"mode": "open"}, "selection": {"categories": {"policy": "random", "size": 2}}},
    ],
)
def test_what_acts_is_read_and_its_full_record_too(config: dict[str, Any]) -> None:
    read = RunConfig.model_validate(config)
    assert RunConfig.model_validate(read.model_dump(mode="json")) == read
