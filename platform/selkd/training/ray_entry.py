"""Several workers through Ray Train. The loop stays the plain one; Ray starts, watches and replaces its processes."""

import contextlib
import logging
import math
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from selkd.config import RunConfig, Workspace
from selkd.errors import CannotWrite, UserError
from selkd.selection.teachers.base import Asked
from selkd.tracking import TrialRecord, provenance
from selkd.training.asking import Prepare
from selkd.training.ending import KINDS, Moved, Paused, StoppedEarly, ask_to_end, signals_kept
from selkd.training.loop import Epoch
from selkd.training.run import Recording, ended_in, work
from selkd.training.setup import Setup, device_of
from selkd.training.workers import Workers

Resources = Mapping[str, float]

LOCAL = "local"
"""The RAY_ADDRESS that starts a cluster of our own."""
AUTHENTICATION = "RAY_AUTH_MODE"
ENVIRONMENT = {
    AUTHENTICATION: "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_FORCE_TRIAL_CLEANUP_S": "5",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # what Tune would save is never read
}
PATIENCE = 10.0
"""Seconds in which a killed process must be gone."""
PACE = 0.5
SERVED = re.compile(r"([^/]+):(\d+)")
"""An address that tells its host and port, neither `auto` nor a client's."""
EXPECTED = {**KINDS, "cannot write": CannotWrite, "refused": UserError}


@contextlib.contextmanager
def started(count: int = 1, cpus: float = 1, dashboard: bool = False) -> Iterator[Any]:
    """Ray with room for `count` workers: the cluster of RAY_ADDRESS, or one of our own that ends with us.

    With `dashboard`, what a killed trial leaves reserved is freed: Ray Train asks the dashboard's server whose it was.
    """
    for name, value in ENVIRONMENT.items():
        if name != AUTHENTICATION or "ray" not in sys.modules:  # Ray reads it when it is imported, and only then
            os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():
        yield ray
        return
    address = os.environ.get("RAY_ADDRESS", LOCAL)
    cores = os.cpu_count() or 1
    if address == LOCAL and cpus > cores:
        raise UserError(f"workers.cpus: {cpus:g} a worker, and this machine has {cores}. Lower workers.cpus.")
    size: dict[str, Any] = {"num_cpus": max(cores, math.ceil(count * cpus)), "include_dashboard": dashboard}
    if dashboard and address == LOCAL:
        size["dashboard_port"] = port = _free_port()
        os.environ["RAY_API_SERVER_ADDRESS"] = f"http://127.0.0.1:{port}"  # for all processes of this cluster
    try:
        _start(ray, address, size if address == LOCAL else {})
        yield ray
    finally:
        _shut_down(ray)
        if "dashboard_port" in size:
            del os.environ["RAY_API_SERVER_ADDRESS"]


def _start(ray: Any, address: str, size: Mapping[str, Any]) -> None:
    """Start Ray or reach it; signals go on to mean what they meant: Ray sets a handler of its own, which just exits."""
    try:
        _refuse_unserved(address)
        with signals_kept():
            ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **size)
    except UserError:
        raise
    except Exception as error:  # Ray raises what it met, a bare `Exception` among it
        ray.shutdown()
        said = " ".join(str(error).split()) or type(error).__name__
        if address != LOCAL:
            raise UserError(f"RAY_ADDRESS: {address}: {said}") from error
        raise UserError(
            f"Ray did not start on this machine ({said}). Free memory and cores, or wait until they are free, and try "
            "again."
        ) from error


def _refuse_unserved(address: str) -> None:
    """Ray itself tries for minutes to reach a port that nobody serves."""
    if not (served := SERVED.fullmatch(address)):
        return
    end = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection((served[1].strip("[]"), int(served[2])), PATIENCE).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                raise UserError(
                    f"RAY_ADDRESS: {address} cannot be reached ({error}). Start a cluster there, correct the address, "
                    "or unset RAY_ADDRESS to train here."
                ) from None
            time.sleep(PACE)


def starts_here() -> bool:
    """Whether `started` would start a cluster on this machine."""
    ray = sys.modules.get("ray")
    return os.environ.get("RAY_ADDRESS", LOCAL) == LOCAL and not (ray and ray.is_initialized())


def _shut_down(ray: Any) -> None:
    """End our cluster and wait for its processes: Ray waits a second for each, and one it forgets becomes a zombie."""
    node = ray._private.worker._global_node
    processes = [info.process for infos in (node.all_processes.values() if node else ()) for info in infos]
    ray.shutdown()
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def wants_gpu(config: RunConfig, nodes: Sequence[Resources]) -> bool:
    """`auto` takes a GPU where any node has one: the machine of the driver may have none."""
    wanted = config.workers.device
    return wanted == "cuda" or (wanted == "auto" and any(node.get("GPU") for node in nodes))


