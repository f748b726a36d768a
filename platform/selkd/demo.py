"""The demonstration: two small studies of the same students, closed and open, whose results are compared here."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from selkd.comparison.compare import Comparison, compare
from selkd.comparison.report import write
from selkd.config import Workspace
from selkd.files import write_bytes
from selkd.sweeps.ready import path_of
from selkd.sweeps.space import SearchSpace
from selkd.sweeps.state import Candidate
from selkd.sweeps.studies import Study

STUDIES = ("demo-closed", "demo-open")
OBJECTIVE, SAMPLES = "objective.name", "selection.samples"

Figure = tuple[float, float | None]  # mean and, where there are seeds, deviation


@dataclass(frozen=True)
class Row:
    """The best candidate of an objective and a sample policy: chosen on validation, reported on test."""

    objective: str
    samples: str
    parameters: dict[str, Any]
    validation: Figure
    test: Figure


def spaces() -> list[SearchSpace]:
    return [SearchSpace.read(path_of(name)) for name in STUDIES]


def teacher() -> dict[str, Any]:
    """The configuration of the teacher that both studies share."""
    found = spaces()[0].teacher
    assert found is not None
    return found


def write_files(folder: Path) -> None:
    """The search spaces, teacher and a student as files, ready to change and run again; what is there is kept."""
    opened = spaces()[-1]
    student = {"name": "open-selkd", **opened.base, "objective": {"name": "selkd", "epsilon": 4.0}}
    content = {name: path_of(name).read_bytes() for name in STUDIES} | {
        name: yaml.safe_dump(config, sort_keys=False).encode()
        for name, config in (("teacher", teacher()), ("open-selkd", student))
    }
    for name, text in content.items():
        if not (path := folder / f"{name}.yaml").exists():
            write_bytes(path, text)


def reported(study: Study, workspace: Workspace) -> tuple[Comparison, Path]:
    """What the study's records say of the objectives, and the page of its report."""
    found = compare(study.name, OBJECTIVE, workspace=workspace)
    return found, write(found, workspace.root / "reports" / study.name)


def compared(study: Study) -> list[Row]:
    """A row for the teacher, restricted to the task, and one for each objective and sample policy, the best first."""
    metric = next(iter(study.space.metrics))
    best: dict[tuple[str, str], Candidate] = {}
    for candidate in study.ranking():
        pair = (candidate.parameters[OBJECTIVE], candidate.parameters[SAMPLES]["policy"])
        best.setdefault(pair, candidate)
    rows = list(_rows(study, best, metric))
    return [_teacher(study, metric), *rows] if rows else []


def _rows(study: Study, best: dict[tuple[str, str], Candidate], metric: str) -> Iterator[Row]:
    for (objective, samples), candidate in best.items():
        recorded = [study.state.trials[key].metrics for key in candidate.students]
        yield Row(
            objective,
            samples,
            {k.rpartition(".")[2]: v for k, v in candidate.parameters.items() if k not in (OBJECTIVE, SAMPLES)},
            _figure([metrics[metric] for metrics in recorded]),
            _figure([metrics[on_test(metric)] for metrics in recorded]),
        )


def _teacher(study: Study, metric: str) -> Row:
    recorded = next(trial.metrics for trial in study.state.trials.values() if trial.status == "finished")
    figures = [(recorded[f"teacher/{name}"], None) for name in (metric, on_test(metric))]
    return Row("teacher", "", {}, *figures)


def on_test(metric: str) -> str:
    return metric.replace("validation/", "test/")


def _figure(values: Sequence[float]) -> Figure:
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None
