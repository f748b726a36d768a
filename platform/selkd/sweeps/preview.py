"""What a study would do: its size, some of its candidates, and how many students, hours and bytes it would take.

Students are measured by training some of the sampled candidates for a few steps, without a record. They train on as
many rows as they would, but on any rows: a policy that chooses them may need more steps before it can.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from selkd.config import RunConfig, Workspace
from selkd.errors import UserError
from selkd.models import cost
from selkd.models.teachers import TeacherRepository
from selkd.selection.samples.plain import CONTROLS
from selkd.sweeps.candidates import Parameters, Size
from selkd.sweeps.needed import refuse_missing
from selkd.sweeps.room import at_once, here
from selkd.sweeps.space import SearchSpace
from selkd.sweeps.studies import proposer_of
from selkd.training.loop import Epoch
from selkd.training.run import fit, threads
from selkd.training.workers import Workers

SAMPLED = 10
MEASURED = 3
STEPS = 20
CONCLUDING = 0.5
"""Seconds in which a finished student is scored, drawn and written; seen on one core of a laptop."""
FORWARD = 1 / 3
"""Share of a training step's time that answering the same rows takes."""
LOOKING = 0.01
"""Seconds in which metrics and a checkpoint of an epoch are written."""
FILES = 350_000
"""Bytes of a student's figures and records; weights, checkpoints and predictions are counted apart."""


@dataclass(frozen=True)
class Preview:
    """What a study would do. Hours and bytes are estimates; None where nothing bounds them."""

    size: Size
    candidates: pd.DataFrame
    students: int | None
    twins: int
    seconds_per_student: float
    concurrent: int
    hours: float | None
    bytes: int | None
    notes: list[str]


@dataclass(frozen=True)
class Measured:
    """What one student takes."""

    seconds: float
    bytes: int
    costs: dict[str, float]  # those that do not depend on the machine


def preview(space: SearchSpace, workspace: Workspace | None = None) -> Preview:
    """Look at a study before it starts. Nothing is recorded; the test split is not read."""
    workspace = workspace or Workspace.default()
    refuse_missing(space, workspace)
    proposer = proposer_of(space, workspace)
    drawn = [found for number in range(SAMPLED) if (found := proposer.propose(number)) is not None]
    notes = [*_without_controls(space), *_hopeless(space)]
    measured = _measured(space, drawn, workspace, notes)
    notes += _kept_by_none(space, measured)
    seconds = sum(one.seconds for one in measured) / len(measured)
    candidates = _fewest(space.budget.candidates, proposer.size.total)
    concurrent = _concurrent(space, notes)
    twins = _twins(space, drawn, candidates)
    students = None if candidates is None else candidates * space.budget.seeds
    trained = None if students is None else students + twins
    return Preview(
        size=proposer.size,
        candidates=pd.DataFrame(drawn, dtype=object),  # whole numbers stay whole where some have none
        students=students,
        twins=twins,
        seconds_per_student=seconds,
        concurrent=concurrent,
        hours=_hours(space, trained, seconds, concurrent),
        bytes=None if trained is None else trained * max(one.bytes for one in measured),
        notes=list(dict.fromkeys(notes)),
    )


def _without_controls(space: SearchSpace) -> Iterator[str]:
    """Policies of rows that are compared with each other alone."""
    for key in ("selection.samples", "selection.samples.policy"):
        values = (space.search[key].values() if key in space.search else None) or ()
        policies = {value["policy"] if isinstance(value, Mapping) else value for value in values}
        if len(policies) > 1 and not policies & {*CONTROLS}:
            controls = " and ".join(CONTROLS)
            yield f"{key}: no policy is a control. Add {controls}, at the same keep, to see what any is worth."


