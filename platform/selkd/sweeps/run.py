"""Run a study: take it up or go on with it, keep MLflow informed, and leave everything in good order."""

import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from selkd.config import RunConfig, Workspace
from selkd.errors import UserError
from selkd.files import holding
from selkd.models.teachers import TeacherRepository
from selkd.store import Term
from selkd.sweeps.director import Director, listed, trials
from selkd.sweeps.needed import refuse_missing
from selkd.sweeps.proposals import Proposer
from selkd.sweeps.room import here, room
from selkd.sweeps.space import SearchSpace
from selkd.sweeps.state import State
from selkd.sweeps.studies import LOCK, STOP, Study, proposer_of
from selkd.tracking import Courier, StudyRecord, TrialRecord, provenance, tracking_uri
from selkd.tracking.record import LEDGER
from selkd.tracking.stored import driven
from selkd.training.ending import signals_kept
from selkd.training.loop import Epoch
from selkd.training.ray_entry import started, starts_here
from selkd.training.teach import refuse_another, teach

log = logging.getLogger(__name__)

DELIVERY_PATIENCE = 30.0
"""Seconds without any record arriving after which MLflow is left to `selkd sync`."""

Watch = Callable[[State], None]


def sweep(
    space: SearchSpace | Mapping[str, Any] | str | Path,
    workspace: Workspace | None = None,
    *,
    watch: Watch = lambda _: None,
    on_teacher_epoch: Callable[[Epoch], None] = lambda _: None,
    changed: bool = False,
    seeds: Mapping[int, int] | None = None,
) -> Study:
    """Run the study of a search space; a study that was begun goes on.

    `watch` is shown the study's state now and then. With `changed`, a study goes on although its space is another one
    than when it began. `seeds`: candidates that are to have more seeds than they have, and how many.
    """
    space, workspace = SearchSpace.of(space), workspace or Workspace.default()
    folder = workspace.studies / space.name
    busy = (
        f"{folder.name}: another driver works on this study. Watch it with `selkd study {folder.name}`, end it with "
        f"`selkd study {folder.name} --stop`, or give this one another name."
    )
    with (
        holding(folder / LOCK, 2, busy),
        driven(folder, workspace.runs, busy) as term,
    ):  # who only looks lets go at once
        record = StudyRecord(folder)
        before = State.of(record.ledger.events())
        difference = _difference(before, space, changed)
        refuse_missing(space, workspace)
        proposer = proposer_of(space, workspace)
        if starts_here():  # what does not fit is said before a teacher is taught for it
            base = RunConfig.of(space.base)
            room(here(base), base, space.concurrent)
        _taught(space, workspace, on_teacher_epoch)
        resolved = space.model_dump(mode="json", by_alias=True)
        if before.driver is not None:
            record.miss()
        if not before.space:
            record.begin(space.name, resolved, provenance())
        record.start(os.getpid(), socket.gethostname(), space.concurrent or 0)
        if difference:
            record.change(resolved, difference)
        for number, count in (seeds or {}).items():
            more = trials(space, before.candidates[number].parameters, count)
            record.extend(number, listed(trial for trial, _ in more))
        (folder / STOP).unlink(missing_ok=True)
        _train(space, record, proposer, workspace, watch, term)
    return Study.read(space.name, workspace)


def _train(
    space: SearchSpace, record: StudyRecord, proposer: Proposer, workspace: Workspace, watch: Watch, term: Term
) -> None:
    """Bring every trial to its end, whoever interrupts."""
    director = Director(space, record, proposer, workspace)
    state = director.state
    courier = Courier(tracking_uri(workspace.root), space.name)
    for folder in (record.folder, *(workspace.runs / key for key in state.trials)):
        if (folder / LEDGER).is_file():  # an earlier driver may have been killed before it delivered all
            courier.poke(folder)

    def changed(key: str | None) -> None:
        if key is None and director.ending is None and (record.folder / STOP).exists():
            director.ending = "asked to stop"
        if term.lost and director.ending is None:
            director.ending = "a driver on another machine took it over"
            (record.folder / STOP).touch()
        if key is not None:
            courier.poke(workspace.runs / key)
            courier.poke(record.folder)
        watch(state)

    try:
        with _interrupts(director):
            if director.wants:  # else there is nothing that Ray should start for
                _tune(director, workspace, changed)
    except KeyboardInterrupt:
        director.ending = director.ending or "interrupted"
    except BaseException as error:
        director.ending = f"{type(error).__name__}: {error}"
        raise
    finally:
        (record.folder / STOP).unlink(missing_ok=True)
        for key in settle(director.state, record, workspace):
            courier.poke(workspace.runs / key)
        state.apply(record.stop(director.finished, director.ending or "every candidate was tried"))
        courier.poke(record.folder)
        watch(state)
        if not courier.close(DELIVERY_PATIENCE):
            log.warning("%s: not everything reached MLflow yet; `selkd sync` delivers it", space.name)


def _tune(director: Director, workspace: Workspace, changed: Callable[[str | None], None]) -> None:
    workers = RunConfig.of(director.space.base).workers
    with started(workers.count, workers.cpus, dashboard=workers.count > 1) as ray:
        from selkd.sweeps.tuning import tune_study

        tune_study(ray, director, workspace, changed)


def settle(state: State, record: StudyRecord, workspace: Workspace) -> list[str]:
    """Leave no trial running for ever: say of each that nobody trains any more how it stands."""
    settled = []
    for trial in state.trials.values():
        if trial.status == "finished":  # its own record said so
            continue
        own = TrialRecord(workspace.runs / trial.key)
        if own.status == "running":
            ended = trial.status if trial.status in ("pruned", "failed") else "stopped"
            own.finish(ended, {}, trial.reason or "its study was stopped; resuming the study goes on", late=True)
            settled.append(trial.key)
        if trial.status == "running":
            state.apply(record.end_trial(trial.key, "stopped", {}, "the study was stopped", own.seconds))
    return settled


@contextlib.contextmanager
def _interrupts(director: Director) -> Iterator[None]:
    """The first SIGINT or SIGTERM lets students save where they are; the second ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        if director.ending is not None:
            raise KeyboardInterrupt
        director.ending = f"interrupted ({signal.Signals(number).name})"
        (director.record.folder / STOP).touch()

    with signals_kept():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, end)
        yield


def _difference(state: State, space: SearchSpace, changed: bool) -> list[str]:
    """What changed since the study began. Refused, unless told: candidates of two spaces would be compared.

    What only says how much may be spent may change, and so may anything before the first candidate.
    """
    if not state.space:
        return []
    difference = SearchSpace.model_validate(state.space).difference(space)
    if difference.lines and state.candidates and not difference.harmless and not changed:
        shown = "\n".join(f"  {line}" for line in difference.lines)
        raise UserError(
            f"{space.name}: the search space changed since the study began:\n{shown}\n"
            "Restore it, give the study another name, or go on all the same with --changed."
        )
    return difference.lines


def _taught(space: SearchSpace, workspace: Workspace, on_epoch: Callable[[Epoch], None]) -> None:
    """The teacher that the space describes, where the workspace does not have it."""
    if space.teacher is None:
        return
    config = RunConfig.of(space.teacher)
    refuse_another(config, workspace)
    if config.name not in TeacherRepository(workspace.teachers).names():
        teach(config, workspace, on_epoch=on_epoch)
