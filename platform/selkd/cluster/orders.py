"""From a job to what is run: the order for its entry, and the variables that it sees."""

import json
from pathlib import Path

from selkd.cluster.entry import Order
from selkd.cluster.job import Job

HOUR = 3600.0


def order_of(job: Job, python: str, outcome: Path | None = None) -> Order:
    """What the entry is told; secrets by reference only."""
    references = {
        name: secret.model_dump(mode="json", include={"env", "file"}, exclude_none=True)
        for name, secret in job.environment.secrets.items()
    }
    return Order(
        command=[python, "-m", "selkd", *job.what],
        secrets=references,
        retries=job.retries,
        seconds=job.deadline and job.deadline * HOUR,
        outcome=outcome and str(outcome),
    )


def variables_of(job: Job, workspace: Path, import_path: str | None) -> dict[str, str]:
    """Variables of the command and of everything that it starts."""
    found = {"SELKD_WORKSPACE": str(workspace), "PYTHONUNBUFFERED": "1", **job.storage.variables, **promised(job)}
    found |= job.environment.variables
    return found | ({"PYTHONPATH": import_path} if import_path else {})


def promised(job: Job) -> dict[str, str]:
    """What a sweep is told of a cluster that grows, so that it asks for more than there is when it begins."""
    types = job.resources.values()
    if not any(nodes.most or nodes.autoscaled for nodes in types):
        return {}
    sizes = [[nodes.most or nodes.workers, {"CPU": nodes.cpus, "GPU": nodes.gpus}] for nodes in types]
    return {"SELKD_NODES": json.dumps(sizes)}
