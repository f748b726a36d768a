"""What a study does next, and that a study taken up again does the same. Records are real; nothing is trained."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ray.tune.experiment import Trial

from selkd.config import Workspace
from selkd.sweeps.director import Director, listed, trials
from selkd.sweeps.places import Places
from selkd.sweeps.proposals import Proposer
from selkd.sweeps.space import SearchSpace
from selkd.sweeps.state import State
from selkd.sweeps.tuning import Clerk
from selkd.tracking import StudyRecord, TrialRecord
from selkd.training.checkpoints import Checkpoints
from selkd.training.ending import StoppedEarly, obey

NAMES = ("zero", "one", "two", "three")
Train = Callable[[str], dict[str, float]]


def space(**changes: Any) -> SearchSpace:
    content: dict[str, Any] = {
        "name": "study",
        "base": {"teacher": "t", "task": {"categories": ["one", "two"]}, "student": {"model": "mlp"}},
        "search": {"objective.name": {"choice": ["cross-entropy", "kd"]}, "objective.temperature": {"log": [1, 8]}},
        "metrics": {"validation/accuracy": "maximise"},
        "budget": {"candidates": 4, "seeds": 2},
        "sampler": "random",
        "defaults": False,
    }
    return SearchSpace.of(content | changes)


class Bench:
    """A director over a workspace, and trials that end as the test says."""

    def __init__(self, root: Path, chosen: SearchSpace) -> None:
        self.workspace, self.space = Workspace(root), chosen
        self.record = StudyRecord(self.workspace.studies / chosen.name)
        if not self.record.ledger.events():
            self.record.begin(chosen.name, chosen.model_dump(mode="json", by_alias=True), {})
        self.record.start(1, "here", 2)
        proposer = Proposer(chosen, NAMES, {}, [50] * len(NAMES))
        self.director = Director(chosen, self.record, proposer, self.workspace)

    @property
    def state(self) -> State:
        return self.director.state

    def train(self, key: str, metrics: dict[str, float]) -> None:
        """What a trial writes itself."""
        record = TrialRecord(self.workspace.runs / key)
        record.begin(key, "study", {}, {}, {})
        record.finish("finished", metrics, None)

    def run(self, score: Callable[[int], float] = lambda seed: 0.5 + seed / 10, trials: int = 10**6) -> list[str]:
        """Train what comes next, until nothing does."""
        done = []
        while len(done) < trials and (trial := self.director.next()) is not None:
            self.director.launched(trial.key)
            self.train(trial.key, {"validation/accuracy": score(trial.seed)})
            self.director.ended(trial.key, "finished", None)
            done.append(trial.key)
        return done


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Bench]:
    return lambda folder="a", **changes: Bench(tmp_path / folder, space(**changes))


def told(state: State) -> list[Any]:
    return [(c.number, c.parameters, c.verdict, c.values, c.students) for c in state.candidates.values()]


def test_a_candidate_is_told_once_with_the_mean_of_its_seeds(bench):
    study = bench()
    study.run()
    events = [e for e in study.record.ledger.events() if e["event"] == "told"]
    assert [e["number"] for e in events] == [0, 1, 2, 3]
    assert all(e["values"] == {"validation/accuracy": pytest.approx(0.55)} for e in events)


def test_it_is_told_only_when_all_its_trials_are_terminal(bench):
    study = bench()
    study.run(trials=1)
    assert study.state.candidates[0].verdict is None
    study.run(trials=1)
    assert study.state.candidates[0].verdict == "complete"


def test_equal_candidates_share_their_trials(bench):
    """A space of two candidates, asked for again and again: cross-entropy is trained once a seed."""
    study = bench(search={"objective.name": {"choice": ["cross-entropy"]}}, forbid=[])
    assert len(study.run()) == 2
    assert len(study.state.trials) == 2


def test_asking_whether_anything_is_left_takes_nothing(bench):
    one, other = bench(), bench("b")
    assert one.director.wants and one.director.wants
    assert not one.director.busy
    assert one.run() == other.run()
    assert not one.director.wants


def test_configurations_are_kept_only_while_they_are_needed(bench):
    one = bench(search={"objective.name": {"choice": ["cross-entropy", "kd"]}}, sampler="grid", budget={"seeds": 2})
    one.run(trials=1)
    left = {trial.key for trial in one.state.trials.values() if not trial.ended}
    assert left and set(one.director.configs) == left
    again = bench(search={"objective.name": {"choice": ["cross-entropy", "kd"]}}, sampler="grid", budget={"seeds": 2})
    assert set(again.director.configs) == left
    again.run()
    assert again.director.configs == {}


def test_tune_keeps_nothing_that_grows_of_a_trial_that_ended(bench):
    one = bench()
    [key] = one.run(trials=1)
    trial = Trial("student", config={"key": key}, stub=True)
    trial.update_last_result({"outcome": "finished", "reason": None, "training_iteration": 1, "time_total_s": 2.0})
    assert trial.metric_analysis and trial.metric_n_steps
    Clerk(one.director, Places(set), lambda _: None).on_trial_complete(0, [trial], trial)
    assert not trial.metric_analysis and not trial.metric_n_steps


@pytest.mark.parametrize("sampler", ["random", "qmc"])
@pytest.mark.parametrize("stop_after", [0, 1, 2, 3, 5])
def test_a_study_taken_up_again_ends_as_one_that_was_not_disturbed(bench, sampler, stop_after):
    calm = bench("calm", sampler=sampler)
    calm.run()
    bench("disturbed", sampler=sampler).run(trials=stop_after)
    again = bench("disturbed", sampler=sampler)
    again.run()
    assert told(again.state) == told(calm.state)


def test_a_trial_that_finished_unnoticed_is_taken_in_and_not_trained_again(bench):
    study = bench()
    trial = study.director.next()
    study.director.launched(trial.key)
    study.train(trial.key, {"validation/accuracy": 0.25})
    again = bench()
    assert again.state.trials[trial.key].status == "finished"
    assert trial.key not in again.run()
    ends = [e for e in again.record.ledger.events() if e["event"] == "trial" and e["key"] == trial.key]
    assert len(ends) == 1


def test_the_end_of_a_trial_is_recorded_once(bench):
    study = bench()
    [key] = study.run(trials=1)
    study.director.ended(key, "failed", "again")
    assert study.state.trials[key].status == "finished"


def test_a_failed_trial_makes_its_candidate_failed_with_the_reason_and_the_study_goes_on(bench):
    study = bench(base=space().base | {"objective": "kd"}, search={"objective.gamma": {"uniform": [0.1, 1]}})
    trial = study.director.next()
    study.director.ended(trial.key, "failed", "no luck")
    study.run()
    first = study.state.candidates[0]
    assert (first.verdict, first.reason) == ("failed", "no luck")
    assert [c.verdict for c in study.state.candidates.values()][1:] == ["complete"] * 3
    assert study.state.failures() == {"no luck": 1}


def test_a_value_that_is_no_number_fails_the_candidate(bench):
    study = bench(budget={"candidates": 1})
    study.run(lambda _: math.nan)
    assert study.state.candidates[0].reason == "validation/accuracy is not a number"


def test_gain_is_measured_against_a_twin_with_the_same_seed(bench):
    study = bench(metrics={"gain/accuracy": "maximise"}, search={"objective.temperature": {"log": [1, 8]}},
                  base=space().base | {"objective": "kd"}, budget={"candidates": 2, "seeds": 2})  # fmt: skip
    study.run(lambda seed: 0.5)
    first = study.state.candidates[0]
    assert len(first.students) == len(first.twins) == 2
    assert first.values == {"gain/accuracy": 0.0}
    assert study.state.candidates[1].twins == first.twins, "candidates of one subset share their twins"
    assert len(study.state.trials) == 6


def test_no_candidate_begins_when_a_budget_is_spent_and_those_that_began_are_finished(bench):
    study = bench(budget={"seeds": 2, "hours": 1e-9})
    assert study.director.next() is None
    study = bench("b", budget={"candidates": 3, "seeds": 2})
    assert len(study.run()) == len(study.state.trials)
    assert len(study.state.candidates) == 3


def test_nothing_new_begins_when_the_study_is_ending(bench):
    study = bench()
    study.director.ending = "asked to stop"
    assert study.director.next() is None


ASHA = {"stopping": {"rule": "asha", "first": 0.5, "factor": 2}, "budget": {"candidates": 6, "seeds": 1}}


def asked_to_end(study: Bench, key: str) -> bool:
    try:
        obey(study.workspace.runs / key)
    except StoppedEarly:
        return True
    return False


def test_stopping_rules_see_what_the_ledger_says_after_a_restart(bench):
    study = bench(**ASHA)
    keys = [study.director.next().key for _ in range(3)]
    study.director.reported(keys[0], 0.5, 0.9)
    study.director.reported(keys[1], 0.5, 0.1)
    assert [asked_to_end(study, key) for key in keys] == [False, True, False]
    again = bench(**ASHA)
    again.director.reported(keys[2], 0.5, 0.2)
    assert asked_to_end(again, keys[2])


def test_a_milestone_that_was_passed_is_not_judged_again_after_a_restart(bench):
    study = bench(**ASHA)
    key = study.director.next().key
    assert study.director.milestones(key) == [0.5]
    study.director.reported(key, 0.5, 0.9)
    assert bench(**ASHA).director.milestones(key) == []


def test_a_student_that_was_to_stop_when_its_driver_died_is_not_trained_further(bench):
    study = bench(**ASHA)
    keys = [study.director.next().key for _ in range(2)]
    study.director.reported(keys[0], 0.5, 0.9)
    study.director.reported(keys[1], 0.5, 0.1)
    again = bench(**ASHA)
    assert again.state.trials[keys[1]].status == "pruned"
    assert keys[1] not in again.run()


def test_siblings_of_a_pruned_student_are_not_trained(bench):
    """Those that wait are dropped, those that train are asked to end."""
    study = bench(stopping={"rule": "asha"}, budget={"candidates": 1, "seeds": 3})
    first, second = study.director.next().key, study.director.next().key
    study.director.ended(first, "pruned", "2. of 3")
    assert study.director.next() is None
    assert asked_to_end(study, second)
    assert study.state.candidates[0].verdict is None
    study.director.ended(second, "pruned", "its candidate was stopped early")
    assert study.state.candidates[0].verdict == "pruned"
    assert study.director.finished


def test_all_seeds_of_a_candidate_compete_in_one_bracket(bench):
    rule = {"rule": "hyperband", "first": 0.1, "factor": 3, "brackets": 2}
    study = bench(stopping=rule, budget={"candidates": 2, "seeds": 2})
    found = []
    for _ in range(4):
        trial = study.director.next()
        found.append((trial.number, study.director.milestones(trial.key)[0]))
    assert found == [(0, 0.1), (0, 0.1), (1, pytest.approx(0.3)), (1, pytest.approx(0.3))]


def test_twins_are_never_stopped_even_where_a_candidate_shares_them(bench):
    changes: dict[str, Any] = {
        "metrics": {"validation/accuracy": "maximise"}, "constraints": {"gain/accuracy": {"at_least": 0}},
        "search": {"objective.name": {"grid": ["cross-entropy", "kd"]}}, "stopping": {"rule": "asha"},
        "budget": {"candidates": 2, "seeds": 1},
    }  # fmt: skip
    study = bench(**changes)
    trials = [study.director.next() for _ in range(2)]
    shared = next(t for t in trials if t.key in study.state.candidates[0].twins + study.state.candidates[1].twins)
    assert study.director.milestones(shared.key) == []


def test_a_trial_whose_process_dies_again_and_again_fails_and_one_that_gets_further_does_not(bench):
    study = bench(budget={"candidates": 1, "seeds": 1})
    trial = study.director.next()
    record = TrialRecord(study.workspace.runs / trial.key)
    record.begin(trial.key, "study", {}, {}, {})
    checkpoints = Checkpoints(record.folder / "checkpoints")
    for step in range(1, 7):
        checkpoints.save({}, step, best=False)  # in the middle of the first epoch
        study.director.lost(trial.key, "killed")
        assert study.director.next() is trial
    for _ in range(2):
        study.director.lost(trial.key, "killed")
        assert study.director.next() is trial
    study.director.lost(trial.key, "killed")
    assert (trial.status, study.director.next()) == ("failed", None)
    assert "killed" in str(trial.reason)


def test_a_stopped_study_is_not_finished(bench):
    study = bench()
    trial = study.director.next()
    study.director.ended(trial.key, "stopped", "asked")
    study.director.ending = "asked to stop"
    assert not study.director.finished
    assert not study.state.trials[trial.key].ended


def test_a_pruned_trial_makes_its_candidate_pruned(bench):
    study = bench(stopping={"rule": "asha"}, budget={"candidates": 1, "seeds": 1})
    trial = study.director.next()
    study.director.ended(trial.key, "pruned", "2. of 3")
    assert (study.state.candidates[0].verdict, study.state.candidates[0].reason) == ("pruned", "2. of 3")


def test_open_candidates_of_another_space_are_given_up_with_the_reason(bench):
    study = bench()
    study.run(trials=1)
    other = bench(base=space().base | {"training": {"epochs": 3}})
    assert "changed" in str(other.state.candidates[0].reason)
    other.run()
    assert other.state.candidates[1].verdict == "complete"


def event(kind: str, seconds: float, **fields: Any) -> dict[str, Any]:
    return {"event": kind, "time": int(1000 * seconds), "space": {}, "tags": {"selkd.study": "s"}, **fields}


def test_time_counts_only_while_a_driver_works():
    candidate = event("candidate", 2, number=0, parameters={}, trials=[{"key": "k", "seed": 0, "role": "student"}])
    killed = [event("study", 0), event("start", 1), candidate, event("launch", 3, key="k")]
    assert State.of(killed).seconds == pytest.approx(2)
    again = [*killed, event("missed", 90), event("start", 91), event("stop", 94, reason="", finished=False)]
    assert State.of(again).seconds == pytest.approx(2 + 3)
    assert State.of([*again, event("start", 200)]).seconds == pytest.approx(5)


def test_what_is_said_of_a_trial_afterwards_is_not_training_time(tmp_path: Path):
    record = TrialRecord(tmp_path / "runs" / "trial")
    record.begin("trial", "trial", {}, {}, {})
    record.log(1, {"a": 1.0})
    time.sleep(0.3)
    record.finish("stopped", {}, "nobody trains it", late=True)
    assert record.seconds < 0.3


@pytest.mark.parametrize("sampler", ["random", "tpe"])
@pytest.mark.parametrize("stop_after", [1, 10])
def test_an_extended_candidate_trains_its_further_seeds_alone_and_is_told_again(bench, sampler, stop_after):
    study = bench(sampler=sampler)
    study.run()
    before = told(study.state)
    more = trials(study.space, study.state.candidates[1].parameters, 5)
    study.record.extend(1, listed(trial for trial, _ in more))
    again = bench(sampler=sampler)
    new = again.run(trials=stop_after)
    again = bench(sampler=sampler)  # as after a kill
    new += again.run()
    candidate = again.state.candidates[1]
    assert sorted(again.state.trials[key].seed for key in new) == [2, 3, 4]
    assert candidate.students == [trial.key for trial, _ in more]
    assert candidate.values == {"validation/accuracy": pytest.approx(0.7)}
    assert [row for row in told(again.state) if row[0] != 1] == [row for row in before if row[0] != 1]
