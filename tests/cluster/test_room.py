"""What no node has is refused before anything is submitted; what fits is not."""

from collections.abc import Callable
from typing import Any

import pytest

from selkd.cluster.job import Job
from selkd.cluster.room import Node, refuse_without_room
from selkd.errors import UserError

GIB = 2**30
SMALL = Node("small", {"CPU": 4, "memory": 8 * GIB})
LARGE = Node("large", {"CPU": 16, "GPU": 2, "memory": 64 * GIB}, {"accelerator": "l4"})


def fits(job: Job, *nodes: Node) -> str:
    """Nothing, or why not."""
    try:
        refuse_without_room(job, nodes, "the cluster")
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("workers", "fit"),
    [
        ({"cpu": {"workers": 5, "cpus": 4}}, True),
        ({"cpu": {"workers": 6, "cpus": 4}}, False),
        ({"cpu": {"cpus": 17}}, False),
        ({"cpu": {"cpus": 16, "memory": "64Gi"}}, True),
        ({"cpu": {"cpus": 1, "memory": "65Gi"}}, False),
        ({"gpu": {"workers": 2, "gpus": 1}}, True),
        ({"gpu": {"workers": 3, "gpus": 1}}, False),
        ({"gpu": {"workers": 3, "gpus": 1, "autoscaled": True}}, True),
        ({"gpu": {"workers": 0, "most": 3, "gpus": 4}}, False),
        ({"any": {"labels": {"accelerator": "l4"}}}, True),
        ({"any": {"labels": {"accelerator": "h100"}}}, False),
        ({"any": {"workers": 1, "cpus": 16, "labels": {"accelerator": "l4"}}, "cpu": {"cpus": 5}}, False),
    ],
)
def test_workers_fit_when_each_is_whole_on_a_node(job: Callable[..., Job], workers: dict[str, Any], fit: bool) -> None:
    assert (fits(job(resources=workers), SMALL, LARGE) == "") == fit


def test_the_refusal_says_what_there_is_and_what_to_do(job: Callable[..., Job]) -> None:
    said = fits(job(resources={"gpu": {"workers": 3, "gpus": 1}}), SMALL, LARGE)
    assert "room for 2 of 3 workers" in said
    assert "16 CPUs, 2 GPUs, 64 GiB" in said
    assert "resources.gpu.autoscaled=true" in said


def test_the_command_itself_needs_its_room(job: Callable[..., Job]) -> None:
    assert "driver" in fits(job(driver={"gpus": 1}), SMALL)
    assert fits(job(driver={"cpus": 4}, resources={"cpu": {"cpus": 1}}), SMALL)
    assert not fits(job(driver={"cpus": 3}, resources={"cpu": {"cpus": 1}}), SMALL)


def test_a_cluster_without_nodes_has_no_room(job: Callable[..., Job]) -> None:
    assert "It has no nodes" in fits(job(resources={"cpu": {}}))
