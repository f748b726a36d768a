"""Score every teacher of a study on the rows that its students had, and compare with what these became."""

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from selkd.comparison.factors import in_order
from selkd.comparison.statistics import agreement, interval
from selkd.config import RunConfig, Workspace, validate
from selkd.errors import UserError
from selkd.files import fingerprint
from selkd.judging.result import Judgement
from selkd.models.teachers import TeacherRepository
from selkd.selection.teachers import TEACHERS
from selkd.selection.teachers.base import RankingPolicy
from selkd.selection.teachers.related import Related, RelatedSettings
from selkd.sweeps.studies import Study
from selkd.training.evaluation import SCORES
from selkd.training.setup import Setup, device_of
from selkd.training.workers import Workers

TEACHER = "teacher"
FEWEST = 3
"""Teachers of a setting below which no order is worth a word."""

Watch = Callable[[int, int], None]
"""Told of how many sets of rows the teachers were scored, and of how many."""


Scores = Mapping[str, Mapping[str, float]]
"""By score and teacher."""


class Student(NamedTuple):
    """A finished student of a study."""

    setting: str
    config: RunConfig
    teacher: str | None
    outcome: float


def judge(
    study: str,
    workspace: Workspace | None = None,
    *,
    semantics: str | Mapping[str, Any] | None = None,
    watch: Watch = lambda *_: None,
) -> Judgement:
    """Score every teacher of a study on the rows that its students had, and compare with what these became.

    Scores see training rows alone; outcomes are accuracy on test, balanced where tasks are open. With `semantics`,
    costs are those instead of what the students learnt by: would another description of categories have ranked better?
    """
    workspace = workspace or Workspace.default()
    found = Study.read(study, workspace)
    students = list(_students(found))
    taught, left_out = _complete([student for student in students if student.teacher is not None])
    if not taught:
        raise UserError(
            f"{study}: no setting has {FEWEST} teachers with a finished student of every seed. The study must search "
            f"`{TEACHER}` with an objective that learns from teachers of any categories, and go on until it has some."
        )
    tasks = {task.key: task for task in (_task(student.config) for student in taught)}
    names = sorted({student.teacher for student in taught if student.teacher is not None})
    asked = {key: _under(task, semantics) for key, task in tasks.items()}
    known, skipped = _scored(asked, names, workspace, watch)
    if skipped:
        left_out += [f"{name}: {reason}" for name, reason in skipped.items()]
        taught, lacking = _complete([student for student in taught if student.teacher not in skipped])
        left_out += lacking
        if not taught:
            raise UserError(f"{study}: too few of its teachers can be asked. {' '.join(left_out)}")
        names = [name for name in names if name not in skipped]
    alone = {_task(student.config).key: student.outcome for student in students if student.teacher is None}
    table = pd.DataFrame([_row(student, alone, known) for student in taught])
    costs = _costs(list(asked.values())[-1], workspace, names)
    told = "" if semantics is None else f"-{fingerprint(next(iter(asked.values())).semantics.model_dump())[:6]}"
    folder = workspace.root / "rankings" / f"{study}{told}"
    judged = Judgement(study, _agreements(table), _gains(table), costs, table, left_out, folder)
    judged.keep()
    return judged


def _scored(
    tasks: Mapping[str, RunConfig], names: Sequence[str], workspace: Workspace, watch: Watch
) -> tuple[dict[str, Scores], dict[str, str]]:
    """What each score says of each teacher for each set of rows, and why others cannot be asked."""
    cards, skipped = TeacherRepository(workspace.teachers).cards()
    skipped |= {name: "no longer in the repository" for name in names if name not in cards and name not in skipped}
    known: dict[str, Scores] = {}
    for done, (key, task) in enumerate(tasks.items()):
        watch(done, len(tasks))
        evidence = _setup(task, workspace).teacher_evidence()
        there = [name for name in names if name not in skipped]
        known[key] = {score: policy.scores(evidence, there, task.seed) for score, policy in scorers(len(names)).items()}
        skipped |= evidence.skipped
    return known, {name: skipped[name] for name in names if name in skipped}


def scorers(teachers: int) -> dict[str, RankingPolicy]:
    """Every score by name: the three levels, each of all teachers, and every other policy that ranks."""
    others = {
        name: policy(policy.Settings())  # pyright: ignore[reportArgumentType]
        for name, policy in TEACHERS.items()
        if issubclass(policy, RankingPolicy) and policy is not Related
    }
    settings = [RelatedSettings(level=level, first=teachers, second=teachers) for level in (0, 1, 2)]
    return {f"level {one.level}": Related(one) for one in settings} | others


def _students(study: Study) -> Iterator[Student]:
    for candidate in study.state.candidates.values():
        setting = {key: value for key, value in candidate.parameters.items() if key != TEACHER}
        for key in candidate.students:
            trial = study.state.trials[key]
            config = study.space.config(candidate.parameters, trial.seed)
            teacher = config.teacher if config.needs_teacher else None
            if trial.status == "finished" and (not config.needs_teacher or (config.crosses and teacher)):
                yield Student(_told(setting), config, teacher, trial.metrics[f"test/{SCORES[config.task.mode]}"])


def _told(setting: Mapping[str, Any]) -> str:
    """In its shortest words: `objective=transport, rows_per_category=5`."""
    return ", ".join(f"{key.removesuffix('.name').rpartition('.')[2]}={value}" for key, value in setting.items())


