"""The number that is compared: of each trial, on test and on validation; gains are over the cross-entropy twin."""

import pandas as pd

from selkd.comparison.factors import OBJECTIVE, STUDY, labels
from selkd.comparison.question import Question
from selkd.comparison.records import Records
from selkd.comparison.result import Metric
from selkd.comparison.tables import Column, Frame
from selkd.errors import UserError, nearest

GAIN, TEST, VALIDATION = "gain/", "test/", "validation/"
SMALLER_IS_BETTER = ("nll", "calibration_error", "fpr_at_95_tpr")
NO_SHARES = ("nll", "threshold")
USUAL = ("balanced", "accuracy")
"""What settings are chosen by where a study does not say: of open tasks, then of closed ones."""
NO_TWIN = "it has no cross-entropy twin of the same subset, rows and seed"


def metric_of(records: Records, question: Question) -> Metric:
    """The metric that is asked for, with its two parts."""
    columns = set(map(str, records.metrics.columns))
    name = question.metric or _usual(records)
    gain = GAIN if name.startswith(GAIN) else ""
    plain = name.removeprefix(GAIN).removeprefix(TEST)
    if f"{TEST}{plain}" in columns:
        reported, chosen_by = f"{gain}{TEST}{plain}", f"{gain}{VALIDATION}{plain}"
    elif not gain and name in columns:
        reported, plain = name, name
        chosen_by = name if name.startswith(VALIDATION) else VALIDATION + _usual(records).removeprefix(GAIN)
    else:
        on_test = sorted(column.removeprefix(TEST) for column in columns if column.startswith(TEST))
        costs = sorted(column for column in columns if column.startswith("cost/"))
        known = [*(n for n in on_test if "/" not in n), *costs, *(n for n in on_test if "/" in n)]
        raise UserError(
            f"metric: no finished run recorded {name!r}. {nearest(plain, known)} gain/X is X over cross-entropy."
        )
    share = not reported.startswith("cost/") and plain.rpartition("/")[2] not in NO_SHARES
    return Metric(
        name=f"{gain}{plain}",
        reported=reported,
        chosen_by=chosen_by,
        maximise=_maximise(records, reported),
        choose_highest=_maximise(records, chosen_by),
        share=share,
    )


def observed(records: Records, metric: Metric, runs: pd.Index) -> tuple[Frame, Column]:
    """Of each run the `value` that is reported and its `validation`; and why a value is missing."""
    twins = twins_of(records) if GAIN in (metric.reported + metric.chosen_by) else None
    values, reasons = _column(records, metric.reported, runs, twins)
    validation, _ = _column(records, metric.chosen_by, runs, twins)
    return pd.DataFrame({"value": values, "validation": validation}), reasons[values.isna()]


def twins_of(records: Records) -> Column:
    """Of each run the cross-entropy run that differs from it in the objective alone."""
    trials = records.trials
    texts = labels(records, trials.index)
    rest = texts.drop(columns=[key for key in texts if key == STUDY or str(key).startswith(OBJECTIVE)])
    alike = pd.concat([rest, trials["categories"].astype(str)], axis=1)
    same = alike.groupby(list(alike.columns), sort=False, dropna=False).ngroup()
    if f"{OBJECTIVE}name" not in records.config:
        return pd.Series(index=trials.index, dtype=object)
    plain = records.config[f"{OBJECTIVE}name"] == "cross-entropy"
    truth = records.config.get(f"{OBJECTIVE}truth")
    if truth is not None:
        plain &= truth.isna() | (truth == "cross-entropy")
    found = trials[plain].assign(same=same).sort_values("role", ascending=False, kind="stable")  # twins first
    found = found.drop_duplicates("same")
    return same.map(pd.Series(found.index, index=found["same"]))


def _column(records: Records, name: str, runs: pd.Index, twins: Column | None) -> tuple[Column, Column]:
    """A metric of runs, and the reason that holds wherever it is missing."""
    plain = name.removeprefix(GAIN)
    column = records.metrics.get(plain)
    column = pd.Series(float("nan"), index=records.metrics.index) if column is None else column
    mine = column.loc[runs].astype(float)
    reasons = pd.Series(f"{plain} is missing or no number", index=runs, dtype=object)
    if not name.startswith(GAIN) or twins is None:
        return mine.where(mine.abs() < float("inf")), reasons
    twin = twins.loc[runs]
    reasons = reasons.mask(mine.notna(), f"{plain} of its twin is missing or no number").mask(twin.isna(), NO_TWIN)
    return mine - twin.map(column), reasons


def _usual(records: Records) -> str:
    """What the studies search by, where every trial has it; else what their tasks are usually judged by."""
    asked = [name for study in records.studies.values() for name in study.metrics if not name.startswith("cost/")]
    names = [*(name.removeprefix(VALIDATION) for name in asked), *USUAL]
    share = {name: _known(records, name.removeprefix(GAIN)) for name in names}
    return max(names, key=lambda name: share[name])


def _known(records: Records, name: str) -> float:
    column = records.metrics.get(f"{TEST}{name}")
    return 0.0 if column is None or column.empty else float(column.notna().mean())


def _maximise(records: Records, name: str) -> bool:
    plain = name.removeprefix(GAIN).removeprefix(TEST).removeprefix(VALIDATION)
    for study in records.studies.values():
        for searched, direction in study.metrics.items():
            if searched.removeprefix(GAIN).removeprefix(VALIDATION) == plain:
                return direction == "maximise"
    return not plain.startswith("cost/") and plain.rpartition("/")[2] not in SMALLER_IS_BETTER
