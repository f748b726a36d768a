"""Ask and tell: each candidate once, first points first, and a restored proposer goes on as if nothing had happened."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from selkd.config import Workspace
from selkd.errors import UserError
from selkd.sweeps.learner import importances
from selkd.sweeps.past import Past
from selkd.sweeps.proposals import Proposer

FINITE: dict[str, Any] = {
    "objective.name": {"choice": ["kd", "selkd"]},
    "student.width": {"choice": [4, 8, 12]},
    "objective.epsilon": {"choice": [1, 2]},
}
FINITE_TOTAL = 3 + 6
SUBSETS: dict[str, Any] = {"task.categories": {"subset": {"size": 3, "must": ["three"]}}}
GRIDS: dict[str, Any] = {
    "data.rows_per_category": {"grid": [20, 100]},
    "student.width": {"grid": [4, 8, 12]},
    "objective.epsilon": {"log": [1, 8]},
}
MIXED = {**GRIDS, **SUBSETS, "objective.name": {"choice": ["kd", "selkd"]}}
SAMPLERS = ["random", "qmc", "tpe", "nsga-ii", "cma-es"]


def run(proposes: Proposer, numbers: range, ends: Callable[[int], str | None] = lambda _: "complete") -> list[Past]:
    """Propose and tell; returns what a ledger would say."""
    for number in numbers:
        parameters = proposes.propose(number)
        assert parameters is not None
        state = ends(number)
        if state is not None:
            told = [round(sum(len(str(item)) for item in parameters.values()) / 7, 3)] if state == "complete" else None
            proposes.tell(number, state, told)  # pyright: ignore[reportArgumentType]
    return list(proposes.past.values())


@pytest.mark.parametrize("searched", [GRIDS, MIXED], ids=["grids", "mixed"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_restored_proposer_goes_on_as_an_undisturbed_one(
    space: Any, proposer: Any, name: str, searched: dict[str, Any]
) -> None:
    if name == "cma-es":
        searched = {**searched, "objective.gamma": {"uniform": [0, 1]}, "training.optimiser.lr": {"log": [0.01, 0.1]}}
    sampler = {"name": "nsga-ii", "population": 4} if name == "nsga-ii" else name
    whole = space(search=searched, sampler=sampler, defaults=True)
    undisturbed = run(proposer(whole), range(16))
    for stop in (7, 12):
        resumed = proposer(whole)
        resumed.restore(undisturbed[stop - 1 :: -1])
        assert run(resumed, range(stop, 16)) == undisturbed


def test_a_restored_tpe_knows_what_is_open_and_what_failed(space: Any, proposer: Any) -> None:
    whole = space(sampler={"name": "tpe", "startup": 3})
    ends = {2: None, 5: "failed", 6: "pruned", 9: None}
    before = run(proposer(whole), range(12), lambda number: ends.get(number, "complete"))
    resumed = proposer(whole)
    resumed.restore(before)
    undisturbed = run(proposer(whole), range(14), lambda number: ends.get(number, "complete"))
    assert run(resumed, range(12, 14)) == undisturbed
    resumed.tell(2, "complete", [1.0])
    assert resumed.past[2].state == "complete"


@pytest.mark.parametrize("name", ["random", "qmc"])
def test_random_and_quasi_random_proposals_ignore_results(space: Any, proposer: Any, name: str) -> None:
    whole = space(sampler=name)
    told, untold = proposer(whole), proposer(whole)
    run(told, range(10), lambda number: "failed" if number % 2 else "complete")
    run(untold, range(10), lambda _: None)
    assert [one.parameters for one in told.past.values()] == [one.parameters for one in untold.past.values()]


def test_quasi_random_points_cover_the_space_more_evenly_than_random_ones(space: Any, proposer: Any) -> None:
    def empty(name: str) -> int:
        """Cells of an 8 x 8 grid that 64 points leave empty."""
        proposes = proposer(space(sampler=name))
        points = [proposes.propose(number) for number in range(64)]
        shares = [(p["objective.alpha"] / 4, math.log(p["objective.epsilon"] / 0.5) / math.log(20)) for p in points]
        return 64 - len({(int(a * 8), int(e * 8)) for a, e in shares})

    assert empty("qmc") <= 8 < empty("random")


def test_a_candidate_is_not_proposed_again_while_there_are_others(space: Any, proposer: Any) -> None:
    """Cross-entropy without parameters of its own is proposed once; where a grid asks for it, again and again."""
    searched = {"objective.name": {"choice": ["cross-entropy", "selkd"]}, "objective.epsilon": {"log": [1, 2]}}
    for sampler in ("random", "qmc", "tpe"):
        proposes = proposer(space(search=searched, sampler=sampler))
        names = [proposes.propose(number)["objective.name"] for number in range(12)]
        assert names.count("cross-entropy") == 1
    gridded = searched | {"objective.name": {"grid": ["cross-entropy", "selkd"]}}
    proposes = proposer(space(search=gridded, sampler="qmc"))
    assert [proposes.propose(n)["objective.name"] for n in range(6)] == ["cross-entropy", "selkd"] * 3


def test_conditional_parameters_do_not_disturb_quasi_random_ones(space: Any, proposer: Any) -> None:
    """Each parameter has its dimension, whether a candidate has it or not."""
    searched = {"objective.name": {"choice": ["cross-entropy", "selkd"]}, "objective.epsilon": {"log": [1, 2]}}
    proposes = proposer(space(search=searched | {"objective.gamma": {"uniform": [0.1, 1]}}, sampler="qmc"))
    found = [proposes.propose(number) for number in range(64)]
    halves = [p["objective.epsilon"] < math.sqrt(2) for p in found if "objective.epsilon" in p]
    assert 28 <= len(halves) <= 36
    assert abs(sum(halves) - len(halves) / 2) <= 4


@pytest.mark.parametrize("name", ["grid", "random", "tpe", "nsga-ii", "qmc"])
def test_a_finite_space_is_tried_whole_and_no_candidate_twice(space: Any, proposer: Any, name: str) -> None:
    whole = space(search=FINITE, sampler=name, defaults=True)
    proposes = proposer(whole)
    past = run(proposes, range(FINITE_TOTAL))
    assert len({str(one.parameters) for one in past}) == proposes.size.total == FINITE_TOTAL
    assert proposes.propose(FINITE_TOTAL) is None


def test_a_grid_has_a_seeded_order(space: Any, proposer: Any) -> None:
    one, again, other = (
        [past.parameters for past in run(proposer(space(search=FINITE, sampler="grid", seed=seed)), range(6))]
        for seed in (0, 0, 1)
    )
    assert one == again != other


@pytest.mark.parametrize("name", ["grid", "random", "tpe", "nsga-ii", "qmc"])
def test_a_space_that_changed_is_tried_whole_whatever_was_tried_outside_it(
    space: Any, proposer: Any, name: str
) -> None:
    before = run(proposer(space(search=FINITE, sampler=name)), range(5))
    changed = proposer(space(search=FINITE | {"student.width": {"choice": [8, 12, 16, 20]}}, sampler=name))
    changed.restore(before)
    inside = [one for one in before if one.parameters["student.width"] != 4]
    left = 4 * 3 - len(inside)
    assert len(inside) < len(before)
    found = [one.parameters for one in run(changed, range(5, 5 + left))[5:]]
    assert len({str(one) for one in [*found, *(one.parameters for one in inside)]}) == 4 * 3
    assert changed.propose(5 + left) is None


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_narrowed_range_forgets_what_lies_outside(space: Any, proposer: Any, name: str) -> None:
    """Those still open when the space changed are told without a word to the sampler."""
    before = run(proposer(space(sampler=name)), range(12), lambda number: None if number > 9 else "complete")
    narrow = space(sampler=name, search={"objective.epsilon": {"log": [1, 3]}, "objective.alpha": {"uniform": [0, 1]}})
    changed = proposer(narrow)
    changed.restore(before)
    assert not all(changed.contains(one.parameters) for one in before)
    for number in (10, 11):
        changed.tell(number, "failed", None)
    found = run(changed, range(12, 18))[12:]
    assert all(changed.contains(one.parameters) for one in found)
    assert importances(narrow, before) == {}


@pytest.mark.parametrize("name", ["random", "tpe", "nsga-ii"])
def test_a_second_metric_makes_strangers_of_earlier_values(space: Any, proposer: Any, name: str) -> None:
    before = run(proposer(space(sampler=name)), range(9))
    two = space(sampler=name, metrics={"validation/accuracy": "maximise", "cost/parameters": "minimise"})
    changed = proposer(two)
    changed.restore(before)
    for number in range(9, 12):
        alpha = changed.propose(number)["objective.alpha"]
        changed.tell(number, "complete", [alpha, -alpha])
    assert [changed.past[number].state for number in range(12)] == ["failed"] * 9 + ["complete"] * 3
    assert importances(two, before) == {}


def test_first_points_that_are_added_later_are_tried(space: Any, proposer: Any) -> None:
    written = {"objective.epsilon": 2.5, "objective.alpha": 1.5}
    changed = proposer(space(first=[written]))
    changed.restore(run(proposer(space()), range(3)))
    assert changed.propose(3) == written


def test_grids_make_a_product_and_every_point_gets_the_same_draws(space: Any, proposer: Any) -> None:
    past = run(proposer(space(search=GRIDS, sampler="random")), range(12))
    for block in (past[:6], past[6:]):
        points = {(p.parameters["data.rows_per_category"], p.parameters["student.width"]) for p in block}
        assert len(points) == 6
        assert len({p.parameters["objective.epsilon"] for p in block}) == 1
    assert past[0].parameters["objective.epsilon"] != past[6].parameters["objective.epsilon"]


def test_forbidden_candidates_are_never_proposed(space: Any, proposer: Any) -> None:
    forbid = [{"objective.name": "kd"}, {"student.width": 8}]
    for name in ("random", "tpe", "grid"):
        proposes = proposer(space(search=FINITE, sampler=name, forbid=forbid))
        past = run(proposes, range(4))
        assert {one.parameters["objective.name"] for one in past} == {"selkd"}
        assert {one.parameters["student.width"] for one in past} == {4, 12}
        assert proposes.propose(4) is None


def test_first_points_come_first_then_the_defaults_of_every_component(space: Any, proposer: Any) -> None:
    searched = {
        "objective.name": {"choice": ["kd", "selkd"]},
        "objective.epsilon": {"log": [1, 8]},
        "student.width": {"choice": [4, 8]},
    }
    written = {"objective.name": "selkd", "objective.epsilon": 2.5, "student.width": 8}
    proposes = proposer(space(search=searched, first=[written], defaults=True))
    first, *defaults = [proposes.propose(number) for number in range(3)]
    assert first == written
    assert [one["objective.name"] for one in defaults] == ["kd", "selkd"]
    assert "objective.epsilon" not in defaults[0]
    assert defaults[1]["objective.epsilon"] == 4.0, "the objective's own default"


@pytest.mark.parametrize(
    "point",
    [
        {"objective.epsilon": 99.0, "objective.alpha": 1.0},
        {"objective.epsilon": 1.0},
        {"objective.epsilon": "large", "objective.alpha": 1.0},
    ],
)
def test_a_first_point_outside_the_space_is_refused(space: Any, proposer: Any, point: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"first.0: .* does not lie in the search space"):
        proposer(space(first=[point]))


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_subsets_are_feasible_and_new_while_there_are_untried_ones(space: Any, proposer: Any, name: str) -> None:
    proposes = proposer(space(search=SUBSETS, sampler=name))
    past = run(proposes, range(36))
    chosen = {tuple(one.parameters["task.categories"]) for one in past}
    assert len(chosen) == 36 == proposes.size.total
    assert all(len(one) == 3 and "three" in one for one in chosen)
    assert proposes.propose(36) is None


def test_subsets_are_learned_from_the_first_metric_in_its_direction(space: Any, proposer: Any) -> None:
    searched = {"task.categories": {"subset": {"size": [2, 4]}}}

    def hits(direction: str) -> float:
        proposes = proposer(space(search=searched, metrics={"validation/accuracy": direction}))
        for number in range(36):
            parameters = proposes.propose(number)
            proposes.tell(number, "complete", [sum(name in ("two", "six") for name in parameters["task.categories"])])
        late = [proposes.past[number].parameters["task.categories"] for number in range(20, 36)]
        return sum("two" in one and "six" in one for one in late) / len(late)

    assert hits("maximise") > hits("minimise") + 0.3


def test_what_the_data_do_not_allow_is_refused(space: Any, proposer: Any) -> None:
    with pytest.raises(UserError, match=r"search.task.categories.subset.size: 12 categories"):
        proposer(space(search={"task.categories": {"subset": {"size": 12}}}))
    with pytest.raises(UserError, match=r"'threee'.*Did you mean 'three'"):
        proposer(space(search={"task.categories": {"subset": {"size": 2, "must": ["threee"]}}}))
    with pytest.raises(UserError, match="an open task leaves a category out"):
        proposer(space(search={"task.categories": {"subset": {"size": 10}}, "task.mode": {"choice": ["open"]}}))
    with pytest.raises(UserError, match=r"target: 'fiv'.*'five'"):
        proposer(space(metrics={"target/accuracy": "maximise"}, target=["fiv"]))
    with pytest.raises(UserError, match=r"Add it to subset\.must"):
        proposer(space(search=SUBSETS, metrics={"validation/accuracy/five": "maximise"}))


CHOSEN: list[tuple[dict[str, Any], str]] = [
    ({"task.categories": {"choice": [["one", "threee"], ["two", "five"]]}}, r"task.categories: 'threee'.*'three'"),
    ({"task.categories": {"choice": [list(range(10)), [1, 2]]}, "task.mode": {"choice": ["open", "closed"]}},
     "task.mode: an open task needs a category that is not selected"),
    ({"selection.categories.policy": {"choice": ["random", "first-k"]},
      "selection.categories.size": {"choice": [3, 12]}}, r"size: 12 categories are asked, and the data have 10"),
    ({"selection.categories": {"choice": [{"policy": "best", "never": ["nein"]}, "worst"]}}, "'nein'.*'nine'"),
    ({"selection.categories": {"choice": [{"policy": "best", "size": size} for size in (3, 10)]},
      "task.mode": {"choice": ["open"]}}, "selection.categories.size: an open task leaves a category out"),
]  # fmt: skip


@pytest.mark.parametrize(("searched", "said"), CHOSEN)
def test_categories_that_the_data_do_not_have_are_refused(
    space: Any, proposer: Any, searched: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        proposer(space(search=searched))


def test_the_end_of_a_range_of_sizes_is_looked_at(space: Any, proposer: Any) -> None:
    policies = {"choice": ["first-k", "random", "best", "worst", "diverse", "most-confusable"]}

    def searched(largest: int) -> dict[str, Any]:
        return {"selection.categories.policy": policies, "selection.categories.size": {"integer": [2, largest]}}

    assert proposer(space(search=searched(10))).propose(0)
    with pytest.raises(UserError, match="size: 11 categories are asked"):
        proposer(space(search=searched(11)))


@pytest.mark.parametrize("odd", [[math.nan], [math.inf], []])
def test_values_that_are_no_numbers_are_told_as_failed(space: Any, proposer: Any, odd: list[float]) -> None:
    proposes = proposer(space(sampler="tpe"))
    proposes.propose(0)
    proposes.tell(0, "complete", odd)
    assert proposes.past[0].state == "failed"
    assert proposes.propose(1) is not None


def test_importances_find_the_parameter_that_matters(space: Any, proposer: Any) -> None:
    whole = space(sampler="random")
    proposes = proposer(whole)
    for number in range(24):
        proposes.tell(number, "complete", [proposes.propose(number)["objective.alpha"]])
    past = list(proposes.past.values())
    assert importances(whole, past[:7]) == {}
    found = importances(whole, past)
    assert found["objective.alpha"] > 0.8 > found["objective.epsilon"]


def test_importances_find_the_category_that_matters(space: Any, proposer: Any) -> None:
    whole = space(search=SUBSETS, sampler="random")
    proposes = proposer(whole)
    for number in range(24):
        chosen = proposes.propose(number)["task.categories"]
        proposes.tell(number, "complete", [0.5 * ("six" in chosen) + 0.01 * ("two" in chosen)])
    found = importances(whole, list(proposes.past.values()))
    assert next(iter(found)) == "task.categories: six"
    assert found["task.categories: six"] > 0.6
    assert "task.categories: three" not in found, "every subset has it"


def test_a_warm_start_takes_what_fits_and_changes_what_is_proposed(space: Any, proposer: Any) -> None:
    whole = space(sampler={"name": "tpe", "startup": 5})
    past = [
        Past(n, {"objective.alpha": 1 + n / 100, "objective.epsilon": 2.0}, "complete", [1.0 - n]) for n in range(8)
    ]
    odd = [
        Past(8, {"objective.alpha": 9.0, "objective.epsilon": 2.0}, "complete", [1.0]),
        Past(9, {"objective.alpha": 1.0}, "complete", [1.0]),
        Past(10, {"objective.alpha": 1.0, "objective.epsilon": 2.0}, "failed"),
        Past(11, {"objective.alpha": 1.0, "objective.epsilon": 2.0}, "complete", [1.0, 2.0]),
    ]
    warm, cold = proposer(whole), proposer(whole)
    assert warm.warm(past + odd) == 8
    assert warm.past == {}
    assert warm.propose(0) != cold.propose(0)


def test_a_proposer_is_made_on_the_data_of_the_base(space: Any, tmp_path: Path) -> None:
    searched = {"task.categories": {"subset": {"size": 2, "min_rows": 20}}}
    base = {"teacher": "big", "data": {"rows_per_category": 20}}
    proposes = Proposer.of(space(search=searched, base=base), Workspace(tmp_path))
    assert str(proposes.size) == "45"
    with pytest.raises(UserError, match="min_rows"):
        Proposer.of(space(search={"task.categories": {"subset": {"size": 2, "min_rows": 21}}}, base=base),
                    Workspace(tmp_path))  # fmt: skip
