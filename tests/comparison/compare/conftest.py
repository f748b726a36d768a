"""Records made up for a test, whose truth is known."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pandas as pd
import pytest

from selkd.comparison.records import Records, StudyInfo

Run = dict[str, Any]
BASE = {"data.source": "digits", "task.mode": "closed", "training.epochs": 30, "workers.count": 1}


def made(runs: Iterable[Run], **studies: Mapping[str, Any]) -> Records:
    """Records of runs. Names with a slash are metrics, those with a dot (and seed, teacher) are configuration.

    The others are columns of the trials: study, role, categories, candidate. `studies` says more of a study: metrics,
    comparison, status, changed and extended.
    """
    trials, config, metrics, origin = [], [], [], []
    for number, run in enumerate(runs):
        own = {"study": "one", "role": "student", "categories": "three, five", "candidate": 0} | {
            key: value for key, value in run.items() if "/" not in key and "." not in key and key != "teacher"
        }
        ended = pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(minutes=number)
        began = ended - pd.Timedelta(seconds=30)
        key = f"{own['study']}-{number}"
        trials.append({"key": key, "name": own["study"], "status": "finished", "seed": 0, "link": f"run {number}"} | own
                      | {"began": began, "ended": ended})  # fmt: skip
        named = {k: v for k, v in run.items() if "/" not in k and ("." in k or k in ("seed", "teacher"))}
        config.append({"name": own["study"], **BASE, **{k: v for k, v in named.items() if not k.startswith("origin.")}})
        metrics.append({k: v for k, v in run.items() if "/" in k})
        origin.append({k.removeprefix("origin."): v for k, v in named.items() if k.startswith("origin.")})
    index = pd.Index([f"r{number}" for number in range(len(trials))], name="run")
    tables = [pd.DataFrame(rows, index=index) for rows in (trials, config, metrics, origin)]
    names = dict.fromkeys([*(trial["study"] for trial in trials), *studies])
    infos = {name: _info(name, studies.get(name, {})) for name in names}
    excluded = pd.DataFrame(columns=["study", "key", "run", "reason"], dtype=object)
    return Records(tables[0], tables[1], tables[2], tables[3], infos, excluded)


def _info(name: str, said: Mapping[str, Any]) -> StudyInfo:
    metrics = said.get("metrics", {"validation/accuracy": "maximise"})
    status, later = said.get("status", "finished"), [said.get(name, False) for name in ("changed", "extended")]
    return StudyInfo(name, None, "", status, metrics, (), said.get("comparison"), *later)


@pytest.fixture
def records() -> Callable[..., Records]:
    return made
