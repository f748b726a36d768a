"""Several workers through Ray Train. The loop stays the plain one; Ray starts, watches and replaces its processes."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from selkd.config import RunConfig, Workspace
from selkd.errors import UserError
from selkd.training.loop import Epoch
from selkd.training.workers import Workers

ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
}


def train_with_ray(config: RunConfig, workspace: Workspace, on_epoch: Callable[[Epoch], None]) -> None:
    """Train one student with `config.workers.count` processes; a lost one is replaced and the run resumes."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray
    from ray.train import FailureConfig, RunConfig as RayRunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    from selkd.training.setup import device_of

    workers = config.workers
    on_gpu = device_of(config).type == "cuda"
    ours = not ray.is_initialized()
    if ours:
        _start(ray, workers.count * workers.cpus)
    resources = {"CPU": workers.cpus} | ({"GPU": workers.gpus} if on_gpu else {})
    trainer = TorchTrainer(
        _loop,
        train_loop_config={"config": config.model_dump(mode="json"), "workspace": str(workspace.root)},
        torch_config=TorchConfig(backend="nccl" if on_gpu else "gloo"),
        scaling_config=ScalingConfig(num_workers=workers.count, use_gpu=on_gpu, resources_per_worker=resources),
        run_config=RayRunConfig(
            name=f"{config.key}-{os.getpid()}",
            storage_path=str(workspace.root / "ray"),
            failure_config=FailureConfig(max_failures=workers.retries),
        ),
    )
    try:
        with _Progress(workspace.runs / config.key, on_epoch):
            problem = trainer.fit().return_value
        if problem:
            raise UserError(problem)
    finally:
        if ours:
            ray.shutdown()


def _loop(settings: dict[str, Any]) -> str | None:
    """What each worker runs. A user's mistake is returned, not raised: Ray would try it again."""
    from selkd.training.run import work

    config = RunConfig.model_validate(settings["config"])
    try:
        work(config, Workspace(Path(settings["workspace"])), Workers.current(), lambda _: None)
    except UserError as error:
        return str(error)
    return None


def _start(ray: Any, cpus: float) -> None:
    """Connect to the cluster of RAY_ADDRESS, or start one here that is large enough."""
    address = os.environ.get("RAY_ADDRESS", "local")
    size = {"num_cpus": max(os.cpu_count() or 1, int(cpus + 0.999)), "include_dashboard": False} if address == "local" else {}
    ray.init(address=address, logging_level="ERROR", log_to_driver=False, **size)


class _Progress:
    """Reports the epochs that the first worker writes to the ledger, while the driver waits."""

    def __init__(self, folder: Path, on_epoch: Callable[[Epoch], None]) -> None:
        self.folder, self.on_epoch = folder, on_epoch
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()

    def _watch(self) -> None:
        raise AssertionError
