"""Whether the nodes there are have room for a job: what no node has is refused, never waited for in silence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from selkd.cluster.job import Job
from selkd.cluster.settings import Nodes
from selkd.errors import UserError

ROUNDING = 1e-9


@dataclass(frozen=True)
class Node:
    """What one node has in all, in Ray's words: CPU, GPU, memory in bytes."""

    name: str
    has: Mapping[str, float]
    labels: Mapping[str, str] = field(default_factory=dict)


def refuse_without_room(job: Job, nodes: Sequence[Node], place: str) -> None:
    """Raise when not all workers that the job begins with would fit at once; `autoscaled` ones are to come."""
    left = [(node, dict(node.has)) for node in nodes]
    if any(job.driver.needs.values()) and not _put(job.driver.needs, {}, left):
        raise UserError(f"driver: {_amount(job.driver.needs)} are more than any node of {place} has. {_largest(nodes)}")
    by_size = sorted(job.resources.items(), key=lambda item: (-item[1].gpus, -item[1].cpus, item[0]))
    for name, wanted in by_size:
        if wanted.autoscaled:
            continue
        fitting = sum(_put(wanted.needs, wanted.labels, left) for _ in range(max(1, wanted.workers)))
        if fitting < max(1, wanted.workers):
            raise UserError(_no_room(name, wanted, fitting, nodes, place))


def _put(needs: Mapping[str, float], labels: Mapping[str, str], left: list[tuple[Node, dict[str, float]]]) -> bool:
    """Take the room of one worker from the first node that has it."""
    for node, room in left:
        if labels.items() <= node.labels.items() and all(
            room.get(resource, 0) + ROUNDING >= amount for resource, amount in needs.items()
        ):
            for resource, amount in needs.items():
                room[resource] = room.get(resource, 0) - amount
            return True
    return False


def _no_room(name: str, wanted: Nodes, fitting: int, nodes: Sequence[Node], place: str) -> str:
    labels = "".join(f", {key}={value}" for key, value in wanted.labels.items())
    return (
        f"resources.{name}: {place} has room for {fitting} of {max(1, wanted.workers)} workers with "
        f"{_amount(wanted.needs)}{labels}, so the job would wait for ever. {_largest(nodes)} Lower what is asked for, "
        f"or set resources.{name}.autoscaled=true where nodes are made when asked for."
    )


def _amount(needs: Mapping[str, float]) -> str:
    gpus = f", {needs['GPU']:g} GPUs" if needs.get("GPU") else ""
    memory = f", {needs['memory'] / 2**30:.3g} GiB" if "memory" in needs else ""
    return f"{needs.get('CPU', 0):g} CPUs{gpus}{memory}"


def _largest(nodes: Sequence[Node]) -> str:
    if not nodes:
        return "It has no nodes."
    largest = max(nodes, key=lambda node: (node.has.get("GPU", 0), node.has.get("CPU", 0)))
    return f"Its largest of {len(nodes)} nodes has {_amount(largest.has)}."
