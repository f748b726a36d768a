"""Ray Tune runs what the director decides: a thin searcher, a thin scheduler, and the resources of a trial."""

import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from selkd.config import RunConfig, Workspace
from selkd.errors import UserError
from selkd.sweeps.director import Director
from selkd.sweeps.places import NODE, SHUNNED, Places, placement
from selkd.sweeps.room import all_nodes, needs, room
from selkd.sweeps.studies import STOP
from selkd.sweeps.trainable import StudentTrial
from selkd.training.ray_entry import Resources

log = logging.getLogger(__name__)

PATIENCE = 30.0
"""Seconds that students have to save where they are when a study is stopped."""
PACE = 0.5
LONELY = 10.0
"""Seconds without any node after which a cluster counts as lost."""


class ClusterLost(UserError):
    """Ray is gone, not the study."""


class Unsaved:
    """Tune pickles what it is given, and nobody ever reads that: a study goes on from its ledger."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class DirectedSearch(Unsaved, Searcher):
    """Gives Tune the trials that the director wants."""

    def __init__(self, director: Director, order: Callable[[str], dict[str, Any]]) -> None:
        super().__init__()
        self.director, self.order = director, order

    def suggest(self, trial_id: str) -> Any:
        trial = self.director.next()
        if trial is not None:
            return self.order(trial.key)
        return None if self.director.busy else Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """The callback hears of it with the trial."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: see `Unsaved`."""

    def restore(self, checkpoint_path: str) -> None:
        raise AssertionError("a study goes on from its ledger")


class DirectedStops(Unsaved, FIFOScheduler):
    """Lets the director hear of milestones; a student that is to stop ends its own training, in good order."""

    def __init__(self, director: Director, places: Places) -> None:
        super().__init__()
        self.director, self.places = director, places

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        if NODE in result:
            self.places.began(trial.config["key"], result[NODE])
        elif not result["done"]:
            self.director.reported(trial.config["key"], result["share"], result["value"])
        return TrialScheduler.CONTINUE


class Clerk(Unsaved, tune.Callback):
    """Tells the director what happened, and whoever watches."""

    def __init__(self, director: Director, places: Places, changed: Callable[[str | None], None]) -> None:
        self.director, self.places, self.changed = director, places, changed
        self._looked, self._alone_since = 0.0, time.monotonic()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.places.started(trial.config["key"])
        self.director.launched(trial.config["key"])
        self.changed(trial.config["key"])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        key, result = trial.config["key"], trial.last_result or {}
        self.places.ended(key)
        match result.get("outcome"):
            case "finished" | "failed" | "pruned" as status:
                self.director.ended(key, status, result["reason"])
            case "stopped":
                self.director.ending = self.director.ending or "asked to stop"
                self.director.ended(key, "stopped", result["reason"])
            case "halted":
                self.director.ending = f"cannot go on: {result['reason']}"
                self.director.ended(key, "stopped", result["reason"])
        _forget_averages(trial)
        self.changed(key)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        key, reason = trial.config["key"], _last_error(trial)
        if self.places.lost(key):
            self.director.lost(key, reason)
        else:
            log.warning("%s: its process did not start, and is started again (%s)", key, reason)
            self.director.again(key)
        _forget_averages(trial)
        self.changed(key)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if time.monotonic() - self._looked > PACE:
            self._looked = time.monotonic()
            self.changed(None)
            self._see_that_ray_lives()

    def _see_that_ray_lives(self) -> None:
        """Without a node Tune would wait for ever."""
        alive = self.places.alive()
        if alive and not self.places.nowhere(alive):
            self._alone_since = time.monotonic()
        elif time.monotonic() - self._alone_since > LONELY:
            what = "no node on which processes start" if alive else "no node"
            raise ClusterLost(f"Ray's cluster has {what} any more. Nothing is lost: the same command goes on.")


class Patience(Unsaved, tune.Stopper):
    """Ends what goes on long after the study was told to end."""

    def __init__(self, director: Director) -> None:
        self.director = director
        self._since: float | None = None

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        if self.director.ending is not None and self._since is None:
            self._since = time.monotonic()
        return self._since is not None and time.monotonic() - self._since > PATIENCE


def tune_study(ray: Any, director: Director, workspace: Workspace, changed: Callable[[str | None], None]) -> None:
    """Train what the director wants until it wants nothing more; `changed` hears of trials, now and then of none."""
    base = RunConfig.of(director.space.base)
    nodes = all_nodes([node["Resources"] for node in ray.nodes() if node["Alive"]])
    concurrent = room(nodes, base, director.space.concurrent)
    stop = director.record.folder / STOP
    places = Places(lambda: {node["NodeID"] for node in ray.nodes() if node["Alive"]})

    def order(key: str) -> dict[str, Any]:
        config = director.configs[key]
        metric = next(iter(director.space.metrics))
        return {
            "key": key,
            "config": config.model_dump_json(),
            "workspace": str(workspace.root),
            "tags": director.tags(key),
            "figures": director.space.figures,
            "milestones": director.milestones(key),
            "metric": metric,
            "target": director.space.target,
            "stop": str(stop),
            SHUNNED: places.shunned(key),
        }

    for noisy in ("ray.tune", "ray.air"):  # what matters of a failure is in the ledger
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    storage = tempfile.mkdtemp(prefix="selkd-tune-")
    try:
        tune.Tuner(
            tune.with_resources(StudentTrial, partial(placement, _resources(base, nodes))),
            tune_config=tune.TuneConfig(
                search_alg=DirectedSearch(director, order),
                scheduler=DirectedStops(director, places),
                num_samples=-1,
                max_concurrent_trials=concurrent,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="study",
                storage_path=storage,
                stop=Patience(director),
                verbose=0,
                callbacks=[Clerk(director, places, changed)],
            ),
        ).fit()
    finally:
        shutil.rmtree(storage, ignore_errors=True)


def _forget_averages(trial: Any) -> None:
    """Tune keeps moving averages of what each trial reported, 12 kB of them, until the study ends. Nobody asks."""
    trial.metric_analysis.clear()
    trial.metric_n_steps.clear()


def _last_error(trial: Any) -> str:
    """What Tune wrote of a trial's last failure, in a line: who died, or what was raised."""
    path = Path(trial.error_file or "")
    text = path.read_text().rpartition("Failure #")[2] if path.is_file() else ""
    lines = [line.strip() for line in text.splitlines()[1:] if line.strip()]
    died = [line for line in lines if "died" in line]
    return next(iter(died or lines[-1:]), "its process ended")


def _resources(config: RunConfig, nodes: Sequence[Resources]) -> dict[str, float]:
    """What the actor of a trial holds. With several workers it only waits, so it holds nothing that they need."""
    return {"memory": 2**20} if config.workers.count > 1 else dict(needs(config, nodes))