def _complete(students: Sequence[Student]) -> tuple[list[Student], list[str]]:
    """In each setting, the largest block of teachers and seeds without a gap; and what that leaves out."""
    kept: list[Student] = []
    left_out = []
    settings = _by(students, lambda one: one.setting)
    for setting in in_order(list(settings)):
        by_teacher = {
            name: {one.config.seed: one for one in own}
            for name, own in _by(settings[setting], lambda one: str(one.teacher)).items()
        }
        seeds, names = _block({name: frozenset(own) for name, own in by_teacher.items()})
        kept += [by_teacher[name][seed] for name in names for seed in sorted(seeds)]
        if further := sorted({seed for own in by_teacher.values() for seed in own} - seeds):
            left_out.append(f"{setting}: seeds that few teachers have finished: {', '.join(map(str, further))}")
        if lacking := sorted(by_teacher.keys() - names):
            left_out.append(f"{setting}: seeds are missing of {', '.join(lacking)}")
    return kept, left_out


def _block(seeds: Mapping[str, frozenset[int]]) -> tuple[frozenset[int], list[str]]:
    """The seeds and the teachers that have them all, so that students are as many as possible; none where too few."""
    least = min(2, len(frozenset().union(*seeds.values())))
    blocks = [(own, [name for name, there in seeds.items() if own <= there]) for own in set(seeds.values())]
    sound = [(own, names) for own, names in blocks if len(own) >= least and len(names) >= FEWEST]
    return max(sound, key=lambda block: (len(block[0]) * len(block[1]), sorted(block[0])), default=(frozenset(), []))


def _by(students: Sequence[Student], key: Callable[[Student], str]) -> dict[str, list[Student]]:
    found: dict[str, list[Student]] = defaultdict(list)
    for student in students:
        found[key(student)].append(student)
    return found


def _task(config: RunConfig) -> RunConfig:
    """The rows and the task of a student, whoever taught it."""
    tree = config.model_dump(mode="json", exclude={"teacher", "objective", "weighting"})
    return RunConfig.model_validate(tree | {"selection": {"categories": tree["selection"]["categories"]}})


def _under(task: RunConfig, semantics: str | Mapping[str, Any] | None) -> RunConfig:
    if semantics is None:
        return task
    return validate(RunConfig, {**task.model_dump(mode="json"), "semantics": semantics}, "judge")


def _setup(task: RunConfig, workspace: Workspace) -> Setup:
    return Setup.of(task, workspace, Workers(), device_of(task))


def _row(student: Student, alone: Mapping[str, float], known: Mapping[str, Scores]) -> dict[str, Any]:
    task, name = _task(student.config).key, str(student.teacher)
    return {
        "setting": student.setting, "seed": student.config.seed, "teacher": name,
        "outcome": student.outcome, "without": alone.get(task, np.nan),
        **{score: values[name] for score, values in known[task].items()},
    }  # fmt: skip


def _agreements(students: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for setting, mine in students.groupby("setting", sort=False):
        wide = mine.pivot(index="seed", columns="teacher")
        outcomes = wide["outcome"].to_numpy(float)
        for score in scorers(outcomes.shape[1]):
            found = agreement(wide[score].to_numpy(float), outcomes)
            row: dict[str, Any] = {"setting": setting, "score": score}
            row |= {"seeds": outcomes.shape[0], "teachers": outcomes.shape[1]}
            for name in ("kendall", "spearman", "regret"):
                estimate = getattr(found, name)
                row |= {name: estimate.value, f"{name} low": estimate.low, f"{name} high": estimate.high}
            rows.append(row)
    return pd.DataFrame(rows)


def _gains(students: pd.DataFrame) -> pd.DataFrame:
    """Seeds are the units of the intervals; the teachers of a share are averaged within each."""
    rows = []
    for setting, mine in students.groupby("setting", sort=False):
        for overlap, alike in mine.groupby("overlap"):
            wide = alike.pivot(index="seed", columns="teacher")
            outcomes, without = (wide[name].to_numpy(float).mean(1) for name in ("outcome", "without"))
            found = interval(outcomes - without)
            rows.append({
                "setting": setting, "overlap": overlap, "teachers": alike["teacher"].nunique(),
                "outcome": outcomes.mean(), "without": without.mean(),
                "gain": (outcomes - without).mean(), "gain low": found.low, "gain high": found.high,
            })  # fmt: skip
    return pd.DataFrame(rows)


def _costs(task: RunConfig, workspace: Workspace, names: Sequence[str]) -> pd.DataFrame:
    """Each score alone, where nobody was asked anything yet."""
    rows = []
    for name, policy in scorers(len(names)).items():
        with _nothing_known(workspace) as fresh:
            setup = _setup(task, fresh)
            evidence, began = setup.teacher_evidence(), time.perf_counter()
            policy.scores(evidence, names, task.seed)
            seconds = time.perf_counter() - began
            rows.append({"score": name, "rows shown": setup.sample.passes.total(), "updates": setup.sample.updates,
                         "seconds": seconds})  # fmt: skip
    return pd.DataFrame(rows)


@contextmanager
def _nothing_known(workspace: Workspace) -> Iterator[Workspace]:
    """The same teachers and data in a workspace without evidence."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = Workspace(Path(folder))
        for there, here in ((workspace.teachers, fresh.teachers), (workspace.data, fresh.data)):
            if there.exists():
                here.symlink_to(there, target_is_directory=True)
        yield fresh
