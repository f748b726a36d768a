"""Sample policies: one file a family. Import this package to know them all."""

from selkd.selection.samples import centres, ddk, filters, kd3, plain, ranked, robust
from selkd.selection.samples.base import SAMPLES, RowEvidence, SamplePolicy, SampleSettings

__all__ = [
    "SAMPLES",
    "RowEvidence",
    "SamplePolicy",
    "SampleSettings",
    "centres",
    "ddk",
    "filters",
    "kd3",
    "plain",
    "ranked",
    "robust",
]
