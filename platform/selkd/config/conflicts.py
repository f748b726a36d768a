"""Options that cannot act beside others: a value that differs from its default and would do nothing is refused."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import BaseModel

if TYPE_CHECKING:
    from selkd.config.run import RunConfig

CLOSED_ONLY = ("teacher_columns", "student_columns", "target")
OPEN_ONLY = ("mass", "normalise")
NOT_OFFICIAL_TGEO = (
    "every", "outer_rows", "lr", "weight_decay", "layers", "dim", "relations", "parts", "edges", "features", "heads",
)  # fmt: skip
NOT_OFFICIAL = ("epsilon", *CLOSED_ONLY, *OPEN_ONLY, "tolerance", "max_iterations")

Conflict = tuple[str, BaseModel, tuple[str, ...], str, str]
"""Group of the keys, its settings, the keys that cannot act, what keeps them from it, and what lets them."""


def refuse_what_cannot_act(config: "RunConfig") -> None:
    """Defaults are not refused: the record of a run holds them all."""
    for group, settings, names, reason, remedy in conflicts(config):
        for name in names:
            field = type(settings).model_fields.get(name)
            if field is not None and (value := getattr(settings, name)) != field.default:
                key = f"{group}.{name}"
                raise ValueError(f"{key}: {value!r} does nothing with {reason}. Remove {key}, or set {remedy}.")


def conflicts(config: "RunConfig") -> Iterator[Conflict]:
    """Keys that do nothing in this configuration, whatever their values."""
    objective, training = config.objective, config.training
    if getattr(objective, "parity", None):
        yield "objective", objective, NOT_OFFICIAL, f"objective.parity: {objective.parity}", "objective.parity=null"
    if config.task.mode == "open":
        yield "objective", objective, CLOSED_ONLY, "task.mode: open", "task.mode=closed"
    else:
        yield "objective", objective, OPEN_ONLY, "task.mode: closed", "task.mode=open"
    columns = {getattr(objective, name, None) for name in ("teacher_columns", "student_columns")}
    if "target" not in columns:
        reason = "neither objective.teacher_columns nor objective.student_columns: target"
        yield "objective", objective, ("target",), reason, "objective.teacher_columns=target"
    if training.schedule.name != "step":
        reason = f"training.schedule.name: {training.schedule.name}"
        yield "training.schedule", training.schedule, ("milestones", "factor"), reason, "training.schedule.name=step"
    if config.selection.categories.policy != "explicit":
        reason = f"selection.categories.policy: {config.selection.categories.policy}"
        yield "task", config.task, ("categories",), reason, "selection.categories.policy=explicit"
    yield from _of_weighting(config)
    yield from _of_teachers(config)
    if config.teacher is None:
        yield "data.faults", config.data.faults, ("teacher",), "teacher: null", "teacher"
    samples = config.selection.samples
    if training.steps is not None:
        reason = f"training.steps: {training.steps}"
        yield "selection.samples", samples, ("equal",), reason, "training.epochs instead of steps"
    if getattr(samples, "score", "el2n") != "el2n":
        reason = f"selection.samples.score: {samples.score}"
        yield "selection.samples", samples, ("rounds",), reason, "selection.samples.score=el2n"
    if training.teacher == "online":
        yield "training", training, ("views",), "training.teacher: online", "training.teacher=stored"


def _of_weighting(config: "RunConfig") -> Iterator[Conflict]:
    weighting = config.weighting
    if getattr(weighting, "parity", None):
        reason = f"weighting.parity: {weighting.parity}"
        yield "weighting", weighting, NOT_OFFICIAL_TGEO, reason, "weighting.parity=null"
    elif getattr(weighting, "layers", None) == 1:
        yield "weighting", weighting, ("dim", "heads"), "weighting.layers: 1", "weighting.layers=2"
    if getattr(weighting, "parts", None) == "vertices":
        yield "weighting", weighting, ("edges",), "weighting.parts: vertices", "weighting.parts=both"


def _of_teachers(config: "RunConfig") -> Iterator[Conflict]:
    teachers = config.selection.teachers
    level, group = getattr(teachers, "level", 2), "selection.teachers"
    if level < 2:
        yield group, teachers, ("second", "steps"), f"{group}.level: {level}", f"{group}.level=2"
    if level < 1:
        yield group, teachers, ("first", "rows"), f"{group}.level: 0", f"{group}.level=1"
    if getattr(teachers, "number", 2) == 1:
        yield group, teachers, ("spread",), f"{group}.number: 1", f"{group}.number=2"
