"""A real study of category policies, compared from MLflow alone."""

from typing import Any

import pytest

import selkd
from selkd.config import Workspace
from selkd.errors import UserError

pytestmark = pytest.mark.slow
POLICY = "selection.categories.policy"
SPACE: dict[str, Any] = {
    "name": "policies",
    "base": {
        "data": {"rows_per_category": 10},
        "teacher": "teacher",
        "student": {"model": "mlp", "hidden": [8]},
        "objective": {"name": "kd"},
        "selection": {"categories": {"policy": "random", "size": 3}},
        "training": {"epochs": 2, "batch_size": 20, "keep": "last"},
        "workers": {"device": "cpu"},
    },
    "search": {POLICY: {"choice": ["random", "first-k"]}, "objective.temperature": {"choice": [1, 4]}},
    "metrics": {"gain/accuracy": "maximise"},
    "budget": {"seeds": 3},
    "sampler": "grid",
    "concurrent": 1,
}


def test_policies_are_compared_by_gains_over_their_twins(ray: Any, workspace: Workspace) -> None:
    study = selkd.sweep(SPACE, workspace)
    found = selkd.compare("policies", POLICY, workspace=workspace)
    [contrast] = found.contrasts
    assert found.metric.reported == "gain/test/accuracy"
    assert contrast.pairs == 3
    assert found.pairing.tuned == ("objective.temperature",)
    assert found.pairing.unit == "pair of subsets"
    assert found.left_out.empty

    trials = {trial.key: trial for trial in study.state.trials.values()}
    chosen = found.trials[found.trials["chosen"]].set_index("key")
    assert len(chosen) == 6
    twins = {
        student: trials[twin].metrics["test/accuracy"]
        for candidate in study.state.candidates.values()
        for student, twin in zip(candidate.students, candidate.twins, strict=True)
    }
    for key, value in zip(chosen.index, chosen["value"], strict=True):
        assert value == pytest.approx(trials[str(key)].metrics["test/accuracy"] - twins[str(key)])
    values = {c.number: (c.parameters[POLICY], c.values["gain/accuracy"]) for c in study.state.candidates.values()}
    for level, number in set(zip(chosen["level"], chosen["candidate"], strict=True)):
        assert values[number][1] == max(gain for policy, gain in values.values() if policy == level)
    with pytest.raises(UserError, match="Ask for gain/accuracy"):
        selkd.compare("policies", POLICY, "accuracy", workspace=workspace)
