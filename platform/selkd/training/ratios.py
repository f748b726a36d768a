"""Watching the ratios: how the teacher's weight spreads over the rows of an epoch.

Rows are told apart by whether the teacher is right, and by the gap between student and teacher: half the sum of
absolute differences of their probabilities, from 0 to 1. Where rows were spoiled on purpose, also by what is wrong.
"""

import logging
import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from selkd.data.faults import KINDS
from selkd.training.workers import Workers
from selkd.weighting import Moment

if TYPE_CHECKING:
    import pandas as pd

GAPS, BINS = 5, 20
LARGE = 2  # gaps from this group on, 0.4, are large
EDGE, SHARE = 0.01, 0.95  # a ratio within this share of the range of a bound is saturated; more such rows: a warning
TEACHER = ("wrong", "right")
NOTED = ("rows", "sums", "totals", "range")
SOUND = "none"
SPOILT = range(2 ** len(KINDS))  # every combination of faults, the sum of 2^k over its kinds

log = logging.getLogger(__name__)


class Ratios:
    """Rows by fault, teacher, gap and ratio: of the epoch that is on, and counts [epochs, F, 2, gaps, bins] before.

    `kinds` [N] says what is wrong with every training row; absent where none was spoiled, and F is 1. `bounds` are the
    least and the largest ratio that there can be.
    """

    def __init__(self, kinds: Tensor | None = None, bounds: tuple[float, float] = (0.0, 1.0)) -> None:
        self.kinds, self.bounded = kinds, bounds != (0.0, 1.0)
        margin = EDGE * (bounds[1] - bounds[0])
        self.low, self.high = bounds[0] + margin, bounds[1] - margin
        self.shape = (1 if kinds is None else len(SPOILT), len(TEACHER), GAPS)
        self.counts = torch.zeros(0, *self.shape, BINS, dtype=torch.int64)
        self.warned = False
        self._clear()

    def _clear(self) -> None:
        self.rows: Tensor | int = 0  # [F 2 gaps bins]
        self.sums: Tensor | int = 0  # [F 2 gaps] of ratios
        self.totals: Tensor | int = 0  # [2] weighed loss, saturated rows
        self.range: Tensor | None = None  # [2] least and largest ratio

    def add(self, moment: Moment, ratio: Tensor, loss: Tensor) -> None:
        """Note a batch's ratios [b] and its weighed loss; nothing is read from the device."""
        ratio, groups = ratio.double(), math.prod(self.shape)
        right = moment.teacher.argmax(1) == moment.targets.argmax(1)
        gap = (moment.teacher_probabilities - moment.student_probabilities).abs().sum(1) / 2
        group = (self._kinds(moment.ids) * len(TEACHER) + right) * GAPS + _place(gap, GAPS)
        self.rows = self.rows + torch.bincount(group * BINS + _place(ratio, BINS), minlength=groups * BINS)
        self.sums = self.sums + ratio.new_zeros(groups).index_add_(0, group, ratio)
        saturated = ((ratio < self.low) | (ratio > self.high)).double().sum()
        self.totals = self.totals + torch.stack([loss.double(), saturated])
        before = ratio.new_tensor([torch.inf, -torch.inf]) if self.range is None else self.range
        self.range = torch.stack([torch.cat([before[:1], ratio]).amin(), torch.cat([before[1:], ratio]).amax()])

    def _kinds(self, ids: Tensor) -> Tensor:
        return torch.zeros_like(ids) if self.kinds is None else self.kinds.to(ids.device)[ids]

    def close(self, workers: Workers, learned: bool) -> dict[str, float]:
        """End the epoch: what is logged of it, over all workers."""
        assert isinstance(self.rows, Tensor)
        assert isinstance(self.sums, Tensor)
        assert isinstance(self.totals, Tensor)
        assert self.range is not None
        rows = workers.sum_(self.rows).cpu().view(*self.shape, BINS)
        sums = workers.sum_(self.sums).cpu().view(self.shape)
        loss, saturated = workers.sum_(self.totals).tolist()
        ends = workers.gather(self.range[None]).cpu()
        self.counts = torch.cat([self.counts, rows[None]])
        self._clear()
        size = int(rows.sum())
        if learned and workers.first and saturated >= SHARE * size and not self.warned:
            self.warned = True
            log.warning(
                "weighting: %.0f %% of the ratios of an epoch are below %g or above %g, where the network hardly "
                "learns. Lower weighting.lr%s.",
                100 * saturated / size, self.low, self.high, "" if self.bounded else ", or set weighting.bounded",
            )  # fmt: skip
        found = {"train/loss": loss / size, "ratio/mean": float(sums.sum()) / size}
        found |= {"ratio/min": float(ends[:, 0].min()), "ratio/max": float(ends[:, 1].max())}
        for name, part in self._parts().items():
            if count := int(rows[part].sum()):
                found[f"ratio/{name}"] = float(sums[part].sum()) / count
        return found

    def noted(self) -> dict[str, Any]:
        """What was noted of the epoch that is on."""
        return {name: getattr(self, name) for name in NOTED}

    def reopen(self, noted: dict[str, Any], device: torch.device) -> None:
        """Go on with an epoch of which this was noted."""
        for name in NOTED:
            value = noted[name]
            setattr(self, name, value.to(device) if isinstance(value, Tensor) else value)

    def _parts(self) -> dict[str, tuple[Any, ...]]:
        """Kinds of rows that have a mean of their own, each as an index of [F, 2, gaps]."""
        gaps = {"": slice(None), "/small-gap": slice(LARGE), "/large-gap": slice(LARGE, None)}
        found: dict[str, tuple[Any, ...]] = {
            f"{teacher}{name}": (slice(None), index, gap)
            for index, teacher in enumerate(TEACHER)
            for name, gap in gaps.items()
        }
        if self.kinds is None:
            return found
        having = {kind: [one for one in SPOILT if one >> bit & 1] for bit, kind in enumerate(KINDS)}
        return found | {"sound": ([0],)} | {f"faulty/{kind}": (spoilt,) for kind, spoilt in having.items()}

    def frame(self) -> "pd.DataFrame":
        """Rows by epoch, teacher, least gap and least ratio of their bin; and by fault, where there are any."""
        import pandas as pd

        found = self.counts.nonzero()
        epoch, spoilt, teacher, gap, ratio = found.unbind(1)
        table = pd.DataFrame(
            {
                "epoch": (epoch + 1).numpy(),
                "fault": [_named(index) for index in spoilt.tolist()],
                "teacher": [TEACHER[index] for index in teacher.tolist()],
                "gap": (gap / GAPS).numpy(),
                "ratio": (ratio / BINS).numpy(),
                "rows": self.counts[tuple(found.T)].numpy(),
            }
        )
        return table.drop(columns="fault") if self.kinds is None else table


def _named(spoilt: int) -> str:
    """A combination of faults in words: `labels+teacher`."""
    return "+".join(kind for bit, kind in enumerate(KINDS) if spoilt >> bit & 1) or SOUND


def _place(values: Tensor, bins: int) -> Tensor:
    """Which of equal bins of [0, 1] holds each value."""
    return (values.nan_to_num() * bins).long().clamp(0, bins - 1)
