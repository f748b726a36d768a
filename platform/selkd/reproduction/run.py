"""Train a recorded run again, beside the recorded one, and compare the two."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from selkd.config import RunConfig, Workspace
from selkd.errors import UserError
from selkd.files import writing_folder
from selkd.recorded import Recorded, find, finished
from selkd.reproduction.inputs import with_chosen, with_data, with_teacher
from selkd.reproduction.origin import Difference, device_of, differences, flat
from selkd.reproduction.outcome import Likeness, Verdict, compare
from selkd.tracking import TrialRecord, provenance
from selkd.training.loop import Epoch
from selkd.training.run import Recording, threads, train
from selkd.training.setup import Setup
from selkd.training.setup import device_of as device_here
from selkd.training.start import folder_of
from selkd.training.workers import Workers

ELSEWHERE = 0.02
"""How far scores may be apart where bits cannot be expected to agree."""
SHARED = ("data", "teachers", "evidence")
"""What the scratch workspace takes from the real one; all of it is found by content."""


@dataclass(frozen=True)
class Reproduction:
    """What differed before training, and how alike the two students are."""

    key: str
    verdict: Verdict
    tolerance: float
    before: list[Difference]
    likeness: Likeness
    folder: Path | None  # where the new student is kept

    @property
    def same(self) -> bool:
        return self.verdict != "different"

    @property
    def first(self) -> str | None:
        """The first thing that differs, if the students do: what they come from, before how they were trained."""
        if self.verdict == "identical":
            return None
        causes = [str(one) for one in self.before if one.decides]
        return next(iter([*causes, *([self.likeness.first] if self.likeness.first else [])]), None)


def reproduce(
    run: str,
    workspace: Workspace | None = None,
    *,
    data: str | None = None,
    tolerance: float | None = None,
    keep: Path | None = None,
    on_before: Callable[[list[Difference]], None] = lambda _: None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Reproduction:
    """Train the run again from its record alone and compare; the recorded run is not touched.

    Where nothing that decides differs, on CPU, the two must be identical to the last bit; elsewhere their scores may
    differ by `tolerance`. `data` names the source that holds the recorded data on this machine, `keep` a new folder
    for the new run, and `on_before` hears what differs before training begins.
    """
    workspace = workspace or Workspace.default()
    if keep is not None and keep.exists():
        raise UserError(f"{keep}: exists already. Name a new folder to keep the run in.")
    with _scratch(workspace) as scratch:
        recorded = finished(find(run, workspace, scratch.root))
        config = with_teacher(recorded, with_data(recorded, recorded.config(), data, workspace), workspace)
        config = _on_this_machine(recorded, config)
        said, config = config, with_chosen(recorded, config)
        _lend_start(config, workspace, scratch)
        before = _before(recorded, config, said, scratch)
        on_before(before)
        trained = train(config, scratch, on_epoch=on_epoch, recording=Recording(deliver=False, figures=False))
        likeness = compare(recorded.record, TrialRecord(trained.folder), config.task.mode)
        if keep is not None:
            _keep(trained.folder, keep)
    exact = device_here(config).type == "cpu" and not any(one.decides for one in before)
    allowed = tolerance if tolerance is not None else 0.0 if exact else ELSEWHERE
    return Reproduction(recorded.key, likeness.verdict(allowed), allowed, before, likeness, keep)


@contextmanager
def _scratch(workspace: Workspace) -> Iterator[Workspace]:
    """A workspace of its own for runs, with the data, teachers and evidence of the real one."""
    workspace.root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".reproduce-", dir=workspace.root) as place:
        for name in SHARED:
            (workspace.root / name).mkdir(exist_ok=True)
            (Path(place) / name).symlink_to(workspace.root / name)
        yield Workspace(Path(place))


def _lend_start(config: RunConfig, workspace: Workspace, scratch: Workspace) -> None:
    """The scratch workspace has no runs but the one as which the student begins."""
    if config.start is not None and "/" not in config.start:
        scratch.runs.mkdir(exist_ok=True)
        (scratch.runs / config.start).symlink_to(folder_of(config.start, workspace).parent, target_is_directory=True)


def _on_this_machine(recorded: Recorded, config: RunConfig) -> RunConfig:
    """The recorded device where there is one like it, else the CPU."""
    device = device_of(recorded.begins[-1])
    if device == "cuda" and not torch.cuda.is_available():
        device = "cpu"
    changed = {**config.model_dump(mode="json"), "workers": {**config.workers.model_dump(), "device": device}}
    return RunConfig.of(changed)


def _before(recorded: Recorded, config: RunConfig, said: RunConfig, scratch: Workspace) -> list[Difference]:
    """What differs, in what is used and in what was `said` of it."""
    device = device_here(config)
    with threads(config.training.threads):  # evidence that is missing is computed as training would
        contents = Setup.of(config, scratch, Workers(), device).fingerprints()
    return differences(recorded.begins, provenance(), contents, flat(said.model_dump(mode="json")), device.type)


def _keep(run: Path, folder: Path) -> None:
    with writing_folder(folder) as part:
        shutil.copytree(
            run, part, dirs_exist_ok=True, ignore=shutil.ignore_patterns("checkpoints", "*.lock", "end.json")
        )
