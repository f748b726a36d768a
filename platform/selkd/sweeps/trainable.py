"""What a Tune actor does: train one student after another. The same process serves many trials.

Training runs in a thread, which waits at every milestone until Tune asks it to go on: a student that is stopped early
leaves its training in good order, and the actor, its files and its workers are free for the next one.
"""

import errno
import math
import queue
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray import get_runtime_context, tune

from selkd.config import RunConfig, Workspace
from selkd.errors import Busy, CannotWrite, UserError
from selkd.sweeps import goals
from selkd.sweeps.lookout import PACE, Lookout
from selkd.sweeps.places import NODE
from selkd.tracking import TrialRecord
from selkd.training.ending import Moved, Paused, StoppedEarly
from selkd.training.loop import Epoch
from selkd.training.run import Recording, train

PATIENCE = 60.0
"""Seconds to wait for the process of a killed driver that still holds the trial."""
PAUSE = 2.0
"""Seconds before a trial is tried again whose files were out of reach."""
ENDS = {StoppedEarly: "pruned", Paused: "stopped", CannotWrite: "halted"}
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
Result = dict[str, Any]


class StudentTrial(tune.Trainable):
    """One trial at a time; `outcome` in the last result says how it ended."""

    def setup(self, config: dict[str, Any]) -> None:
        self._training = _Training(config)
        self._told = False

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._training.end()
        self._training, self._told = _Training(new_config), False
        return True

    def step(self) -> Result:
        if not self._told:
            self._told = True
            return {NODE: get_runtime_context().get_node_id(), "done": False}
        return self._training.next()

    def cleanup(self) -> None:
        self._training.end()

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """Checkpoints are the training's own; Tune has nothing to keep."""
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        pass


class _Training:
    """A student in training, up to its next milestone at a time."""

    def __init__(self, order: dict[str, Any]) -> None:
        self._config = RunConfig.model_validate_json(order["config"])
        self._workspace = Workspace(Path(order["workspace"]))
        self._recording = Recording(order["tags"], deliver=False, figures=order["figures"])
        self._milestones: list[float] = list(order["milestones"])
        self._metric: str = order["metric"]
        self._target: list[str] = order["target"]
        self._stop = Path(order["stop"])
        self._results: queue.SimpleQueue[Result | Exception] = queue.SimpleQueue()
        self._turn = threading.Semaphore(0)
        self._ending = False
        self._lookout, self._looked = Lookout(), time.monotonic()
        self._thread = threading.Thread(target=self._work, name=self._config.key, daemon=True)
        self._thread.start()

    def next(self) -> Result:
        """Train to the next milestone, or to the end."""
        self._turn.release()
        result = self._results.get()
        if isinstance(result, Exception):
            raise result
        return result

    def end(self) -> None:
        """Leave the training at its next epoch, if it has not ended."""
        self._ending = True
        self._turn.release()
        self._thread.join()

    def _work(self) -> None:
        self._turn.acquire()
        if not self._ending:
            self._results.put(self._outcome())

    def _outcome(self) -> "Result | Exception":
        """How the training ended. What trying again may mend is raised, so that the trial counts as lost."""
        try:
            train(
                self._config,
                self._workspace,
                on_epoch=self._hear,
                between=self._now_and_then,
                recording=self._recording,
                patience=PATIENCE,
            )
        except (Busy, Moved) as error:
            return error
        except OSError as error:
            if error.errno in FULL:
                return _ended("halted", str(error))
            time.sleep(PAUSE)
            return error
        except Exception as error:
            outcome = next((name for kind, name in ENDS.items() if isinstance(error, kind)), "failed")
            expected = isinstance(error, (UserError, *ENDS))
            return _ended(outcome, str(error) if expected else f"{type(error).__name__}: {error}")
        except BaseException as error:
            return RuntimeError(f"ended by {type(error).__name__}")
        return _ended("finished", None)

    def _hear(self, epoch: Epoch) -> None:
        """Report the milestone that was reached, wait until Tune goes on, and see whether the study was stopped."""
        share = epoch.epoch / epoch.epochs if epoch.epochs else 0.0
        reached = [milestone for milestone in self._milestones if milestone <= share + 1e-9]
        if not self._ending and reached and share < 1:
            self._milestones = [milestone for milestone in self._milestones if milestone > reached[-1]]
            value = goals.value(self._metric, self._target, self._metrics_at(reached[-1], epoch), {})
            self._results.put({"share": reached[-1], "value": value, "done": False})
            self._turn.acquire()
        self._leave_if_told()

    def _now_and_then(self) -> None:
        """An epoch may take longer than there is time: between two updates, look whether to leave, but not at each."""
        if time.monotonic() - self._looked >= PACE:
            self._looked = time.monotonic()
            self._leave_if_told()

    def _leave_if_told(self) -> None:
        if self._ending or self._stop.exists():
            raise Paused("its study was stopped; resuming the study goes on")
        self._lookout.look()

    def _metrics_at(self, milestone: float, epoch: Epoch) -> Mapping[str, float]:
        """Those of the first look at the milestone, which is an earlier one where training was killed unheard."""
        own = math.ceil(milestone * epoch.epochs - 1e-9)
        if own >= epoch.epoch:
            return epoch.metrics
        history = TrialRecord(self._workspace.runs / self._config.key).history()
        return {str(name): value for name, value in history.loc[own:].iloc[0].items()}


def _ended(outcome: str, reason: str | None) -> Result:
    return {"outcome": outcome, "reason": reason, "done": True}