def _hopeless(space: SearchSpace) -> Iterator[str]:
    """Looks after so few seeds that nothing can be told, whatever is seen."""
    plan = space.comparison
    if plan is None or not plan.looks:
        return
    searched = [space.search[key].values() or () for key in plan.by.split("+") if key in space.search]
    levels = max(map(len, searched), default=2)
    contrasts = max(1, levels - 1 if plan.baseline else levels * (levels - 1) // 2)
    looks = [look for look in plan.looks if 2.0 ** (1 - look) > plan.alpha / contrasts]  # n pairs have 2^n sign flips
    if looks:
        yield (
            f"comparison.looks: at {' and '.join(map(str, looks))} seeds no p-value is small enough to tell anything, "
            f"with {contrasts} contrast{'s' * (contrasts > 1)} or more. Look later, or compare fewer levels."
        )


def _measured(space: SearchSpace, drawn: list[Parameters], workspace: Workspace, notes: list[str]) -> list[Measured]:
    """The first sampled candidates that can be trained; why the others cannot is noted."""
    if not drawn:
        raise UserError(f"{space.name}: the space has no candidate. Widen the search, or forbid less.")
    found: list[Measured] = []
    refused: list[str] = []
    for parameters in drawn:
        try:
            found.append(_trained(space, parameters, workspace, notes))
        except UserError as error:
            refused.append(str(error))
        if len(found) == MEASURED:
            break
    if not found:
        raise UserError(f"{space.name}: none of {len(drawn)} sampled candidates can be trained. {refused[0]}")
    notes += [f"A sampled candidate cannot be trained: {reason}" for reason in refused]
    return found


def _trained(space: SearchSpace, candidate: Parameters, workspace: Workspace, notes: list[str]) -> Measured:
    config = space.config(candidate, space.seed)
    tree: dict[str, Any] = config.model_dump(mode="json")
    taught = TeacherRepository(workspace.teachers).names()
    chosen = config.crosses and config.selection.teachers.chooses
    if (chosen and not taught) or (config.teacher is not None and config.teacher not in taught):
        tree |= {"teacher": None, "objective": "cross-entropy"}
        tree["selection"].pop("categories")
        tree["data"].pop("faults")
        notes.append(
            f"The teacher {config.teacher or 'to choose'!r} is not taught yet: students were measured without it, "
            "and its own training is not counted."
        )
    tree["selection"]["samples"] = {"policy": "all", "keep": config.selection.samples.keep}
    tree["training"] |= {"epochs": None, "steps": STEPS, "keep": "last", "validate_every": 1}
    tree["workers"] |= {"count": 1}
    speeds: list[float] = []

    def heard(epoch: Epoch) -> None:
        speeds.append(epoch.metrics["train/rows_per_second"])

    with threads(config.training.threads):  # the first steps of a process are slow, the later ones are a study's
        setup, student = fit(RunConfig.model_validate(tree), workspace, Workers(), heard, keep=False)
    speed = max(speeds)
    steps, per_epoch = replace(setup, config=config).total_steps, len(setup.batches())
    looks = math.ceil(steps / per_epoch / config.training.validate_every)
    answered = len(setup.splits.validation) * looks + len(setup.splits.test)
    seconds = (steps * config.training.batch_size + FORWARD * answered) / speed + LOOKING * looks + CONCLUDING
    parameters, operations = cost.parameters(student), cost.multiply_adds(student, setup.dataset.train.shape)
    costs = {"cost/parameters": float(parameters), "cost/multiply_adds": float(operations)}
    return Measured(seconds, _bytes(parameters, setup), costs)


def _kept_by_none(space: SearchSpace, measured: list[Measured]) -> Iterator[str]:
    """Constraints on costs that no student that was measured keeps."""
    for name, limit in space.constraints.items():
        found = sorted(one.costs[name] for one in measured if name in one.costs)
        if found and all(any(missed > 0 for missed in limit.violations(value)) for value in found):
            span = f"{found[0]:,.0f} to {found[-1]:,.0f}"
            yield f"None of {len(found)} measured candidates keeps {name}: they have {span}."


def _bytes(parameters: int, setup: Any) -> int:
    """Three checkpoints of weights and momentum, the student, its predictions, and the rest."""
    rows = len(setup.splits.validation) + len(setup.splits.test)
    return 4 * parameters * (3 * 2 + 1) + 10 * rows * (setup.task.outputs + 3) + FILES


def _concurrent(space: SearchSpace, notes: list[str]) -> int:
    """Students at once, on this machine."""
    config = RunConfig.model_validate(space.base)
    found = at_once(config, here(config), space.concurrent)
    if not found:
        notes.append("Not even one student fits on this machine: lower workers.cpus, workers.gpus or workers.count.")
    return max(found, 1)


def _twins(space: SearchSpace, drawn: list[Parameters], candidates: int | None) -> int:
    """Cross-entropy twins: as many for every candidate as the sampled ones have different ones."""
    if not space.needs_twin or candidates is None:
        return 0
    keys = {space.twin(space.config(parameters, space.seed)).key for parameters in drawn}
    return math.ceil(candidates * len(keys) / len(drawn)) * space.budget.seeds


def _hours(space: SearchSpace, students: int | None, seconds: float, concurrent: int) -> float | None:
    """The first limit that the study would reach."""
    limits = [] if students is None else [students * seconds / 3600 / concurrent]
    if space.budget.hours is not None:
        limits.append(space.budget.hours)
    if space.budget.student_hours is not None:
        limits.append(space.budget.student_hours / concurrent)
    return min(limits, default=None)


def _fewest(*counts: int | None) -> int | None:
    return min((count for count in counts if count is not None), default=None)
