"""`selkd demo`."""

import time
from typing import TYPE_CHECKING

from selkd.cli import show

if TYPE_CHECKING:
    pass


def demo(json: show.Json = False) -> None:
    """Train a teacher and compare students on embedded data: under 3 minutes on two cores.

    A teacher learns ten digits; students learn four of them from 20 rows a category: closed (only those four appear)
    and open (all ten appear, the student may answer "not selected").
    """
    from selkd import demo as library
    from selkd.config import Workspace

    began, workspace = time.perf_counter(), Workspace.default()
    done: dict[str, list[library.Trained]] = {}
    total = 1 + len(library.COMPARED) * len(library.OBJECTIVES) * len(library.SEEDS)
    with show.resumable(), show.steps(total, quiet=json) as start:
        for name, trained in library.run(workspace, start):
            done[name] = trained
    tables = {mode: library.compared(mode, done) for mode in library.COMPARED}
    if json:
        show.print_json({mode: {row.name: row.metrics for row in rows} for mode, rows in tables.items()})
        return
    for mode, rows in tables.items():
        lines = [[row.name, *(_cell(*row.metrics[m]) for m in library.COMPARED[mode])] for row in rows]
        title = f"{mode}: {', '.join(library.CATEGORIES)}; test split, mean and deviation of {len(library.SEEDS)} seeds"
        show.table(title, ["", *(m.replace("_", " ") for m in library.COMPARED[mode])], lines)
    key = done["open-selkd"][0].key
    show.out.print(f"\n{total - 1} students and their teacher in {time.perf_counter() - began:.0f} s. Look closer:")
    show.out.print("  selkd ui                                  every run in MLflow", highlight=False)
    show.out.print(
        f"  selkd train {_shown(workspace)}/demo/open-selkd.yaml objective.epsilon=4 name=mine", highlight=False
    )
    show.out.print(f"  selkd export {key} student.pt2", highlight=False)


def _cell(mean: float, deviation: float) -> str:
    return show.number(mean) + (f" ± {show.number(deviation)}" if deviation else "")


def _shown(workspace: "object") -> str:
    import os

    from selkd.config import Workspace

    assert isinstance(workspace, Workspace)
    return os.path.relpath(workspace.root)
