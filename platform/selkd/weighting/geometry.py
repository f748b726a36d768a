"""The geometry of student, teacher, class mean and truth as features of a row (Hu et al., ICLR 2024, section 3).

Vertices [b, o] are probabilities: S the student's, T the teacher's, M the teacher's mean over the training rows of the
row's category, G the label. Edges are their differences: sg = G - S, tg = G - T, st = T - S, mg = G - M, sm = M - S.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from selkd.selection import RowEvidence

Relations = Literal["sg-tg", "intra", "inter", "both"]
Parts = Literal["both", "vertices", "edges"]
Edges = Literal["signed", "squared"]

ENDS: dict[str, tuple[str, str]] = {
    "sg": ("S", "G"), "tg": ("T", "G"), "st": ("S", "T"), "mg": ("M", "G"), "sm": ("S", "M"),
}  # fmt: skip
EDGES: dict[Relations, tuple[str, ...]] = {
    "sg-tg": ("sg", "tg"),
    "intra": ("sg", "tg", "st"),
    "inter": ("sg", "mg", "sm"),
    "both": ("sg", "tg", "st", "mg", "sm"),
}
VERTICES: dict[Relations, tuple[str, ...]] = {
    "sg-tg": ("S", "T", "G"),
    "intra": ("S", "T", "G"),
    "inter": ("S", "M", "G"),
    "both": ("S", "T", "M", "G"),
}


def class_means(evidence: RowEvidence) -> Tensor:
    """The teacher's mean probabilities [o, o] over the training rows of every output; uniform where there are none."""
    total = torch.zeros(evidence.outputs, evidence.outputs, dtype=evidence.teacher.dtype)
    total.index_add_(0, evidence.labels, evidence.teacher.exp())
    counts = evidence.counts[:, None]
    return torch.where(counts > 0, total / counts.clamp(min=1), 1 / evidence.outputs)


def edge(vertices: Mapping[str, Tensor], name: str, kind: Edges) -> Tensor:
    """The difference [b, o] of an edge's ends, or its element-wise square."""
    start, end = ENDS[name]
    found = vertices[end] - vertices[start]
    return found.square() if kind == "squared" else found


def full(vertices: Mapping[str, Tensor], relations: Relations, parts: Parts, kind: Edges) -> Tensor:
    """Edges, then vertices, side by side: [b, 9 o] with both relations and both parts."""
    edges = [edge(vertices, name, kind) for name in EDGES[relations]] if parts != "vertices" else []
    corners = [vertices[name] for name in VERTICES[relations]] if parts != "edges" else []
    return torch.cat(edges + corners, 1)


def official(vertices: Mapping[str, Tensor]) -> Tensor:
    """The published script's order [b, 9 o]: S, T, G, M, then squared edges."""
    corners = [vertices[name] for name in ("S", "T", "G", "M")]
    return torch.cat(corners + [edge(vertices, name, "squared") for name in EDGES["both"]], 1)


def summary(vertices: Mapping[str, Tensor], relations: Relations, parts: Parts, kind: Edges) -> Tensor:
    """Norms of the edges, probabilities of the label and entropies: at most [b, 11], whatever the number of outputs."""
    found: list[Tensor] = []
    if parts != "vertices":
        found += [edge(vertices, name, kind).norm(dim=1) for name in EDGES[relations]]
    if parts != "edges":
        corners = [vertices[name] for name in VERTICES[relations] if name != "G"]
        found += [(corner * vertices["G"]).sum(1) for corner in corners]
        found += [torch.special.entr(corner).sum(1) for corner in corners]
    return torch.stack(found, 1)


def width(outputs: int, relations: Relations, parts: Parts, *, summarised: bool) -> int:
    """Features a row has."""
    edges = 0 if parts == "vertices" else len(EDGES[relations])
    corners = 0 if parts == "edges" else len(VERTICES[relations])
    if summarised:
        return edges + 2 * max(corners - 1, 0)
    return (edges + corners) * outputs
