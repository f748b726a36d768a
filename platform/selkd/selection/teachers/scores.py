"""How well a teacher fits a task, as functions of its answers.

Shapes: n rows, K1 categories of the teacher, o outputs of the student, d features.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from selkd.transport import RowsAndColumns, solve, transport_distance

ROUNDS = 100  # of the fixed point of LogME
HELD = 2**20  # entries of plans at once


def prior_cost(cost: Tensor, prior: Tensor, epsilon: float) -> float:
    """Transport from equally likely categories of the teacher to the task's prior: no network is asked."""
    uniform = cost.new_full((1, len(cost)), 1 / len(cost))
    return float(transport_distance(uniform, prior.to(cost)[None], cost, epsilon))


def label_cost(p: Tensor, labels: Tensor, cost: Tensor) -> float:
    """Mean over rows of sum_k p_k M[k, y]: the transport to the label, whose plan is forced (p [n, K1])."""
    return float((p.to(cost) * cost[:, labels].T).sum(1).mean())


def student_cost(p: Tensor, q: Tensor, cost: Tensor, epsilon: float) -> float:
    """Mean transport from the teacher's answers to a student's (p [n, K1], q [n, o])."""
    return float(transport_distance(p.to(cost), q.to(cost), cost, epsilon).mean())


def mean_plan(p: Tensor, q: Tensor, cost: Tensor, epsilon: float) -> Tensor:
    """The mean [K1, o] of the plans whose costs `prior_cost` and `student_cost` tell."""
    found = torch.zeros_like(cost)
    for sources, sinks in zip(*(each.to(cost).split(max(1, HELD // cost.numel())) for each in (p, q)), strict=True):
        scores = -cost.expand(len(sources), *cost.shape)
        found += solve(scores, RowsAndColumns(sinks, sources), epsilon=epsilon).log.exp().sum(0) / len(p)
    return found


def leep(p: Tensor, labels: Tensor, outputs: int) -> float:
    """Mean log-likelihood of the label when a teacher's category is drawn from p, then a label given it.

    Nguyen et al. 2020: 1/n sum_i log sum_z P(y_i | z) p_z(x_i), P(y, z) = 1/n sum_i p_z(x_i) [y_i = y].
    """
    joint = F.one_hot(labels, outputs).to(p).T @ p / len(p)  # [o, K1]
    given = joint / joint.sum(0).clamp(min=torch.finfo(p.dtype).tiny)
    return float((given[labels] * p).sum(1).log().mean())


def nce(p: Tensor, labels: Tensor, outputs: int) -> float:
    """-H(Y | Z) in nats, Z the teacher's most likely category (Tran et al. 2019)."""
    answers = F.one_hot(p.argmax(1), p.shape[1]).double()
    joint = F.one_hot(labels, outputs).double().T @ answers / len(p)
    given = joint / joint.sum(0).clamp(min=1e-300)
    return float(torch.special.xlogy(joint, given).sum())


def logme(features: Tensor, labels: Tensor, outputs: int) -> float:
    """Largest log-evidence a row of Bayesian linear models of the labels, mean over outputs (You et al. 2021).

    log p(y | F, alpha, beta) of y = F w + noise, w ~ N(0, 1 / alpha), noise ~ N(0, 1 / beta), at its fixed point.
    """
    f = features.double()
    n, d = f.shape
    u, s, _ = torch.linalg.svd(f, full_matrices=False)
    sigma = s**2
    found = []
    for column in F.one_hot(labels, outputs).double().T:
        if float(sigma.sum()) == 0:  # features of zeros: the labels are noise, and alpha without bound
            found.append(n / 2 * (math.log(n / (2 * math.pi * max(float(column @ column), 1e-12))) - 1))
            continue
        z2 = (u.T @ column) ** 2
        outside = (column @ column - z2.sum()).clamp(min=0)
        alpha = beta = 1.0
        mean2 = rest = 0.0
        for _ in range(ROUNDS):
            t = alpha / beta
            gamma = float((sigma / (sigma + t)).sum())
            mean2 = float((sigma * z2 / (t + sigma) ** 2).sum())
            rest = float((z2 * (t / (t + sigma)) ** 2).sum() + outside)
            alpha, beta = gamma / max(mean2, 1e-12), (n - gamma) / max(rest, 1e-12)
            if abs(alpha / beta - t) <= 1e-6 * t:
                break
        t = alpha / beta
        mean2 = float((sigma * z2 / (t + sigma) ** 2).sum())
        rest = float((z2 * (t / (t + sigma)) ** 2).sum() + outside)
        spread = float((alpha + beta * sigma).log().sum()) + (d - len(sigma)) * math.log(alpha)
        found.append(
            (d * math.log(alpha) + n * math.log(beta / (2 * math.pi)) - spread - beta * rest - alpha * mean2) / 2
        )
    return sum(found) / len(found) / n
