"""Category policies that read the teacher's answers on the training rows.

M [K, K] holds the teacher's mean probabilities: M[a, c] is what the rows of category a give to answer c. Probabilities
and not counted answers, because a teacher makes few mistakes on the rows it was trained on.
"""

from typing import ClassVar

import numpy as np

from selkd.selection.categories.base import CategoryEvidence, SizedPolicy, TaughtSettings, register
from selkd.selection.categories.optimise import added, densest, farthest, highest
from selkd.selection.subsets import Feasible


class PairPolicy(SizedPolicy):
    """The subset of largest sum over its pairs of categories, and over each with itself."""

    Settings = TaughtSettings

    def gain(self, answers: np.ndarray) -> np.ndarray:
        """What pairs are worth [K, K], symmetric."""
        raise NotImplementedError

    def pick(self, evidence: CategoryEvidence, feasible: Feasible, seed: int) -> tuple[list[int], np.ndarray]:
        gain = self.gain(evidence.answers)
        chosen = densest(feasible, gain)
        return chosen, added(gain, chosen)


@register
class MostConfusable(PairPolicy):
    """The categories that the teacher confuses most with one another: the largest sum of M[a, c], a not c."""

    name: ClassVar[str] = "most-confusable"

    def gain(self, answers: np.ndarray) -> np.ndarray:
        return _confusion(answers)


@register
class LeastConfusable(PairPolicy):
    """The categories that the teacher confuses least with one another: the smallest sum of M[a, c], a not c."""

    name: ClassVar[str] = "least-confusable"

    def gain(self, answers: np.ndarray) -> np.ndarray:
        return -_confusion(answers)


@register
class Transport(PairPolicy):
    """The subset whose restricted teacher plan loses least.

    The teacher's plan over all categories gives row x of category a the mass p(c | x) / (k n_a) at answer c, with k
    chosen categories and n_a rows. Restriction to the subset keeps the mass of its rows at its own categories, the mean
    over a in S of the sum over c in S of M[a, c], and loses the rest. Categories that lose little alone or to one
    another are chosen.
    """

    name: ClassVar[str] = "transport"

    def gain(self, answers: np.ndarray) -> np.ndarray:
        return (answers + answers.T) / 2


class RankPolicy(SizedPolicy):
    """The categories that score highest, each for itself."""

    Settings = TaughtSettings

    def scores(self, answers: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def pick(self, evidence: CategoryEvidence, feasible: Feasible, seed: int) -> tuple[list[int], np.ndarray]:
        scores = self.scores(evidence.answers)
        return highest(feasible, scores), scores


@register
class Best(RankPolicy):
    """The categories whose own rows the teacher is surest of: the largest M[a, a]."""

    name: ClassVar[str] = "best"

    def scores(self, answers: np.ndarray) -> np.ndarray:
        return answers.diagonal()


@register
class Worst(RankPolicy):
    """The categories whose own rows the teacher is least sure of: the smallest M[a, a]."""

    name: ClassVar[str] = "worst"

    def scores(self, answers: np.ndarray) -> np.ndarray:
        return -answers.diagonal()


@register
class Diverse(SizedPolicy):
    """k-centre on class means: categories far from one another in what the teacher answers.

    The distance of two categories is Hellinger's between their mean probabilities, sqrt(1 - sum_c sqrt(M[a,c] M[b,c])):
    small masses count, where a teacher that is nearly always right would make all distances equal.
    """

    name: ClassVar[str] = "diverse"
    Settings = TaughtSettings

    def pick(self, evidence: CategoryEvidence, feasible: Feasible, seed: int) -> tuple[list[int], np.ndarray]:
        distance = hellinger(evidence.answers)
        chosen = farthest(feasible, distance)
        others = distance[:, chosen]
        others[chosen, np.arange(len(chosen))] = np.inf
        nearest = others.min(1)
        return chosen, np.where(np.isfinite(nearest), nearest, 0.0)


def _confusion(answers: np.ndarray) -> np.ndarray:
    both = (answers + answers.T) / 2
    return both - np.diag(both.diagonal())


def hellinger(means: np.ndarray) -> np.ndarray:
    """Distances [K, K] between distributions [K, K], one a row, in [0, 1]."""
    roots = np.sqrt(means)
    return np.sqrt(np.clip(1 - roots @ roots.T, 0.0, 1.0))
