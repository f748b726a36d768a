"""What a Tune actor does: train one student after another. The same process serves many trials.

Training runs in a thread, which waits at every milestone until Tune asks it to go on: a student that is stopped early
leaves its training in good order, and the actor, its files and its workers are free for the next one.
"""

import errno
import queue
import threading
from pathlib import Path
from typing import Any

from ray import tune

from selkd.config import RunConfig, Workspace
from selkd.errors import CannotWrite, UserError
from selkd.training.loop import Epoch, Paused, StoppedEarly
from selkd.training.run import Recording, train

ENDED_BY_TUNE = "stopped early by its study, whose record says why"
PATIENCE = 60.0
"""Seconds to wait for the process of a killed driver that still holds the trial."""
ENDS = {StoppedEarly: "pruned", Paused: "stopped", CannotWrite: "halted"}
Result = dict[str, Any]


class StudentTrial(tune.Trainable):
    """One trial at a time; `outcome` in the last result says how it ended."""

    def setup(self, config: dict[str, Any]) -> None:
        self._training = _Training(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._training.end()
        self._training = _Training(new_config)
        return True

    def step(self) -> Result:
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
        self._stop = Path(order["stop"])
        self._results: queue.SimpleQueue[Result | BaseException] = queue.SimpleQueue()
        self._turn = threading.Semaphore(0)
        self._ending: str | None = None
        self._thread = threading.Thread(target=self._work, name=self._config.key, daemon=True)
        self._thread.start()

    def next(self) -> Result:
        """Train to the next milestone, or to the end."""
        self._turn.release()
        result = self._results.get()
        if isinstance(result, BaseException):
            raise result
        return result

    def end(self) -> None:
        """Leave the training, if it has not ended: the student is not worth going on with."""
        self._ending = ENDED_BY_TUNE
        self._turn.release()
        self._thread.join()

    def _work(self) -> None:
        self._turn.acquire()
        self._results.put(self._outcome())

    def _outcome(self) -> "Result | BaseException":
        """How the training ended. What trying again may mend is raised, so that Tune tries again."""
        try:
            train(
                self._config,
                self._workspace,
                on_epoch=self._hear,
                recording=self._recording,
                patience=PATIENCE,
            )
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
            return _ended("halted", str(error)) if full else error
        except Exception as error:
            outcome = next((name for kind, name in ENDS.items() if isinstance(error, kind)), "failed")
            expected = isinstance(error, (UserError, *ENDS))
            return _ended(outcome, str(error) if expected else f"{type(error).__name__}: {error}")
        return _ended("finished", None)

    def _hear(self, epoch: Epoch) -> None:
        share = epoch.epoch / epoch.epochs if epoch.epochs else 0.0
        reached = [milestone for milestone in self._milestones if milestone <= share + 1e-9]
        if self._ending is None and reached and share < 1:
            self._milestones = [milestone for milestone in self._milestones if milestone > reached[-1]]
            self._results.put({"share": reached[-1], "value": epoch.metrics[self._metric], "done": False})
            self._turn.acquire()
        if self._ending is not None:
            raise StoppedEarly(self._ending)
        if self._stop.exists():
            raise Paused("its study was stopped; resuming the study goes on")


def _ended(outcome: str, reason: str | None) -> Result:
    return {"outcome": outcome, "reason": reason, "done": True}
