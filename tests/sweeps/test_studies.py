"""A study read from its ledger: its values are those of the present space, whatever it was when they were told."""

from pathlib import Path
from typing import Any

import pytest

from selkd.cli.view import View
from selkd.config import Workspace
from selkd.errors import UserError
from selkd.sweeps.space import SearchSpace
from selkd.sweeps.state import State
from selkd.sweeps.studies import Study, past_of, readable
from selkd.tracking import StudyRecord
from selkd.tracking.record import LEDGER

ACCURACY, LOSS, SIZE = "validation/accuracy", "validation/nll", "cost/parameters"
RESULTS = [(0.5, 0.3, 100.0), (0.9, 0.2, 300.0), (0.7, 0.1, 200.0), (0.6, 0.4, 400.0)]


def tell(record: StudyRecord, number: int, metric: str, metrics: dict[str, float]) -> None:
    """What a ledger says of a candidate with one student, told by one metric."""
    key = f"study-{number}"
    parameters = {"objective.alpha": 1.0 + number / 2, "objective.epsilon": 2.0}
    record.propose(number, parameters, [{"key": key, "seed": 0, "role": "student"}])
    record.end_trial(key, "finished", metrics, None, 1.0)
    record.tell(number, "complete", {metric: metrics[metric]}, [], None)


@pytest.fixture
def changed(space: Any, tmp_path: Path) -> Any:
    """A study that was told by its accuracy, and whose space is another one now."""
    workspace = Workspace(tmp_path)

    def study(**changes: Any) -> Study:
        record = StudyRecord(workspace.studies / "small")
        record.begin("small", written(space()), {})
        for number, results in enumerate(RESULTS):
            tell(record, number, ACCURACY, dict(zip((ACCURACY, LOSS, SIZE), results, strict=True)))
        record.change(written(space(**changes)), ["changed"])
        return Study.read("small", workspace)

    return study


def written(space: SearchSpace) -> dict[str, Any]:
    return space.model_dump(mode="json", by_alias=True)


CHANGES: list[tuple[dict[str, Any], list[int]]] = [
    ({"seed": 1}, [1]),
    ({"metrics": {LOSS: "minimise"}}, [2]),
    ({"metrics": {ACCURACY: "maximise", SIZE: "minimise"}}, [1, 2, 0]),
    ({"metrics": {ACCURACY: "minimise"}}, [0]),
    ({"constraints": {SIZE: {"at_most": 250}}}, [2]),
    ({"constraints": {SIZE: {"at_most": 50}}}, []),
    ({"metrics": {"gain/accuracy": "maximise"}}, []),
    ({"constraints": {"gain/accuracy": {"at_least": 0}}}, []),
    ({"metrics": {ACCURACY: "maximise", "gain/nll": "minimise"}}, []),
]


@pytest.mark.parametrize(("changes", "best"), CHANGES, ids=str)
def test_what_is_best_follows_the_present_space(changed: Any, changes: dict[str, Any], best: list[int]) -> None:
    """Values come from the students' records; candidates whose students lack a metric are left out."""
    study = changed(**changes)
    assert [candidate.number for candidate in study.best()] == best
    assert [list(candidate.values) for candidate in study.best()] == [list(study.space.metrics)] * len(best)
    assert len(study.table()) == len(RESULTS)
    view = View(study.space, Workspace(study.folder.parent.parent), State())
    assert len(view.follow(study.state)) == len(RESULTS)
    assert [candidate.number for candidate in view.front] == best


def test_values_are_the_told_ones_where_nothing_changed(changed: Any) -> None:
    study = changed(description="longer")
    assert study.candidates == list(study.state.candidates.values())
    assert [candidate.number for candidate in study.ranking()] == [1, 2, 3, 0]


def test_a_warm_start_hears_of_its_own_metrics_in_its_own_order(changed: Any, space: Any, tmp_path: Path) -> None:
    """Whatever the earlier study was judged by, and in which direction."""
    changed()
    mine = space(metrics={SIZE: "minimise", LOSS: "minimise"}, constraints={ACCURACY: {"at_least": 0.6}})
    found = past_of("small", Workspace(tmp_path), mine)
    assert [one.values for one in found] == [[size, loss] for _, loss, size in RESULTS]
    assert [one.constraints[0] <= 0 for one in found] == [False, True, True, True]


@pytest.mark.parametrize(
    "changes",
    [{"metrics": {"gain/accuracy": "maximise"}}, {"constraints": {"gain/accuracy": {"at_least": 0}}}],
    ids=str,
)
def test_a_warm_start_that_can_tell_nothing_is_refused(
    changed: Any, space: Any, tmp_path: Path, changes: dict[str, Any]
) -> None:
    changed()
    with pytest.raises(UserError, match=r"warm_start: .*'small'.* judged by validation/accuracy.*gain/accuracy"):
        past_of("small", Workspace(tmp_path), space(**changes))


def test_a_study_of_another_version_hides_no_other(changed: Any, tmp_path: Path) -> None:
    study = changed(seed=1)
    workspace = Workspace(tmp_path)
    old = StudyRecord(workspace.studies / "old")
    old.begin("old", {**study.state.space, "name": "old", "sampling": "random"}, {})
    damaged = workspace.studies / "damaged" / LEDGER
    damaged.parent.mkdir()
    damaged.write_bytes((study.folder / LEDGER).read_bytes().replace(b"small", b"large"))

    found, broken = readable(workspace)
    assert [one.name for one in found] == ["small"]
    assert broken.keys() == {"old", "damaged"}
    assert "study old: sampling: unknown key" in broken["old"]
    assert f"remove {old.folder}" in broken["old"]
    assert f"{damaged}, line 2: damaged" in broken["damaged"]
    with pytest.raises(UserError, match="Another version of selkd made it"):
        Study.read("old", workspace).best()
