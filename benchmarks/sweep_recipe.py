"""A whole study by the plain recipe, and what each part of it costs against ours.

The recipe is what Ray's pages suggest: OptunaSearch, a Train group for each trial (with the resources, the dashboard
and the wait at its end without which it stands still), the teacher in every step, and MLflowLoggerCallback. Then one
part after another becomes ours: training inside reused actors, stored outputs of the teacher, the ledger and its
courier. All sides train the same number of equal students with the same taught teacher; whole processes are timed, so
that each side pays for its start, its students and its records.

Students are few and short, because a Train group takes half a minute however little it trains. Longer ones would move
the first factor towards 1 and the second away from it. `python -m benchmarks sweep_recipe ROUNDS`; sides take turns.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import _sweeps
from selkd.config import RunConfig, Workspace
from selkd.training.loop import Epoch
from selkd.training.ray_entry import started
from selkd.training.teach import teach

ROUNDS, STUDENTS, EPOCHS = 2, 4, 5
STILL = 400  # seconds after which a side is taken to stand still
SIDES = {
    "recipe": "Train group a trial, teacher online, MLflowLoggerCallback",
    "actor": "... with reused actors instead of Train groups",
    "stored": "... and stored outputs of the teacher",
    "ours": "... and our ledger, delivered to MLflow: selkd sweep",
}
FACTORS = {"actor": "actors for groups", "stored": "teacher stored", "ours": "ledger and courier for callbacks"}


def main(arguments: list[str]) -> None:
    if arguments and arguments[0] in SIDES:
        _study(arguments[0], Path(arguments[1]))
        return
    rounds = int(arguments[0]) if arguments else ROUNDS
    print(f"{STUDENTS} students of {EPOCHS} epochs a side, two at once, {rounds} rounds", flush=True)
    taken: dict[str, list[float]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory(prefix="selkd-bench-") as name:
        taught = Path(name) / "taught"
        teach(_content()["teacher"], Workspace(taught))
        for number in range(rounds):
            for side in SIDES if number % 2 == 0 else reversed(SIDES):
                folder = Path(name) / f"{side}-{number}"
                shutil.copytree(taught, folder)
                taken[side].append(_timed(side, folder))
                print(f"round {number + 1}, {side}: {taken[side][-1]:.1f} s", flush=True)
    medians = {side: statistics.median(values) for side, values in taken.items()}
    for side, meaning in SIDES.items():
        print(f"{medians[side]:6.1f} s  {meaning}")
    print(f"the plain recipe over selkd sweep: {medians['recipe'] / medians['ours']:.2f}, the product of")
    for before, (side, meaning) in zip(SIDES, FACTORS.items(), strict=False):
        print(f"{medians[before] / medians[side]:6.2f}  {meaning}")


def _timed(side: str, folder: Path) -> float:
    """Seconds that a process takes for a side's study, from its start to its end."""
    command = [sys.executable, "-m", "benchmarks.sweep_recipe", side, str(folder)]
    log = folder / "log"
    began = time.perf_counter()
    with log.open("wb") as written:
        try:
            environment = _sweeps.environment(folder)
            subprocess.run(command, check=True, stdout=written, stderr=written, env=environment, timeout=STILL)
        except subprocess.SubprocessError as error:
            sys.exit(f"{side}: {error}\n{log.read_text()[-2000:]}")
    return time.perf_counter() - began


def _content() -> dict[str, Any]:
    content = _sweeps.space("recipe", STUDENTS, EPOCHS)
    content["base"]["training"]["keep"] = "last"
    return content


def _study(side: str, folder: Path) -> None:
    if side == "ours":
        _sweeps.run(folder, _content())
        return
    group = side == "recipe"
    with started(2, dashboard=group):
        from ray import tune
        from ray.air.integrations.mlflow import MLflowLoggerCallback
        from ray.tune.search.optuna import OptunaSearch

        settings = {
            "workspace": str(folder),
            "config": _content()["base"] | {"teacher": _content()["teacher"]["name"]},
            "online": side != "stored",
        }
        trainable = partial(_group if group else _actor, settings)
        found = tune.Tuner(
            tune.with_resources(trainable, {"memory": 2**20} if group else {"CPU": 1}),
            param_space={"epsilon": tune.loguniform(0.5, 8.0), "gamma": tune.uniform(0.1, 1.0)},
            tune_config=tune.TuneConfig(
                search_alg=OptunaSearch(metric="validation/balanced", mode="max", seed=0),
                num_samples=STUDENTS,
                max_concurrent_trials=2,
                reuse_actors=not group,
            ),
            run_config=tune.RunConfig(
                name="recipe",
                storage_path=str(folder / "tune"),
                verbose=0,
                callbacks=[MLflowLoggerCallback(os.environ["MLFLOW_TRACKING_URI"], experiment_name="recipe")],
            ),
        ).fit()
        assert not found.errors


def _actor(settings: dict[str, Any], proposed: dict[str, Any]) -> None:
    """One student inside the trial's own process."""
    from ray import tune

    _train(settings, proposed, tune.report)


def _group(settings: dict[str, Any], proposed: dict[str, Any]) -> None:
    """One student in a Train group of one worker."""
    import ray.train
    from ray import tune
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    name = f"train-{tune.get_context().get_trial_id()}"
    reports = TuneReportCallback()
    TorchTrainer(
        partial(_grouped, settings),
        train_loop_config=proposed,
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=ray.train.ScalingConfig(num_workers=1, resources_per_worker={"CPU": 1}),
        run_config=ray.train.RunConfig(name=name, storage_path=f"{settings['workspace']}/train", callbacks=[reports]),
    ).fit()
    _let_them_arrive(reports)


def _let_them_arrive(reports: Any) -> None:
    """Without this the recipe stands still for ever: a trial that ends with a report on its way to Tune fills the queue
    of length one from which the same thread of Ray would read."""
    while not reports._training_actor_item_queue.empty():
        time.sleep(0.05)
    time.sleep(0.5)


def _grouped(settings: dict[str, Any], proposed: dict[str, Any]) -> None:
    import ray.train

    _train(settings, proposed, ray.train.report)


def _train(settings: dict[str, Any], proposed: dict[str, Any], report: Any) -> None:
    import torch

    from selkd.training.evaluation import costs, scored
    from selkd.training.run import fit
    from selkd.training.workers import Workers

    torch.set_num_threads(1)
    config = settings["config"] | {"objective": {"name": "selkd", **proposed}}
    config["training"] = config["training"] | ({"teacher": "online"} if settings["online"] else {})
    last: dict[str, float] = {}

    def hear(epoch: Epoch) -> None:
        last.update({name.replace("-", "_"): value for name, value in epoch.metrics.items()})
        if epoch.epoch < epoch.epochs:
            report(dict(last))

    setup, student = fit(RunConfig.of(config), Workspace(Path(settings["workspace"])), Workers(), hear, keep=False)
    for part in ("validation", "test"):
        last.update(
            {f"{part}/{k}": v for k, v in scored(setup, student, getattr(setup.splits, part)).metrics().items()}
        )
    report(last | costs(setup, student))


if __name__ == "__main__":
    main(sys.argv[1:])
