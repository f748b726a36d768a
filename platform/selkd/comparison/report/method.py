"""How the numbers were made, in plain words."""

from collections.abc import Iterator

from selkd.comparison.result import Comparison
from selkd.comparison.words import counted, listed, p_value


def sentences(comparison: Comparison) -> Iterator[str]:
    """What was compared, how values were paired, tested and corrected."""
    metric, question, pairing = comparison.metric, comparison.question, comparison.pairing
    better = "More" if metric.maximise else "Less"
    yield f"The question: does {question.by} make a difference in {metric.words}? {better} is better."
    if pairing.tuned:
        yield (
            f"Each level is represented by the setting with the best mean {metric.chosen_by}; what is shown of it is "
            f"{metric.reported}. Test rows choose nothing."
        )
    yield pairing.words
    confidence = f"{100 * (1 - question.alpha):g} %"
    yield (
        f"Intervals hold the mean with {confidence} confidence: a BCa bootstrap, or Student's interval below 10 values "
        "that count as independent."
    )
    yield (
        "A difference is the mean over pairs. Its p-value, from flipping the signs of pairs at random, says how often "
        f"luck alone makes a difference as large; below {question.alpha:g} after correction it is told. Wilcoxon's "
        "signed-rank test stands beside it and decides nothing."
    )
    yield comparison.family
    yield "The effect size is the mean difference in standard deviations of the differences (Hedges' correction)."
    yield "A difference is detectable when so many pairs would tell it with 80 % power."
    yield from _overall(comparison)


def standing(comparison: Comparison) -> str:
    """What the verdict is worth, beside the word confirmatory or exploratory."""
    if comparison.exploratory:
        return "This question was not declared before the study began. Take it as a hint to test, not as a finding."
    return "This question was declared before the study began, and is read when it was meant to be."


def _overall(comparison: Comparison) -> Iterator[str]:
    overall = comparison.overall
    if overall is None:
        return
    if not overall.ranks:
        yield f"All levels at once could not be tested: {overall.note}."
        return
    ranks = [f"{level} {rank:.2f}" for level, rank in overall.ranks.items()]
    told = f": {p_value(overall.friedman)} (Friedman), {p_value(overall.iman_davenport)} (Iman and Davenport)"
    yield f"All levels at once, over {counted(overall.blocks, 'block')}{told}. Mean ranks: {listed(ranks, 20)}."
    if overall.critical is not None:
        alike = [f"{{{', '.join(levels)}}}" for levels in overall.alike]
        same = f" Not told apart: {listed(alike)}." if alike else ""
        yield f"Mean ranks further apart than {overall.critical:.2f} differ (Nemenyi).{same}"
