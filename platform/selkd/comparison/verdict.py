"""The answer in a sentence or two, as honest as the numbers: what is told, what is not, and what would tell it."""

import math
from collections.abc import Sequence

from selkd.comparison.overall import Overall
from selkd.comparison.question import Question
from selkd.comparison.result import ALL, Contrast, Metric
from selkd.comparison.tables import Frame
from selkd.comparison.words import counted, listed, p_value

NAMED = 5
"""Contrasts that are named one by one."""


class Verdict:
    """Puts contrasts into words, for one metric."""

    def __init__(self, question: Question, metric: Metric, unit: str, levels: Frame) -> None:
        self.question, self.metric, self.unit, self.levels = question, metric, unit, levels

    def sentence(self, contrasts: Sequence[Contrast], overall: Overall | None, matters: float | None) -> str:
        """The verdict over all groups, and what more seeds would tell."""
        primary = [one for one in contrasts if one.group == ALL and one.pairs]
        names = list(dict.fromkeys(self.levels["level"]))
        if not names:
            return f"Nothing can be said: no finished run has {self.metric.words}."
        if len(names) == 1:
            return f"{self.question.by} has one value here, {names[0]}: there is nothing to compare it with."
        if not primary:
            return f"Nothing can be said: no two levels of {self.question.by} share a pair."
        said = [self._one(primary[0]) if len(primary) == 1 else self._many(primary, overall)]
        said += self._within([one for one in contrasts if one.group != ALL and one.pairs], primary)
        said += self._power(primary, matters)
        return " ".join(said)

    def _one(self, one: Contrast) -> str:
        lead, other = self._sides(one)
        if one.better:
            better = "better" if self.metric.maximise else "lower, which is better,"
            return f"{lead} is {better} than {other} on {self.metric.words}: {self._numbers(one)}."
        return (
            f"No difference is shown between {one.level} and {one.against} on {self.metric.words}: "
            f"{self._numbers(one)}."
        )

    def _many(self, primary: Sequence[Contrast], overall: Overall | None) -> str:
        what, baseline = self.metric.words, self.question.baseline
        told = [one for one in primary if one.better]
        if baseline is not None:
            better = [one for one in told if one.better != baseline]
            worse = [one for one in told if one.better == baseline]
            rest = [one.level for one in primary if one.better is None]
            parts = [
                f"{word} than {baseline}: {'; '.join(self._brief(one, baseline) for one in found[:NAMED])}{_and(found)}"
                for word, found in (("better", better), ("worse", worse))
                if found
            ]
            parts += [f"not told apart from it: {listed(rest)}"] if rest else []
            if not told:
                return f"No difference is shown between {baseline} and any of {listed(rest)} on {what}."
            return f"On {what}, {'; '.join(parts)} ({self._confidence} intervals)."
        leader = self._leader(primary)
        if not told:
            whole = p_value(overall.iman_davenport) if overall and overall.iman_davenport is not None else ""
            between = f" (all levels at once: {whole})" if whole else ""
            return (
                f"No difference is shown between the {len(self._names(primary))} levels of {self.question.by} on "
                f"{what}{between}; {leader} has the best mean."
            )
        beaten = [one for one in told if one.better == leader]
        if not beaten or any(one.better != leader and leader in (one.level, one.against) for one in told):
            pairs = [f"{one.better} over {self._sides(one)[1]}" for one in told]
            return f"{leader} has the best mean on {what}; told apart are {listed(pairs, NAMED)}."
        below = [self._sides(one)[1] for one in beaten]
        shown = listed([f"{name} ({self._short(one, leader)})" for name, one in zip(below, beaten, strict=True)])
        rest = [name for name in self._names(primary) if name != leader and name not in below]
        apart = f"; it is not told apart from {listed(rest)}" if rest else ""
        return f"On {what}, {leader} is better than {shown}{apart} ({self._confidence} intervals)."

    def _within(self, inside: Sequence[Contrast], primary: Sequence[Contrast]) -> list[str]:
        if not inside:
            return []
        if len(primary) > 1:
            told = sum(one.better is not None for one in inside)
            return [f"Within single groups, {told} of {counted(len(inside), 'contrast')} are told."]
        parts = [
            f"{one.group} {self._points(self._signed(one, primary[0]))}{', told' if one.better else ''}"
            for one in inside[:NAMED]
        ]
        return [f"Within groups: {'; '.join(parts)}{_and(inside)}."]

    def _power(self, primary: Sequence[Contrast], matters: float | None) -> list[str]:
        """What would tell the first two levels apart, where they are not."""
        one = primary[0]
        if matters is None or one.better is not None or one.more is None:
            return []
        between = "" if len(primary) == 1 else f" between {one.level} and {one.against}"
        size = f"a difference of {self._size(matters)}{between}"
        if one.more == 0:
            return [f"{size[0].upper()}{size[1:]} would have been told with 80 % power."]
        more = counted(one.more, f"more {self.unit}")
        return [f"With {more}, {size} would be told with 80 % power."]

    def _numbers(self, one: Contrast) -> str:
        """`+1.2 points (95 % interval 0.4 to 2.0; 10 pairs; p = 0.004, Holm)`, seen from the leader."""
        lead, _ = self._sides(one)
        between = self._interval(one, lead)
        around = f"{self._confidence} interval {between}" if between else "no interval"
        holm = ", Holm" if one.adjusted is not None and one.p is not None and one.adjusted != one.p else ""
        p = p_value(one.p if one.adjusted is None else one.adjusted)
        return f"{self._points(self._toward(one, lead))} ({around}; {counted(one.pairs, 'pair')}; {p}{holm})"

    @property
    def _confidence(self) -> str:
        return f"{100 * (1 - self.question.alpha):g} %"

    def _interval(self, one: Contrast, lead: str) -> str:
        """`0.4 to 2.0`, seen from `lead`; nothing where none is known."""
        low, high = (one.low, one.high) if lead == one.level else (-one.high, -one.low)
        unit = self.metric.unit
        return "" if math.isnan(low) else f"{self._figure(low * unit)} to {self._figure(high * unit)}"

    def _short(self, one: Contrast, lead: str) -> str:
        """`+1.2 points, 0.4 to 2.0`, seen from `lead`."""
        return ", ".join(filter(None, (self._points(self._toward(one, lead)), self._interval(one, lead))))

    def _brief(self, one: Contrast, baseline: str) -> str:
        """A level by what lies between it and the baseline."""
        name = one.against if one.level == baseline else one.level
        return f"{name} ({self._short(one, name)})"

    def _sides(self, one: Contrast) -> tuple[str, str]:
        """The level with the better mean, and the other."""
        ahead = one.difference > 0 if self.metric.maximise else one.difference < 0
        return (one.level, one.against) if ahead or not one.difference else (one.against, one.level)

    def _toward(self, one: Contrast, lead: str) -> float:
        return one.difference if lead == one.level else -one.difference

    def _signed(self, one: Contrast, like: Contrast) -> float:
        return self._toward(one, self._sides(like)[0])

    def _leader(self, primary: Sequence[Contrast]) -> str:
        """The level that is ahead in most contrasts."""
        ahead = [self._sides(one)[0] for one in primary]
        return max(self._names(primary), key=ahead.count)

    def _names(self, primary: Sequence[Contrast]) -> list[str]:
        return list(dict.fromkeys(name for one in primary for name in (one.level, one.against)))

    def _points(self, value: float) -> str:
        return f"{value * self.metric.unit:+.{1 if self.metric.share else 3}{'f' if self.metric.share else 'g'}}" + (
            " points" if self.metric.share else ""
        )

    def _figure(self, value: float) -> str:
        return f"{value:.1f}" if self.metric.share else f"{value:.3g}"

    def _size(self, value: float) -> str:
        if not self.metric.share:
            return f"{value:.3g}"
        return counted_points(100 * value)


def _and(found: Sequence[Contrast]) -> str:
    return f" and {len(found) - NAMED} more" if len(found) > NAMED else ""


def counted_points(points: float) -> str:
    return "1 point" if points == 1 else f"{points:.3g} points"