def train_with_ray(
    config: RunConfig,
    workspace: Workspace,
    on_epoch: Callable[[Epoch], None],
    recording: Recording,
) -> None:
    """Train one student with `config.workers.count` processes; a lost one is replaced and the run resumes."""
    workers = config.workers
    with started(workers.count, workers.cpus) as running:
        from ray.train import FailureConfig, ScalingConfig
        from ray.train import RunConfig as RayRunConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        on_gpu = wants_gpu(config, [node["Resources"] for node in running.nodes() if node["Alive"]])
        gpus, least = running.cluster_resources().get("GPU", 0), workers.least or workers.count
        if on_gpu and least * workers.gpus > gpus:
            raise UserError(
                f"workers: {least} workers of {workers.gpus:g} GPUs are more than the {gpus:g} there are. "
                "Lower workers.count, workers.least or workers.gpus."
            )
        resources = {"CPU": workers.cpus} | ({"GPU": workers.gpus} if on_gpu else {})
        folder = workspace.runs / config.key
        storage = folder / "ray"
        if workers.least:  # a node that is gone is counted for a while: what does not fit is tried smaller soon
            os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "10")
        settings = {
            "config": config.model_dump(mode="json"),
            "workspace": str(workspace.root),
            "origin": provenance(),
            "recording": asdict(recording),
        }
        trainer = TorchTrainer(
            _loop,
            train_loop_config=settings,
            torch_config=TorchConfig(backend="nccl" if on_gpu and workers.gpus >= 1 else "gloo"),
            scaling_config=ScalingConfig(
                num_workers=(least, workers.count) if workers.least else workers.count,
                use_gpu=on_gpu,
                resources_per_worker=resources,
            ),
            run_config=RayRunConfig(
                name=f"{config.key}-{os.getpid()}-{time.time_ns()}",
                storage_path=str(storage),
                failure_config=FailureConfig(max_failures=workers.retries),
            ),
        )
        with ended_in(TrialRecord(folder)), _progress(folder, on_epoch), _interrupts():
            problem = trainer.fit().return_value
    shutil.rmtree(storage, ignore_errors=True)
    if problem:
        kind, text = problem
        raise EXPECTED[kind](text)


def _loop(settings: dict[str, Any]) -> tuple[str, str] | None:
    """What each worker runs. An end that was to be expected is returned, not raised: Ray would try it again."""
    config, workspace = RunConfig.model_validate(settings["config"]), Workspace(Path(settings["workspace"]))
    try:
        recording = Recording(**settings["recording"])
        work(config, workspace, Workers.current(), lambda _: None, settings["origin"], recording)
    except tuple(EXPECTED.values()) as error:
        return next(name for name, kind in EXPECTED.items() if isinstance(error, kind)), str(error)
    return None


@contextlib.contextmanager
def asking_with_ray(config: RunConfig, workspace: Workspace, cpus: int) -> Iterator[Prepare]:
    """Have what is asked of teachers in the evidence, so many of them at once."""
    tree = config.model_dump(mode="json")
    with started(cpus) as running:
        ask = running.remote(num_cpus=1)(_ask)

        def prepare(names: Sequence[str], what: Asked, rows: int) -> Counter[str]:
            found, waiting = Counter[str](), []
            for name in names:
                if len(waiting) == cpus:
                    done, waiting = running.wait(waiting)
                    found.update(running.get(done[0]))
                waiting.append(ask.remote(tree, str(workspace.root), name, what, rows))
            for passes in running.get(waiting):
                found.update(passes)
            return found

        yield prepare


def _ask(config: dict[str, Any], workspace: str, name: str, what: Asked, rows: int) -> dict[str, int]:
    """The rows shown for it. A teacher that cannot be asked is not: whoever needs its answers will learn why."""
    settings = RunConfig.model_validate(config)
    sample = Setup.of(settings, Workspace(Path(workspace)), Workers(), device_of(settings)).sample
    with contextlib.suppress(UserError):
        match what:
            case "costs":
                sample.costs([name])
            case "logits":
                sample.logits(name, rows)
            case "features":
                sample.features(name, rows)
    return dict(sample.passes)


@contextlib.contextmanager
def _interrupts() -> Iterator[None]:
    """Ray Train ends its workers on Ctrl-C and then leaves by SystemExit, its own handler still in place."""
    with signals_kept():
        try:
            yield
        except SystemExit:
            raise KeyboardInterrupt from None


@contextlib.contextmanager
def _progress(folder: Path, on_epoch: Callable[[Epoch], None]) -> Iterator[None]:
    """While the driver waits, report the epochs that the first worker writes to the ledger, and ask it to stop."""
    record, done = TrialRecord(folder), threading.Event()
    told = len(record.history())

    def watch() -> None:
        nonlocal told
        ended = False
        while not ended:
            ended = done.wait(0.5)
            history, epochs = record.history(), record.progress[1]
            for step, row in history.iloc[told:].iterrows():
                metrics = {str(k): float(v) for k, v in row.items()}
                try:
                    on_epoch(Epoch(int(str(step)), epochs, 0, metrics))
                except (StoppedEarly, Paused, Moved) as end:
                    ask_to_end(folder, end)
            told = len(history)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
