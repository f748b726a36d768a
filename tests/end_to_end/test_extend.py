"""More seeds for what a study chose: exactly those that its comparison asks for, in the same study."""

from dataclasses import replace
from typing import Any

import pytest

from selkd.comparison.compare import compare
from selkd.config import Workspace
from selkd.errors import UserError
from selkd.extend import extend, extension
from selkd.sweeps.run import sweep
from selkd.sweeps.studies import Study

pytestmark = pytest.mark.slow


def space(**changes: Any) -> dict[str, Any]:
    return {
        "name": "question",
        "base": {
            "data": {"rows_per_category": 20},
            "task": {"categories": ["three", "five", "eight"]},
            "teacher": "teacher",
            "student": {"model": "mlp", "hidden": [16]},
            "training": {"epochs": 3, "batch_size": 20, "keep": "last"},
            "workers": {"device": "cpu"},
        },
        "search": {
            "objective.name": {"grid": ["cross-entropy", "kd"]},
            "objective.temperature": {"choice": [1, 4]},
        },
        "metrics": {"validation/accuracy": "maximise"},
        "budget": {"seeds": 3, "resplit": True},
        "sampler": "grid",
        "concurrent": 1,
        **changes,
    }


def test_an_extension_goes_to_the_next_look_and_trains_nothing_else(ray: Any, workspace: Workspace) -> None:
    plan = {"by": "objective.name", "metric": "accuracy", "difference": 0.05, "looks": [3, 5]}
    before = sweep(space(comparison=plan), workspace)
    first = compare("question", "objective.name", workspace=workspace)
    assert (first.exploratory, first.look) == (False, 1)
    found = extension("question", workspace=workspace)
    chosen = first.trials[first.trials["chosen"]]
    assert found.candidates == sorted(set(chosen["candidate"]))
    assert (found.before, found.seeds) == (3, 5)
    after = extend(found, workspace)
    assert len(after.state.trials) == len(before.state.trials) + 2 * len(found.candidates)
    second = compare("question", "objective.name", workspace=workspace)
    assert (second.exploratory, second.look) == (False, 2)
    assert [contrast.pairs for contrast in second.contrasts] == [5]
    settings = [set(one.trials.loc[one.trials["chosen"], "candidate"]) for one in (first, second)]
    assert settings[0] == settings[1]
    with pytest.raises(UserError, match="last look"):
        extension("question", workspace=workspace)


def test_without_a_plan_an_extension_is_as_large_as_the_difference_needs(ray: Any, workspace: Workspace) -> None:
    sweep(space(), workspace)
    with pytest.raises(UserError, match="--by"):
        extension("question", workspace=workspace)
    found = extension("question", "objective.name", difference=0.05, workspace=workspace)
    [contrast] = compare("question", "objective.name", difference=0.05, workspace=workspace).contrasts
    assert found.seeds == 3 + (contrast.more or 0) > 3
    assert "exploratory" in found.reason


def test_a_declared_comparison_without_looks_is_exploratory_once_it_was_extended(
    ray: Any, workspace: Workspace
) -> None:
    sweep(space(comparison={"by": "objective.name", "metric": "accuracy"}, budget={"seeds": 2}), workspace)
    assert not compare("question", "objective.name", workspace=workspace).exploratory
    found = extension("question", "objective.name", workspace=workspace)
    extend(replace(found, seeds=3), workspace)
    after = compare("question", "objective.name", workspace=workspace)
    assert after.exploratory
    assert "extended" in after.verdict


def test_a_study_that_is_not_finished_is_not_extended(ray: Any, workspace: Workspace) -> None:
    sweep(space(), workspace, watch=_stop_early(workspace))
    assert Study.read("question", workspace).status == "stopped"
    with pytest.raises(UserError, match="--resume question"):
        extension("question", "objective.name", workspace=workspace)


def _stop_early(workspace: Workspace) -> Any:
    """Asks the study to stop as soon as a student has ended."""

    def watch(state: Any) -> None:
        if any(trial.ended for trial in state.trials.values()):
            (workspace.studies / "question" / "stop").touch()

    return watch
