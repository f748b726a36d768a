"""Teacher policies that know no costs, and show rows to teachers: published scores of transferability."""

from collections.abc import Sequence
from typing import ClassVar

from selkd.selection.teachers import scores
from selkd.selection.teachers.base import (
    Asked,
    RankingPolicy,
    SampleSettings,
    TeacherEvidence,
    finite,
    of_each,
    register,
)


class AskedPolicy(RankingPolicy):
    """Scores each teacher by what it answers to a sample of rows."""

    Settings = SampleSettings

    def scores(self, evidence: TeacherEvidence, names: Sequence[str], seed: int) -> dict[str, float]:
        assert isinstance(self.settings, SampleSettings)
        sample, rows = evidence.sample, self.settings.rows
        sample.ahead(names, self.asks, rows)
        return of_each(names, lambda name: finite(name, self.name, self.score(evidence, name, rows)), sample.skipped)

    asks: ClassVar[Asked] = "logits"

    def score(self, evidence: TeacherEvidence, name: str, rows: int) -> float:
        raise NotImplementedError


@register
class Overlap(RankingPolicy):
    """The share of the task's categories that a teacher knows by name; no row is shown."""

    name: ClassVar[str] = "overlap"

    def scores(self, evidence: TeacherEvidence, names: Sequence[str], seed: int) -> dict[str, float]:
        return of_each(names, evidence.sample.shared, evidence.sample.skipped)


@register
class Leep(AskedPolicy):
    """Log-likelihood of labels given a teacher's probabilities (LEEP, Nguyen et al. 2020)."""

    name: ClassVar[str] = "leep"

    def score(self, evidence: TeacherEvidence, name: str, rows: int) -> float:
        sample = evidence.sample
        return scores.leep(sample.logits(name, rows).softmax(1), sample.labels(rows), len(sample.prior()))


@register
class Nce(AskedPolicy):
    """Negative conditional entropy of labels given a teacher's answers (NCE, Tran et al. 2019)."""

    name: ClassVar[str] = "nce"

    def score(self, evidence: TeacherEvidence, name: str, rows: int) -> float:
        sample = evidence.sample
        return scores.nce(sample.logits(name, rows), sample.labels(rows), len(sample.prior()))


@register
class LogMe(AskedPolicy):
    """Evidence of linear models of the labels on a teacher's features (LogME, You et al. 2021)."""

    name: ClassVar[str] = "logme"
    asks: ClassVar[Asked] = "features"

    def score(self, evidence: TeacherEvidence, name: str, rows: int) -> float:
        sample = evidence.sample
        return scores.logme(sample.features(name, rows), sample.labels(rows), len(sample.prior()))
