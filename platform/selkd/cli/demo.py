"""`selkd demo`."""

import os
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from selkd.cli import show, wording

if TYPE_CHECKING:
    from selkd.demo import Figure, Row
    from selkd.sweeps.studies import Study


def demo(json: show.Json = False) -> None:
    """Search students on embedded data: a teacher and two small studies in under 3 minutes on two cores.

    A teacher learns ten digits; students learn four of them from 20 rows a category: closed (only those four appear)
    and open (all ten appear, the student may answer "not selected"). Every objective meets every sample policy, with
    its hyperparameters searched and three seeds. Finished students are not trained again.
    """
    began = time.perf_counter()
    if not json:
        show.err.print("Loading libraries ...")
    from selkd import demo as library
    from selkd.cli import sweep
    from selkd.config import Workspace
    from selkd.training.ray_entry import started
    from selkd.training.teach import teach

    workspace = Workspace.default()
    library.write_files(workspace.root / "demo")
    spaces, studies, before = library.spaces(), [], 0
    with show.resumable(), show.progress("teacher", quiet=json) as heard:
        teach(library.teacher(), workspace, on_epoch=heard)
    if not json:
        show.err.print("Starting Ray ...")
    with show.resumable(), started(1):
        for space in spaces:
            before += sweep.standing(space.name, workspace).counts.get("finished", 0)
            study = sweep.watched(space, workspace, quiet=json)
            sweep.refuse_unfinished(study)
            studies.append(study)
    if not json:
        show.err.print("Writing reports ...")
    tables = {study.name: library.compared(study) for study in studies}
    reports = {study.name: library.reported(study, workspace) for study in studies}
    if json:
        show.print_json(
            {
                name: {
                    "table": [row.__dict__ for row in rows],
                    "verdict": reports[name][0].verdict,
                    "report": reports[name][1],
                }
                for name, rows in tables.items()
            }
        )
        return
    for study in studies:
        _print_table(study, tables[study.name])
        show.say(reports[study.name][0].verdict)
    students = sum(study.state.counts.get("finished", 0) for study in studies)
    seeds = studies[0].space.budget.seeds
    show.say(f"Percent: mean and deviation of {seeds} seeds; candidates are chosen on validation.")
    show.say("balanced: mean of in-task accuracy and reject recall.")
    finished = f"; {before} were finished before" if before else ""
    show.say(f"\n{students} students of {len(studies)} studies in {time.perf_counter() - began:.0f} s{finished}.")
    for _, page in reports.values():
        show.say(f"Report: {_path(page)}")
    show.say("\nLook closer, search further, train a student of your own, take the best one away:\n")
    for command in _next_commands(workspace.root, studies[-1]):
        show.say(f"  {command}")


def _print_table(study: "Study", rows: "list[Row]") -> None:
    task = study.space.base["task"]
    metric = next(iter(study.space.metrics)).rpartition("/")[2]
    show.say(
        f"\n{task['mode']}: {', '.join(task['categories'])}{' or not selected' * (task['mode'] == 'open')}; {metric}"
    )
    cells = [
        [row.objective, row.samples, wording.parameters(row.parameters), _cell(row.validation), _cell(row.test)]
        for row in rows
    ]
    show.table("", ["objective", "samples", "chosen", "validation", "test"], cells)


def _cell(figure: "Figure") -> str:
    return " ± ".join(show.number(100 * value, 1) for value in figure if value is not None)


def _next_commands(root: Path, study: "Study") -> list[str]:
    """What to type next, from here."""
    selkd = "selkd" if shutil.which("selkd") else _path(Path(sys.executable).with_name("selkd"))
    folder = root / "demo"
    return [
        f"{selkd} study {study.name}",
        f"{selkd} sweep {_path(folder / f'{study.name}.yaml')} name=more budget.candidates=30",
        f"{selkd} train {_path(folder / 'open-selkd.yaml')} name=mine objective.epsilon=2",
        f"{selkd} export {study.best()[0].students[0]} student.pt2",
        f"{selkd} ui",
    ]


def _path(path: Path) -> str:
    """A path as one would write it here, fit for a shell."""
    return shlex.quote(os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path))
