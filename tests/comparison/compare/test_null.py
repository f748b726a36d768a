"""Where no level is better, the whole comparison says so, as often as it promises."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy import stats

from benchmarks.null_comparisons import Space, Study, extended, rejections, through_all_looks
from selkd.comparison.compare import Question, answer
from selkd.comparison.records import Records
from selkd.comparison.result import ALL
from selkd.comparison.statistics import paired

Made = Callable[..., Records]
ALPHA = 0.05


def allowed(studies: int) -> int:
    """Rejections that more than 99.9 % of such simulations stay within, where the level holds."""
    return int(stats.binom.ppf(0.999, studies, ALPHA))


def null(rng: np.random.Generator, levels: int, seeds: int, **more: Any) -> list[dict[str, Any]]:
    """Levels with three settings each; luck of the seed, of the setting and of the student, and no difference."""
    luck = rng.normal(0, 0.02, seeds)
    return [
        {"objective.name": f"level {level}", "objective.epsilon": setting, "seed": seed,
         "validation/accuracy": 0.8 + luck[seed] + rng.normal(0, 0.02),
         "test/accuracy": 0.8 + luck[seed] + rng.normal(0, 0.02), **more}
        for level in range(levels) for setting in (1.0, 2.0, 4.0) for seed in range(seeds)
    ]  # fmt: skip


def test_of_200_null_studies_about_alpha_reject(records: Made) -> None:
    """Each is a group of its own, with its own settings chosen on its own validation rows."""
    rng = np.random.default_rng(11)
    rows = [row for study in range(200) for row in null(rng, 2, 8, **{"data.rows_per_category": study})]
    found = answer(records(rows), Question("objective.name"))
    inside = [contrast for contrast in found.contrasts if contrast.group != ALL]
    assert len(inside) == 200
    rejected = sum(contrast.p is not None and contrast.p <= ALPHA for contrast in inside)
    assert 0 < rejected <= allowed(200)
    assert not any(contrast.better for contrast in inside)


@pytest.mark.slow
def test_of_500_null_studies_with_three_levels_about_alpha_tell_anything(records: Made) -> None:
    rng = np.random.default_rng(13)
    told = 0
    for _ in range(500):
        found = answer(records(null(rng, 3, 8)), Question("objective.name"))
        told += any(contrast.better for contrast in found.contrasts)
        assert found.exploratory
    assert 0 < told <= allowed(500)


def test_an_extension_reaches_the_last_look_with_what_was_chosen_at_the_first() -> None:
    """So the simulation below is of the loop that `selkd sweep --extend` makes, and of nothing easier."""
    study = Study(Space(), np.random.default_rng(3))
    records = study.records(study.first())
    first, last = answer(records, Question("objective.name")), extended(study)
    assert (first.look, last.look) == (1, 2)
    chosen = [one.trials.loc[one.trials["chosen"]] for one in (first, last)]
    assert set(chosen[0]["candidate"]) == set(chosen[1]["candidate"])
    assert [len(one) for one in chosen] == [3 * 8, 3 * 12]
    assert len(last.trials) == 3 * 3 * 8 + 3 * 4


@pytest.mark.slow
def test_of_500_null_studies_extended_from_look_to_look_about_alpha_tell_anything_in_either_family() -> None:
    space = Space(settings=2, groups=2, looks=(8, 12))
    for family, told in rejections(partial(through_all_looks, space), 500, seed=19).items():
        assert 0 < told <= allowed(500), family


@pytest.mark.slow
def test_of_500_null_studies_of_category_policies_about_alpha_tell_anything(records: Made) -> None:
    """Gains depend on the subset, and seeds share subsets: pairs alone would reject far too often."""
    rng = np.random.default_rng(17)
    told = apart = 0
    for _ in range(500):
        rows = []
        for policy in ("p", "q"):
            gains = rng.normal(0, 0.02, 8)
            for seed in range(24):
                shared = {"selection.categories.policy": policy, "seed": seed, "categories": f"{policy}{seed // 3}"}
                base, gain = rng.normal(0.8, 0.05), gains[seed // 3] + rng.normal(0, 0.005)
                for role, name, value in (("student", "selkd", base + gain), ("twin", "cross-entropy", base)):
                    rows.append({**shared, "role": role, "objective.name": name, "test/accuracy": value,
                                 "validation/accuracy": value})  # fmt: skip
        [contrast] = answer(records(rows), Question("selection.categories.policy", "gain/accuracy")).contrasts
        told += contrast.better is not None
        assert contrast.clusters == 8
        apart += paired(_differences(rows)).wilcoxon_p <= ALPHA
    assert told <= allowed(500)
    assert apart > allowed(500), "the simulation shows what clusters are for"


def _differences(rows: list[dict[str, Any]]) -> np.ndarray:
    gains = np.array([rows[k]["test/accuracy"] - rows[k + 1]["test/accuracy"] for k in range(0, len(rows), 2)])
    return gains[:24] - gains[24:]
