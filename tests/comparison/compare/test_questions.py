"""How a question is asked: keys in full or in part, mistakes with a remedy, the metric that is meant, and plans."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from selkd.comparison.compare import Question, answer
from selkd.comparison.excluded import DELETED
from selkd.comparison.factors import factors, resolve
from selkd.comparison.looks import declared
from selkd.comparison.records import Records
from selkd.errors import UserError

Made = Callable[..., Records]
SAMPLES = "selection.samples.policy"


def runs(seeds: int = 10, gap: float = 0.02, **more: Any) -> list[dict[str, Any]]:
    rng = np.random.default_rng(7)
    return [
        {SAMPLES: policy, "objective.name": "kd", "seed": seed, "validation/accuracy": 0.8,
         "test/accuracy": 0.8 + gap * (policy == "margin") + rng.normal(0, 0.003), **more}
        for policy in ("all", "margin") for seed in range(seeds)
    ]  # fmt: skip


@pytest.mark.parametrize("given", ["selection.samples.policy", "selection.policy", "policy", "samples.policy"])
def test_a_key_is_found_by_parts_that_fit_it_alone(records: Made, given: str) -> None:
    assert answer(records(runs()), Question(given)).question.by == SAMPLES


def test_several_keys_together_make_the_levels(records: Made) -> None:
    rows = [row | {"objective.truth": truth} for truth in ("plain", "adjusted") for row in runs()]
    found = answer(records(rows), Question("policy+objective.truth", baseline="all, truth=plain"))
    assert found.question.by == f"{SAMPLES}+objective.truth"
    assert set(found.levels["level"]) == {f"{p}, truth={t}" for p in ("all", "margin") for t in ("plain", "adjusted")}
    assert found.pairing.tuned == ()
    assert [one.pairs for one in found.contrasts] == [10, 10, 10]


def test_a_key_that_may_be_several_is_refused_with_their_names(records: Made) -> None:
    rows = [row | {"selection.categories.policy": f"p{row['seed'] % 2}"} for row in runs()]
    with pytest.raises(UserError, match=r"selection.samples.policy and selection.categories.policy"):
        resolve(records(rows), "selection.policy", "by")


def test_an_unknown_key_names_the_nearest_and_those_that_vary(records: Made) -> None:
    with pytest.raises(UserError, match=r"Did you mean 'selection.samples.policy'.*These vary"):
        answer(records(runs()), Question("selection.sample.polciy"))
    with pytest.raises(UserError, match="within: no run has the key 'nonsense'"):
        answer(records(runs()), Question(SAMPLES, within=("nonsense",)))


def test_an_unknown_metric_or_baseline_names_the_nearest(records: Made) -> None:
    with pytest.raises(UserError, match="Did you mean 'accuracy'"):
        answer(records(runs()), Question(SAMPLES, "acuracy"))
    with pytest.raises(UserError, match=r"baseline: 'margn' is no value of .* Did you mean 'margin'"):
        answer(records(runs()), Question(SAMPLES, baseline="margn"))


def test_factors_are_the_keys_that_vary_seeds_aside(records: Made) -> None:
    found = factors(records(runs()))
    assert found.to_dict("records") == [{"key": SAMPLES, "levels": 2, "values": "all and margin"}]


def test_without_a_metric_it_is_the_one_that_the_study_searched_by(records: Made) -> None:
    rows = [row | {"test/macro_f1": 0.5, "validation/macro_f1": 0.5} for row in runs()]
    found = answer(records(rows, one={"metrics": {"validation/macro_f1": "maximise"}}), Question(SAMPLES))
    assert (found.metric.reported, found.metric.chosen_by) == ("test/macro_f1", "validation/macro_f1")


def test_costs_are_reported_as_they_are_and_settings_chosen_by_what_was_searched(records: Made) -> None:
    found = answer(records([row | {"cost/parameters": 5.0} for row in runs()]), Question(SAMPLES, "cost/parameters"))
    assert (found.metric.chosen_by, found.metric.maximise, found.metric.choose_highest) == (
        "validation/accuracy", False, True,
    )  # fmt: skip


def test_a_run_without_the_key_is_left_out_and_named(records: Made) -> None:
    rows = [*runs(), {"objective.name": "kd", "seed": 0, "test/accuracy": 0.1, "validation/accuracy": 0.1}]
    found = answer(records(rows), Question(SAMPLES))
    assert list(found.left_out["reason"]) == [f"it has no {SAMPLES}"]


PLAN = {"by": SAMPLES, "metric": "accuracy", "baseline": "all", "looks": [6, 12], "alpha": 0.05}


def test_what_was_not_declared_is_exploratory(records: Made) -> None:
    assert answer(records(runs()), Question(SAMPLES)).exploratory
    other = records(runs(), one={"comparison": PLAN | {"metric": "accuracy", "baseline": "margin"}})
    found = answer(other, Question(SAMPLES, baseline="all"))
    assert found.exploratory
    assert "the study declared another question: accuracy by selection.samples.policy against margin" in found.verdict


def test_a_declared_look_is_confirmatory_and_holds_against_its_share_of_alpha(records: Made) -> None:
    early = answer(records(runs(seeds=6), one={"comparison": PLAN}), Question(SAMPLES))
    assert (early.exploratory, early.look, early.question.baseline) == (False, 1, "all")
    assert (early.contrasts[0].p, early.contrasts[0].adjusted) == (2 / 2**6, None)
    assert early.contrasts[0].better is None, "0.03 is below 0.05 and above what the first look may spend"
    late = answer(records(runs(seeds=12), one={"comparison": PLAN}), Question(SAMPLES))
    assert (late.exploratory, late.look) == (False, 2)
    assert late.contrasts[0].better == "margin"
    assert "look 2 of 2" in late.verdict


@pytest.mark.parametrize(
    ("said", "why"),
    [({"status": "running"}, "the study is not finished"), ({"changed": True}, "the search space was changed")],
    ids=["unfinished", "changed"],
)
def test_a_look_at_what_may_still_change_is_exploratory(records: Made, said: dict[str, Any], why: str) -> None:
    found = answer(records(runs(seeds=6), one={"comparison": PLAN, **said}), Question(SAMPLES))
    assert found.exploratory
    assert why in found.verdict


def test_an_extension_is_confirmatory_at_a_declared_look_alone(records: Made) -> None:
    """Whoever trains on until something is told finds something; only looks declared beforehand pay for that."""
    undeclared = {name: value for name, value in PLAN.items() if name != "looks"}
    before = answer(records(runs(seeds=6), one={"comparison": undeclared}), Question(SAMPLES))
    after = answer(records(runs(seeds=12), one={"comparison": undeclared, "extended": True}), Question(SAMPLES))
    assert (before.exploratory, after.exploratory) == (False, True)
    assert "the study was extended, and no looks were declared" in after.verdict
    look = answer(records(runs(seeds=12), one={"comparison": PLAN, "extended": True}), Question(SAMPLES))
    assert (look.exploratory, look.look) == (False, 2)


def test_a_study_of_which_runs_were_deleted_is_exploratory(records: Made) -> None:
    made = records(runs(seeds=6), one={"comparison": PLAN})
    gone = pd.DataFrame([["one", "one-99", "r99", DELETED]], columns=["study", "key", "run", "reason"])
    found = answer(dataclasses.replace(made, excluded=gone), Question(SAMPLES))
    assert found.exploratory
    assert "deleted" in found.verdict
    assert "r99" in found.left_out["run"].tolist()


def test_a_look_needs_its_seeds_of_every_level(records: Made) -> None:
    found = answer(records(runs(seeds=6)[:-1], one={"comparison": PLAN}), Question(SAMPLES))
    assert found.exploratory
    assert "not every level has as many seeds: 5, 6" in found.verdict


def test_two_studies_are_not_one_that_looks_later(records: Made) -> None:
    rows = runs(seeds=6) + [row | {"study": "two", "seed": row["seed"] + 6} for row in runs(seeds=6)]
    found = answer(records(rows, one={"comparison": PLAN}, two={"comparison": PLAN}), Question(SAMPLES))
    assert found.exploratory
    assert "several studies are taken together" in found.verdict


def test_a_difference_that_matters_is_above_zero(records: Made) -> None:
    with pytest.raises(UserError, match="difference: -1"):
        answer(records(runs()), Question(SAMPLES, difference=-1))


def test_between_looks_a_verdict_is_exploratory(records: Made) -> None:
    found = answer(records(runs(seeds=9), one={"comparison": PLAN}), Question(SAMPLES))
    assert found.exploratory
    assert "9 seeds are none of the looks" in found.verdict


def test_one_plan_for_all_studies_or_none(records: Made) -> None:
    rows = runs() + [row | {"study": "two"} for row in runs()]
    assert declared(records(rows, one={"comparison": PLAN}, two={"comparison": PLAN})) is not None
    assert declared(records(rows, one={"comparison": PLAN})) is None


def test_other_versions_of_code_or_data_are_named(records: Made) -> None:
    rows = [row | {"origin.git.commit": "a" if row["seed"] else "b", "origin.fingerprints.data": str(row["seed"] < 3)}
            for row in runs()]  # fmt: skip
    caveats = answer(records(rows), Question(SAMPLES)).caveats
    assert "Trials come from 2 versions of the code." in caveats
    assert any("data.source digits is not the same for all trials" in caveat for caveat in caveats)
