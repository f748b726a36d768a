"""Comparisons made up for a test, whose truth is known, and the files of their students."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from selkd.comparison.compare import answer
from selkd.comparison.question import Question
from selkd.comparison.records import Records, StudyInfo
from selkd.comparison.result import Comparison
from selkd.tracking.record import LEDGER, TrialRecord

Run = dict[str, Any]
BASE = {"data.source": "digits", "data.seed": 0, "task.mode": "closed", "training.epochs": 3}
HOSTILE = ["<b>T-shirt</b>", "costs $5 or $6", "مرحبا بالعالم", "🚀 rocket", "a\u202eb\nc", "x" * 200]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


def records_of(runs: Sequence[Run], folder: Path) -> Records:
    """A row a run: names with a slash are metrics, those with a dot (and seed) configuration, `files` its tables by
    name, `history` its metrics by step; the others are columns of the trials."""
    trials, config, metrics = [], [], []
    for number, run in enumerate(runs):
        own = {k: v for k, v in run.items() if "/" not in k and "." not in k and k not in ("files", "history")}
        ended = pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(minutes=number)
        trials.append(
            {"study": "one", "key": f"one-{number}", "name": "one", "candidate": 0, "role": "student", "seed": 0,
             "status": "finished", "categories": "three, five", "link": f"run {number}"}
            | own | {"began": ended - pd.Timedelta(seconds=9), "ended": ended}
        )  # fmt: skip
        config.append(BASE | {k: v for k, v in run.items() if ("." in k and "/" not in k) or k == "seed"})
        metrics.append({k: v for k, v in run.items() if "/" in k})
    index = pd.Index([f"r{number}" for number in range(len(trials))], name="run", dtype=object)
    frames = [pd.DataFrame(rows, index=index) for rows in (trials, config, metrics, [{} for _ in trials])]
    info = StudyInfo("one", None, "", "finished", {"validation/accuracy": "maximise"}, (), None)
    excluded = pd.DataFrame(columns=["study", "key", "run", "reason"], dtype=object)

    def fetch(run: str, path: str) -> Path | None:
        """Files are written when they are asked for: most never are."""
        found = folder / run / path
        if not found.is_file():
            found.parent.mkdir(parents=True, exist_ok=True)
            _write(found, runs[int(run.removeprefix("r"))])
        return found if found.is_file() else None

    return Records(frames[0], frames[1], frames[2], frames[3], {"one": info}, excluded, fetch)


def _write(path: Path, run: Mapping[str, Any]) -> None:
    if path.stem in run.get("files", {}):
        run["files"][path.stem].to_parquet(path, index=False)
    if path.name == LEDGER and "history" in run:
        record = TrialRecord(path.parent)
        for step, metrics in run["history"].items():
            record.log(step, metrics)


@pytest.fixture(scope="session")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Comparison]:
    """The comparison of runs by a key, `level` unless told."""

    def made(runs: Sequence[Run], by: str = "objective.name", metric: str = "accuracy", **more: Any) -> Comparison:
        return answer(records_of(runs, tmp_path_factory.mktemp("files")), Question(by, metric, **more))

    return made


def predictions(random: np.random.Generator, skill: float, names: list[str], *, is_open: bool, n: int = 120) -> Any:
    """Answers of a student whose right logit stands out by `skill`; the teacher is always right."""
    outputs = [*names, "not selected"] if is_open else names
    labels = random.integers(len(outputs), size=n)
    logits = random.normal(size=(n, len(outputs)))
    logits[np.arange(n), labels] += skill
    told = np.asarray(outputs, dtype=object)
    return pd.DataFrame(
        {"row": np.arange(n), "label": told[labels], "prediction": told[logits.argmax(1)], "teacher": told[labels]}
        | {f"score/{name}": logits[:, k] for k, name in enumerate(outputs)}
    )


def probe(random: np.random.Generator, names: list[str], others: list[str], *, is_open: bool, n: int = 24) -> Any:
    everything = [*names, *others]
    labels = random.integers(len(everything), size=n)
    outputs = [*names, "not selected"] if is_open else names
    return pd.DataFrame(
        {"row": np.arange(n), "label": np.asarray(everything, dtype=object)[labels]}
        | {f"student/{name}": random.normal(size=n) for name in outputs}
        | {f"teacher/{name}": random.normal(size=n) + 4 * (labels == k) for k, name in enumerate(everything)}
    )


def ratios(random: np.random.Generator, epochs: int = 3) -> Any:
    """Rows by epoch, teacher, gap and ratio, as a run writes them: with numbers of single precision."""
    groups = [(e, t, g) for e in range(1, epochs + 1) for t in ("wrong", "right") for g in range(5)]
    return pd.DataFrame(
        {
            "epoch": [group[0] for group in groups],
            "teacher": [group[1] for group in groups],
            "gap": np.asarray([group[2] / 5 for group in groups], np.float32),
            "ratio": (random.integers(20, size=len(groups)) / 20).astype(np.float32),
            "rows": random.integers(1, 50, size=len(groups)),
        }
    )


def full(
    levels: Mapping[str, float],
    seeds: int = 3,
    rows: Iterable[int] = (20,),
    names: Iterable[str] = ("three", "five"),
    *,
    is_open: bool = False,
) -> list[Run]:
    """Students that left everything: metrics, costs, histories and files. `levels` says how good each is."""
    names, runs = list(names), []
    for count in rows:
        for number, (level, mean) in enumerate(levels.items()):
            for seed in range(seeds):
                random = np.random.default_rng([count, number, seed])
                for epsilon in (1.0, 4.0):
                    value = mean + 0.01 * random.normal() + count / 1e4 - (0.05 if epsilon == 4 else 0)
                    steps = {
                        step: {"validation/accuracy": value * (1 - 0.5**step), "train/truth": 2.0**-step,
                               "train/loss": 3.0**-step}
                        for step in range(1, 4)
                    }  # fmt: skip
                    used = random.integers(0, 3 if number else 9, size=40)
                    runs.append(
                        {
                            "objective.name": level,
                            "objective.epsilon": epsilon,
                            "data.rows_per_category": count,
                            "task.mode": "open" if is_open else "closed",
                            "seed": seed,
                            "categories": ", ".join(names),
                            "validation/accuracy": value,
                            "test/accuracy": value - 0.02,
                            "cost/parameters": 1000.0 * 4**number,
                            "cost/row_gradients": 100.0 * count,
                            **{f"test/accuracy/{name}": value - 0.1 * k for k, name in enumerate(names)},
                            "history": steps,
                            "files": {
                                "predictions-test": predictions(random, 3 * mean, names, is_open=is_open),
                                "ratios": ratios(random),
                                "probe": probe(random, names, ["six", "seven"], is_open=is_open),
                                "rows-used": pd.DataFrame(
                                    {"row": np.arange(40), "label": np.resize(np.asarray(names, dtype=object), 40),
                                     "used": used}
                                ),
                            },
                        }
                    )  # fmt: skip
    return runs


@pytest.fixture(scope="session")
def students() -> Callable[..., list[Run]]:
    return full


@pytest.fixture(scope="session")
def hostile() -> list[str]:
    """Names with markup, formulas, letters that run right to left, emoji, hidden characters, and many letters."""
    return list(HOSTILE)
